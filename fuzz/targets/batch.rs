//! A batch body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_datanet::batch::decode_body;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = decode_body(bytes) {
        let length: usize = records.iter().map(|record| 36 + record.canonical.len()).sum();
        assert_eq!(bytes.len(), 5 + length);
    }
});
