//! A signed receipt in its canonical bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openledger_settlement::receipt::SignedReceipt;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(signed) = SignedReceipt::from_bytes(bytes) {
        assert_eq!(signed.to_bytes(), bytes);
        let _signed_or_not = signed.verify(161_201);
        let json = serde_json::to_vec(&signed).expect("a receipt has a JSON form");
        assert_eq!(serde_json::from_slice::<SignedReceipt>(&json).expect("and is read from it"), signed);
    }
});
