//! Deposits and refunds that the operator relays, on a real chain with the real contracts.

use std::sync::atomic::Ordering;

use alloy_signer_local::PrivateKeySigner;
use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, B256, ModelId, Wei};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{ChainClient, DepositBy, GatewayClient, GatewayError, PayerOptions, Standing, Wallet};
use openledger_settlement::hub::{HubClient, HubError, RelayOutcome, SignedTransaction};
use openledger_settlement::relay::{Deposit, RelayCall};
use openledger_settlement::till::TillOptions;

use crate::devnet::{CHAIN_ID, Devnet, Role, key};
use crate::till_server::{TillServer, fee};

/// Wrapped OPEN that the payer holds, and no native OPEN.
const FUNDS: Wei = Wei::from_open(10);

fn question() -> ChatRequest {
    ChatRequest::question("attack", "Which technique is this?")
}

fn options() -> PayerOptions {
    PayerOptions { deposit_requests: 1000, deposit_by: DepositBy::Authorization, ..PayerOptions::default() }
}

/// An account with wrapped OPEN and nothing to pay gas with.
async fn penniless(devnet: &Devnet) -> ChainClient {
    let rich = devnet.client(Role::Payer).await;
    let poor = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap();
    rich.wrap(poor.address(), FUNDS).await.unwrap();
    rich.with_signer(poor)
}

fn gateway(server: &TillServer, payer: &ChainClient) -> GatewayClient {
    GatewayClient::new(&server.url).unwrap().with_wallet(Wallet::new(payer.clone(), options()))
}

