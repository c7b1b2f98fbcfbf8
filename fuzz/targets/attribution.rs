//! The attribution of an answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_attribution::attest::Attribution;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Attribution::from_bytes(bytes) {
        assert_eq!(read.to_bytes(), bytes);
    }
});
