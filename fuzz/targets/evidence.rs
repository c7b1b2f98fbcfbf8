//! What `chat --save` writes: a receipt, its evidence and the disclosure; checked offline.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_fuzz::Evidence;
use openledger_settlement::verify::{request_hash, verify_receipt};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = serde_json::from_slice::<Evidence>(bytes) {
        let _passed_or_not = verify_receipt(&evidence.bundle, 161_201, None, None).passed();
        let _hashed_or_refused = request_hash(&evidence.disclosure.request, evidence.disclosure.salt);
    }
});
