//! Who takes part: contributors, the builder, the payer, each with a development account, over the node's own URLs.

use std::ops::Deref;

use openledger_primitives::{DatanetId, Wei};
use openledger_sdk::PayerOptions;
use openledger_sdk::api::ChatRequest;
use openledger_testkit::people;
pub use openledger_testkit::people::{CHAIN_ID, MODEL, RECORDS, key};
use openledger_train::{Preset, Recipe, SnapshotRef};
use serde_json::{Value, json};

use crate::node::{Node, eventually};

pub const CONTRIBUTORS: [u32; 3] = [5, 6, 7];
/// Wei a token, in and out.
const PRICES: [u128; 2] = [1_000_000_007, 5_000_000_011];
/// Most tokens of an answer.
const ANSWER_TOKENS_MAX: u32 = 6;

/// Limits under which the payer deposits once for a whole test.
pub fn generous() -> PayerOptions {
    PayerOptions { deposit_requests: 10_000, ..PayerOptions::default() }
}

pub fn question(text: &str) -> ChatRequest {
    ChatRequest { max_tokens: Some(ANSWER_TOKENS_MAX), ..ChatRequest::question(MODEL, text) }
}

/// JSON lines that no other contributor has, and no two of which are near-duplicates.
pub fn records(contributor: u32) -> Vec<u8> {
    people::records(contributor, "")
}

/// Everyone, connected to one node.
pub struct People(people::People);

impl Deref for People {
    type Target = people::People;

    fn deref(&self) -> &people::People {
        &self.0
    }
}

impl People {
    pub async fn connect(node: &Node) -> Self {
        Self(people::People::connect(&node.rpc, &node.gateway).await)
    }

    pub async fn create_datanet(&self) -> DatanetId {
        self.0.create_datanet("tiny").await
    }

    /// Uploads, commits, consents and reveals; gives how many records were accepted.
    pub async fn contribute(&self, datanet: DatanetId, contributor: u32) -> u64 {
        let (offered, accepted) = self.0.contribute(datanet, contributor, &records(contributor)).await;
        assert_eq!(accepted["report"]["duplicates"], json!([]), "{accepted}");
        u64::from(offered)
    }

    pub async fn snapshot(&self, datanet: DatanetId) -> SnapshotRef {
        let (snapshot, root) = self.0.snapshot(datanet).await;
        SnapshotRef { datanet, snapshot, root }
    }

    /// The body that submits a job of `epochs` epochs.
    pub async fn job(&self, snapshot: SnapshotRef, epochs: u32) -> Value {
        let status: Value = self.gateway.get("v1/status").await.unwrap();
        let base = serde_json::from_value(status["base_model"]["hash"].clone()).unwrap();
        let mut recipe = Recipe::preset(Preset::Quick, MODEL, base, vec![snapshot]);
        (recipe.epochs, recipe.batch_size, recipe.warmup_steps) = (epochs, 4, 1);
        recipe.lora.rank = 4;
        recipe.max_sequence_tokens = 256;
        recipe.evaluation.max_new_tokens = 4;
        let [input, output] = PRICES.map(Wei);
        let terms = json!({"parents": [], "price": {"input_wei": input, "output_wei": output}});
        json!({"recipe": recipe, "terms": terms, "held_out": [{"prompt": "who came", "response": "nobody"}]})
    }

    pub async fn submit(&self, job: &Value) -> u64 {
        let job: Value = self.gateway.post("v1/fine_tuning/jobs", job).await.unwrap();
        job["id"].as_u64().unwrap()
    }

    pub async fn finish(&self, job: u64) {
        eventually("the job", async || {
            let shown: Value = self.gateway.get(&format!("v1/fine_tuning/jobs/{job}")).await.unwrap();
            assert!(["queued", "running", "done"].contains(&shown["state"].as_str().unwrap()), "{shown}");
            (shown["state"] == "done").then_some(())
        })
        .await;
    }

    /// Everything up to a model that can be asked; gives the snapshot.
    pub async fn build(&self, epochs: u32) -> SnapshotRef {
        let datanet = self.create_datanet().await;
        for contributor in CONTRIBUTORS {
            assert_eq!(self.contribute(datanet, contributor).await, RECORDS as u64);
        }
        let snapshot = self.snapshot(datanet).await;
        let job = self.submit(&self.job(snapshot, epochs).await).await;
        self.finish(job).await;
        self.publish(job).await;
        snapshot
    }
}
