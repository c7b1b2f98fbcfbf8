//! The `config.json` of a folder of safetensors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::format::load;
use openledger_fuzz::{exercise, with_model_folder};

fuzz_target!(|bytes: &[u8]| {
    with_model_folder(|folder| {
        std::fs::write(folder.join("config.json"), bytes).expect("the temporary folder takes a file");
        if let Ok(raw) = load(folder) {
            exercise(&raw);
        }
    });
});
