//! Fee suggestions and `eth_feeHistory`.

use alloy_consensus::{Header, Transaction};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_rpc_types_eth::FeeHistory;
use serde::Deserialize;

use crate::{
    chain::{BlockWithReceipts, Chain},
    error::{CallError, StoreError},
    spec::OpFork,
};

/// Tip that wallets are told to offer: enough to be mined, next to nothing to pay.
pub(super) const SUGGESTED_TIP_WEI: u128 = 1_000_000;
/// Blocks that one answer covers.
const BLOCKS_MAX: u64 = 1_024;
/// Percentiles that one request may ask for.
const PERCENTILES_MAX: usize = 100;

/// A count, which clients send as a number or as a hex string.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    Number(u64),
    Hex(alloy_primitives::U64),
}

impl Count {
    pub(super) fn get(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Hex(number) => number.to(),
        }
    }
}

pub(super) fn history(
    chain: &Chain,
    count: Count,
    newest: BlockNumberOrTag,
    percentiles: Option<Vec<f64>>,
) -> Result<FeeHistory, CallError> {
    let percentiles = percentiles.unwrap_or_default();
    check_percentiles(&percentiles)?;
    let view = chain.latest()?;
    let newest = match newest {
        BlockNumberOrTag::Number(number) if number > view.head() => return Err(CallError::UnknownBlock),
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        _ => view.head(),
    };
    let count = count.get().clamp(1, BLOCKS_MAX).min(newest + 1);
    let oldest = newest + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut last: Option<Header> = None;
    for number in oldest..=newest {
        let header = view.header(number)?.ok_or(CallError::UnknownBlock)?;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit as f64);
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(match chain.spec().fork {
            OpFork::Isthmus => 0.0,
            OpFork::Jovian | OpFork::Karst => header.blob_gas_used.unwrap_or_default() as f64 / header.gas_limit as f64,
        });
        if !percentiles.is_empty() {
            rewards.push(tips(chain, number, &percentiles)?);
        }
        last = Some(header.into_inner());
    }
    let next = last.map_or(0, |header| chain.spec().next_base_fee(&header));
    history.base_fee_per_gas.push(next.into());
    history.base_fee_per_blob_gas.push(1);
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), CallError> {
    let refuse = |text: String| Err(CallError::Invalid(text));
    if percentiles.len() > PERCENTILES_MAX {
        return refuse(format!("{} percentiles asked for; at most {PERCENTILES_MAX}", percentiles.len()));
    }
    let in_range = percentiles.iter().all(|p| (0.0..=100.0).contains(p));
    if !in_range || !percentiles.is_sorted() {
        return refuse("invalid reward percentile: they must rise from 0 to 100".into());
    }
    Ok(())
}

/// The tips at `percentiles` of the block's gas.
fn tips(chain: &Chain, number: u64, percentiles: &[f64]) -> Result<Vec<u128>, StoreError> {
    let Some(block) = chain.full_block(BlockId::from(number))? else { return Ok(Vec::new()) };
    let mut paid = paid_tips(&block);
    if paid.is_empty() {
        return Ok(vec![0; percentiles.len()]);
    }
    paid.sort_unstable();
    let total: u64 = paid.iter().map(|(_, gas)| gas).sum();
    let tip_at = |percentile: &f64| {
        let threshold = (total as f64 * percentile / 100.0) as u64;
        let mut sum = 0;
        let reached = paid.iter().find(|(_, gas)| {
            sum += gas;
            sum >= threshold
        });
        reached.or(paid.last()).map_or(0, |(tip, _)| *tip)
    };
    Ok(percentiles.iter().map(tip_at).collect())
}

/// Tip and gas of every transaction that pays one.
fn paid_tips(block: &BlockWithReceipts) -> Vec<(u128, u64)> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let mut paid = Vec::new();
    for (tx, receipt) in block.body.transactions.iter().zip(&block.receipts) {
        let gas = receipt.cumulative_gas_used() - before;
        before = receipt.cumulative_gas_used();
        if !tx.is_deposit() {
            paid.push((tx.effective_tip_per_gas(base_fee).unwrap_or_default(), gas));
        }
    }
    paid
}
