//! The mempool: transactions that wait for a block, ordered by nonce within a sender and by tip
//! between senders.

mod best;
mod journal;
mod room;
#[cfg(test)]
mod tests;
mod validate;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_consensus::{Transaction, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, U256};
use op_alloy_consensus::OpTxEnvelope;

use crate::{config::PoolLimits, error::SubmitError};

pub(crate) use best::{BestTransactions, Verdict};
pub(crate) use journal::Journal;
pub use journal::{JOURNAL_FILE, JOURNAL_VERSION, encode_journal_record};
pub(crate) use validate::{Validator, recover};

/// A transaction in the pool.
#[derive(Debug)]
pub struct PooledTx {
    /// The transaction and its sender.
    pub tx: Recovered<OpTxEnvelope>,
    /// Its EIP-2718 bytes.
    pub encoded: Bytes,
    /// The most it can cost its sender, in wei, data fees included.
    pub cost: U256,
    arrival: u64,
}

impl PooledTx {
    /// A transaction ready to be offered to the pool.
    pub(crate) fn new(tx: Recovered<OpTxEnvelope>, encoded: Bytes, cost: U256) -> Self {
        Self { tx, encoded, cost, arrival: 0 }
    }

    /// Its hash.
    pub fn hash(&self) -> B256 {
        self.tx.inner().tx_hash()
    }

    fn nonce(&self) -> u64 {
        self.tx.nonce()
    }
}

/// What the state says about a sender.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SenderState {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
}

#[derive(Debug, Default)]
struct SenderQueue {
    state: SenderState,
    by_nonce: BTreeMap<u64, Arc<PooledTx>>,
    /// Sum of the costs; it fits because each insertion keeps it within a balance.
    cost: U256,
}

impl SenderQueue {
    /// The nonce after the last transaction that follows the state without a gap.
    fn pending_nonce(&self) -> u64 {
        let mut nonce = self.state.nonce;
        while self.by_nonce.contains_key(&nonce) {
            nonce += 1;
        }
        nonce
    }

    fn queued_cost(&self, except: u64) -> U256 {
        let replaced = self.by_nonce.get(&except).map_or(U256::ZERO, |tx| tx.cost);
        self.cost.saturating_sub(replaced)
    }
}

/// The pool.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: PoolLimits,
    senders: HashMap<Address, SenderQueue>,
    by_hash: HashMap<B256, Arc<PooledTx>>,
    /// What had to go for transactions that are not acknowledged yet: it is to come back if they cannot be.
    displaced: HashMap<B256, Vec<Arc<PooledTx>>>,
    bytes: usize,
    arrivals: u64,
}

