//! Data directories of older programs.

use openledger_gateway::catalog::GATEWAY_SCHEMA;
use openledger_store::{Schema, Store, StoreError};

/// A row of each table, by the version that made the table: how it is written, and how it is counted.
const ROWS: [(u32, &str, &str); 8] = [
    (
        1,
        "INSERT INTO gateway_models VALUES ('old', x'01', '{\"name\":\"old\"}')",
        "SELECT count(*) FROM gateway_models WHERE name = 'old' AND id = x'01' AND entry = '{\"name\":\"old\"}'",
    ),
    (2, "UPDATE gateway_tally SET sequence = 7", "SELECT count(*) FROM gateway_tally WHERE sequence = 7"),
    (
        2,
        "INSERT INTO gateway_model_income VALUES (x'01', 3, x'05')",
        "SELECT count(*) FROM gateway_model_income WHERE model = x'01' AND answers = 3 AND amount = x'05'",
    ),
    (
        2,
        "INSERT INTO gateway_earned VALUES (x'02', 1, x'01', 3, x'05')",
        "SELECT count(*) FROM gateway_earned WHERE account = x'02' AND answers = 3 AND amount = x'05'",
    ),
    (
        3,
        "INSERT INTO gateway_sessions VALUES (x'03', x'02', 9)",
        "SELECT count(*) FROM gateway_sessions WHERE address = x'02' AND expires_at = 9",
    ),
    (
        3,
        "INSERT INTO gateway_faucet VALUES (x'02', 8)",
        "SELECT count(*) FROM gateway_faucet WHERE address = x'02' AND granted_at = 8",
    ),
    (
        4,
        "INSERT INTO gateway_models VALUES ('moved', x'04', '{\"artifact\":\"train/job-1/artifact\"}')",
        "SELECT count(*) FROM gateway_models WHERE entry = '{\"artifact\":\"train/job-1/artifact\"}'",
    ),
    (5, "UPDATE gateway_followed SET next_block = 9", "SELECT count(*) FROM gateway_followed WHERE next_block = 9"),
];

#[test]
fn a_store_of_every_older_version_opens_and_keeps_its_data() {
    let versions = u32::try_from(GATEWAY_SCHEMA.migrations.len()).unwrap();
    assert!(ROWS.iter().any(|(version, ..)| *version == versions), "the newest version has a row here");
    for version in 1..=versions {
        let dir = tempfile::tempdir().unwrap();
        let older = Schema { name: GATEWAY_SCHEMA.name, migrations: &GATEWAY_SCHEMA.migrations[..version as usize] };
        let store = Store::open(dir.path().join("store"), &[older]).unwrap();
        let known = || ROWS.iter().filter(|(since, ..)| *since <= version);
        store
            .with_tx(|tx| known().try_for_each(|(_, insert, _)| tx.execute(insert, []).map(drop)))
            .unwrap_or_else(|error: StoreError| panic!("version {version}: {error}"));
        drop(store);
        let store = Store::open(dir.path().join("store"), &[GATEWAY_SCHEMA]).unwrap();
        for (since, _, count) in &ROWS {
            let kept = store.read(|tx| tx.count(count, [])).unwrap();
            let expected = u64::from(*since <= version);
            assert_eq!(kept, expected, "version {version}: {count}");
        }
    }
}
