//! What older versions wrote down of artifacts is brought up to date.

use openledger_gateway::catalog::GATEWAY_SCHEMA;
use openledger_store::{RowExt as _, Schema, Store};
use serde_json::{Value, json};

/// The tables before artifacts were noted by their place in the data directory.
const BEFORE: Schema = Schema { name: "gateway", migrations: GATEWAY_SCHEMA.migrations.split_at(3).0 };

fn migrated(path: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let entry = json!({"name": "a", "artifact": path, "published_at": 7}).to_string();
    let old = Store::open(dir.path(), &[BEFORE]).unwrap();
    let sql = "INSERT INTO gateway_models (name, id, entry) VALUES ('a', x'01', ?1)";
    old.with_tx(|tx| tx.execute(sql, [entry])).unwrap();
    drop(old);
    let new = Store::open(dir.path(), &[GATEWAY_SCHEMA]).unwrap();
    let read = new.read(|tx| tx.query_opt("SELECT entry FROM gateway_models", [], |row| row.column::<String>("entry")));
    let entry: Value = serde_json::from_str(&read.unwrap().unwrap()).unwrap();
    assert_eq!((&entry["name"], &entry["published_at"]), (&json!("a"), &json!(7)), "nothing else changes");
    entry["artifact"].clone()
}

#[test]
fn artifacts_noted_by_their_whole_path_are_noted_by_their_place() {
    for (path, place) in [
        ("/data/train/job-7/artifact", "train/job-7/artifact"),
        ("/home/a b/train/job-1/artifact/train/job-12/artifact", "train/job-12/artifact"),
        ("/train/job-1/artifact", "/train/job-1/artifact"),
        ("/somewhere/else", "/somewhere/else"),
        ("train/job-3/artifact", "train/job-3/artifact"),
    ] {
        assert_eq!(migrated(path), place, "{path}");
    }
}
