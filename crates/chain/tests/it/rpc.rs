//! The JSON-RPC through alloy's provider, and its limits and errors.

use std::net::SocketAddr;

use alloy_network::{EthereumWallet, TransactionBuilder};
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, Filter, TransactionRequest};
use alloy_sol_types::{SolCall, SolError, sol};
use alloy_trie::{TrieAccount, proof::verify_proof};
use nybbles::Nibbles;
use openledger_chain::{CallError, DevelopmentError, RpcServer, ServeError, TX_GAS_MAX};

use crate::{
    harness::{Devnet, http_post, served},
    support::{account, token_init_code},
};

sol! {
    function transfer(address to, uint256 value) external returns (bool);
    function balanceOf(address) external view returns (uint256);
    function fail(string why) external;
    error InsufficientBalance(address holder, uint256 balance, uint256 needed);
}

fn wallet(server: &RpcServer, index: u32) -> impl Provider + use<> {
    let wallet = EthereumWallet::from(account(index));
    let url = server.http_url().parse().expect("a URL");
    ProviderBuilder::new().wallet(wallet).connect_http(url)
}

async fn deploy(provider: &impl Provider) -> Address {
    let request = TransactionRequest::default().with_deploy_code(token_init_code(U256::from(1_000)));
    let pending = provider.send_transaction(request).await.expect("the deployment is taken");
    let receipt = pending.get_receipt().await.expect("the deployment is mined");
    assert!(receipt.status());
    receipt.contract_address.expect("a deployment has an address")
}

