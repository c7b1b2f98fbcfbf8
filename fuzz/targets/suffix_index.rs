//! A suffix index, and searches in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_attribution::suffix::SuffixIndex;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = SuffixIndex::from_bytes(bytes) {
        assert_eq!(index.to_bytes(), bytes);
        index.first_disorder();
        let pattern: Vec<u32> = bytes.iter().take(8).map(|byte| u32::from(*byte)).collect();
        index.interval(&pattern);
        index.longest_match(&pattern);
    }
});
