//! Bytes of stored values.

use alloy_consensus::{Header, Sealable, Sealed};
use alloy_eips::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::TrieAccount;
use op_alloy_consensus::{OpReceiptEnvelope, OpTxEnvelope};

use super::read::BlockBody;
use crate::error::StoreError;

fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged { what }
}

pub(crate) fn encode_account(account: &TrieAccount) -> Vec<u8> {
    alloy_rlp::encode(account)
}

/// An empty value stands for an absent account.
pub(crate) fn decode_account(mut bytes: &[u8]) -> Result<Option<TrieAccount>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    TrieAccount::decode(&mut bytes).map(Some).map_err(|_| damaged("account"))
}

pub(crate) fn encode_word(word: U256) -> Vec<u8> {
    word.to_be_bytes_trimmed_vec()
}

pub(crate) fn decode_word(bytes: &[u8]) -> Result<U256, StoreError> {
    U256::try_from_be_slice(bytes).ok_or(damaged("storage slot"))
}

pub(crate) fn storage_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

pub(crate) fn history_key<const N: usize, const M: usize>(key: &[u8; N], block: u64) -> [u8; M] {
    let mut with_block = [0; M];
    with_block[..N].copy_from_slice(key);
    with_block[N..].copy_from_slice(&block.to_be_bytes());
    with_block
}

pub(crate) fn encode_header(header: &Sealed<Header>) -> Vec<u8> {
    let mut bytes = header.hash().to_vec();
    header.inner().encode(&mut bytes);
    bytes
}

pub(crate) fn decode_header(bytes: &[u8]) -> Result<Sealed<Header>, StoreError> {
    let (hash, mut rlp) = bytes.split_at_checked(32).ok_or(damaged("header"))?;
    let header = Header::decode(&mut rlp).map_err(|_| damaged("header"))?;
    Ok(header.seal_unchecked(B256::from_slice(hash)))
}

/// Transactions with their senders: a list of (sender ‖ EIP-2718 bytes) strings.
pub fn encode_block(body: &BlockBody) -> Vec<u8> {
    let rows = body.senders.iter().zip(&body.transactions).map(|(sender, tx)| {
        let mut row = sender.to_vec();
        tx.encode_2718(&mut row);
        row
    });
    encode_rows(rows)
}

/// Inverse of [`encode_block`].
///
/// # Errors
/// [`StoreError::Damaged`] if `bytes` is not such a list.
pub fn decode_block(bytes: &[u8]) -> Result<BlockBody, StoreError> {
    let mut body = BlockBody::default();
    for row in decode_rows(bytes, "block body")? {
        let (sender, mut tx) = row.split_at_checked(20).ok_or(damaged("block body"))?;
        body.senders.push(Address::from_slice(sender));
        let tx = OpTxEnvelope::decode_2718(&mut tx).map_err(|_| damaged("block body"))?;
        body.transactions.push(tx);
    }
    Ok(body)
}

/// Receipts as a list of EIP-2718 strings.
pub fn encode_receipts(receipts: &[OpReceiptEnvelope]) -> Vec<u8> {
    encode_rows(receipts.iter().map(Encodable2718::encoded_2718))
}

/// Inverse of [`encode_receipts`].
///
/// # Errors
/// [`StoreError::Damaged`] if `bytes` is not such a list.
pub fn decode_receipts(bytes: &[u8]) -> Result<Vec<OpReceiptEnvelope>, StoreError> {
    let rows = decode_rows(bytes, "receipts")?;
    rows.iter().map(|row| OpReceiptEnvelope::decode_2718(&mut row.as_ref()).map_err(|_| damaged("receipts"))).collect()
}

fn encode_rows(rows: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let rows: Vec<Bytes> = rows.map(Bytes::from).collect();
    alloy_rlp::encode(rows)
}

fn decode_rows(mut bytes: &[u8], what: &'static str) -> Result<Vec<Bytes>, StoreError> {
    Vec::<Bytes>::decode(&mut bytes).map_err(|_| damaged(what))
}

pub(crate) fn encode_place(block: u64, index: u32) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&block.to_be_bytes());
    place[8..].copy_from_slice(&index.to_be_bytes());
    place
}

pub(crate) fn decode_place(place: &[u8; 12]) -> (u64, u32) {
    let (block, index) = place.split_first_chunk::<8>().expect("12 bytes hold 8");
    let index = index.first_chunk::<4>().expect("4 bytes are left of 12");
    (u64::from_be_bytes(*block), u32::from_be_bytes(*index))
}

/// Keys that a block changed: count of accounts (u32), accounts, then account-and-slot pairs.
#[derive(Debug, Default)]
pub(crate) struct ChangedKeys {
    pub(crate) accounts: Vec<[u8; 20]>,
    pub(crate) slots: Vec<[u8; 52]>,
}

impl ChangedKeys {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.accounts.len()).expect("a block's gas bounds its accounts");
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.extend(self.accounts.iter().flatten());
        bytes.extend(self.slots.iter().flatten());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let bad = || damaged("changed keys");
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad)?;
        let cut = u32::from_be_bytes(*count) as usize * 20;
        let (accounts, slots) = rest.split_at_checked(cut).ok_or_else(bad)?;
        let (accounts, _) = accounts.as_chunks::<20>();
        let (slots, left) = slots.as_chunks::<52>();
        if !left.is_empty() {
            return Err(bad());
        }
        Ok(Self { accounts: accounts.to_vec(), slots: slots.to_vec() })
    }
}
