//! Reading blocks, transactions and logs.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, Filter, FilterBlockOption, Log};
use alloy_serde::JsonStorageKey;
use alloy_trie::EMPTY_ROOT_HASH;
use nybbles::Nibbles;

use crate::{
    call::resolve,
    chain::{BlockWithReceipts, Chain},
    config::PROOF_HISTORY_BLOCKS,
    error::{CallError, LogsError, StoreError},
    state::absent_account,
    store::StateView,
};

/// Addresses that a filter may name.
const FILTER_ADDRESSES_MAX: usize = 1_000;
/// Topics that a filter may name in each of its four places.
const FILTER_TOPICS_MAX: usize = 1_000;

/// Checks the length of a filter, which is kept as long as a subscription and compared with every log.
///
/// # Errors
/// [`LogsError::TooManyAddresses`] or [`LogsError::TooManyTopics`].
pub(crate) fn check_filter(filter: &Filter) -> Result<(), LogsError> {
    let (count, limit) = (filter.address.len(), FILTER_ADDRESSES_MAX);
    if count > limit {
        return Err(LogsError::TooManyAddresses { count, limit });
    }
    let (count, limit) = (filter.topics.iter().map(|topic| topic.len()).max().unwrap_or(0), FILTER_TOPICS_MAX);
    if count > limit {
        return Err(LogsError::TooManyTopics { count, limit });
    }
    Ok(())
}

impl Chain {
    /// Logs that match `filter`, in block order.
    ///
    /// # Errors
    /// [`LogsError`] if the range or the result exceeds the limits of the configuration, or the filter names more than
    /// 1,000 addresses or topics in one place.
    pub fn logs(&self, filter: &Filter) -> Result<Vec<Log>, LogsError> {
        check_filter(filter)?;
        let view = self.inner.store.latest()?;
        let (from, to) = self.log_range(&view, filter)?;
        let limit = self.inner.config.rpc.logs_max;
        let mut logs = Vec::new();
        for number in from..=to {
            let Some(header) = view.header(number)? else { break };
            if !filter.matches_bloom(header.logs_bloom) {
                continue;
            }
            let block = BlockWithReceipts { header, body: view.body(number)?, receipts: view.receipts(number)? };
            logs.extend(block.logs().filter(|log| filter.matches(&log.inner)));
            if logs.len() > limit {
                return Err(LogsError::TooMany { limit });
            }
        }
        Ok(logs)
    }

    fn log_range(&self, view: &StateView, filter: &Filter) -> Result<(u64, u64), LogsError> {
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let number = view.block_number(&hash)?.ok_or(LogsError::UnknownBlock)?;
                return Ok((number, number));
            }
            FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
        };
        let number = |tag: Option<BlockNumberOrTag>| match tag {
            Some(BlockNumberOrTag::Number(number)) => number,
            Some(BlockNumberOrTag::Earliest) => 0,
            _ => view.head(),
        };
        let (from, to) = (number(from), number(to));
        if from > to {
            return Err(LogsError::RangeReversed { from, to });
        }
        let to = to.min(view.head());
        let (blocks, limit) = ((to + 1).saturating_sub(from), self.inner.config.rpc.log_blocks_max);
        if blocks > limit {
            return Err(LogsError::RangeTooLong { blocks, limit });
        }
        Ok((from, to))
    }

    /// The block that `id` names, with its receipts.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub(crate) fn full_block(&self, id: BlockId) -> Result<Option<BlockWithReceipts>, StoreError> {
        let view = self.inner.store.latest()?;
        let Some(number) = resolve(&view, id)? else { return Ok(None) };
        let Some(header) = view.header(number)? else { return Ok(None) };
        Ok(Some(BlockWithReceipts { header, body: view.body(number)?, receipts: view.receipts(number)? }))
    }

    /// The mined transaction `hash`: its block and place there.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub(crate) fn mined(&self, hash: &B256) -> Result<Option<(BlockWithReceipts, usize)>, StoreError> {
        let view = self.inner.store.latest()?;
        let Some((number, index)) = view.tx_place(hash)? else { return Ok(None) };
        let block = self.full_block(BlockId::from(number))?;
        Ok(block.map(|block| (block, index)))
    }

    /// Merkle proofs of `address` and `keys` against the state root of `block` (EIP-1186).
    ///
    /// # Errors
    /// [`CallError`] if the block is unknown or more than 1,024 blocks old.
    pub fn proof(
        &self,
        address: Address,
        keys: &[JsonStorageKey],
        block: BlockId,
    ) -> Result<EIP1186AccountProofResponse, CallError> {
        let view = self.state_of(block)?;
        if view.head() - view.number() > PROOF_HISTORY_BLOCKS {
            let text = format!("proofs reach back at most {PROOF_HISTORY_BLOCKS} blocks");
            return Err(CallError::Invalid(text));
        }
        let header = view.own_header()?;
        let account = view.account(&address)?.unwrap_or_else(absent_account);
        let (mut trie, nodes) = view.account_trie(header.state_root)?;
        let account_proof = trie.prove(&nodes, Nibbles::unpack(keccak256(address)))?;
        let mut storage_proof = Vec::with_capacity(keys.len());
        if account.storage_root == EMPTY_ROOT_HASH {
            let empty = |key: &JsonStorageKey| EIP1186StorageProof::new(*key, U256::ZERO, Vec::new());
            storage_proof.extend(keys.iter().map(empty));
        } else {
            let (mut trie, nodes) = view.storage_trie(&address, account.storage_root)?;
            for key in keys {
                let slot = key.as_b256();
                let proof = trie.prove(&nodes, Nibbles::unpack(keccak256(slot)))?;
                let value = view.slot(&address, &slot.into())?;
                storage_proof.push(EIP1186StorageProof::new(*key, value, proof));
            }
        }
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.balance,
            code_hash: account.code_hash,
            nonce: account.nonce,
            storage_hash: account.storage_root,
            account_proof,
            storage_proof,
        })
    }
}
