//! Answers whose bodies are not kept any more.

use std::collections::BTreeMap;

use openledger_primitives::Wei;
use openledger_sdk::api::ChatRequest;
use openledger_settlement::ledger::Retention;
use openledger_testkit::TinySpec;
use openledger_testkit::people::records;
use serde_json::Value;

use crate::contract::check;
use crate::node::{Node, start};
use crate::people::{CONTRIBUTORS, MODEL, People, eventually};

async fn get(node: &Node, path: &str) -> Value {
    let response = reqwest::get(format!("{}{path}", node.gateway)).await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.json().await.unwrap()
}

fn wei(value: &Value) -> Wei {
    serde_json::from_value(value.clone()).unwrap()
}

/// What each record earned, by what the answer itself says.
fn earned_in(answer: &Value) -> BTreeMap<(String, String), Wei> {
    let attribution = &answer["openledger"]["attribution"];
    let mut earned = BTreeMap::new();
    for pool in ["influence", "provenance"] {
        let shares = attribution[pool].as_array().unwrap().iter();
        for record in shares.flat_map(|share| share["records"].as_array().unwrap()) {
            earned.insert((pool.to_owned(), record["hash"].as_str().unwrap().to_owned()), wei(&record["earned_wei"]));
        }
    }
    earned
}

/// An answer that was paid for records: most answers of so small a model are not.
async fn attributed(node: &Node) -> Value {
    let till = People::connect(&node.rpc, &node.gateway).await.till();
    for line in String::from_utf8(records(CONTRIBUTORS[0], "")).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let question = ChatRequest::question(MODEL, record["procedure"].as_str().unwrap());
        let answer = till.chat(&ChatRequest { max_tokens: Some(200), ..question }).await.unwrap();
        if !earned_in(&answer.body).is_empty() {
            return answer.body;
        }
    }
    panic!("no answer was paid for records");
}

#[test]
fn the_records_of_an_answer_stay_listed_and_counted_when_its_body_is_forgotten() {
    let node = start(TinySpec::default(), None);
    node.block_on(forget_and_list(&node));
}

async fn forget_and_list(node: &Node) {
    let answer = attributed(node).await;
    let receipt = &answer["openledger"]["receipt"];
    let sequence = receipt["sequence"].as_u64().unwrap();
    let path = format!("/v1/receipts/{}/records", answer["openledger"]["receipt_hash"].as_str().unwrap());
    let listed = get(node, &path).await;
    check("get", "/v1/receipts/{hash}/records", "200", &listed);
    let rows = listed["data"].as_array().unwrap();
    let key = |row: &Value| (row["pool"].as_str().unwrap().to_owned(), row["record"].as_str().unwrap().to_owned());
    let by_list: BTreeMap<_, _> = rows.iter().map(|row| (key(row), wei(&row["earned_wei"]))).collect();
    assert!(!by_list.is_empty());
    assert_eq!(by_list, earned_in(&answer));

    // Nobody has looked at any sum yet; the answers go before they are counted.
    let retention = Retention { age_max_s: 1, ..Retention::default() };
    let answered_at = receipt["answeredAt"].as_u64().unwrap();
    eventually(async || {
        node.ledger().forget_answers(&retention, answered_at + 2).unwrap();
        node.ledger().answer_at(sequence).unwrap().is_none().then_some(())
    })
    .await;

    assert_eq!(get(node, &path).await, listed);
    counted(node, rows).await;
    let unknown = reqwest::get(format!("{}/v1/receipts/0x{}/records", node.gateway, "00".repeat(32))).await.unwrap();
    assert_eq!(unknown.status(), 404);
}

/// Each record of `rows` earned what is listed, beside what every accepted record of its contributor earned as such.
async fn counted(node: &Node, rows: &[Value]) {
    let contributor = rows[0]["contributor"].as_str().unwrap();
    let records = get(node, &format!("/v1/datanets/{}/records?contributor={contributor}", node.made.datanet)).await;
    let earned: BTreeMap<&str, u128> = records["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["hash"].as_str().unwrap(), wei(&record["earned_wei"]).0))
        .collect();
    let listed = |hash: &str| {
        let own = rows.iter().filter(|row| row["record"] == hash);
        own.map(|row| wei(&row["earned_wei"]).0).sum::<u128>()
    };
    let as_such = earned.iter().find(|(hash, _)| listed(hash) == 0).map(|(_, earned)| *earned);
    let as_such = as_such.expect("not every record stands out");
    assert!(as_such > 0, "other answers were paid for nobody's records");
    for (hash, earned) in earned {
        // Equal parts of one amount differ by a wei.
        assert!(earned.abs_diff(as_such + listed(hash)) <= 1, "{hash}: {earned} wei, {as_such} as such");
    }
}
