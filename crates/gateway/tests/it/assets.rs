//! The embedded pages and the headers around everything.

use reqwest::{Client, Response};

use crate::node::node;

async fn page(path: &str, accept: &str) -> Response {
    let url = format!("{}{path}", node().gateway);
    Client::new().get(url).header("accept", accept).send().await.unwrap()
}

#[tokio::test]
async fn every_page_of_the_app_gets_the_index_and_nothing_else_does() {
    for path in ["/", "/datanets/1", "/chat?model=x"] {
        let response = page(path, "text/html,*/*").await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-cache");
    }
    for path in ["/v1/nothing", "/v1", "/health/x?", "/assets/gone.js", "/datanets.json"] {
        let response = page(path, if path == "/health/x?" { "application/json" } else { "*/*" }).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    }
    assert_eq!(page("/v1/nothing", "text/html").await.status(), 404);
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let first = page("/", "text/html").await;
    let etag = first.headers()["etag"].clone();
    let again = Client::new().get(&node().gateway).header("accept", "text/html").header("if-none-match", &etag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(again.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_answer_forbids_foreign_code() {
    for path in ["/", "/v1/status", "/v1/nothing"] {
        let response = page(path, "text/html").await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains(&format!("connect-src 'self' {} ws://", node().rpc)), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        assert!(response.headers().contains_key("permissions-policy"));
    }
}

#[tokio::test]
async fn no_path_leaves_the_embedded_files() {
    let address = node().gateway.strip_prefix("http://").unwrap();
    for path in ["/../Cargo.toml", "/assets/../../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml", "//etc/passwd"]
    {
        // A client would tidy the path up before sending it.
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}
