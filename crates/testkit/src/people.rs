//! Who takes part in tests of a whole node: contributors, a builder, a payer, each with a development account, over the
//! node's own URLs. What goes wrong ends the test.

#![allow(clippy::unwrap_used)] // A test that meets an error should stop with it.

use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use openledger_contracts::{DatanetParams, LicenceTerms, ModelParams, SolValue as _};
use openledger_primitives::merkle::MerkleTree;
use openledger_primitives::{B256, Bytes, DatanetId, RecordHash, SnapshotId, keccak256};
use openledger_sdk::{ChainClient, Contribution, GatewayClient, PayerOptions, SnapshotPost, Wallet};
use serde_json::{Value, json};

/// Chain id of the development network.
pub const CHAIN_ID: u64 = 161_201;
/// Name of the model that is made.
pub const MODEL: &str = "tiny-analyst";
/// Account that publishes.
pub const BUILDER: u32 = 3;
/// Account that asks and pays.
pub const PAYER: u32 = 4;
/// Records of each contributor.
pub const RECORDS: usize = 8;
const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The development account of that number.
///
/// # Panics
/// Never: the words and the path are valid.
pub fn key(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

/// JSON lines that no other contributor has, and no two of which are near-duplicates; the first begins with `first`.
pub fn records(contributor: u32, first: &str) -> Vec<u8> {
    let line = |at: usize| {
        let seed = keccak256(format!("{contributor}/{at}"));
        let words: Vec<String> = seed.chunks(4).map(|bytes| format!("w{}", bytes.escape_ascii())).collect();
        let words: String = words.join(" ").chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
        let words = if at == 0 { format!("{first}{words}") } else { words };
        json!({"procedure": words, "technique": format!("kind {}", seed[0] % 4)}).to_string() + "\n"
    };
    (0..RECORDS).map(line).collect::<String>().into_bytes()
}

/// Everyone, connected to one node.
#[derive(Debug)]
pub struct People {
    /// Creates Datanets and publishes.
    pub builder: ChainClient,
    /// Asks and pays.
    pub payer: ChainClient,
    /// Without a wallet.
    pub gateway: GatewayClient,
}

impl People {
    /// Connects to a node.
    ///
    /// # Panics
    /// When nothing answers there.
    pub async fn connect(rpc: &str, gateway: &str) -> Self {
        let builder = ChainClient::connect(rpc, key(BUILDER)).await.unwrap();
        let payer = builder.with_signer(key(PAYER));
        Self { builder, payer, gateway: GatewayClient::new(gateway).unwrap() }
    }

    /// The gateway, paid by the payer, who deposits once for a whole test.
    pub fn till(&self) -> GatewayClient {
        let options = PayerOptions { deposit_requests: 10_000, ..PayerOptions::default() };
        self.gateway.clone().with_wallet(Wallet::new(self.payer.clone(), options))
    }

    /// Creates a Datanet on chain and tells the gateway.
    ///
    /// # Panics
    /// When either refuses.
    pub async fn create_datanet(&self, name: &str) -> DatanetId {
        let terms = LicenceTerms {
            commercialUse: true,
            derivatives: true,
            attribution: true,
            revenueFloorBps: 0,
            expiry: 0,
            uri: "LICENCE".into(),
        };
        let params = DatanetParams { name: name.into(), terms, acceptancePolicy: "all".into(), curators: Vec::new() };
        let (_, id) = self.builder.datanets().create(params).await.unwrap();
        let terms = json!({"commercial_use": true, "derivatives": true, "attribution": true, "uri": "LICENCE"});
        let _: Value = self.gateway.post("v1/datanets", &json!({"id": id, "terms": terms})).await.unwrap();
        id
    }

    /// Begins an upload; gives its id.
    ///
    /// # Panics
    /// When the gateway refuses.
    pub async fn begin_upload(&self, datanet: DatanetId, contributor: u32, name: &str, file: &[u8]) -> String {
        let begin = json!({
            "contributor": key(contributor).address(), "file_name": name, "bytes": file.len(),
            "hash": keccak256(file),
        });
        let begun: Value = self.gateway.post(&format!("v1/datanets/{datanet}/uploads"), &begin).await.unwrap();
        begun["id"].as_str().unwrap().to_owned()
    }

    /// Uploads a file and makes a batch of it; gives the upload's id and the answer.
    ///
    /// # Panics
    /// When the gateway refuses.
    pub async fn prepare(&self, datanet: DatanetId, contributor: u32, file: &[u8]) -> (String, Value) {
        self.prepare_as(datanet, contributor, file, &json!({"prompt": "procedure", "response": "technique"})).await
    }

    /// As [`prepare`](Self::prepare), with which columns make which fields.
    async fn prepare_as(&self, datanet: DatanetId, contributor: u32, file: &[u8], mapping: &Value) -> (String, Value) {
        let upload = self.begin_upload(datanet, contributor, "records.jsonl", file).await;
        self.gateway.upload(&upload, file, 0).await.unwrap();
        let prepare = json!({"upload": upload, "mapping": mapping});
        let made = self.gateway.post(&format!("v1/datanets/{datanet}/batches"), &prepare).await.unwrap();
        (upload, made)
    }

    /// Uploads, commits, consents and reveals; gives how many records were offered, and what became of them.
    ///
    /// # Panics
    /// When chain or gateway refuse.
    pub async fn contribute(&self, datanet: DatanetId, contributor: u32, file: &[u8]) -> (u32, Value) {
        self.contribute_as(datanet, contributor, file, &json!({"prompt": "procedure", "response": "technique"})).await
    }

    /// As [`contribute`](Self::contribute), with which columns make which fields.
    ///
    /// # Panics
    /// When chain or gateway refuse.
    pub async fn contribute_as(
        &self,
        datanet: DatanetId,
        contributor: u32,
        file: &[u8],
        mapping: &Value,
    ) -> (u32, Value) {
        let (_, made) = self.prepare_as(datanet, contributor, file, mapping).await;
        let field = |name: &str| serde_json::from_value::<B256>(made["batch"][name].clone()).unwrap();
        let record_count = u32::try_from(made["batch"]["record_count"].as_u64().unwrap()).unwrap();
        let contribution = Contribution { datanet, batch_root: field("batch_root"), record_count, salt: field("salt") };
        let own = self.builder.with_signer(key(contributor)).datanets();
        own.commit(datanet, field("commitment")).await.unwrap();
        let consent = own.sign_consent(&contribution).await.unwrap();
        own.reveal(&contribution, key(contributor).address(), consent.clone()).await.unwrap();
        let path = format!("v1/batches/{}/revealed", field("commitment"));
        let accepted = self.gateway.post(&path, &json!({"consent": consent})).await.unwrap();
        (record_count, accepted)
    }

    /// Takes a contributor's first batch's record at `index` back by a transaction, of which the gateway is not told.
    ///
    /// # Panics
    /// When there is none, or the chain refuses.
    pub async fn take_back(&self, datanet: DatanetId, contributor: u32, index: u64) -> RecordHash {
        let path = format!("v1/datanets/{datanet}/records?contributor={}", key(contributor).address());
        let rows: Value = self.gateway.get(&path).await.unwrap();
        let rows = rows["data"].as_array().unwrap();
        let mut rows: Vec<&Value> = rows.iter().filter(|row| row["commitment"] == rows[0]["commitment"]).collect();
        rows.sort_by_key(|row| row["index"].as_u64());
        let hash = |row: &&Value| serde_json::from_value::<B256>(row["hash"].clone()).unwrap();
        let tree = MerkleTree::from_leaves(rows.iter().map(hash));
        let record = RecordHash(hash(&rows[usize::try_from(index).unwrap()]));
        let own = self.builder.with_signer(key(contributor)).datanets();
        own.revoke(datanet, tree.root(), record, tree.prove(index).unwrap()).await.unwrap();
        record
    }

    /// Takes a snapshot and publishes it; gives its number and its root.
    ///
    /// # Panics
    /// When chain or gateway refuse.
    pub async fn snapshot(&self, datanet: DatanetId) -> (SnapshotId, B256) {
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
        (snapshot, hash("root"))
    }

    /// What a finished job would publish.
    ///
    /// # Panics
    /// When the gateway refuses.
    pub async fn draft(&self, job: u64) -> Value {
        self.gateway.get(&format!("v1/fine_tuning/jobs/{job}/model?name={MODEL}")).await.unwrap()
    }

    /// Publishes what a job made, on chain and at the gateway.
    ///
    /// # Panics
    /// When either refuses.
    pub async fn publish(&self, job: u64) {
        let abi: Bytes = serde_json::from_value(self.draft(job).await["abi"].clone()).unwrap();
        self.builder.models().publish(ModelParams::abi_decode(&abi).unwrap()).await.unwrap();
        let body = json!({"name": MODEL, "builder": self.builder.address()});
        let _: Value = self.gateway.post(&format!("v1/fine_tuning/jobs/{job}/model"), &body).await.unwrap();
    }
}
