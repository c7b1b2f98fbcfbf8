//! Who gives way when the pool is full.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use alloy_consensus::Transaction;
use alloy_primitives::Address;

use super::{Pool, PooledTx, SenderQueue, SenderState};
use crate::error::SubmitError;

/// A sender's last transaction, which can go without leaving another behind a gap. The greatest goes first: what a gap keeps
/// from being mined, the newest first; then what bids least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tail {
    gapped: bool,
    bid_wei: Reverse<u128>,
    arrival: u64,
    sender: Address,
}

impl Tail {
    fn of(sender: Address, queue: &SenderQueue) -> Option<Self> {
        let (last, tx) = queue.by_nonce.last_key_value()?;
        let gapped = last.saturating_sub(queue.state.nonce) >= queue.by_nonce.len() as u64;
        // It is not mined before those that precede it, so it bids no more than the least of them.
        let bid_wei = match gapped {
            true => 0,
            false => queue.by_nonce.values().map(|tx| tx.tx.max_fee_per_gas()).min()?,
        };
        Some(Self { gapped, bid_wei: Reverse(bid_wei), arrival: tx.arrival, sender })
    }

    fn gives_way_to(&self, tx: &PooledTx) -> bool {
        self.gapped || self.bid_wei.0 < tx.tx.max_fee_per_gas()
    }
}

impl Pool {
    /// Makes room for `tx`, which takes the place of `replaced`. Returns what had to go: no more than `tx` is long.
    ///
    /// # Errors
    /// [`SubmitError::PoolFull`] if not enough gives way; the pool is then unchanged.
    pub(super) fn make_room(
        &mut self,
        tx: &PooledTx,
        replaced: Option<&PooledTx>,
    ) -> Result<Vec<Arc<PooledTx>>, SubmitError> {
        if self.fits(tx, replaced) {
            return Ok(Vec::new());
        }
        // A sender's own last one would leave the newcomer behind a gap.
        let others = self.senders.iter().filter(|(sender, _)| **sender != tx.tx.signer());
        let mut tails: BinaryHeap<Tail> = others.filter_map(|(sender, queue)| Tail::of(*sender, queue)).collect();
        let mut gone = Vec::new();
        while !self.fits(tx, replaced) {
            let next = tails.pop().filter(|tail| tail.gives_way_to(tx));
            let Some(last) = next.and_then(|tail| self.remove_last(&tail.sender)) else {
                gone.into_iter().for_each(|(tx, state)| self.link(tx, state));
                return Err(SubmitError::PoolFull);
            };
            let sender = last.0.tx.signer();
            tails.extend(self.senders.get(&sender).and_then(|queue| Tail::of(sender, queue)));
            gone.push(last);
        }
        Ok(gone.into_iter().map(|(tx, _)| tx).collect())
    }

    fn remove_last(&mut self, sender: &Address) -> Option<(Arc<PooledTx>, SenderState)> {
        let queue = self.senders.get(sender)?;
        let (state, last) = (queue.state, queue.by_nonce.last_key_value()?.1.hash());
        Some((self.remove(&last)?, state))
    }
}
