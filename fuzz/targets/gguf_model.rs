//! A GGUF model: metadata, tensor table, tokenizer, template, every tensor.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::format::load;
use openledger_fuzz::{exercise, with_file};

fuzz_target!(|bytes: &[u8]| {
    with_file("model.gguf", bytes, |path| {
        if let Ok(raw) = load(path) {
            exercise(&raw);
        }
    });
});
