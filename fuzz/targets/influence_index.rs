//! An influence index and the sketches kept while one is built.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_attribution::influence::{CheckpointSketch, InfluenceIndex};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = InfluenceIndex::from_bytes(bytes) {
        assert_eq!(index.to_bytes(), bytes);
        for record in 0..index.records().len() as u32 {
            index.self_influence(record);
        }
    }
    if let Ok(sketch) = CheckpointSketch::from_bytes(bytes) {
        assert_eq!(sketch.to_bytes(), bytes);
    }
});
