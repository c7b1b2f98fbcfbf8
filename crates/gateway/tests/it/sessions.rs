//! Sign-in with Ethereum, and what a session may and may not do.

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use openledger_gateway::{PublicUrl, PublicUrlError};
use openledger_primitives::B256;
use openledger_testkit::TinySpec;

use crate::node::{node, start};
use crate::people::{CHAIN_ID, key};

fn url(path: &str) -> String {
    format!("{}{path}", node().gateway)
}

async fn nonce() -> String {
    let answer: Value = Client::new().post(url("/v1/sessions/nonce")).send().await.unwrap().json().await.unwrap();
    answer["nonce"].as_str().unwrap().to_owned()
}

/// A message as wallets sign it.
struct Message {
    domain: String,
    address: String,
    chain: u64,
    nonce: String,
    expiry: Option<&'static str>,
}

impl Message {
    async fn of(signer: &PrivateKeySigner) -> Self {
        let domain = node().gateway.strip_prefix("http://").unwrap().to_owned();
        let address = signer.address().to_checksum(None);
        Self { domain, address, chain: CHAIN_ID, nonce: nonce().await, expiry: None }
    }

    fn text(&self) -> String {
        let Self { domain, address, chain, nonce, expiry } = self;
        let expiry = expiry.map(|time| format!("\nExpiration Time: {time}")).unwrap_or_default();
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{address}\n\nSign in to OpenLedger.\n\n\
             URI: http://{domain}\nVersion: 1\nChain ID: {chain}\nNonce: {nonce}\n\
             Issued At: 2026-01-01T00:00:00Z{expiry}"
        )
    }
}

async fn sign_in(text: &str, signer: &PrivateKeySigner) -> Response {
    let signature = signer.sign_message_sync(text.as_bytes()).unwrap().as_bytes();
    let signature = openledger_primitives::Bytes::copy_from_slice(&signature);
    let body = json!({"message": text, "signature": signature});
    Client::new().post(url("/v1/sessions")).json(&body).send().await.unwrap()
}

