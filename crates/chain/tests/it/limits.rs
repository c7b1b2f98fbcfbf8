//! Requests that ask for too much are refused with a limit, whoever asks.

use alloy_primitives::{Address, B256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::Filter;
use openledger_chain::RpcServer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{Devnet, Draft, include, served},
    support::{account, token_init_code},
};

fn client(server: &RpcServer) -> impl Provider + use<> {
    ProviderBuilder::new().connect_http(server.http_url().parse().expect("a URL"))
}

/// Code and text of the error that `method` answers with.
async fn refusal(provider: &impl Provider, method: &'static str, params: Value) -> (i64, String) {
    let error = provider.raw_request::<_, Value>(method.into(), params).await.expect_err("it is refused");
    let error = error.as_error_resp().expect("an error object");
    (error.code, error.message.to_string())
}

/// A call that runs `code`.
fn running(code: &str, gas: u64) -> (Value, Value) {
    let at = Address::repeat_byte(0x99);
    (json!({ "to": at, "gas": format!("{gas:#x}") }), json!({ at.to_string(): { "code": code } }))
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_record_a_limited_number_of_bytes() {
    const ENDLESS: &str = "0x5b5f56";
    // Calls with half a mebibyte of input each, without end.
    const LONG_INPUTS: &str = "0x5b5f5f620800005f60775afa505f56";
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = client(&server);
    let too_long = "the trace records more than 67108864 bytes: trace less, or give the call less gas";
    let cases = [
        (ENDLESS, json!({})),
        (ENDLESS, json!({ "disableStack": true })),
        (ENDLESS, json!({ "tracer": "erc7562Tracer" })),
        (LONG_INPUTS, json!({ "tracer": "callTracer" })),
        (LONG_INPUTS, json!({ "tracer": "muxTracer", "tracerConfig": { "callTracer": {} } })),
    ];
    for (code, tracing) in cases {
        let (call, overrides) = running(code, 3_000_000);
        let mut options = tracing.clone();
        options["stateOverrides"] = overrides;
        let (code, text) = refusal(&provider, "debug_traceCall", json!([call, "latest", options])).await;
        assert_eq!((code, text.as_str()), (-32_005, too_long), "{tracing}");
    }
    let (call, overrides) = running(ENDLESS, 30_000);
    let short = json!([call, "latest", { "stateOverrides": overrides }]);
    let trace: Value = provider.raw_request("debug_traceCall".into(), short).await.unwrap();
    assert!(trace["structLogs"].as_array().unwrap().len() > 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn mined_transactions_are_traced_within_the_same_limit() {
    let devnet = Devnet::start();
    let mut deploy = Draft::new(0, alloy_primitives::TxKind::Create).input(vec![0x5b, 0x5f, 0x56]);
    deploy.0.gas_limit = 3_000_000;
    let block = include(&devnet, deploy.sign(&account(0))).await;
    let hash = block.body.transactions[1].tx_hash();
    let server = served(&devnet).await;
    let (code, text) = refusal(&client(&server), "debug_traceTransaction", json!([hash])).await;
    assert_eq!(code, -32_005, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_filters_name_a_limited_number_of_addresses_and_topics() {
    let devnet = Devnet::start();
    let server = served(&devnet).await;
    let provider = client(&server);
    let addresses: Vec<Address> = (0..1_001u64).map(|n| Address::left_padding_from(&n.to_be_bytes())).collect();
    let topics: Vec<B256> = (0..1_001u64).map(|n| B256::left_padding_from(&n.to_be_bytes())).collect();
    let cases = [
        (Filter::new().address(addresses.clone()), "the filter names 1001 addresses; at most 1000 are allowed"),
        (Filter::new().topic2(topics.clone()), "the filter names 1001 topics in one place; at most 1000 are allowed"),
    ];
    for (filter, text) in cases {
        for method in ["eth_getLogs", "eth_newFilter"] {
            let refused = refusal(&provider, method, json!([filter])).await;
            assert_eq!(refused, (-32_005, text.to_owned()), "{method}");
        }
        let answer = websocket_answer(&server, &json!(["logs", filter])).await;
        assert!(answer.contains(text), "{answer}");
    }
    let most = Filter::new().address(addresses[1..].to_vec()).event_signature(topics[1..].to_vec());
    provider.raw_request::<_, Value>("eth_newFilter".into(), json!([most])).await.unwrap();
    let answer = websocket_answer(&server, &json!(["logs", most])).await;
    assert!(answer.contains("result"), "{answer}");
}

/// What `eth_subscribe` with `params` answers, over a WebSocket that is spoken by hand.
async fn websocket_answer(server: &RpcServer, params: &Value) -> String {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        server.addr()
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params }).to_string();
    // One text frame with a mask of zeros, which leaves the bytes as they are.
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend((request.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(request.as_bytes());
    stream.write_all(&frame).await.unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let length = match head[1] {
        126 => stream.read_u16().await.unwrap().into(),
        127 => stream.read_u64().await.unwrap() as usize,
        short => short.into(),
    };
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_fails_loses_no_logs() {
    let devnet = Devnet::with(|config| config.rpc.logs_max = 1);
    let server = served(&devnet).await;
    let provider = client(&server);
    let id: Value = provider.raw_request("eth_newFilter".into(), json!([{}])).await.unwrap();
    let deploy =
        |nonce| Draft::new(nonce, alloy_primitives::TxKind::Create).input(token_init_code(1.try_into().unwrap()));
    include(&devnet, deploy(0).sign(&account(0))).await;
    let logs: Vec<Value> = provider.raw_request("eth_getFilterChanges".into(), json!([id])).await.unwrap();
    assert_eq!(logs.len(), 1);
    include(&devnet, deploy(1).sign(&account(0))).await;
    include(&devnet, deploy(2).sign(&account(0))).await;
    for _ in 0..2 {
        let (code, text) = refusal(&provider, "eth_getFilterChanges", json!([id])).await;
        assert_eq!(code, -32_005, "{text}");
    }
}
