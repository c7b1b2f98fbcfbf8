use openledger_contracts::Receipt;
use openledger_primitives::{ModelId, Wei};
use openledger_settlement::receipt::{ReceiptDraft, ReceiptError, SHARES_MAX, SignedReceipt, from_bytes, to_bytes};
use openledger_settlement::split::{SplitError, split_total};

use crate::common::{CHAIN_ID, draft, key, place, share, signed};

fn golden(name: &str) -> String {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn receipt() -> Receipt {
    draft().complete(place(3, 41, 1000)).unwrap()
}

#[test]
fn a_receipt_has_the_bytes_and_the_json_of_the_golden_files() {
    let signed = signed(3, 41, draft());
    assert_eq!(hex::encode(signed.to_bytes()), golden("receipt.hex").trim());
    let json = serde_json::to_string_pretty(&signed).unwrap();
    assert_eq!(json, golden("receipt.json").trim());
    assert_eq!(signed.hash().to_string(), golden("receipt.hash").trim());
}

#[test]
fn a_receipt_survives_both_encodings() {
    let signed = signed(3, 41, draft());
    assert_eq!(SignedReceipt::from_bytes(&signed.to_bytes()).unwrap(), signed);
    let json = serde_json::to_string(&signed).unwrap();
    assert_eq!(serde_json::from_str::<SignedReceipt>(&json).unwrap(), signed);
}

#[test]
fn a_receipt_states_fee_split_and_cumulative_amounts() {
    let receipt = receipt();
    let fee = 40 * 1_000_000_000_000 + 10 * 4_000_000_000_001;
    assert_eq!((receipt.fee, receipt.cumulativeBefore, receipt.cumulativeAfter), (fee, 1000, 1000 + fee));
    assert_eq!(split_total(&receipt.split), Some(Wei(fee)));
}

#[test]
fn only_the_operator_s_signature_on_this_chain_holds() {
    let genuine = signed(3, 41, draft());
    assert!(genuine.verify(CHAIN_ID).is_ok());
    assert!(genuine.verify(CHAIN_ID + 1).is_err());
    let forged = SignedReceipt::sign(genuine.receipt.clone(), CHAIN_ID, &key(9)).unwrap();
    assert!(forged.verify(CHAIN_ID).is_err());
    let mut altered = genuine;
    altered.receipt.tokensOut += 1;
    assert!(altered.verify(CHAIN_ID).is_err());
}

#[test]
fn every_other_encoding_of_a_receipt_is_refused() {
    let bytes = to_bytes(&receipt());
    assert_eq!(from_bytes(&bytes).unwrap(), receipt());
    let mut newer = bytes.clone();
    newer[0] = 2;
    let longer = [bytes.as_slice(), &[0; 32]].concat();
    let cut = &bytes[..bytes.len() - 1];
    for other in [newer.as_slice(), longer.as_slice(), cut, &[]] {
        assert!(matches!(from_bytes(other), Err(ReceiptError::NotCanonical { .. })), "{} bytes", other.len());
    }
}

#[test]
fn no_flipped_bit_decodes_to_the_same_receipt() {
    let bytes = to_bytes(&receipt());
    for position in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        assert!(from_bytes(&flipped).map_or(true, |other| other != receipt()), "byte {position}");
    }
}

#[test]
fn json_of_another_version_or_with_unknown_fields_is_refused() {
    let json = serde_json::to_value(signed(3, 41, draft())).unwrap();
    for (field, value) in [("version", 2.into()), ("tip", 1.into())] {
        let mut other = json.clone();
        other[field] = value;
        assert!(serde_json::from_value::<SignedReceipt>(other).is_err(), "{field}");
    }
}

#[test]
fn shares_out_of_order_are_refused_before_anything_is_charged() {
    let unordered = ReceiptDraft { influence: vec![share(2, 1), share(1, 1)], ..draft() };
    assert!(matches!(unordered.check(), Err(ReceiptError::Split(SplitError::Unordered { .. }))));
}

#[test]
fn too_many_shares_are_refused() {
    let crowd = ReceiptDraft { provenance: vec![share(1, 1); SHARES_MAX + 1], ..draft() };
    assert!(matches!(crowd.check(), Err(ReceiptError::TooMany { entries, .. }) if entries == SHARES_MAX + 1));
}

#[test]
fn a_pool_that_could_pay_nobody_is_refused() {
    let model = ModelId(draft().model.0);
    let nobody = ReceiptDraft { snapshot_roots: vec![], provenance: vec![], ..draft() };
    assert!(matches!(nobody.check(), Err(ReceiptError::NoReserve { model: named }) if named == model));
}
