//! A snapshot body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::Snapshot;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Snapshot::from_body(bytes) {
        assert_eq!(snapshot.body(), bytes);
    }
});
