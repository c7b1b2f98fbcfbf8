//! What must not work.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::node::node;
use crate::people::{SCRIPT, key};

async fn refused(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{body}");
    (status, body)
}

fn url(path: &str) -> String {
    format!("{}{path}", node().gateway)
}

#[tokio::test]
async fn names_and_records_that_are_code_stay_data() {
    let client = Client::new();
    for path in ["/v1/datanets".to_owned(), format!("/v1/datanets/{}/records", node().made.datanet)] {
        let response = client.get(url(&path)).header("accept", "text/html").send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.text().await.unwrap().contains(SCRIPT), "{path} holds it as data");
    }
    let page = client.get(url("/datanets/1")).header("accept", "text/html").send().await.unwrap();
    assert!(!page.text().await.unwrap().contains(SCRIPT));
}

#[tokio::test]
async fn cursors_numbers_and_filters_that_make_no_sense_are_refused_as_errors() {
    let client = Client::new();
    let id = node().made.datanet;
    let bad = [
        "/v1/datanets?after=-1".to_owned(),
        "/v1/datanets?after=18446744073709551615".to_owned(),
        "/v1/datanets?limit=many".to_owned(),
        "/v1/datanets/none".to_owned(),
        format!("/v1/datanets/{id}/records?after=%27%3B--"),
        format!("/v1/datanets/{id}/records?status=paid"),
        format!("/v1/datanets/{id}/records?column=response"),
        format!("/v1/datanets/{id}/records?search={}", "x".repeat(300)),
        "/v1/records/0x12".to_owned(),
        "/v1/accounts/0x12/earnings".to_owned(),
        "/v1/statements/nobody.csv".to_owned(),
    ];
    for path in bad {
        let (status, body) = refused(client.get(url(&path))).await;
        assert!(status.is_client_error(), "{path}: {status} {body}");
    }
    let (status, _) = refused(client.get(url("/v1/datanets/999999/records"))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bodies_of_other_types_or_sizes_are_refused_as_errors() {
    let client = Client::new();
    let cases = [
        ("/v1/faucet", json!({"address": 5})),
        ("/v1/faucet", json!({"address": key(1).address(), "amount": "1"})),
        ("/v1/sessions", json!({"message": ["x"], "signature": "0x"})),
        ("/v1/fine_tuning/recipe", json!({"preset": "cheap", "name": "x", "snapshots": []})),
        ("/v1/fine_tuning/recipe", json!({"preset": "quick", "name": "x", "snapshots": []})),
        ("/v1/fine_tuning/jobs", json!({"recipe": {}})),
        ("/v1/datanets", json!([])),
    ];
    for (path, body) in cases {
        let (status, answer) = refused(client.post(url(path)).json(&body)).await;
        assert!(status.is_client_error(), "{path}: {status} {answer}");
    }
    let huge = "x".repeat(3 << 20);
    let (status, _) =
        refused(client.post(url("/v1/faucet")).header("content-type", "application/json").body(huge)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = refused(client.post(url("/v1/faucet")).body("address=1")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_faucet_gives_an_account_once_an_hour() {
    let client = Client::new();
    let body = json!({"address": key(60).address()});
    let first: Value = client.post(url("/v1/faucet")).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(first["amount_wei"], "10000000000000000000", "{first}");
    let second = client.post(url("/v1/faucet")).json(&body).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = second.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
}
