use openledger_primitives::{Address, B256, Wei};
use openledger_sdk::{ChainClient, ChainError, decode_revert};

use crate::devnet::{CHAIN_ID, Devnet, Role, key};

#[tokio::test(flavor = "multi_thread")]
async fn sends_from_many_tasks_take_different_nonces() {
    const SENDS: u64 = 16;
    let devnet = Devnet::start().await;
    let client = devnet.client(Role::Payer).await;
    let to = Address::repeat_byte(0x77);
    let sends: Vec<_> = (0..SENDS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.transfer(to, Wei(10)).await })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(client.balance(to).await.unwrap(), Wei(10 * u128::from(SENDS)));
    assert_eq!(client.chain_id(), CHAIN_ID);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_s_refusal_is_named_and_nothing_is_sent() {
    let devnet = Devnet::start().await;
    let client = devnet.client(Role::Payer).await;
    let refused = client.models().register_base(B256::ZERO, "zero").await.unwrap_err();
    assert!(refused.is_revert("ModelRegistry_ZeroHash"), "{refused}");
    assert!(!refused.is_revert("ModelRegistry_Zero"), "names match whole");
    let sent: alloy_primitives::U256 =
        client.rpc("eth_getTransactionCount", (client.address(), "latest")).await.unwrap();
    assert!(sent.is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_model_is_registered_once() {
    let devnet = Devnet::start().await;
    let models = devnet.client(Role::Governance).await.models();
    let base = B256::repeat_byte(1);
    assert!(models.register_base(base, "base").await.unwrap().is_some());
    assert!(models.register_base(base, "base").await.unwrap().is_none());
    assert_eq!(models.base(base).await.unwrap().unwrap().name, "base");
}

#[tokio::test(flavor = "multi_thread")]
async fn stakes_are_counted() {
    let devnet = Devnet::start().await;
    let stakers = devnet.client(Role::Builder).await.stakers();
    stakers.stake(Wei::from_open(3)).await.unwrap();
    stakers.request_unstake(Wei::from_open(1)).await.unwrap();
    assert_eq!(stakers.stake_of(key(Role::Builder).address()).await.unwrap(), Wei::from_open(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_funds_is_told_so() {
    let devnet = Devnet::start().await;
    let poor = alloy_signer_local::PrivateKeySigner::from_bytes(&B256::repeat_byte(0x55)).unwrap();
    let client = devnet.client(Role::Payer).await.with_signer(poor);
    let refused = client.transfer(Address::ZERO, Wei(1)).await.unwrap_err();
    assert!(matches!(&refused, ChainError::Refused { message, .. } if message.contains("fund")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_at_the_url_is_an_error_in_words() {
    let refused = ChainClient::connect("not a url", key(Role::Payer)).await.unwrap_err();
    assert!(matches!(refused, ChainError::Url { .. }), "{refused}");
    let refused = ChainClient::connect("http://127.0.0.1:1", key(Role::Payer)).await.unwrap_err();
    assert!(matches!(refused, ChainError::Rpc { .. }), "{refused}");
}

#[test]
fn unknown_revert_data_is_shown_as_it_is() {
    assert_eq!(decode_revert(&[0xde, 0xad, 0xbe, 0xef]), "unknown error 0xdeadbeef");
}
