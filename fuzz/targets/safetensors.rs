//! A safetensors file: header and every tensor.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::format::safetensors;
use openledger_fuzz::{read_tensors, with_file};

fuzz_target!(|bytes: &[u8]| {
    with_file("model.safetensors", bytes, |path| {
        if let Ok(tensors) = safetensors::open(path) {
            read_tensors(&tensors);
        }
    });
});
