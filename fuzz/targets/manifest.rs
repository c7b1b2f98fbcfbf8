//! A model manifest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_train::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Manifest::from_bytes(bytes) {
        assert_eq!(read.to_bytes(), bytes);
    }
});
