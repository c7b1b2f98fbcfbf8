//! Statements that are longer than a page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openledger_primitives::Address;
use openledger_sdk::GatewayClient;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const ACCOUNT: Address = Address::repeat_byte(0x51);
/// Answers that paid the account, numbered from 1.
const ANSWERS: u64 = 150;
const PAGE: u64 = 100;

fn page(before: u64, stuck: bool) -> Value {
    let first = before.saturating_sub(PAGE).max(1);
    let line = |sequence: u64| {
        json!({"epoch": 1 + sequence / 60, "receipt": format!("0x{sequence:064x}"), "sequence": sequence, "model": "m",
            "answered_at": 0, "amount": "7"})
    };
    let next = if stuck { Some(before) } else { Some(first).filter(|first| *first > 1) };
    json!({"account": ACCOUNT, "data": (first..before).rev().map(line).collect::<Vec<_>>(), "next_after": next})
}

/// Serves the statement, a connection a request; `stuck` says of each page that more follow where it began itself.
async fn serve(stuck: bool) -> (GatewayClient, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = GatewayClient::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(stream, stuck).await;
        }
    });
    (client, requests)
}

async fn answer(stream: TcpStream, stuck: bool) {
    let mut stream = BufReader::new(stream);
    let (mut asked, mut header) = (String::new(), String::new());
    stream.read_line(&mut asked).await.unwrap();
    while stream.read_line(&mut header).await.unwrap() > 2 {
        header.clear();
    }
    let after = asked.split_once("after=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let body = page(after.unwrap_or(ANSWERS + 1), stuck).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_statement_is_read_to_its_end() {
    let (client, requests) = serve(false).await;
    let statement = client.statement(ACCOUNT).await.unwrap();
    assert_eq!(statement.data.len() as u64, ANSWERS);
    assert_eq!(statement.data.iter().map(|line| line.amount.0).sum::<u128>(), 7 * u128::from(ANSWERS));
    assert!(statement.data.windows(2).all(|two| two[0].receipt > two[1].receipt), "each answer once, the newest first");
    assert_eq!(statement.next_after, None);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_statement_that_leads_nowhere_ends() {
    let (client, requests) = serve(true).await;
    client.statement(ACCOUNT).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
