//! A disk that is full under a running node, and has room again.

use openledger_primitives::Wei;
use openledger_sdk::ChainClient;
use serde_json::Value;

use crate::commands::program;
use crate::killed::{RECIPIENT, SENDER, send_transfer};
use crate::node::{Home, Node, eventually};
use crate::people::{People, key};

/// Most bytes of a file meanwhile: enough for the journal of transactions, too little for the database of blocks.
const FULL_BYTES: u64 = 64 << 10;
const TROUBLE: &str = "disk full: blocks cannot be written";

async fn health(node: &Node) -> (u16, String) {
    let response = reqwest::get(node.url("health")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// What `doctor` finds at the gateway's port, and its exit code.
fn doctor(home: &Home, node: &Node) -> (Option<i32>, Value) {
    let listens = node.gateway.trim_start_matches("http://");
    std::fs::write(home.data().join("openledger.toml"), format!("http_listen = \"{listens}\"\n")).unwrap();
    let output = program(home.root(), &node.rpc, &node.gateway, &["doctor", "--data-dir", "node", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = said["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "gateway port");
    (output.status.code(), finding.unwrap().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_full_disk_says_so_and_goes_on_when_there_is_room_with_all_that_it_acknowledged() {
    let home = Home::new("");
    let node = home.start(&[]);
    let sender = People::connect(&node).await.payer.with_signer(key(SENDER));
    assert_eq!(health(&node).await, (200, "ok\n".to_owned()));

    node.limit_file_bytes(Some(FULL_BYTES));
    send_transfer(&sender, 0).await.expect("the journal has room");
    eventually("the node says that it is not well", async || (health(&node).await.0 == 503).then_some(())).await;
    assert_eq!(health(&node).await.1, format!("{TROUBLE}\n"));
    let refused = send_transfer(&sender, 1).await.unwrap_err();
    let told = std::error::Error::source(&refused).map_or(refused.to_string(), ToString::to_string);
    assert!(told.contains(&format!("{TROUBLE}; the transaction was not taken")), "{refused}: {told}");
    let (code, finding) = doctor(&home, &node);
    assert_eq!((code, &finding["verdict"]), (Some(3), &Value::from("fail")), "{finding}");
    assert!(finding["detail"].as_str().unwrap().ends_with(TROUBLE), "{finding}");

    node.limit_file_bytes(None);
    eventually("the node is well again", async || (health(&node).await.0 == 200).then_some(())).await;
    received(&sender, Wei(1)).await;
    assert_eq!(doctor(&home, &node).1["verdict"], "ok");
    send_transfer(&sender, 1).await.unwrap();
    received(&sender, Wei(2)).await;
}

/// Waits until blocks hold transfers of so much.
async fn received(client: &ChainClient, amount: Wei) {
    let look = async || (client.balance(RECIPIENT).await.unwrap() == amount).then_some(());
    eventually("the transfers are in blocks", look).await;
}