/// How many transactions wait, executable and behind a nonce gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable ones.
    pub pending: usize,
    /// Behind a gap.
    pub queued: usize,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            senders: HashMap::new(),
            by_hash: HashMap::new(),
            displaced: HashMap::new(),
            bytes: 0,
            arrivals: 0,
        }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<Arc<PooledTx>> {
        self.by_hash.get(hash).cloned()
    }

    pub(crate) fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The next nonce of `sender`, its waiting transactions counted; `None` if none wait.
    pub(crate) fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.senders.get(sender).map(SenderQueue::pending_nonce)
    }

    /// Accepts `tx`, whose sender has `state`. What it replaces, and what makes room for it, is kept until it is settled or
    /// taken back.
    ///
    /// # Errors
    /// [`SubmitError`] with the rule that it breaks; the pool is then unchanged.
    pub(crate) fn insert(&mut self, mut tx: PooledTx, state: SenderState) -> Result<(), SubmitError> {
        let hash = tx.hash();
        if self.contains(&hash) {
            return Err(SubmitError::AlreadyKnown);
        }
        self.check_nonce(&tx, state)?;
        self.check_funds(&tx, state)?;
        let replaced = self.check_replacement(&tx)?;
        if replaced.is_none() {
            self.check_sender_limit(&tx)?;
        }
        let mut displaced = self.make_room(&tx, replaced.as_deref())?;
        if let Some(old) = replaced {
            self.remove(&old.hash());
            displaced.push(old);
        }
        tx.arrival = self.arrivals;
        self.arrivals += 1;
        self.link(Arc::new(tx), state);
        if !displaced.is_empty() {
            self.displaced.insert(hash, displaced);
        }
        Ok(())
    }

    /// The transaction `hash` is acknowledged: what it displaced is gone for good.
    pub(crate) fn settle(&mut self, hash: &B256) {
        self.displaced.remove(hash);
    }

    /// The transaction `hash` cannot be acknowledged: it goes, and what it displaced comes back.
    pub(crate) fn take_back<E>(
        &mut self,
        hash: &B256,
        mut state_of: impl FnMut(&Address) -> Result<SenderState, E>,
    ) -> Result<(), E> {
        self.remove(hash);
        let owed = self.displaced.remove(hash).unwrap_or_default();
        // What displaced it meanwhile now owes what it owed.
        let mut heirs = self.displaced.values_mut();
        if let Some(heir) = heirs.find(|heir| heir.iter().any(|tx| tx.hash() == *hash)) {
            heir.retain(|tx| tx.hash() != *hash);
            heir.extend(owed);
            return Ok(());
        }
        for tx in owed {
            let state = state_of(&tx.tx.signer())?;
            self.restore(tx, state);
        }
        Ok(())
    }

    /// Takes `tx` in again if it can still be mined and its place is free.
    fn restore(&mut self, tx: Arc<PooledTx>, state: SenderState) {
        let queue = self.senders.get(&tx.tx.signer());
        let taken = queue.is_some_and(|queue| queue.by_nonce.contains_key(&tx.nonce()));
        let good = self.check_nonce(&tx, state).and_then(|()| self.check_funds(&tx, state)).is_ok();
        if good && !taken && self.fits(&tx, None) {
            self.link(tx, state);
        }
    }

    fn link(&mut self, tx: Arc<PooledTx>, state: SenderState) {
        let queue = self.senders.entry(tx.tx.signer()).or_default();
        if state.nonce >= queue.state.nonce {
            queue.state = state;
        }
        queue.cost = queue.cost.saturating_add(tx.cost);
        self.bytes += tx.encoded.len();
        self.by_hash.insert(tx.hash(), tx.clone());
        queue.by_nonce.insert(tx.nonce(), tx);
    }

    fn check_nonce(&self, tx: &PooledTx, state: SenderState) -> Result<(), SubmitError> {
        let (next, nonce, gap_max) = (state.nonce, tx.nonce(), self.limits.nonce_gap_max);
        if nonce < next {
            return Err(SubmitError::NonceTooLow { next, nonce });
        }
        if nonce - next > gap_max {
            return Err(SubmitError::NonceTooHigh { next, nonce, gap_max });
        }
        Ok(())
    }

    fn check_funds(&self, tx: &PooledTx, state: SenderState) -> Result<(), SubmitError> {
        let queue = self.senders.get(&tx.tx.signer());
        let queued = queue.map_or(U256::ZERO, |queue| queue.queued_cost(tx.nonce()));
        if queued.saturating_add(tx.cost) > state.balance {
            let (balance, cost) = (state.balance, tx.cost);
            return Err(SubmitError::InsufficientFunds { balance, queued, cost });
        }
        Ok(())
    }

    fn check_replacement(&self, tx: &PooledTx) -> Result<Option<Arc<PooledTx>>, SubmitError> {
        let queue = self.senders.get(&tx.tx.signer());
        let Some(old) = queue.and_then(|queue| queue.by_nonce.get(&tx.nonce())) else {
            return Ok(None);
        };
        let enough = |old: u128, new: u128| {
            let bump = old.saturating_mul(100 + self.limits.price_bump_percent).div_ceil(100);
            new >= bump && new > old
        };
        let fee_cap = enough(old.tx.max_fee_per_gas(), tx.tx.max_fee_per_gas());
        let tip = |tx: &PooledTx| tx.tx.max_priority_fee_per_gas().unwrap_or(tx.tx.max_fee_per_gas());
        let tip_kept_at_zero = tip(old) == 0 && tip(tx) == 0;
        if !fee_cap || !(tip_kept_at_zero || enough(tip(old), tip(tx))) {
            return Err(SubmitError::Underpriced);
        }
        Ok(Some(old.clone()))
    }

    fn check_sender_limit(&self, tx: &PooledTx) -> Result<(), SubmitError> {
        let limit = self.limits.per_sender_max;
        let queue = self.senders.get(&tx.tx.signer());
        if queue.is_some_and(|queue| queue.by_nonce.len() >= limit) {
            return Err(SubmitError::SenderLimit { limit });
        }
        Ok(())
    }

    /// Whether there is room for `tx` once `replaced` is gone.
    fn fits(&self, tx: &PooledTx, replaced: Option<&PooledTx>) -> bool {
        let (transactions, bytes) = replaced.map_or((0, 0), |old| (1, old.encoded.len()));
        self.by_hash.len() - transactions < self.limits.transactions_max
            && self.bytes - bytes + tx.encoded.len() <= self.limits.bytes_max
    }

    pub(crate) fn remove(&mut self, hash: &B256) -> Option<Arc<PooledTx>> {
        let tx = self.by_hash.remove(hash)?;
        self.bytes -= tx.encoded.len();
        let sender = tx.tx.signer();
        if let Some(queue) = self.senders.get_mut(&sender) {
            queue.by_nonce.remove(&tx.nonce());
            queue.cost = queue.cost.saturating_sub(tx.cost);
            if queue.by_nonce.is_empty() {
                self.senders.remove(&sender);
            }
        }
        Some(tx)
    }

    /// Everyone who has a transaction here.
    pub(crate) fn senders(&self) -> Vec<Address> {
        self.senders.keys().copied().collect()
    }

    /// Drops what a new block made stale; `state_of` reads senders after that block.
    pub(crate) fn advance<E>(
        &mut self,
        touched: impl IntoIterator<Item = Address>,
        mut state_of: impl FnMut(&Address) -> Result<SenderState, E>,
    ) -> Result<(), E> {
        for sender in touched {
            let Some(queue) = self.senders.get_mut(&sender) else { continue };
            queue.state = state_of(&sender)?;
            let nonce = queue.state.nonce;
            let stale: Vec<B256> = queue.by_nonce.range(..nonce).map(|(_, tx)| tx.hash()).collect();
            for hash in stale {
                self.remove(&hash);
            }
        }
        Ok(())
    }

    /// Executable transactions as of now, best first.
    pub(crate) fn best(&self, base_fee_wei: u64) -> BestTransactions {
        let queues = self.senders.values().map(|queue| {
            let run = queue.by_nonce.range(queue.state.nonce..);
            let run = run.zip(queue.state.nonce..).take_while(|((nonce, _), next)| **nonce == *next);
            run.map(|((_, tx), _)| tx.clone()).collect()
        });
        BestTransactions::new(queues, base_fee_wei)
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let mut status = PoolStatus::default();
        for queue in self.senders.values() {
            let pending = (queue.pending_nonce() - queue.state.nonce) as usize;
            status.pending += pending;
            status.queued += queue.by_nonce.len() - pending;
        }
        status
    }

    /// Every transaction by sender and nonce, executable ones first.
    pub(crate) fn content(&self) -> (SenderMap, SenderMap) {
        let (mut pending, mut queued) = (SenderMap::new(), SenderMap::new());
        for (sender, queue) in &self.senders {
            let cut = queue.pending_nonce();
            for (nonce, tx) in &queue.by_nonce {
                let part = if *nonce < cut { &mut pending } else { &mut queued };
                part.entry(*sender).or_default().insert(*nonce, tx.clone());
            }
        }
        (pending, queued)
    }

    /// All that the journal must hold, oldest first.
    pub(crate) fn encoded(&self) -> Vec<Bytes> {
        let mut all: Vec<_> = self.by_hash.values().chain(self.displaced.values().flatten()).collect();
        all.sort_by_key(|tx| tx.arrival);
        all.into_iter().map(|tx| tx.encoded.clone()).collect()
    }
}

/// Transactions by sender and nonce.
pub(crate) type SenderMap = BTreeMap<Address, BTreeMap<u64, Arc<PooledTx>>>;
