//! Names of models that are taken, or that are no part of a URL as they are; and records that a model cannot learn or
//! was not to learn.

use openledger_contracts::{ModelParams, SolValue as _};
use openledger_primitives::{B256, Bytes, DatanetId, keccak256};
use openledger_sdk::GatewayError;
use openledger_testkit::TinySpec;
use serde_json::{Value, json};

use crate::contract::check;
use crate::node::{Node, node, start};
use crate::people::{CONTRIBUTORS, MODEL, People, key};

fn refusal(error: GatewayError) -> (u16, String, String) {
    match error {
        GatewayError::Refused { status, code, message } => (status, code, message),
        other => panic!("{other}"),
    }
}

#[test]
fn a_name_that_is_taken_is_refused_before_anything_is_signed_and_any_other_comes_as_it_is() {
    let node = start(TinySpec::default(), None);
    node.block_on(names(&node));
}

async fn names(node: &Node) {
    let people = People::connect(&node.rpc, &node.gateway).await;
    // The model's own job may ask again for what it has published.
    people.draft(node.made.job).await;
    let mut other: Value = people.gateway.get(&format!("v1/fine_tuning/jobs/{}", node.made.job)).await.unwrap();
    other["recipe"]["seed"] = json!("77");
    let body = json!({"recipe": other["recipe"], "terms": other["terms"]});
    let job = people.finish(&body).await;
    let taken = people.gateway.model_draft(job, MODEL).await.unwrap_err();
    let (status, code, message) = refusal(taken);
    assert_eq!((status, code.as_str()), (409, "name_taken"), "{message}");

    for name in ["Q&A #1+", "a%20b", "x?y=z"] {
        let draft = people.gateway.model_draft(job, name).await.unwrap();
        let abi: Bytes = serde_json::from_value(draft["abi"].clone()).unwrap();
        assert_eq!(ModelParams::abi_decode(&abi).unwrap().name, name);
    }
    records(&people, DatanetId(node.made.datanet), &body).await;
}

/// A record that cannot be learnt is refused alone, and what was taken back trains no more.
async fn records(people: &People, datanet: DatanetId, job: &Value) {
    let estimate = async |snapshot: (u64, B256)| {
        let mut body = job.clone();
        body["recipe"]["snapshots"] = json!([{"datanet": datanet, "snapshot": snapshot.0, "root": snapshot.1}]);
        people.gateway.post::<Value>("v1/fine_tuning/estimate", &body).await
    };
    let snapshot = async || {
        let (id, root) = people.snapshot(datanet).await;
        (id.0, root)
    };
    let media = json!({"media": keccak256("a picture"), "text": "a picture of somebody"}).to_string() + "\n";
    people.contribute_as(datanet, CONTRIBUTORS[0], media.as_bytes(), &json!({"media": "media", "text": "text"})).await;
    let with_media = snapshot().await;
    let report = estimate(with_media).await.unwrap();
    check("post", "/v1/fine_tuning/estimate", "200", &report);
    assert_eq!((&report["records"]["used"], &report["records"]["refused"]), (&json!(16), &json!(1)), "{report}");
    let reason = report["records"]["refusals"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("media, text"), "{reason}");

    let details = async || people.gateway.get::<Value>(&format!("v1/models/{MODEL}/details")).await.unwrap();
    assert_eq!(details().await["revoked_records"], 0);
    people.take_back(datanet, CONTRIBUTORS[1], 2).await;
    let next = snapshot().await;
    let (status, code, message) = refusal(estimate(with_media).await.unwrap_err());
    assert_eq!((status, code.as_str()), (409, "records_revoked"));
    let said = format!(
        "1 records of snapshot {} of Datanet {datanet} were taken back since it was taken; the latest one is {}",
        with_media.0, next.0
    );
    assert_eq!(message, said);
    assert_eq!(estimate(next).await.unwrap()["records"]["used"], 15);
    assert_eq!(details().await["revoked_records"], 1);
}

#[tokio::test]
async fn one_model_is_shown_as_the_list_has_it() {
    let get = async |path: &str| -> Value {
        reqwest::get(format!("{}{path}", node().gateway)).await.unwrap().json().await.unwrap()
    };
    let list = get("/v1/models").await;
    for listed in list["data"].as_array().unwrap() {
        let shown = get(&format!("/v1/models/{}", listed["id"].as_str().unwrap())).await;
        check("get", "/v1/models/{name}", "200", &shown);
        assert_eq!(shown, *listed);
    }
    assert_eq!(get("/v1/models/nobody").await["error"]["code"], "model_not_found");
    assert_eq!(key(3).address().to_string(), get(&format!("/v1/models/{MODEL}")).await["owned_by"]);
}
