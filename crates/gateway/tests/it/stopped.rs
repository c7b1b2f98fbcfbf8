//! Answers that their caller ends.

use openledger_gateway::replay::Replayer;
use openledger_primitives::{B256, Wei};
use openledger_sdk::GatewayClient;
use openledger_sdk::api::ChatRequest;
use openledger_settlement::verify::{
    Disclosure, PublishedTerms, ReceiptBundle, ReplayEngine as _, verify_receipt, verify_replay,
};
use serde_json::Value;

use crate::node::{Node, slow_node};
use crate::people::{CHAIN_ID, MODEL, People};

/// Most tokens of a question's answer: they take long enough to be ended in the middle.
const TOKENS_MAX: u32 = 400;

fn question() -> ChatRequest {
    ChatRequest { max_tokens: Some(TOKENS_MAX), ..ChatRequest::question(MODEL, "Who came?") }
}

fn tokens_out(body: &Value) -> u32 {
    body.pointer("/openledger/receipt/tokensOut").and_then(Value::as_u64).unwrap().try_into().unwrap()
}

/// Every check of a receipt, with a replay from the node's own artefacts.
async fn verified(node: &Node, gateway: &GatewayClient, body: &Value) -> (ReceiptBundle, Vec<String>) {
    let hash = serde_json::from_value(body["openledger"]["receipt_hash"].clone()).unwrap();
    let bundle = gateway.receipt(hash).await.unwrap();
    let disclosure: Disclosure = serde_json::from_value(body["openledger"]["disclosure"].clone()).unwrap();
    let model = node.catalog().by_name(MODEL).unwrap();
    let terms: PublishedTerms = model.terms(node.catalog().base().hash());
    let catalog = node.catalog().clone();
    let receipt = bundle.receipt.receipt.clone();
    let replayed = tokio::task::spawn_blocking(move || {
        verify_replay(&receipt, &disclosure, &mut Replayer::new(catalog, 1)).unwrap()
    });
    let mut report = verify_receipt(&bundle, CHAIN_ID, Some(&terms), None);
    report.extend(replayed.await.unwrap());
    assert!(report.passed(), "{:?}", report.first_fault());
    (bundle, report.missing)
}

#[test]
fn a_stopped_answer_costs_what_there_is_of_it_and_replays_where_the_arithmetic_is_the_same() {
    let node = slow_node();
    node.block_on(stop_and_verify(node));
}

async fn stop_and_verify(node: &Node) {
    let till = People::connect(&node.rpc, &node.gateway).await.till();
    let mut stream = till.chat_stream(&question()).await.unwrap();
    let mut seen = String::new();
    for _ in 0..3 {
        seen.push_str(&stream.next_text().await.unwrap().unwrap());
    }
    let stopped = stream.stop().await.unwrap().expect("what was generated is charged");
    let tokens = tokens_out(&stopped.body);
    assert!((3..TOKENS_MAX).contains(&tokens), "{tokens} tokens");
    assert_eq!(stopped.body.pointer("/choices/0/finish_reason").unwrap(), "cancelled");
    assert!(stopped.text.starts_with(&seen), "{:?} begins with {seen:?}", stopped.text);
    let (bundle, missing) = verified(node, &till, &stopped.body).await;
    assert!(missing.iter().any(|missing| missing.starts_with("answer-end: ")), "{missing:?}");
    let receipt = &bundle.receipt.receipt;
    assert_eq!(stopped.charged, Some(Wei(receipt.fee)));

    let whole = till.chat(&question()).await.unwrap();
    assert_eq!(tokens_out(&whole.body), TOKENS_MAX);
    assert!(whole.charged > stopped.charged, "{:?} for all, {:?} for a part", whole.charged, stopped.charged);
    // A character whose last bytes were never generated is shown as unreadable at the end.
    assert!(whole.text.starts_with(stopped.text.trim_end_matches('\u{FFFD}')));
    let (bundle, missing) = verified(node, &till, &whole.body).await;
    assert!(!missing.iter().any(|missing| missing.starts_with("answer-end: ")), "{missing:?}");
    assert_eq!(bundle.receipt.receipt.cumulativeBefore, receipt.cumulativeAfter, "nothing else was charged");
    refused_where_the_arithmetic_is_another(node, bundle);
}

/// What other arithmetic made is not called wrong: it cannot be judged here.
fn refused_where_the_arithmetic_is_another(node: &Node, bundle: ReceiptBundle) {
    let mut receipt = bundle.receipt.receipt;
    receipt.quantisationId = B256::repeat_byte(1);
    let refused = Replayer::new(node.catalog().clone(), 1).replay(&receipt, &Value::Null).unwrap_err();
    assert!(refused.to_string().starts_with("quantisation here is 0x"), "{refused}");
}
