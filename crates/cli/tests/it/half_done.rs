//! What was begun and not finished is finished by the same command.

use openledger_contracts::{DatanetParams, LicenceTerms};
use serde_json::{Value, json};

use crate::commands::program;
use crate::node::{Home, Node};
use crate::people::{CONTRIBUTORS, People, key};

const NAME: &str = "half of it";

fn create(home: &Home, node: &Node, more: &[&str]) -> Value {
    let account = CONTRIBUTORS[0].to_string();
    let arguments = [&["--account", &account, "datanet", "create", NAME, "--json"], more].concat();
    let output = program(home.root(), &node.rpc, &node.gateway, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanet_that_is_on_chain_alone_is_registered_instead_of_created_twice() {
    let home = Home::new("");
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let datanets = people.payer.with_signer(key(CONTRIBUTORS[0])).datanets();
    let terms = LicenceTerms {
        commercialUse: true,
        derivatives: true,
        attribution: true,
        revenueFloorBps: 0,
        expiry: 0,
        uri: String::new(),
    };
    let params = DatanetParams { name: NAME.into(), terms, acceptancePolicy: String::new(), curators: Vec::new() };
    let (_, lost) = datanets.create(params).await.unwrap();

    let run = |more: &[&str]| tokio::task::block_in_place(|| create(&home, &node, more));
    let other_terms = run(&["--derivatives", "false"]);
    assert_ne!(other_terms["datanet"]["id"], json!(lost), "a Datanet of other terms is another one");
    assert_eq!(run(&["--dry-run"])["datanet"], json!(lost));
    let found = run(&[]);
    assert_eq!((&found["datanet"]["id"], &found["transaction"]), (&json!(lost), &Value::Null), "{found}");
    assert_eq!(datanets.count().await.unwrap(), 2);
    let again = run(&[]);
    assert_eq!(again["datanet"]["id"], 3, "what is registered is not in the way of another of the same name");
}
