//! x402 headers: as base64, and the JSON inside.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use openledger_fuzz::payment_messages;

fuzz_target!(|bytes: &[u8]| {
    payment_messages(bytes);
    payment_messages(STANDARD.encode(bytes).as_bytes());
});
