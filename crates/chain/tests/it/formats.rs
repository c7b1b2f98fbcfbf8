//! Bytes on disk stay what they are: golden files of every format.

use alloy_consensus::{Eip658Value, Receipt};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, hex};
use op_alloy_consensus::{OpDepositReceipt, OpReceiptEnvelope, OpTxEnvelope, TxDeposit};
use openledger_chain::{
    JOURNAL_VERSION, encode_journal_record,
    store::{BlockBody, decode_block, decode_receipts, encode_block, encode_receipts},
};

use crate::{harness::Draft, support::account};

/// Compares with the golden file; to change a format on purpose, raise its version and write the new hex there.
fn assert_golden(name: &str, golden: &str, bytes: &[u8]) {
    assert_eq!(hex::encode(bytes), golden.trim(), "the format of tests/golden/{name} changed");
}

fn sample_body() -> BlockBody {
    use alloy_eips::Decodable2718;
    let deposit = TxDeposit {
        source_hash: B256::repeat_byte(1),
        from: Address::repeat_byte(2),
        to: TxKind::Call(Address::repeat_byte(3)),
        gas_limit: 1_000_000,
        input: Bytes::from_static(&[1, 2, 3]),
        ..TxDeposit::default()
    };
    let signed = Draft::transfer(7, Address::repeat_byte(4), 5).sign(&account(0));
    let signed = OpTxEnvelope::decode_2718(&mut signed.as_ref()).unwrap();
    BlockBody {
        transactions: vec![OpTxEnvelope::from(deposit), signed],
        senders: vec![Address::repeat_byte(2), account(0).address()],
    }
}

fn sample_receipts() -> Vec<OpReceiptEnvelope> {
    let log = Log::new_unchecked(Address::repeat_byte(5), vec![B256::repeat_byte(6)], Bytes::from_static(&[7; 33]));
    let receipt = |gas, logs| Receipt { status: Eip658Value::success(), cumulative_gas_used: gas, logs };
    let deposit =
        OpDepositReceipt { inner: receipt(46_000, vec![]), deposit_nonce: Some(9), deposit_receipt_version: Some(1) };
    vec![
        OpReceiptEnvelope::Deposit(deposit.with_bloom()),
        OpReceiptEnvelope::Eip1559(receipt(67_000, vec![log]).with_bloom()),
    ]
}

#[test]
fn block_body_round_trips_and_matches_its_golden_file() {
    let bytes = encode_block(&sample_body());
    assert_eq!(decode_block(&bytes).unwrap(), sample_body());
    assert_golden("body.hex", include_str!("../golden/body.hex"), &bytes);
}

#[test]
fn receipts_round_trip_and_match_their_golden_file() {
    let bytes = encode_receipts(&sample_receipts());
    assert_eq!(decode_receipts(&bytes).unwrap(), sample_receipts());
    assert_golden("receipts.hex", include_str!("../golden/receipts.hex"), &bytes);
}

#[test]
fn journal_matches_its_golden_file() {
    let mut bytes = b"OLPJ".to_vec();
    bytes.push(JOURNAL_VERSION);
    bytes.extend(encode_journal_record(&Draft::transfer(7, Address::repeat_byte(4), 5).sign(&account(0))));
    assert_golden("journal.hex", include_str!("../golden/journal.hex"), &bytes);
}

#[test]
fn damaged_rows_are_errors_and_not_panics() {
    let (body, receipts) = (encode_block(&sample_body()), encode_receipts(&sample_receipts()));
    for cut in 0..body.len() {
        assert!(decode_block(&body[..cut]).is_err(), "cut at {cut}");
    }
    for cut in 0..receipts.len() {
        assert!(decode_receipts(&receipts[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..body.len() {
        let mut flipped = body.clone();
        flipped[at] ^= 0x55;
        let _either = decode_block(&flipped);
    }
}
