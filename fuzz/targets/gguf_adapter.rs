//! A GGUF adapter for the tiny model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::format::gguf_lora;
use openledger_fuzz::{tiny_config, with_file};

fuzz_target!(|bytes: &[u8]| {
    with_file("adapter.gguf", bytes, |path| {
        let _read_or_refused = gguf_lora::read(path, tiny_config());
    });
});
