//! A canonical record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::Record;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::from_canonical(bytes) {
        assert_eq!(record.canonical_bytes(), bytes);
    }
});