fn call_to(token: Address, data: Vec<u8>) -> TransactionRequest {
    TransactionRequest::default().with_to(token).with_input(data)
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_fills_signs_sends_and_reads() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    let token = deploy(&provider).await;
    let to = Address::repeat_byte(5);
    let data = transferCall { to, value: U256::from(30) }.abi_encode();
    let sent = provider.send_transaction(call_to(token, data)).await.unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    let read = balanceOfCall(to).abi_encode();
    let now = provider.call(call_to(token, read.clone())).await.unwrap();
    assert_eq!(U256::from_be_slice(&now), U256::from(30));
    let block = receipt.block_number.unwrap() - 1;
    let earlier = provider.call(call_to(token, read)).block(BlockId::number(block)).await.unwrap();
    assert_eq!(U256::from_be_slice(&earlier), U256::ZERO);
    let logs = provider.get_logs(&Filter::new().address(token).from_block(0)).await.unwrap();
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[1].transaction_hash, Some(receipt.transaction_hash));
    let by_topic = Filter::new().from_block(0).topic2(B256::left_padding_from(to.as_slice()));
    assert_eq!(provider.get_logs(&by_topic).await.unwrap().len(), 1);
    assert_eq!(provider.get_transaction_count(account(0).address()).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reverts_carry_code_three_and_their_data() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    let token = deploy(&provider).await;
    let data = transferCall { to: token, value: U256::from(5_000) }.abi_encode();
    let request = call_to(token, data).with_from(account(0).address());
    for error in [
        provider.call(request.clone()).await.expect_err("it reverts"),
        provider.estimate_gas(request).await.expect_err("it reverts"),
    ] {
        let error = error.as_error_resp().expect("an error object").clone();
        assert_eq!(error.code, 3);
        let data: Bytes = error.try_data_as().expect("data").expect("bytes");
        let decoded = InsufficientBalance::abi_decode(&data).unwrap();
        assert_eq!(decoded.needed, U256::from(5_000));
    }
    let data = failCall { why: "because".into() }.abi_encode();
    let error = provider.call(call_to(token, data)).await.expect_err("it reverts");
    assert_eq!(error.as_error_resp().unwrap().message, "execution reverted: because");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_verify_against_present_and_past_state_roots() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    let token = deploy(&provider).await;
    let mut heads = vec![devnet.chain.head()];
    for round in 1..6u8 {
        let data = transferCall { to: Address::repeat_byte(round), value: U256::from(round) }.abi_encode();
        let sent = provider.send_transaction(call_to(token, data)).await.unwrap();
        sent.get_receipt().await.unwrap();
        heads.push(devnet.chain.head());
    }
    let holder = Address::repeat_byte(3);
    let slot = keccak256([B256::left_padding_from(holder.as_slice()).0, U256::ONE.to_be_bytes()].concat());
    for (round, head) in heads.iter().enumerate() {
        let proof = provider.get_proof(token, vec![slot]).number(head.number).await.unwrap();
        let account = TrieAccount::new(proof.nonce, proof.balance, proof.storage_hash, proof.code_hash);
        let leaf = Some(alloy_rlp::encode(account));
        verify_proof(head.state_root, Nibbles::unpack(keccak256(token)), leaf, &proof.account_proof).unwrap();
        let storage = &proof.storage_proof[0];
        let expected = if round >= 3 { U256::from(3) } else { U256::ZERO };
        assert_eq!(storage.value, expected, "after {round} transfers");
        let leaf = (!expected.is_zero()).then(|| alloy_rlp::encode(expected));
        verify_proof(proof.storage_hash, Nibbles::unpack(keccak256(slot)), leaf, &storage.proof).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates_suffice_and_are_close() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    let plain = TransactionRequest::default().with_to(Address::repeat_byte(1)).with_value(U256::ONE);
    assert_eq!(provider.estimate_gas(plain.with_from(account(0).address())).await.unwrap(), 21_000);
    let token = deploy(&provider).await;
    let data = transferCall { to: Address::repeat_byte(1), value: U256::from(1) }.abi_encode();
    let request = call_to(token, data).with_from(account(0).address());
    let estimate = provider.estimate_gas(request.clone()).await.unwrap();
    let sent = provider.send_transaction(request.with_gas_limit(estimate)).await.unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    assert!(receipt.status());
    assert!(estimate < receipt.gas_used * 102 / 100 + 2, "{estimate} for {}", receipt.gas_used);
    // An endless loop: JUMPDEST PUSH1 0 JUMP.
    let init = hex!("5b600056").to_vec();
    let endless = TransactionRequest::default().with_deploy_code(init).with_from(account(0).address());
    let error = devnet.chain.estimate_gas(&endless, BlockId::latest(), Default::default()).unwrap_err();
    assert!(matches!(error, CallError::GasAllowance { allowance: TX_GAS_MAX }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_queries_beyond_the_limits_say_which_limit() {
    let devnet = Devnet::with(|config| {
        config.rpc.log_blocks_max = 3;
        config.rpc.logs_max = 1;
    });
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    let token = deploy(&provider).await;
    for _ in 0..4 {
        let data = transferCall { to: token, value: U256::ONE }.abi_encode();
        provider.send_transaction(call_to(token, data)).await.unwrap().get_receipt().await.unwrap();
    }
    let message = async |filter: Filter| {
        let error = provider.get_logs(&filter).await.expect_err("it is refused");
        let error = error.as_error_resp().expect("an error object").clone();
        (error.code, error.message.to_string())
    };
    let (code, text) = message(Filter::new().from_block(0)).await;
    assert_eq!(code, -32_005);
    assert_eq!(text, "query spans 6 blocks; at most 3 are allowed: narrow fromBlock and toBlock");
    let (_, text) = message(Filter::new().from_block(2).to_block(4)).await;
    assert_eq!(text, "query returned more than 1 results: narrow the range, addresses or topics");
    let (code, _) = message(Filter::new().from_block(4).to_block(2)).await;
    assert_eq!(code, -32_602);
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_is_named() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let addr: SocketAddr = server.addr();
    let error = devnet.chain.serve(addr).await.expect_err("the port is taken");
    assert!(matches!(error, ServeError::PortInUse { addr: taken } if taken == addr));
    assert!(error.to_string().contains(&addr.port().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn block_receipts_and_transactions_agree() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = wallet(&server, 0);
    deploy(&provider).await;
    let block =
        provider.raw_request::<_, serde_json::Value>("eth_getBlockByNumber".into(), ("latest", true)).await.unwrap();
    let receipts =
        provider.raw_request::<_, Vec<serde_json::Value>>("eth_getBlockReceipts".into(), ("latest",)).await.unwrap();
    let txs = block["transactions"].as_array().unwrap();
    assert_eq!(txs.len(), receipts.len());
    assert_eq!(receipts[0]["type"], "0x7e");
    assert_eq!(receipts[0]["depositReceiptVersion"], "0x1");
    for (tx, receipt) in txs.iter().zip(&receipts) {
        assert_eq!(tx["hash"], receipt["transactionHash"]);
        assert_eq!(receipt["blockHash"], block["hash"]);
        let hash = tx["hash"].as_str().unwrap().to_owned();
        let alone = provider
            .raw_request::<_, serde_json::Value>("eth_getTransactionReceipt".into(), (hash.clone(),))
            .await
            .unwrap();
        assert_eq!(&alone, receipt);
        let alone =
            provider.raw_request::<_, serde_json::Value>("eth_getTransactionByHash".into(), (hash,)).await.unwrap();
        assert_eq!(&alone, tx);
    }
    let by_alloy = provider.get_block_by_number(BlockNumberOrTag::Earliest).await.unwrap().unwrap();
    assert_eq!(by_alloy.header.number, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_moves_ahead_by_ten_years_and_no_further() {
    const LIMIT_S: u64 = 10 * 365 * 86_400;
    let devnet = Devnet::start();
    for seconds in [u64::MAX, LIMIT_S + 1] {
        let error = devnet.chain.increase_time(seconds).unwrap_err();
        assert!(matches!(error, DevelopmentError::TooFarAhead { ahead: 0, limit: LIMIT_S, .. }), "{error}");
    }
    assert_eq!(devnet.chain.increase_time(LIMIT_S - 1).unwrap(), LIMIT_S - 1);
    assert_eq!(devnet.chain.increase_time(1).unwrap(), LIMIT_S);
    assert!(devnet.chain.increase_time(1).is_err());
    devnet.chain.mine().await.unwrap();
    devnet.chain.shutdown();
    assert!(matches!(devnet.chain.mine().await.unwrap_err(), DevelopmentError::Closed));
}

#[tokio::test]
async fn a_chain_at_the_end_of_time_says_that_it_makes_no_blocks() {
    let devnet = Devnet::with(|config| config.genesis.timestamp = u64::MAX);
    let error = devnet.chain.mine().await.unwrap_err().to_string();
    assert_eq!(error, format!("blocks cannot be made: no block time comes after {}", u64::MAX));
    assert_eq!(devnet.chain.trouble().borrow().as_deref(), Some(error.as_str()));
    devnet.chain.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn development_methods_are_not_for_web_pages() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let ask = async |headers: &str, method: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
        http_post(server.addr(), headers, &body).await
    };
    let page = "Origin: http://127.0.0.1:8080\r\n";
    let refused = ask(page, "evm_mine").await;
    assert!(refused.contains("development methods are not for web pages"), "{refused}");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"evm_increaseTime","params":[1]}"#;
    let refused = http_post(server.addr(), page, body).await;
    assert!(refused.contains("development methods are not for web pages"), "{refused}");
    assert_eq!(devnet.chain.head().number, 0);
    assert!(ask(page, "eth_blockNumber").await.ends_with(r#""result":"0x0"}"#), "wallets may ask for everything else");
    let mined = ask("", "evm_mine").await;
    assert!(mined.contains(r#""result":"0x0""#), "{mined}");
    assert_eq!(devnet.chain.head().number, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_moves_ahead_on_development_chains_only() {
    let devnet = Devnet::start();
    let before = devnet.chain.head().timestamp;
    devnet.chain.mine().await.unwrap();
    let now = devnet.chain.head().timestamp;
    assert!(now > before);
    devnet.chain.increase_time(1_000_000).unwrap();
    devnet.chain.mine().await.unwrap();
    assert!(devnet.chain.head().timestamp >= now + 1_000_000);
    let strict = Devnet::with(|config| config.development = false);
    assert!(strict.chain.increase_time(1).is_err());
    assert!(strict.chain.mine().await.is_err());
}
