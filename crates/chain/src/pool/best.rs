//! The order in which a block takes transactions: highest tip first, earlier arrival first among
//! equals, and never a sender's nonces out of order.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use alloy_consensus::Transaction;
use alloy_primitives::B256;

use super::PooledTx;

/// What became of a transaction that was offered to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the block.
    Included,
    /// It does not fit this block; its sender waits for the next.
    Later,
    /// It can never be included; the reason.
    Drop(String),
}

/// A snapshot of the pool's executable transactions.
#[derive(Debug)]
pub(crate) struct BestTransactions {
    heap: BinaryHeap<Candidate>,
    current: Option<VecDeque<Arc<PooledTx>>>,
    base_fee_wei: u64,
    postponed: bool,
    dropped: Vec<(B256, String)>,
}

#[derive(Debug)]
struct Candidate {
    tip_wei: u128,
    arrival: u64,
    run: VecDeque<Arc<PooledTx>>,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tip_wei.cmp(&other.tip_wei).then(other.arrival.cmp(&self.arrival))
    }
}

impl BestTransactions {
    pub(super) fn new(runs: impl Iterator<Item = VecDeque<Arc<PooledTx>>>, base_fee_wei: u64) -> Self {
        let mut best =
            Self { heap: BinaryHeap::new(), current: None, base_fee_wei, postponed: false, dropped: Vec::new() };
        runs.for_each(|run| best.offer(run));
        best
    }

    /// A sender whose next transaction cannot pay the base fee sits this block out.
    fn offer(&mut self, run: VecDeque<Arc<PooledTx>>) {
        let Some(first) = run.front() else { return };
        let Some(tip_wei) = first.tx.effective_tip_per_gas(self.base_fee_wei) else { return };
        let arrival = first.arrival;
        self.heap.push(Candidate { tip_wei, arrival, run });
    }

    /// The next transaction to try; [`BestTransactions::judge`] it before asking again.
    pub(crate) fn next(&mut self) -> Option<Arc<PooledTx>> {
        let candidate = self.heap.pop()?;
        let first = candidate.run.front().cloned();
        self.current = Some(candidate.run);
        first
    }

    /// Tells what became of the transaction that [`BestTransactions::next`] gave.
    pub(crate) fn judge(&mut self, tx: &PooledTx, verdict: Verdict) {
        let Some(mut run) = self.current.take() else { return };
        match verdict {
            Verdict::Included => {
                run.pop_front();
                self.offer(run);
            }
            Verdict::Later => self.postponed = true,
            Verdict::Drop(reason) => self.dropped.push((tx.hash(), reason)),
        }
    }

    /// Whether nothing can be mined now.
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Whether transactions are left that only lacked room.
    pub(crate) fn has_more(&self) -> bool {
        self.postponed || !self.heap.is_empty()
    }

    /// Transactions that can never be included, with the reason.
    pub(crate) fn take_dropped(&mut self) -> Vec<(B256, String)> {
        std::mem::take(&mut self.dropped)
    }
}
