//! Who takes part, each with a development account, and what they make before the tests look at it.

use std::time::{Duration, Instant};

use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use openledger_contracts::{DatanetParams, LicenceTerms, ModelParams, SolValue as _};
use openledger_primitives::{B256, Bytes, DatanetId, Wei, keccak256};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{ChainClient, Contribution, GatewayClient, PayerOptions, SnapshotPost, Wallet};
use serde_json::{Value, json};

pub(crate) const CHAIN_ID: u64 = 161_201;
pub(crate) const MODEL: &str = "tiny-analyst";
/// A name and a record that are code where somebody makes a page of them.
pub(crate) const SCRIPT: &str = "<script>alert(1)</script>";
pub(crate) const CONTRIBUTORS: [u32; 2] = [5, 6];
const RECORDS: usize = 8;
const MNEMONIC: &str = "test test test test test test test test test test test junk";
const BUILDER: u32 = 3;
pub(crate) const PAYER: u32 = 4;
/// Longest wait for anything that a healthy node does.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// The development account of that number.
pub(crate) fn key(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

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

pub(crate) struct People {
    builder: ChainClient,
    gateway: GatewayClient,
}

impl People {
    pub(crate) async fn connect(rpc: &str, gateway: &str) -> Self {
        let builder = ChainClient::connect(rpc, key(BUILDER)).await.unwrap();
        Self { builder, gateway: GatewayClient::new(gateway).unwrap() }
    }

    /// Everything up to a paid answer in a final epoch.
    pub(crate) async fn make(&self) -> Made {
        let datanet = self.create_datanet().await;
        for contributor in CONTRIBUTORS {
            self.contribute(datanet, contributor).await;
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
        let (upload, hidden) = self.prepare(datanet, 7, &records(7)).await;
        let receipt = answer.receipt.unwrap().to_string();
        Made { datanet: datanet.0, job, answer: answer.body, receipt, upload, hidden }
    }

    /// The gateway, paid by the payer.
    pub(crate) fn till(&self) -> GatewayClient {
        let options = PayerOptions { deposit_requests: 10_000, ..PayerOptions::default() };
        self.gateway.clone().with_wallet(Wallet::new(self.builder.with_signer(key(PAYER)), options))
    }

    async fn create_datanet(&self) -> DatanetId {
        let terms = LicenceTerms {
            commercialUse: true,
            derivatives: true,
            attribution: true,
            revenueFloorBps: 0,
            expiry: 0,
            uri: "LICENCE".into(),
        };
        let params = DatanetParams { name: SCRIPT.into(), terms, acceptancePolicy: "all".into(), curators: Vec::new() };
        let (_, id) = self.builder.datanets().create(params).await.unwrap();
        let terms = json!({"commercial_use": true, "derivatives": true, "attribution": true, "uri": "LICENCE"});
        let _: Value = self.gateway.post("v1/datanets", &json!({"id": id, "terms": terms})).await.unwrap();
        id
    }

    async fn prepare(&self, datanet: DatanetId, contributor: u32, file: &[u8]) -> (String, Value) {
        let begin = json!({
            "contributor": key(contributor).address(), "file_name": "records.jsonl", "bytes": file.len(),
            "hash": keccak256(file),
        });
        let begun: Value = self.gateway.post(&format!("v1/datanets/{datanet}/uploads"), &begin).await.unwrap();
        let upload = begun["id"].as_str().unwrap().to_owned();
        self.gateway.upload(&upload, file, 0).await.unwrap();
        let prepare = json!({"upload": upload, "mapping": {"prompt": "procedure", "response": "technique"}});
        let made = self.gateway.post(&format!("v1/datanets/{datanet}/batches"), &prepare).await.unwrap();
        (upload, made)
    }

    async fn contribute(&self, datanet: DatanetId, contributor: u32) {
        let (_, made) = self.prepare(datanet, contributor, &records(contributor)).await;
        let field = |name: &str| serde_json::from_value::<B256>(made["batch"][name].clone()).unwrap();
        let record_count = u32::try_from(made["batch"]["record_count"].as_u64().unwrap()).unwrap();
        let contribution = Contribution { datanet, batch_root: field("batch_root"), record_count, salt: field("salt") };
        let own = self.builder.with_signer(key(contributor)).datanets();
        own.commit(datanet, field("commitment")).await.unwrap();
        let consent = own.sign_consent(&contribution).await.unwrap();
        own.reveal(&contribution, key(contributor).address(), consent.clone()).await.unwrap();
        let path = format!("v1/batches/{}/revealed", field("commitment"));
        let _: Value = self.gateway.post(&path, &json!({"consent": consent})).await.unwrap();
    }

    async fn train(&self, datanet: DatanetId) -> u64 {
        let path = format!("v1/datanets/{datanet}/snapshots");
        let taken: Value = self.gateway.post(&path, &json!({})).await.unwrap();
        let hash = |name: &str| serde_json::from_value::<B256>(taken[name].clone()).unwrap();
        let post = SnapshotPost {
            root: hash("root"),
            record_count: taken["record_count"].as_u64().unwrap(),
            contributor_count: u32::try_from(taken["contributor_count"].as_u64().unwrap()).unwrap(),
            content_hash: hash("content_hash"),
            da_commitment: hash("content_hash"),
        };
        let (_, snapshot) = self.builder.datanets().publish_snapshot(datanet, post).await.unwrap();
        let snapshots = json!([{"datanet": datanet, "snapshot": snapshot}]);
        let ask = json!({"preset": "quick", "name": MODEL, "snapshots": snapshots});
        let mut draft: Value = self.gateway.post("v1/fine_tuning/recipe", &ask).await.unwrap();
        draft["recipe"]["batch_size"] = json!(4);
        draft["recipe"]["lora"]["rank"] = json!(4);
        draft["recipe"]["max_sequence_tokens"] = json!(256);
        draft["recipe"]["evaluation"]["max_new_tokens"] = json!(4);
        draft["terms"]["price"] = json!({"input_wei": Wei(1_000_000_007), "output_wei": Wei(5_000_000_011)});
        draft["held_out"] = json!([{"prompt": "who came", "response": "nobody"}]);
        let job: Value = self.gateway.post("v1/fine_tuning/jobs", &draft).await.unwrap();
        let id = job["id"].as_u64().unwrap();
        eventually(async || {
            let job: Value = self.gateway.get(&format!("v1/fine_tuning/jobs/{id}")).await.unwrap();
            assert_ne!(job["state"], "failed", "{job}");
            (job["state"] == "done").then_some(())
        })
        .await;
        id
    }

    async fn publish(&self, job: u64) {
        let draft = format!("v1/fine_tuning/jobs/{job}/model?name={MODEL}");
        let draft: Value = self.gateway.get(&draft).await.unwrap();
        let abi: Bytes = serde_json::from_value(draft["abi"].clone()).unwrap();
        self.builder.models().publish(ModelParams::abi_decode(&abi).unwrap()).await.unwrap();
        let body = json!({"name": MODEL, "builder": self.builder.address()});
        let _: Value = self.gateway.post(&format!("v1/fine_tuning/jobs/{job}/model"), &body).await.unwrap();
    }
}

/// JSON lines that no other contributor has, and no two of which are near-duplicates. One is code.
fn records(contributor: u32) -> Vec<u8> {
    let line = |at: usize| {
        let seed = keccak256(format!("{contributor}/{at}"));
        let words: Vec<String> = seed.chunks(4).map(|bytes| format!("w{}", bytes.escape_ascii())).collect();
        let words: String = words.join(" ").chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
        let words = if at == 0 { format!("{SCRIPT} {words}") } else { words };
        json!({"procedure": words, "technique": format!("kind {}", seed[0] % 4)}).to_string() + "\n"
    };
    (0..RECORDS).map(line).collect::<String>().into_bytes()
}

/// Looks until there is something to see.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within {WAIT_MAX:?}");
}
