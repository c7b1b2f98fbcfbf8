//! Reads of the chain while it moves on, against a node that makes a block between any two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::aliases::U40;
use alloy_primitives::{Address, B256, Bytes, U256};
use openledger_contracts::addresses::{INFERENCE_HUB, WRAPPED_OPEN};
use openledger_contracts::{ChannelConfig, IInferenceHub, SolCall};
use openledger_primitives::Wei;
use openledger_sdk::ChainClient;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::devnet::{CHAIN_ID, Role, key};

const BALANCE: u128 = 100;
const WITHDRAWN: u128 = 60;
/// The block in which the withdrawal that was asked for is paid.
const FINALIZED_AT: u64 = 2;

/// A channel out of which a withdrawal is paid in block [`FINALIZED_AT`].
fn hub_at(block: u64, call: &[u8]) -> Vec<u8> {
    let paid = block >= FINALIZED_AT;
    if call.starts_with(&IInferenceHub::channelsCall::SELECTOR) {
        let balance = if paid { BALANCE - WITHDRAWN } else { BALANCE };
        IInferenceHub::channelsCall::abi_encode_returns(&(balance, 0).into())
    } else if call.starts_with(&IInferenceHub::pendingWithdrawalCall::SELECTOR) {
        let amount = if paid { 0 } else { WITHDRAWN };
        IInferenceHub::pendingWithdrawalCall::abi_encode_returns(&(amount, 0).into())
    } else {
        IInferenceHub::refundNonceCall::abi_encode_returns(&U256::ZERO)
    }
}

/// What the node answers; each call of a contract makes a block.
fn answer(head: &AtomicU64, request: &Value) -> Value {
    match request["method"].as_str().unwrap() {
        "eth_chainId" => json!(U256::from(CHAIN_ID)),
        "eth_blockNumber" => json!(U256::from(head.load(Ordering::SeqCst))),
        "eth_call" => {
            let latest = head.fetch_add(1, Ordering::SeqCst);
            let asked = serde_json::from_value::<U256>(request["params"][1].clone());
            let block = asked.map_or(latest, |number| number.to());
            let input: Bytes = serde_json::from_value(request["params"][0]["input"].clone()).unwrap();
            json!(Bytes::from(hub_at(block, &input)))
        }
        other => panic!("{other} is not asked here"),
    }
}

/// One request a connection.
async fn serve(stream: TcpStream, head: Arc<AtomicU64>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = given.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": answer(&head, &request)}).to_string();
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\nconnection: close", body.len());
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn moving_node() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = Arc::new(AtomicU64::new(FINALIZED_AT - 1));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&head)));
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_read_as_it_stood_after_one_block() {
    let client = ChainClient::connect(&moving_node().await, key(Role::Settler)).await.unwrap();
    let config = ChannelConfig {
        payer: key(Role::Payer).address(),
        payerAuthorizer: Address::ZERO,
        receiver: INFERENCE_HUB,
        receiverAuthorizer: key(Role::Operator).address(),
        token: WRAPPED_OPEN,
        withdrawDelay: U40::from(900),
        salt: B256::ZERO,
    };
    let before = client.hub().channel_state(&config).await.unwrap();
    assert_eq!((before.balance, before.withdraw_amount), (Wei(BALANCE), Wei(WITHDRAWN)));
    let after = client.hub().channel_state(&config).await.unwrap();
    assert_eq!((after.balance, after.withdraw_amount), (Wei(BALANCE - WITHDRAWN), Wei::ZERO));
}
