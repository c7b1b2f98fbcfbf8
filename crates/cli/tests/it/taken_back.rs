//! A record that is taken back on chain while the node is about to die.

use serde_json::{Value, json};

use crate::node::eventually;
use crate::people::{CONTRIBUTORS, People};
use crate::prepared;

#[tokio::test(flavor = "multi_thread")]
async fn a_record_taken_back_on_chain_is_taken_back_by_a_node_that_was_killed_right_after() {
    let (home, snapshot) = prepared::home().await;
    let node = home.start(&[]);
    let record = People::connect(&node).await.take_back(snapshot.datanet, CONTRIBUTORS[0], 1).await;
    node.kill();
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let look = async || {
        let shown: Value = people.gateway.get(&format!("v1/records/{record}")).await.unwrap();
        (shown["status"] == "revoked" && shown["salt"] == json!(null)).then_some(())
    };
    eventually("the record is taken back", look).await;
}
