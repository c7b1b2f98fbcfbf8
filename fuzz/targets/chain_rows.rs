//! Block bodies and receipts as the database keeps them; through them, every transaction envelope.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_chain::store::{decode_block, decode_receipts, encode_block, encode_receipts};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = decode_block(bytes) {
        let again = encode_block(&body);
        assert_eq!(decode_block(&again).expect("what was encoded is decoded"), body);
    }
    if let Ok(receipts) = decode_receipts(bytes) {
        let again = encode_receipts(&receipts);
        assert_eq!(decode_receipts(&again).expect("what was encoded is decoded"), receipts);
    }
});
