//! Tests of Datanets through their public API.

#![allow(clippy::unwrap_used)] // A test that meets an error should stop with it.

mod batches;
mod crash;
mod fixture;
mod formats;
mod fuzz;
mod ingest;
mod lifecycle;
mod parquet;
mod records;
mod uploads;

use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use openledger_datanet::{AcceptReport, DATANET_SCHEMA, DatanetInfo, Datanets, LicenceTerms, PreparedBatch, Record};
use openledger_primitives::{Address, B256, DatanetId};
use openledger_store::Store;

const CHAIN_ID: u64 = 161_201;
const NET: DatanetId = DatanetId(1);

/// A Datanet in a fresh directory.
struct Fixture {
    datanets: Datanets,
    store: Store,
    next_priority: u64,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[DATANET_SCHEMA]).unwrap();
        Self { datanets: with_datanet(store.clone()), store, next_priority: 1, _dir: dir }
    }

    fn prepare(&self, contributor: u8, records: &[Record]) -> PreparedBatch {
        self.datanets.prepare(NET, signer(contributor).address(), records).unwrap()
    }

    fn commit(&self, batch: &PreparedBatch, priority: u64) {
        self.datanets.mark_committed(batch.commitment(), priority).unwrap();
    }

    fn reveal_and_accept(&self, contributor: u8, batch: &PreparedBatch) -> AcceptReport {
        self.datanets.mark_revealed(batch.commitment(), &sign(contributor, batch)).unwrap();
        self.datanets.accept(batch.commitment()).unwrap()
    }

    /// Changes the database behind the Datanets' back.
    fn execute(&self, sql: &str) {
        self.store.with_tx(|tx| tx.execute(sql, [])).unwrap();
    }

    /// How many leaders the most crowded key of a band leads to.
    fn most_leaders_of_a_band(&self) -> u64 {
        let sql = "SELECT max(leaders) FROM (SELECT count(*) AS leaders FROM datanet_bands GROUP BY datanet, key)";
        self.store.read(|tx| tx.count(sql, [])).unwrap()
    }

    /// All steps, with the next priority.
    fn contribute(&mut self, contributor: u8, records: &[Record]) -> AcceptReport {
        let batch = self.prepare(contributor, records);
        self.commit(&batch, self.next_priority);
        self.next_priority += 1;
        self.reveal_and_accept(contributor, &batch)
    }
}

fn open(dir: &std::path::Path) -> Datanets {
    with_datanet(Store::open(dir, &[DATANET_SCHEMA]).unwrap())
}

fn with_datanet(store: Store) -> Datanets {
    let datanets = Datanets::new(store, CHAIN_ID);
    datanets.create(&info()).unwrap();
    datanets
}

fn info() -> DatanetInfo {
    DatanetInfo::new(NET, Address::repeat_byte(0xAA), "Procedures", terms())
}

fn terms() -> LicenceTerms {
    LicenceTerms {
        commercialUse: true,
        derivatives: true,
        attribution: true,
        revenueFloorBps: 2_500,
        expiry: 0,
        uri: "https://example.org/licence".to_owned(),
    }
}

fn signer(contributor: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(contributor)).unwrap()
}

fn sign(contributor: u8, batch: &PreparedBatch) -> Vec<u8> {
    signer(contributor).sign_hash_sync(&batch.consent_digest()).unwrap().as_bytes().to_vec()
}

fn text(text: &str) -> Record {
    Record::Text { text: text.to_owned() }
}

fn prompt(prompt: &str, response: &str) -> Record {
    Record::Prompt { prompt: prompt.to_owned(), response: response.to_owned() }
}
