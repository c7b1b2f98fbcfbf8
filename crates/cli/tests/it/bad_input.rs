//! Bad input gets a clear error, and what was there before stays.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use alloy_primitives::aliases::U40;
use openledger_contracts::ChannelConfig;
use openledger_primitives::{Address, B256, DatanetId, Wei, keccak256};
use openledger_sdk::PayerChannel;
use openledger_settlement::voucher::{SignedVoucher, channel_id};
use openledger_settlement::x402::{
    PAYMENT_RESPONSE_HEADER, PAYMENT_SIGNATURE_HEADER, PaymentPayload, PaymentRequired, PaymentRequirements, to_header,
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::node::{Home, Node};
use crate::people::{CHAIN_ID, CONTRIBUTORS, MODEL, People, generous, key};
use crate::prepared;

const CHAT: &str = "v1/chat/completions";
/// One byte more than the gateway takes in one chunk.
const TOO_MUCH: usize = (8 << 20) + 1;

/// The program must end with failure and say each of `words`.
fn refused(home: &Home, arguments: &[&str], words: &[&str]) {
    let ended = home.refused(arguments);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in {:?}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_is_named_and_another_one_works() {
    let home = Home::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&home, &["--http-listen", &address], &[&address, "in use", "--http-listen"]);
    refused(&home, &["--rpc-listen", &address], &[&address, "--rpc-listen"]);
    drop(home.start(&[]));
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    let home = Home::new("");
    let format = home.data().join("FORMAT");
    std::fs::write(&format, "999\n").unwrap();
    refused(&home, &[], &["999", "newer"]);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "999\n");
    let left: Vec<_> = std::fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing was added to FORMAT and openledger.toml: {left:?}");
}

#[test]
fn a_configuration_key_that_does_not_exist_is_named() {
    let home = Home::new("epoch_secconds = 5\n");
    refused(&home, &[], &["openledger.toml", "epoch_secconds", "line 1"]);
}

#[test]
fn a_damaged_model_file_is_refused_and_the_directory_stays_usable() {
    let home = Home::new("");
    let whole = std::fs::read(home.path("tiny.gguf")).unwrap();
    std::fs::write(home.path("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(home.path("stub.gguf"), &whole[..20]).unwrap();
    std::fs::write(home.path("poem.gguf"), "Roses are red, and this is no model.").unwrap();
    let mut absurd = whole.clone();
    absurd[8..16].fill(0x7f);
    std::fs::write(home.path("absurd.gguf"), absurd).unwrap();
    for name in ["cut.gguf", "stub.gguf", "poem.gguf", "absurd.gguf", "absent.gguf"] {
        refused(&home, &["--model", name], &[name]);
    }
    drop(home.start(&[]));
}

/// Sends a chat body, with a payment if there is one; gives status, body, and the 402's code.
pub async fn chat(node: &Node, body: &Value, payment: Option<&PaymentPayload>) -> (u16, Value) {
    let request = Client::new().post(node.url(CHAT)).json(body);
    let request = match payment {
        Some(payment) => request.header(PAYMENT_SIGNATURE_HEADER, to_header(payment)),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers().contains_key(PAYMENT_RESPONSE_HEADER), status == 200 && payment.is_some());
    (status, response.json().await.unwrap())
}

pub fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 3})
}

