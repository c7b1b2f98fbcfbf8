//! Requests that ask for too much are refused with a limit, whoever asks.

use alloy_primitives::Address;
use alloy_provider::{Provider, ProviderBuilder};
use openledger_chain::RpcServer;
use serde_json::{Value, json};

use crate::{
    harness::{Devnet, Draft, include, served},
    support::account,
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
