//! A training checkpoint.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_train::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Checkpoint::from_bytes(bytes) {
        assert_eq!(read.to_bytes(), bytes);
    }
});
