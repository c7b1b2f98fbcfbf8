//! A `tokenizer.json`; what it encodes it decodes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_engine::Tokenizer;
use openledger_fuzz::exercise_tokenizer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes, Some("<|im_start|>"), None) {
        exercise_tokenizer(&tokenizer);
    }
});