#[test]
fn behind_a_public_name_sign_in_names_it_and_the_cookie_goes_over_tls_alone() {
    let public: PublicUrl = "https://Ledger.Test/".parse().unwrap();
    assert_eq!(public.to_string(), "https://ledger.test");
    let node = start(TinySpec::default(), Some(public));
    node.block_on(async {
        let client = Client::new();
        let at = |path: &str| format!("{}{path}", node.gateway);
        let nonce: Value = client.post(at("/v1/sessions/nonce")).send().await.unwrap().json().await.unwrap();
        let message = Message {
            domain: "ledger.test".to_owned(),
            address: key(1).address().to_checksum(None),
            chain: CHAIN_ID,
            nonce: nonce["nonce"].as_str().unwrap().to_owned(),
            expiry: None,
        };
        let text = message.text();
        let signature = key(1).sign_message_sync(text.as_bytes()).unwrap().as_bytes();
        let signature = openledger_primitives::Bytes::copy_from_slice(&signature);
        let body = json!({"message": text, "signature": signature});
        let response = client.post(at("/v1/sessions")).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(set.ends_with("; Secure") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
        let opened: Value = response.json().await.unwrap();
        let (cookie, csrf) = (set.split(';').next().unwrap(), opened["csrf_token"].as_str().unwrap());
        let out = client.delete(at("/v1/sessions/current")).header("cookie", cookie).header("x-csrf-token", csrf);
        let out = out.send().await.unwrap();
        assert!(out.headers()["set-cookie"].to_str().unwrap().ends_with("Max-Age=0; Secure"));
        let ask = json!({"model": crate::people::MODEL, "messages": [{"role": "user", "content": "Who?"}]});
        let quote = client.post(at("/v1/chat/quote")).json(&ask).send().await.unwrap();
        let quote: Value = quote.json().await.unwrap();
        assert_eq!(quote["x402"]["resource"]["url"], "https://ledger.test/v1/chat/completions");
    });
}

#[test]
fn a_public_url_is_scheme_host_and_port_and_nothing_else() {
    let host = |text: &str| text.parse::<PublicUrl>().unwrap().host().to_owned();
    assert_eq!(host("https://a.example:8443"), "a.example:8443");
    assert_eq!((host("https://a.example:443"), host("http://a.example:80/")), ("a.example".into(), "a.example".into()));
    assert!(!"http://a.example".parse::<PublicUrl>().unwrap().is_secure());
    for text in ["", "a.example", "ftp://a.example", "https://", "https://u@a.example", "https://a b", "//a.example"] {
        assert!(matches!(text.parse::<PublicUrl>(), Err(PublicUrlError::Malformed { .. })), "{text}");
    }
    for text in ["https://a.example/app", "https://a.example/?x=1"] {
        assert!(matches!(text.parse::<PublicUrl>(), Err(PublicUrlError::Path { .. })), "{text}");
    }
}

async fn code(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// A session: its cookie and its CSRF token.
struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    async fn open(signer: &PrivateKeySigner) -> Self {
        let response = sign_in(&Message::of(signer).await.text(), signer).await;
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(!cookie.contains("Secure"), "over plain HTTP it would never come back: {cookie}");
        for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let body: Value = response.json().await.unwrap();
        Self { cookie, csrf: body["csrf_token"].as_str().unwrap().to_owned() }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        Client::new().request(method, url(path)).header("cookie", &self.cookie).header("x-csrf-token", &self.csrf)
    }
}

#[tokio::test]
async fn who_signs_in_is_known_until_signing_out() {
    let signer = key(40);
    let session = Session::open(&signer).await;
    let current = session.request(reqwest::Method::GET, "/v1/sessions/current").send().await.unwrap();
    let current: Value = current.json().await.unwrap();
    assert_eq!(current["address"], json!(signer.address()));
    assert_eq!(current["csrf_token"], session.csrf);
    let out = session.request(reqwest::Method::DELETE, "/v1/sessions/current").send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    let gone = session.request(reqwest::Method::GET, "/v1/sessions/current").send().await.unwrap();
    assert_eq!(code(gone).await, (StatusCode::UNAUTHORIZED, "not_signed_in".to_owned()));
}

#[tokio::test]
async fn a_message_is_taken_once() {
    let signer = key(41);
    let text = Message::of(&signer).await.text();
    assert_eq!(sign_in(&text, &signer).await.status(), StatusCode::OK);
    assert_eq!(code(sign_in(&text, &signer).await).await, (StatusCode::UNAUTHORIZED, "sign_in_refused".to_owned()));
}

#[tokio::test]
async fn forged_expired_and_foreign_messages_are_refused() {
    let signer = key(42);
    let good = || Message::of(&signer);
    let expired = Message { expiry: Some("2026-01-02T00:00:00Z"), ..good().await };
    let elsewhere = Message { domain: "evil.example".to_owned(), ..good().await };
    let other_chain = Message { chain: 1, ..good().await };
    let made_up = Message { nonce: "a1b2c3d4e5f6".to_owned(), ..good().await };
    for message in [expired, elsewhere, other_chain, made_up] {
        let (status, code) = code(sign_in(&message.text(), &signer).await).await;
        assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, "sign_in_refused"), "{}", message.text());
    }
    let forged = sign_in(&good().await.text(), &key(43)).await;
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let (status, code) = code(sign_in("let me in", &signer).await).await;
    assert_eq!((status, code.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_message"));
}

#[tokio::test]
async fn a_relayed_message_for_another_host_is_refused_whatever_the_host_header_says() {
    let signer = key(44);
    let message = Message { domain: "evil.example".to_owned(), ..Message::of(&signer).await };
    let text = message.text();
    let signature = signer.sign_message_sync(text.as_bytes()).unwrap().as_bytes();
    let body = json!({"message": text, "signature": openledger_primitives::Bytes::copy_from_slice(&signature)});
    let response = Client::new().post(url("/v1/sessions")).header("host", "evil.example").json(&body).send();
    assert_eq!(response.await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_configured_host_is_this_server_too() {
    let signer = key(45);
    let message = Message { domain: "ledger.example".to_owned(), ..Message::of(&signer).await };
    assert_eq!(sign_in(&message.text(), &signer).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_change_with_the_cookie_alone_is_refused() {
    let session = Session::open(&key(46)).await;
    let body = json!({"address": key(46).address()});
    let bare = Client::new().post(url("/v1/faucet")).header("cookie", &session.cookie).json(&body);
    assert_eq!(code(bare.send().await.unwrap()).await, (StatusCode::FORBIDDEN, "csrf".to_owned()));
    let other = Session::open(&key(47)).await;
    let mixed = Client::new().post(url("/v1/faucet")).header("cookie", &session.cookie);
    let mixed = mixed.header("x-csrf-token", &other.csrf).json(&body).send().await.unwrap();
    assert_eq!(code(mixed).await, (StatusCode::FORBIDDEN, "csrf".to_owned()));
    let stale = Client::new().post(url("/v1/faucet")).header("cookie", "openledger_session=00").json(&body);
    assert_eq!(code(stale.send().await.unwrap()).await, (StatusCode::UNAUTHORIZED, "not_signed_in".to_owned()));
}

#[tokio::test]
async fn a_session_uploads_in_its_own_name_alone() {
    let (own, other) = (key(62).address(), key(63).address());
    let session = Session::open(&key(62)).await;
    let path = format!("/v1/datanets/{}/uploads", node().made.datanet);
    let begin = async |contributor| {
        let body = json!({"contributor": contributor, "file_name": "a.txt", "bytes": 3, "hash": B256::repeat_byte(1)});
        session.request(reqwest::Method::POST, &path).json(&body).send().await.unwrap()
    };
    assert_eq!(code(begin(other).await).await, (StatusCode::FORBIDDEN, "not_contributor".to_owned()));
    assert_eq!(begin(own).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_job_of_a_session_obeys_its_owner_alone() {
    let owner = Session::open(&key(48)).await;
    let stranger = Session::open(&key(49)).await;
    let job: Value = Client::new()
        .get(url(&format!("/v1/fine_tuning/jobs/{}", node().made.job)))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let body = json!({"recipe": job["recipe"], "terms": job["terms"]});
    let submitted = owner.request(reqwest::Method::POST, "/v1/fine_tuning/jobs").json(&body).send().await.unwrap();
    let submitted: Value = submitted.json().await.unwrap();
    assert_eq!(submitted["owner"], json!(key(48).address()), "{submitted}");
    let act = |action: &str| format!("/v1/fine_tuning/jobs/{}/{action}", submitted["id"]);
    for action in ["pause", "resume", "stop", "cancel"] {
        let anonymous = Client::new().post(url(&act(action))).send().await.unwrap();
        assert_eq!(code(anonymous).await, (StatusCode::FORBIDDEN, "not_owner".to_owned()), "{action}");
        let foreign = stranger.request(reqwest::Method::POST, &act(action)).send().await.unwrap();
        assert_eq!(code(foreign).await, (StatusCode::FORBIDDEN, "not_owner".to_owned()), "{action}");
    }
    let publish = json!({"name": "stolen", "builder": key(49).address()});
    let foreign = stranger.request(reqwest::Method::POST, &act("model")).json(&publish).send().await.unwrap();
    assert_eq!(code(foreign).await, (StatusCode::FORBIDDEN, "not_owner".to_owned()));
    let cancelled = owner.request(reqwest::Method::POST, &act("cancel")).send().await.unwrap();
    assert_ne!(cancelled.status(), StatusCode::FORBIDDEN);
}
