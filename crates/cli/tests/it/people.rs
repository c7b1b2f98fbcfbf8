//! Who takes part: contributors, the builder, the payer, each with a development account, over the node's own URLs.

use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use openledger_contracts::{DatanetParams, LicenceTerms, ModelParams, SolValue as _};
use openledger_primitives::{B256, Bytes, DatanetId, Wei, keccak256};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{ChainClient, Contribution, GatewayClient, PayerOptions, SnapshotPost, Wallet};
use openledger_train::{Preset, Recipe, SnapshotRef};
use serde_json::{Value, json};

use crate::node::{Node, eventually};

pub const CHAIN_ID: u64 = 161_201;
pub const MODEL: &str = "tiny-analyst";
pub const CONTRIBUTORS: [u32; 3] = [5, 6, 7];
/// Records of each contributor.
pub const RECORDS: usize = 8;
const MNEMONIC: &str = "test test test test test test test test test test test junk";
const BUILDER: u32 = 3;
const PAYER: u32 = 4;
/// Wei a token, in and out.
const PRICES: [u128; 2] = [1_000_000_007, 5_000_000_011];
/// Most tokens of an answer.
const ANSWER_TOKENS_MAX: u32 = 6;

/// The development account of that number.
pub fn key(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

/// Limits under which the payer deposits once for a whole test.
pub fn generous() -> PayerOptions {
    PayerOptions { deposit_requests: 10_000, ..PayerOptions::default() }
}

pub fn question(text: &str) -> ChatRequest {
    ChatRequest { max_tokens: Some(ANSWER_TOKENS_MAX), ..ChatRequest::question(MODEL, text) }
}

/// Everyone, connected to one node.
pub struct People {
    pub builder: ChainClient,
    pub payer: ChainClient,
    /// Without a wallet.
    pub gateway: GatewayClient,
}

impl People {
    pub async fn connect(node: &Node) -> Self {
        let builder = ChainClient::connect(&node.rpc, key(BUILDER)).await.unwrap();
        let payer = builder.with_signer(key(PAYER));
        Self { builder, payer, gateway: GatewayClient::new(&node.gateway).unwrap() }
    }

    /// The gateway, paid by the payer.
    pub fn till(&self) -> GatewayClient {
        self.gateway.clone().with_wallet(Wallet::new(self.payer.clone(), generous()))
    }

    pub async fn create_datanet(&self) -> DatanetId {
        let terms = LicenceTerms {
            commercialUse: true,
            derivatives: true,
            attribution: true,
            revenueFloorBps: 0,
            expiry: 0,
            uri: "LICENCE".into(),
        };
        let params = DatanetParams { name: "tiny".into(), terms, acceptancePolicy: "all".into(), curators: Vec::new() };
        let (_, id) = self.builder.datanets().create(params).await.unwrap();
        let terms = json!({"commercial_use": true, "derivatives": true, "attribution": true, "uri": "LICENCE"});
        let _: Value = self.gateway.post("v1/datanets", &json!({"id": id, "terms": terms})).await.unwrap();
        id
    }

    /// Begins an upload; gives its id.
    pub async fn begin_upload(&self, datanet: DatanetId, contributor: u32, name: &str, file: &[u8]) -> String {
        let begin = json!({
            "contributor": key(contributor).address(), "file_name": name, "bytes": file.len(),
            "hash": keccak256(file),
        });
        let begun: Value = self.gateway.post(&format!("v1/datanets/{datanet}/uploads"), &begin).await.unwrap();
        begun["id"].as_str().unwrap().to_owned()
    }

    /// Uploads, commits, consents and reveals; gives how many records were accepted.
    pub async fn contribute(&self, datanet: DatanetId, contributor: u32) -> u64 {
        let file = records(contributor);
        let upload = self.begin_upload(datanet, contributor, "records.jsonl", &file).await;
        self.gateway.upload(&upload, &file, 0).await.unwrap();
        let prepare = json!({"upload": upload, "mapping": {"prompt": "procedure", "response": "technique"}});
        let made: Value = self.gateway.post(&format!("v1/datanets/{datanet}/batches"), &prepare).await.unwrap();
        let field = |name: &str| serde_json::from_value::<B256>(made["batch"][name].clone()).unwrap();
        let record_count = u32::try_from(made["batch"]["record_count"].as_u64().unwrap()).unwrap();
        let contribution = Contribution { datanet, batch_root: field("batch_root"), record_count, salt: field("salt") };
        let own = self.payer.with_signer(key(contributor)).datanets();
        own.commit(datanet, field("commitment")).await.unwrap();
        let consent = own.sign_consent(&contribution).await.unwrap();
        own.reveal(&contribution, key(contributor).address(), consent.clone()).await.unwrap();
        let path = format!("v1/batches/{}/revealed", field("commitment"));
        let accepted: Value = self.gateway.post(&path, &json!({"consent": consent})).await.unwrap();
        assert_eq!(accepted["report"]["duplicates"], json!([]), "{accepted}");
        u64::from(record_count)
    }

    pub async fn snapshot(&self, datanet: DatanetId) -> SnapshotRef {
        let taken: Value = self.gateway.post(&format!("v1/datanets/{datanet}/snapshots"), &json!({})).await.unwrap();
        let hash = |name: &str| serde_json::from_value::<B256>(taken[name].clone()).unwrap();
        let post = SnapshotPost {
            root: hash("root"),
            record_count: taken["record_count"].as_u64().unwrap(),
            contributor_count: u32::try_from(taken["contributor_count"].as_u64().unwrap()).unwrap(),
            content_hash: hash("content_hash"),
            da_commitment: hash("content_hash"),
        };
        let (_, snapshot) = self.builder.datanets().publish_snapshot(datanet, post).await.unwrap();
        SnapshotRef { datanet, snapshot, root: hash("root") }
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

    /// What a finished job would publish.
    pub async fn draft(&self, job: u64) -> Value {
        self.gateway.get(&format!("v1/fine_tuning/jobs/{job}/model?name={MODEL}")).await.unwrap()
    }

    pub async fn publish(&self, job: u64) {
        let abi: Bytes = serde_json::from_value(self.draft(job).await["abi"].clone()).unwrap();
        self.builder.models().publish(ModelParams::abi_decode(&abi).unwrap()).await.unwrap();
        let body = json!({"name": MODEL, "builder": self.builder.address()});
        let _: Value = self.gateway.post(&format!("v1/fine_tuning/jobs/{job}/model"), &body).await.unwrap();
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

/// JSON lines that no other contributor has, and no two of which are near-duplicates.
pub fn records(contributor: u32) -> Vec<u8> {
    let line = |at: usize| {
        let seed = keccak256(format!("{contributor}/{at}"));
        let words: Vec<String> = seed.chunks(4).map(|bytes| format!("w{}", bytes.escape_ascii())).collect();
        let words: String = words.join(" ").chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
        json!({"procedure": words, "technique": format!("kind {}", seed[0] % 4)}).to_string() + "\n"
    };
    (0..RECORDS).map(line).collect::<String>().into_bytes()
}
