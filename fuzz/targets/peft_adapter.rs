//! A PEFT folder: configuration, a zero byte, weights.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::format::peft;
use openledger_fuzz::{tiny_config, with_folder};

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (config, weights) = bytes.split_at(cut);
    with_folder(|folder| {
        let put = |name, bytes| std::fs::write(folder.join(name), bytes).expect("the temporary folder takes a file");
        put(peft::CONFIG_FILE, config);
        put(peft::WEIGHTS_FILE, weights.get(1..).unwrap_or_default());
        let _read_or_refused = peft::read(folder, tiny_config());
    });
});
