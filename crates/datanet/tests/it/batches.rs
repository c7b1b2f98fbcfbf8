use alloy_signer::SignerSync;
use openledger_datanet::batch::{BATCH_RECORDS_MAX, DecodeBatchError, decode_body};
use openledger_datanet::{BatchContext, ConsentError, PrepareBatchError, PreparedBatch, verify_consent};
use openledger_primitives::merkle::{MerkleTree, leaf_hash};
use openledger_primitives::{B256, U256, keccak256};

use crate::{CHAIN_ID, NET, info, prompt, sign, signer, text};

fn context() -> BatchContext {
    BatchContext { chain_id: CHAIN_ID, datanet: NET, licence_hash: info().licence_hash() }
}

/// The batch of the golden files.
pub(crate) fn batch() -> PreparedBatch {
    let records = [prompt("It logs keys.", "Keylogging"), text("caf\u{e9}")];
    PreparedBatch::from_seed(context(), signer(1).address(), &records, B256::repeat_byte(7)).unwrap()
}

#[test]
fn a_batch_commits_to_its_records_in_order() {
    let batch = batch();
    let hashes: Vec<_> = batch.records().iter().map(|record| record.hash().0).collect();
    assert_eq!(batch.root(), MerkleTree::from_leaves(&hashes).root());
    assert_ne!(batch.records()[0].salt, batch.records()[1].salt);
    for (hash, index) in hashes.iter().zip(0..) {
        assert!(batch.prove(index).unwrap().verify(batch.root(), leaf_hash(hash.as_slice())));
    }
    assert!(batch.prove(2).is_none());
}

/// Written out word by word, independently of the ABI encoder.
#[test]
fn the_commitment_has_the_documented_layout() {
    let batch = batch();
    let word = |number: u64| U256::from(number).to_be_bytes::<32>();
    let mut registry = [0u8; 32];
    registry[12..]
        .copy_from_slice(&[0x4F, 0x50, 0x45, 0x4E].into_iter().chain([0; 15]).chain([2]).collect::<Vec<u8>>());
    let packed =
        [word(CHAIN_ID), registry, word(1), signer(1).address().into_word().0, batch.root().0, word(2), batch.salt().0]
            .concat();
    assert_eq!(batch.commitment(), keccak256(packed));
}

#[test]
fn fresh_batches_of_the_same_records_share_nothing() {
    let records = [text("same")];
    let one = PreparedBatch::new(context(), signer(1).address(), &records).unwrap();
    let two = PreparedBatch::new(context(), signer(1).address(), &records).unwrap();
    assert_ne!(one.records()[0].hash(), two.records()[0].hash());
    assert_ne!(one.commitment(), two.commitment());
}

#[test]
fn empty_and_oversized_batches_are_refused() {
    let make = |records: &[_]| PreparedBatch::new(context(), signer(1).address(), records);
    assert!(matches!(make(&[]), Err(PrepareBatchError::Empty)));
    let many = vec![text("a"); BATCH_RECORDS_MAX + 1];
    assert!(
        matches!(make(&many), Err(PrepareBatchError::TooManyRecords { records }) if records == BATCH_RECORDS_MAX + 1)
    );
}

#[test]
fn only_the_contributors_signature_over_this_batch_is_consent() {
    let batch = batch();
    let contributor = signer(1).address();
    verify_consent(batch.consent_digest(), contributor, &sign(1, &batch)).unwrap();
    let other = verify_consent(batch.consent_digest(), contributor, &sign(2, &batch)).unwrap_err();
    assert_eq!(other, ConsentError::WrongSigner { signer: signer(2).address(), contributor });
    let another = PreparedBatch::from_seed(context(), contributor, &[text("x")], B256::ZERO).unwrap();
    assert!(verify_consent(another.consent_digest(), contributor, &sign(1, &batch)).is_err());
    let good = sign(1, &batch);
    for bit in 0..65 * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_consent(batch.consent_digest(), contributor, &bad).is_err(), "bit {bit}");
    }
    for length in 0..65 {
        assert!(verify_consent(batch.consent_digest(), contributor, &good[..length]).is_err());
    }
}

/// The mirrored signature (n - s) recovers to the same account; accepting it would give one consent two signatures.
#[test]
fn a_mirrored_signature_is_refused() {
    let batch = batch();
    let signature = signer(1).sign_hash_sync(&batch.consent_digest()).unwrap();
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
    let mirrored = alloy_primitives::Signature::new(signature.r(), order - signature.s(), !signature.v());
    assert_eq!(mirrored.recover_address_from_prehash(&batch.consent_digest()).unwrap(), signer(1).address());
    let refused = verify_consent(batch.consent_digest(), signer(1).address(), &mirrored.as_bytes());
    assert_eq!(refused, Err(ConsentError::Malformed));
}

#[test]
fn a_body_decodes_to_its_records_and_to_nothing_else() {
    let batch = batch();
    let body = batch.body();
    assert_eq!(decode_body(&body).unwrap(), batch.records());
    for length in 0..body.len() {
        assert!(decode_body(&body[..length]).is_err(), "{length} bytes");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(decode_body(&longer), Err(DecodeBatchError::Trailing { bytes: 1 }));
    let newer = [&[2], &body[1..]].concat();
    assert_eq!(decode_body(&newer), Err(DecodeBatchError::Version { found: 2 }));
}