/// An error body of that code, whose message holds `words`.
fn says(body: &Value, code: &str, words: &str) {
    assert_eq!(body["error"]["code"], code, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains(words), "no {words:?} in {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_answered_say_why() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let malformed = Client::new().post(node.url(CHAT)).body("{\"model\": ").send().await.unwrap();
    assert_eq!(malformed.status(), 400);
    says(&malformed.json().await.unwrap(), "malformed_json", "EOF");

    for model in ["nobody", "../../../etc/passwd", "..%2f..%2fFORMAT", "tiny\u{0}", ""] {
        let (status, body) = chat(&node, &ask(model), None).await;
        assert_eq!(status, 404, "{model:?}: {body}");
        says(&body, "model_not_found", model);
    }
    let with = |field: &str, value: Value| {
        let mut body = ask("tiny");
        body[field] = value;
        body
    };
    let refusals = [
        (with("tools", json!([{"type": "function"}])), "unsupported_field", "tools"),
        (with("n", json!(2)), "unsupported_field", "n is 2"),
        (with("messages", json!([])), "invalid_messages", "0 messages"),
        (with("messages", json!([{"role": "robot", "content": "x"}])), "invalid_role", "robot"),
        (with("max_tokens", json!(4_000_000)), "invalid_request", "4000000"),
        (with("temperature", json!(-1)), "invalid_request", "-1"),
    ];
    for (body, code, words) in refusals {
        let (status, answer) = chat(&node, &body, None).await;
        assert_eq!(status, 422, "{body}: {answer}");
        says(&answer, code, words);
    }
    let (status, answer) = chat(&node, &ask("tiny"), None).await;
    assert_eq!(status, 200, "{answer}");
}

/// A chunk for an upload that the gateway does not take.
async fn put(node: &Node, upload: &str, offset: usize, chunk: Vec<u8>) -> (u16, String) {
    let url = node.url(&format!("v1/uploads/{upload}?offset={offset}"));
    let response = Client::new().put(url).body(chunk).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Announces a chunk of `bytes` bytes and sends none of them: a server that refuses the announcement may close the
/// connection before a client has sent it all, so what it says is read first.
fn announce(node: &Node, upload: &str, bytes: usize) -> String {
    let address = node.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head =
        format!("PUT /v1/uploads/{upload}?offset=10 HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

async fn post(node: &Node, path: &str, body: &Value) -> (u16, Value) {
    let response = Client::new().post(node.url(path)).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_cannot_be_used_say_why_and_lose_nothing() {
    let (home, snapshot) = prepared::home().await;
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let datanet = snapshot.datanet;
    let path = format!("v1/datanets/{datanet}/uploads");
    let declared = |bytes: u64| {
        let contributor = key(CONTRIBUTORS[0]).address();
        json!({"contributor": contributor, "file_name": "a.jsonl", "bytes": bytes, "hash": B256::ZERO})
    };
    let (status, body) = post(&node, &path, &declared(u64::MAX)).await;
    assert_eq!(status, 413, "{body}");
    says(&body, "upload_too_large", &u64::MAX.to_string());
    let (status, body) = post(&node, "v1/datanets/77/uploads", &declared(5)).await;
    assert_eq!(status, 404, "{body}");
    says(&body, "datanet_not_found", "77");

    let file = b"{\"procedure\": \"one\", \"technique\": \"two\"}\n".repeat(3);
    let upload = people.begin_upload(datanet, CONTRIBUTORS[0], "b.jsonl", &file).await;
    assert_eq!(put(&node, &upload, 0, file[..10].to_vec()).await.0, 200);
    let answer = announce(&node, &upload, TOO_MUCH);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let (status, body) = put(&node, &upload, 5, file[5..].to_vec()).await;
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("10 bytes are here"), "{body}");
    let shown: Value = people.gateway.get(&format!("v1/uploads/{upload}")).await.unwrap();
    assert_eq!(shown["received_bytes"], 10, "refused chunks change nothing");
    assert_eq!(put(&node, &upload, 10, file[10..].to_vec()).await.0, 200);

    encodings(&node, &people, datanet).await;
}

/// Files that are complete but not what they should be.
async fn encodings(node: &Node, people: &People, datanet: DatanetId) {
    let latin = "{\"procedure\": \"caf\u{e9}\", \"technique\": \"x\"}\n".chars().map(|c| c as u8).collect::<Vec<u8>>();
    let columns = b"{\"other\": \"one\", \"technique\": \"two\"}\n".to_vec();
    let unmarked: Vec<u16> = "prompt,response\na,b\n".encode_utf16().collect();
    let marked: Vec<u16> = [&[0xfeff], unmarked.as_slice()].concat();
    let little = |units: &[u16]| units.iter().copied().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |units: &[u16]| units.iter().copied().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let parquet = b"PAR1 and nothing that follows".to_vec();
    for (name, file, words) in [
        ("latin.jsonl", latin, ["row 1", "UTF-8"]),
        ("columns.jsonl", columns, ["procedure", "its columns are other, technique"]),
        // UTF-16 with a byte order mark is read; it is the columns that do not fit.
        ("marked.csv", little(&marked), ["procedure", "its columns are prompt, response"]),
        ("marked-big.csv", big(&marked), ["procedure", "its columns are prompt, response"]),
        ("unmarked.csv", little(&unmarked), ["UTF-16", "save it as UTF-8"]),
        ("unmarked-big.csv", big(&unmarked), ["UTF-16", "save it as UTF-8"]),
        ("cut.parquet", parquet, ["Parquet", ""]),
    ] {
        let upload = people.begin_upload(datanet, CONTRIBUTORS[1], name, &file).await;
        people.gateway.upload(&upload, &file, 0).await.unwrap();
        let prepare = json!({"upload": upload, "mapping": {"prompt": "procedure", "response": "technique"}});
        let (status, body) = post(node, &format!("v1/datanets/{datanet}/batches"), &prepare).await;
        assert_eq!(status, 422, "{name}: {body}");
        let text = body.to_string();
        assert!(words.iter().all(|word| text.to_lowercase().contains(&word.to_lowercase())), "{name}: {body}");
    }
}

/// The offer that a request without payment gets.
pub async fn offer(node: &Node, body: &Value) -> PaymentRequirements {
    let (status, answer) = chat(node, body, None).await;
    assert_eq!(status, 402, "{answer}");
    let required: PaymentRequired = serde_json::from_value(answer["x402"].clone()).unwrap();
    required.batch_settlement().unwrap().clone()
}

/// A channel of the payer that holds no money.
fn empty_channel(offer: &PaymentRequirements, payer: Address) -> ChannelConfig {
    ChannelConfig {
        payer,
        payerAuthorizer: Address::ZERO,
        receiver: offer.pay_to,
        receiverAuthorizer: offer.extra.receiver_authorizer,
        token: offer.asset,
        withdrawDelay: U40::from(offer.extra.withdraw_delay),
        salt: keccak256("empty"),
    }
}

pub async fn not_paid(node: &Node, body: &Value, payment: &PaymentPayload, code: &str) {
    let (status, answer) = chat(node, body, Some(payment)).await;
    assert_eq!(status, 402, "{answer}");
    assert_eq!(answer["x402"]["error"], code, "{answer}");
    says(&answer, code, " ");
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_are_not_good_are_refused_by_their_code_and_cost_nothing() {
    const PREFIX: &str = "invalid_batch_settlement_evm_";
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let body = ask(MODEL);
    let offer = offer(&node, &body).await;
    let mut channel = PayerChannel::open(people.payer.hub(), &offer, B256::with_last_byte(9)).await.unwrap();
    let pay = |config: &ChannelConfig, voucher: &SignedVoucher, id: &str| {
        PaymentPayload::voucher(offer.clone(), config, voucher, id)
    };

    let config = empty_channel(&offer, people.payer.address());
    let nothing = SignedVoucher::sign(channel_id(&config, CHAIN_ID), offer.amount, CHAIN_ID, people.payer.signer());
    let empty = pay(&config, &nothing.unwrap(), "pay_0000000000000001");
    not_paid(&node, &body, &empty, &format!("{PREFIX}channel_not_found")).await;

    channel.cover(offer.amount, &generous()).await.unwrap();
    let config = channel.config().clone();
    let first = channel.voucher(offer.amount).unwrap();
    let paid = pay(&config, &first, "pay_0000000000000002");
    let (status, answer) = chat(&node, &body, Some(&paid)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, again) = chat(&node, &body, Some(&paid)).await;
    assert_eq!((status, again), (200, answer), "the same payment is the same answer, and is charged once");

    let replayed = pay(&config, &first, "pay_0000000000000003");
    not_paid(&node, &body, &replayed, &format!("{PREFIX}cumulative_amount_mismatch")).await;
    let mut other = body.clone();
    other["max_tokens"] = json!(2);
    let expired = self::offer(&node, &other).await;
    assert_ne!(expired.amount, offer.amount);
    not_paid(&node, &other, &replayed, &format!("{PREFIX}cumulative_amount_mismatch")).await;
    let forged = SignedVoucher::sign(channel.id(), Wei(offer.amount.0 * 2), CHAIN_ID, &key(8)).unwrap();
    let charged = people.gateway.receipts(None, 0).await.unwrap().len();
    let forged = pay(&config, &forged, "pay_0000000000000004");
    let (status, answer) = chat(&node, &body, Some(&forged)).await;
    assert_eq!(status, 402, "{answer}");
    let malformed = Client::new().post(node.url(CHAT)).json(&body).header(PAYMENT_SIGNATURE_HEADER, "%%%");
    let malformed = malformed.send().await.unwrap();
    assert_eq!(malformed.status(), 400);
    says(&malformed.json().await.unwrap(), "invalid_payment_header", "base64");
    assert_eq!(people.gateway.receipts(None, 0).await.unwrap().len(), charged);
}
