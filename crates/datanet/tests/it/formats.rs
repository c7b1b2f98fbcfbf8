//! Golden files: what was written once must read the same for ever. A change here is a new version byte.

use std::path::PathBuf;

use openledger_datanet::batch::decode_body;
use openledger_datanet::dedup::Fingerprint;
use openledger_datanet::{Snapshot, SnapshotEntry};
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId, keccak256};

/// Set to write the files anew.
const WRITE: &str = "OPENLEDGER_WRITE_GOLDEN";

pub(crate) fn snapshot() -> Snapshot {
    let entry = |n: u8| SnapshotEntry {
        record_hash: RecordHash(B256::repeat_byte(n)),
        contributor: Address::repeat_byte(n + 1),
        cluster: u64::from(n) + 2,
    };
    Snapshot { datanet: DatanetId(3), id: SnapshotId(4), entries: vec![entry(1), entry(2), entry(3)] }
}

fn golden(name: &str, found: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, found).unwrap();
    }
    std::fs::read(path).unwrap()
}

#[test]
fn a_batch_body_is_the_golden_one() {
    let batch = crate::batches::batch();
    let expected = golden("batch_v1.bin", &batch.body());
    assert_eq!(batch.body(), expected);
    assert_eq!(decode_body(&expected).unwrap(), batch.records());
}

#[test]
fn a_snapshot_body_is_the_golden_one() {
    let snapshot = snapshot();
    let expected = golden("snapshot_v1.bin", &snapshot.body());
    assert_eq!(snapshot.body(), expected);
    assert_eq!(Snapshot::from_body(&expected).unwrap(), snapshot);
}

/// Band keys are in databases: they may not change without a migration.
#[test]
fn band_keys_are_the_golden_ones() {
    for text in ["The malware can log keys.", "The mal\u{AD}ware can l\u{200B}og k\u{332}eys."] {
        let keys: Vec<String> = Fingerprint::of(text).band_keys().iter().map(|key| format!("{key:016x}\n")).collect();
        let found = keys.concat();
        assert_eq!(found.as_bytes(), golden("band_keys_v2.txt", found.as_bytes()));
    }
}

#[test]
fn hashes_of_batch_and_snapshot_are_the_golden_ones() {
    let batch = crate::batches::batch();
    let found = format!(
        "licence {}\nrecord0 {}\nroot {}\ncommitment {}\nconsent {}\nsnapshot {}\ncontent {}\n",
        crate::info().licence_hash(),
        batch.records()[0].hash(),
        batch.root(),
        batch.commitment(),
        batch.consent_digest(),
        snapshot().root(),
        keccak256(snapshot().body()),
    );
    assert_eq!(found.as_bytes(), golden("hashes_v1.txt", found.as_bytes()));
}
