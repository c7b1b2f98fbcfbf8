//! A training recipe from a client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_train::Recipe;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(recipe) = serde_json::from_slice::<Recipe>(bytes)
        && recipe.validate().is_ok()
    {
        recipe.hash();
    }
});