fn config(payer: Address) -> ChannelConfig {
    ChannelConfig {
        payer,
        payerAuthorizer: Address::ZERO,
        receiver: openledger_contracts::addresses::INFERENCE_HUB,
        receiverAuthorizer: key(Role::Operator).address(),
        token: openledger_contracts::addresses::WRAPPED_OPEN,
        withdrawDelay: alloy_primitives::aliases::U40::from(900),
        salt: B256::ZERO,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_without_gas_deposits_asks_and_gets_the_rest_back() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let payer = penniless(&devnet).await;
    let gateway = gateway(&server, &payer);
    let first = gateway.chat(&question()).await.unwrap();
    let offer = gateway.offer(&question()).await.unwrap().unwrap();
    let deposit = Wei(1000 * offer.amount.0);
    assert_eq!((first.text.as_str(), first.charged), ("Process Injection", Some(fee())));
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - deposit.0));
    gateway.chat(&question()).await.unwrap();
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - deposit.0), "deposited twice");
    let part = gateway.refund(&offer, Some(Wei(1))).await.unwrap();
    assert_eq!(part.amount(), Some(Wei(1)));
    let rest = gateway.refund(&offer, None).await.unwrap();
    assert_eq!(rest.amount(), Some(Wei(deposit.0 - 2 * fee().0 - 1)));
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - 2 * fee().0));
    let left = server.hub.channel_state(&config(payer.address())).await.unwrap();
    assert_eq!((left.balance, left.refund_nonce), (Wei(2 * fee().0), 2));
    assert_eq!(payer.balance(payer.address()).await.unwrap(), Wei::ZERO);
    // Nothing is free any more, and what is left is the operator's.
    let none = gateway.refund(&offer, None).await.unwrap_err();
    assert!(
        matches!(&none, GatewayError::PaymentRefused { code, .. } if code.ends_with("refund_no_balance")),
        "{none}"
    );
    assert!(none.to_string().ends_with("has nothing to give back: all that it holds was charged"), "{none}");
    // The same channel takes another deposit.
    assert_eq!(gateway.chat(&question()).await.unwrap().charged, Some(fee()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_on_the_way_deposits_and_charges_once() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let payer = penniless(&devnet).await;
    let gateway = gateway(&server, &payer);
    server.breaks_next.store(true, Ordering::SeqCst);
    assert_eq!(gateway.chat(&question()).await.unwrap().charged, Some(fee()));
    let offer = gateway.offer(&question()).await.unwrap().unwrap();
    let channel = server.hub.channel_state(&config(payer.address())).await.unwrap();
    assert_eq!((server.charges.load(Ordering::SeqCst), channel.balance), (1, Wei(1000 * offer.amount.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_is_long_in_coming_is_made_once() {
    let devnet = Devnet::start_every(2).await;
    let impatient = TillOptions { relay_wait_s: 0, ..TillOptions::default() };
    let server = TillServer::start_with(&devnet, ModelId::default(), impatient).await;
    let payer = penniless(&devnet).await;
    let gateway = gateway(&server, &payer);
    // Two questions at once out of one channel, and no block in sight.
    let (request, other) = (question(), question());
    let answers = tokio::join!(gateway.chat(&request), gateway.chat(&other));
    assert_eq!((answers.0.unwrap().charged, answers.1.unwrap().charged), (Some(fee()), Some(fee())));
    let offer = gateway.offer(&question()).await.unwrap().unwrap();
    let channel = server.hub.channel_state(&config(payer.address())).await.unwrap();
    assert_eq!(channel.balance, Wei(1000 * offer.amount.0), "deposited twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_lost_its_count_gets_its_money_back() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let payer = penniless(&devnet).await;
    gateway(&server, &payer).chat(&question()).await.unwrap();
    let restarted = gateway(&server, &payer);
    let offer = restarted.offer(&question()).await.unwrap().unwrap();
    restarted.refund(&offer, None).await.unwrap();
    assert_eq!(payer.wrapped_balance(payer.address()).await.unwrap(), Wei(FUNDS.0 - fee().0));
}

async fn relay(server: &TillServer, call: &RelayCall) -> Result<SignedTransaction, HubError> {
    server.hub.relay(call, Box::new(|_| Box::pin(async { Ok(()) }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_takes_each_authorisation_and_each_refund_once() {
    let devnet = Devnet::start().await;
    let server = TillServer::start(&devnet, ModelId::default()).await;
    let payer = penniless(&devnet).await;
    let config = config(payer.address());
    let sign = |valid_before, signer: &PrivateKeySigner| {
        Deposit::sign(&config, Wei(1000), valid_before, B256::repeat_byte(1), CHAIN_ID, signer).unwrap()
    };
    let call = |deposit| RelayCall::Deposit { config: config.clone(), deposit };
    let refusal = async |call: RelayCall| match relay(&server, &call).await.unwrap_err() {
        HubError::Reverted { reason } => reason,
        other => panic!("{other}"),
    };
    assert!(refusal(call(sign(1, payer.signer()))).await.starts_with("WrappedOpen_AuthorizationExpired"));
    assert!(refusal(call(sign(u64::MAX, &key(Role::Payer)))).await.starts_with("WrappedOpen_InvalidSignature"));
    let good = sign(u64::MAX, payer.signer());
    let sent = relay(&server, &call(good.clone())).await.unwrap();
    assert_eq!(included(&server, &sent).await, RelayOutcome::Moved { amount: Wei(1000) });
    assert!(refusal(call(good)).await.starts_with("WrappedOpen_AuthorizationSpent"));
    let refund = |nonce| RelayCall::refund(config.clone(), Wei(400), nonce, CHAIN_ID, &key(Role::Operator)).unwrap();
    let sent = relay(&server, &refund(0)).await.unwrap();
    assert_eq!(included(&server, &sent).await, RelayOutcome::Moved { amount: Wei(400) });
    assert!(refusal(refund(0)).await.starts_with("InferenceHub_WrongNonce"));
    let found = server.hub.refund_of(&config, 0, sent.signed_at).await.unwrap().unwrap();
    assert_eq!((found.tx, found.amount), (sent.hash, Wei(400)));
    assert_eq!(server.hub.refund_of(&config, 1, 0).await.unwrap(), None);
}

async fn included(server: &TillServer, tx: &SignedTransaction) -> RelayOutcome {
    loop {
        match server.hub.relayed(tx).await.unwrap() {
            RelayOutcome::Waiting => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_signed_and_not_sent_is_sent_later_or_known_as_lost() {
    let devnet = Devnet::start().await;
    let client = devnet.client(Role::Payer).await;
    let target = Address::repeat_byte(7);
    let mut kept = None;
    let crashed: Result<_, openledger_sdk::ChainError> = client
        .send_kept(target, Vec::new(), |tx| {
            kept = Some(tx);
            async { Err(openledger_sdk::ChainError::Sign { reason: "the process ends here".into() }) }
        })
        .await;
    assert!(crashed.is_err());
    let kept = kept.unwrap();
    let standing = loop {
        match client.look_after(&kept).await.unwrap() {
            Standing::Waiting => tokio::task::yield_now().await,
            standing => break standing,
        }
    };
    assert!(matches!(standing, Standing::Included(sent) if sent.hash == kept.hash));
    let mut other = None;
    let _: Result<_, openledger_sdk::ChainError> = client
        .send_kept(target, vec![1], |tx| {
            other = Some(tx);
            async { Err(openledger_sdk::ChainError::Sign { reason: "the process ends here".into() }) }
        })
        .await;
    client.transfer(target, Wei(1)).await.unwrap();
    assert!(matches!(client.look_after(&other.unwrap()).await.unwrap(), Standing::Lost));
}
