//! Clients that hold what others need: a payment's channel, places in the queue, connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use openledger_primitives::{B256, Wei};
use openledger_sdk::PayerChannel;
use openledger_settlement::x402::{PAYMENT_SIGNATURE_HEADER, PaymentPayload, PaymentRequirements, to_header};
use openledger_testkit::TinySpec;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::node::{Node, node, start, strict_node};
use crate::people::{MODEL, People, eventually, key};

/// An account that pays for nothing elsewhere.
const STRANGER: u32 = 8;
/// Tokens of an answer that takes about as long as a strict node gives it.
const LONG_ANSWER_TOKENS: u32 = 450;
/// Longest time in which a gateway must stop, whatever its clients do.
const STOP_MAX: Duration = Duration::from_secs(20);

fn question(model: &str, tokens_max: u32) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": tokens_max, "stream": true})
}

fn chat(node: &Node, body: &Value) -> reqwest::RequestBuilder {
    reqwest::Client::new().post(format!("{}/v1/chat/completions", node.gateway)).json(body)
}

async fn offer(node: &Node, body: &Value) -> PaymentRequirements {
    let unpaid: Value = chat(node, body).send().await.unwrap().json().await.unwrap();
    serde_json::from_value(unpaid["x402"]["accepts"][0].clone()).unwrap()
}

/// Sends a whole request over a socket that nobody reads.
fn unread(node: &Node, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(node.gateway.trim_start_matches("http://")).unwrap();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}");
    write!(socket, "{head}\r\n{headers}\r\n\r\n{body}").unwrap();
    socket
}

#[test]
fn an_answer_that_nobody_reads_ends_in_time_is_charged_and_frees_its_channel() {
    let node = strict_node();
    node.block_on(time_over(node));
}

async fn time_over(node: &Node) {
    let stranger = People::connect(&node.rpc, &node.gateway).await.payer.with_signer(key(STRANGER));
    let body = question(MODEL, LONG_ANSWER_TOKENS);
    let offer = offer(node, &body).await;
    let mut channel = PayerChannel::open(stranger.hub(), &offer, B256::ZERO).await.unwrap();
    stranger.hub().deposit(channel.config(), Wei(3 * offer.amount.0)).await.unwrap();
    channel.refresh().await.unwrap();
    let voucher = channel.voucher(offer.amount).unwrap();
    let payment = PaymentPayload::voucher(offer, channel.config(), &voucher, "pay_0000000000000001");
    let header = format!("{PAYMENT_SIGNATURE_HEADER}: {}", to_header(&payment));
    let _unread = unread(node, "/v1/chat/completions", &header, &body.to_string());

    // Nobody reads the answer; the same payment gets what was kept of it as soon as its channel is free.
    let kept = eventually(async || {
        let again = chat(node, &body).header(PAYMENT_SIGNATURE_HEADER, to_header(&payment));
        let response = again.header("x-openledger-stored", "1").send().await.unwrap();
        (response.status() == StatusCode::OK).then_some(response)
    });
    let kept = kept.await.text().await.unwrap();
    // A fast machine may end it in time; that the end of its time ends it is `stream`'s own test.
    let ended = ["cancelled", "length"].map(|why| format!(r#""finish_reason":"{why}""#));
    assert!(ended.iter().any(|end| kept.contains(end)), "{kept}");
    assert!(node.ledger().channel(channel.id()).unwrap().unwrap().charged > Wei::ZERO);
}

#[test]
fn free_answers_leave_places_to_paid_ones_and_look_like_them() {
    let node = strict_node();
    node.block_on(places(node));
}

async fn places(node: &Node) {
    let mut first = chat(node, &question("tiny", LONG_ANSWER_TOKENS)).send().await.unwrap();
    let start = String::from_utf8(first.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(start.contains(r#""role":"assistant""#), "{start}");
    let second = chat(node, &question("tiny", 3)).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(second.headers().contains_key("retry-after"));
    let till = People::connect(&node.rpc, &node.gateway).await.till();
    let paid = openledger_sdk::api::ChatRequest {
        max_tokens: Some(3),
        ..openledger_sdk::api::ChatRequest::question(MODEL, "Who?")
    };
    assert!(!till.chat(&paid).await.unwrap().body["id"].is_null());
    let rest = first.text().await.unwrap();
    assert!(!rest.contains(r#""content":"""#), "{rest}");
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    // The place is free again.
    eventually(async || {
        let third = chat(node, &question("tiny", 3)).send().await.unwrap();
        third.status().is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_that_asks_without_end_is_told_to_wait_and_others_are_not() {
    let asker = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 9])).build().unwrap();
    let url = format!("{}/v1/chat/quote", node().gateway);
    // As large as a body may be, so that few are needed.
    let body = vec![b' '; openledger_gateway::JSON_BYTES_MAX];
    let refused = async || {
        let response = asker.post(&url).body(body.clone()).send().await.unwrap();
        (response.status() == StatusCode::TOO_MANY_REQUESTS).then(|| response.headers().contains_key("retry-after"))
    };
    assert!(eventually(refused).await);
    let other = reqwest::Client::new().post(&url).body("{}").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn a_gateway_stops_in_time_whatever_its_clients_hold() {
    let node = start(TinySpec::default(), None);
    let address = node.gateway.trim_start_matches("http://").to_owned();
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut whole = TcpStream::connect(&address).unwrap();
    whole.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET / HT").unwrap();
    // The answer shows that the connection was taken, and with it the one before.
    assert!(whole.read(&mut [0; 16]).unwrap() > 0);
    let started = Instant::now();
    node.stop_gateway();
    assert!(started.elapsed() < STOP_MAX, "{:?}", started.elapsed());
    assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
}
