//! Who takes part, each with a development account, and what they make before the tests look at it.

use std::time::{Duration, Instant};

use openledger_primitives::{DatanetId, Wei};
use openledger_sdk::api::ChatRequest;
use openledger_testkit::people::{self, records};
pub(crate) use openledger_testkit::people::{CHAIN_ID, MODEL, PAYER, key};
use serde_json::{Value, json};

/// A name and a record that are code where somebody makes a page of them.
pub(crate) const SCRIPT: &str = "<script>alert(1)</script>";
pub(crate) const CONTRIBUTORS: [u32; 2] = [5, 6];
/// Longest wait for anything that a healthy node does.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What was made.
pub(crate) struct Made {
    pub(crate) datanet: u64,
    pub(crate) job: u64,
    /// The paid answer with its `openledger` object.
    pub(crate) answer: Value,
    pub(crate) receipt: String,
    /// A file that is uploaded, and not yet revealed.
    pub(crate) upload: String,
    /// A batch that is prepared, and not committed: its records must not be shown.
    pub(crate) hidden: Value,
}

pub(crate) struct People(people::People);

impl std::ops::Deref for People {
    type Target = people::People;

    fn deref(&self) -> &people::People {
        &self.0
    }
}

/// A contributor's records, the first of which is code.
fn hostile_records(contributor: u32) -> Vec<u8> {
    records(contributor, &format!("{SCRIPT} "))
}

impl People {
    pub(crate) async fn connect(rpc: &str, gateway: &str) -> Self {
        Self(people::People::connect(rpc, gateway).await)
    }

    /// Everything up to a paid answer in a final epoch.
    pub(crate) async fn make(&self) -> Made {
        let datanet = self.create_datanet(SCRIPT).await;
        for contributor in CONTRIBUTORS {
            self.contribute(datanet, contributor, &hostile_records(contributor)).await;
        }
        let job = self.train(datanet).await;
        self.publish(job).await;
        let till = self.till();
        let question = ChatRequest { max_tokens: Some(6), ..ChatRequest::question(MODEL, "Who came?") };
        let answer = till.chat(&question).await.unwrap();
        eventually(async || {
            // The chain makes a block for a transaction, and settlement goes by the time of blocks.
            self.builder.transfer(self.builder.address(), Wei(1)).await.unwrap();
            let epochs: Value = self.gateway.get("v1/epochs").await.unwrap();
            (epochs["data"][0]["state"] == "final").then_some(())
        })
        .await;
        let (upload, hidden) = self.prepare(datanet, 7, &hostile_records(7)).await;
        let receipt = answer.receipt.unwrap().to_string();
        Made { datanet: datanet.0, job, answer: answer.body, receipt, upload, hidden }
    }

    async fn train(&self, datanet: DatanetId) -> u64 {
        let (snapshot, _) = self.snapshot(datanet).await;
        let snapshots = json!([{"datanet": datanet, "snapshot": snapshot}]);
        let ask = json!({"preset": "quick", "name": MODEL, "snapshots": snapshots});
        let mut draft: Value = self.gateway.post("v1/fine_tuning/recipe", &ask).await.unwrap();
        draft["recipe"]["batch_size"] = json!(4);
        draft["recipe"]["lora"]["rank"] = json!(4);
        draft["recipe"]["max_sequence_tokens"] = json!(256);
        draft["recipe"]["evaluation"]["max_new_tokens"] = json!(4);
        draft["terms"]["price"] = json!({"input_wei": Wei(1_000_000_007), "output_wei": Wei(5_000_000_011)});
        draft["held_out"] = json!([{"prompt": "who came", "response": "nobody"}]);
        self.finish(&draft).await
    }

    /// Queues a job and waits for its end; gives its number.
    pub(crate) async fn finish(&self, job: &Value) -> u64 {
        let job: Value = self.gateway.post("v1/fine_tuning/jobs", job).await.unwrap();
        let id = job["id"].as_u64().unwrap();
        eventually(async || {
            let job: Value = self.gateway.get(&format!("v1/fine_tuning/jobs/{id}")).await.unwrap();
            assert_ne!(job["state"], "failed", "{job}");
            (job["state"] == "done").then_some(())
        })
        .await;
        id
    }
}

/// Looks until there is something to see.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within {WAIT_MAX:?}");
}
