//! A node behind a public name: what its configuration says is what sign-in goes by.

use alloy_signer::SignerSync as _;
use reqwest::Client;
use serde_json::{Value, json};

use crate::node::Home;
use crate::people::{CHAIN_ID, key};

/// Signs in at `gateway` with a message for `domain`; gives the cookie that was set, or the status of a refusal.
async fn sign_in(gateway: &str, domain: &str) -> Result<String, u16> {
    let client = Client::new();
    let nonce: Value = client.post(format!("{gateway}/v1/sessions/nonce")).send().await.unwrap().json().await.unwrap();
    let signer = key(1);
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{}\n\nSign in to OpenLedger.\n\n\
         URI: https://{domain}\nVersion: 1\nChain ID: {CHAIN_ID}\nNonce: {}\nIssued At: 2026-01-01T00:00:00Z",
        signer.address().to_checksum(None),
        nonce["nonce"].as_str().unwrap()
    );
    let signature = signer.sign_message_sync(message.as_bytes()).unwrap().as_bytes();
    let signature = openledger_primitives::Bytes::copy_from_slice(&signature);
    let body = json!({"message": message, "signature": signature});
    let response = client.post(format!("{gateway}/v1/sessions")).json(&body).send().await.unwrap();
    let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
    cookie.ok_or_else(|| response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_names_the_node_and_a_flag_comes_before_it() {
    let home = Home::new("public_url = \"https://file.example\"\nhosts = [\"other.example\"]\n");
    let node = home.start(&[]);
    for domain in ["file.example", "other.example"] {
        let cookie = sign_in(&node.gateway, domain).await.unwrap();
        assert!(cookie.ends_with("; Secure"), "{domain}: {cookie}");
    }
    assert_eq!(sign_in(&node.gateway, "flag.example:8443").await, Err(401));
    drop(node);
    let node = home.start(&["--public-url", "http://flag.example:8443", "--host", "third.example"]);
    for domain in ["flag.example:8443", "third.example"] {
        let cookie = sign_in(&node.gateway, domain).await.unwrap();
        assert!(!cookie.contains("Secure"), "{domain} is reached over plain HTTP: {cookie}");
    }
    for domain in ["file.example", "other.example"] {
        assert_eq!(sign_in(&node.gateway, domain).await, Err(401), "{domain}");
    }
}

#[test]
fn a_public_url_with_a_path_is_refused_by_name() {
    let home = Home::new("public_url = \"https://ledger.example/app\"\n");
    let ended = home.refused(&[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for word in ["openledger.toml", "public_url", "https://ledger.example/app", "more than scheme, host and port"] {
        assert!(ended.stderr.contains(word), "no {word:?} in {:?}", ended.stderr);
    }
}
