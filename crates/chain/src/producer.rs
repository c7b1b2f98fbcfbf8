//! The thread that makes blocks: waits for its time or for transactions, builds, commits, tells.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use alloy_consensus::{BlockHeader, Header, Sealed, Transaction};
use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;
use tokio::sync::oneshot;

use crate::{
    chain::{BlockWithReceipts, Calls, Head, Inner, sender_state},
    error::{BuildBlockError, OpenChainError, StoreError},
    execute::{BlockAttributes, execute_block},
    l1::{DevL1, L1Values, l1_info_deposit},
    pool::BestTransactions,
    spec::MESSAGE_PASSER,
    state::StateDiff,
    store::{CommitBlock, Committer, StateView},
};

/// Wait after a failed block before the next attempt.
const RETRY_MS: u64 = 1_000;
/// Longest wait of an idle instant producer before it looks whether the chain still exists.
const IDLE_MS: u64 = 500;

/// Makes the blocks of one chain.
pub(crate) struct Producer {
    committer: Committer,
    l1: DevL1,
    /// Whether a block failed since memory was made from what is on disk.
    stale: bool,
}

/// Why the producer stopped waiting.
enum Due {
    /// Those who wait for it, and whether it is made without transactions too.
    Block {
        waiting: Vec<oneshot::Sender<Result<(), String>>>,
        even_empty: bool,
    },
    Nothing,
    Stop,
}

impl Producer {
    /// Starts the thread. It holds no strong reference to the chain, so that dropping the last
    /// handle ends it.
    pub(crate) fn start(chain: &Arc<Inner>, committer: Committer) -> Result<JoinHandle<()>, OpenChainError> {
        let producer = Self { committer, l1: DevL1::new(chain.spec.genesis_time_s), stale: false };
        let weak = Arc::downgrade(chain);
        thread::Builder::new()
            .name("block-producer".into())
            .spawn(move || producer.run(&weak))
            .map_err(|source| OpenChainError::DataDir { path: chain.config.data_dir.clone(), source })
    }

    fn run(mut self, chain: &Weak<Inner>) {
        let _ended = Ended(chain.clone());
        while let Some(chain) = chain.upgrade() {
            match wait(&chain) {
                Due::Stop => return,
                Due::Nothing => {}
                Due::Block { waiting, even_empty } => {
                    let made = self.attempt(&chain, even_empty);
                    for mined in waiting {
                        mined.send(made.clone()).ok();
                    }
                    if made.is_err() {
                        pause(&chain);
                    }
                }
            }
        }
    }

    /// Makes a block, or notes for everyone to see why there is none.
    fn attempt(&mut self, chain: &Inner, even_empty: bool) -> Result<(), String> {
        let before = chain.trouble.borrow().clone();
        let made = match &before {
            None => self.produce(chain, even_empty),
            Some(trouble) if !chain.store.has_room() => return Err(trouble.clone()),
            // An empty block too shows that blocks can be written again.
            Some(_) => self.start_over_if_stale(chain).and_then(|()| self.produce(chain, true)),
        };
        let Err(error) = made else {
            if before.is_some() {
                tracing::info!("blocks are made again");
                chain.trouble.send_replace(None);
            }
            return Ok(());
        };
        tracing::error!(error = &error as &dyn std::error::Error, "could not build a block");
        let trouble = error.trouble();
        chain.trouble.send_replace(Some(trouble.clone()));
        self.stale = true;
        if let Err(error) = self.start_over_if_stale(chain) {
            tracing::error!(error = &error as &dyn std::error::Error, "could not start over from what is on disk");
        }
        Err(trouble)
    }

    /// Starts over from what is on disk: after a failure the tries in memory may be ahead of it, and the database takes no
    /// write before it is opened again.
    fn start_over_if_stale(&mut self, chain: &Inner) -> Result<(), BuildBlockError> {
        if !self.stale {
            return Ok(());
        }
        let number = chain.head.read().header.number + 1;
        let root = adopt_stored_head(chain).map_err(|source| BuildBlockError::Store { number, source })?;
        self.committer = Committer::new(root, chain.config.history_blocks);
        self.stale = false;
        Ok(())
    }

    /// Builds, commits and announces one block; without transactions only if `even_empty`.
    fn produce(&mut self, chain: &Inner, even_empty: bool) -> Result<(), BuildBlockError> {
        let (parent, base_fee) = {
            let head = chain.head.read();
            (head.header.clone(), head.next_base_fee_wei)
        };
        let number = parent.number + 1;
        let stored = |source: StoreError| BuildBlockError::Store { number, source };
        let mut best = chain.pool.lock().best(base_fee);
        if best.is_empty() && !even_empty {
            return Ok(());
        }
        let view = chain.store.latest().map_err(stored)?;
        let attributes = self.attributes(chain, &view, &parent)?;
        let started = Instant::now();
        let block = execute_block(&chain.spec, view, &parent, attributes, &mut best)?;
        let executed = started.elapsed();
        let hashed = self.committer.hash_on(&chain.store, &block.diff).map_err(stored)?;
        let passer_root = hashed.storage_root(&MESSAGE_PASSER).or(parent.withdrawals_root).unwrap_or(EMPTY_ROOT_HASH);
        let header = block.seal(hashed.root, passer_root);
        let hash_time = started.elapsed() - executed;
        let commit =
            CommitBlock { header: &header, body: &block.body, receipts: &block.receipts, diff: &block.diff, hashed };
        self.committer.commit_on(&chain.store, &commit).map_err(stored)?;
        tracing::debug!(
            number,
            transactions = block.body.transactions.len(),
            gas = header.gas_used,
            execute_us = executed.as_micros() as u64,
            hash_us = hash_time.as_micros() as u64,
            commit_us = (started.elapsed() - executed - hash_time).as_micros() as u64,
            "new block"
        );
        self.committer.trim();
        let new = BlockWithReceipts { header, body: block.body, receipts: block.receipts };
        announce(chain, new, &block.diff, best).map_err(stored)
    }

    fn attributes(
        &self,
        chain: &Inner,
        view: &StateView,
        parent: &Sealed<Header>,
    ) -> Result<BlockAttributes, BuildBlockError> {
        let timestamp_s = next_timestamp(chain, parent)?;
        let before = parent_origin(view, parent);
        let before = before.map_err(|source| BuildBlockError::Store { number: parent.number + 1, source })?;
        let origin = self.l1.origin(timestamp_s, before);
        Ok(BlockAttributes {
            timestamp_s,
            prev_randao: origin.prev_randao,
            parent_beacon_root: origin.parent_beacon_root,
            gas_limit: parent.gas_limit,
            extra_data: parent.extra_data.clone(),
            deposits: vec![l1_info_deposit(chain.spec.fork, &chain.config.system, &origin)],
        })
    }
}

/// Tells everyone that no further block comes, also when a fault ends the thread.
struct Ended(Weak<Inner>);

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(chain) = self.0.upgrade() else { return };
        if thread::panicking() {
            let trouble = "blocks are no longer made: a fault ended the thread that makes them; start the node again";
            tracing::error!("{trouble}");
            chain.trouble.send_replace(Some(trouble.into()));
        }
        chain.wake.call(|calls| {
            calls.stop = true;
            calls.mine.clear();
        });
    }
}

/// L1 number and sequence number of the parent, from its L1-info deposit.
fn parent_origin(view: &StateView, parent: &Sealed<Header>) -> Result<Option<(u64, u64)>, StoreError> {
    let body = view.body(parent.number)?;
    let values = body.transactions.first().and_then(|tx| L1Values::read(tx.input()));
    Ok(values.map(|values| (values.number, values.sequence_number)))
}

/// Time of the next block: after its parent, not before now, and with regular blocks on the
/// grid that starts at genesis. (A derived chain will demand exactly one step after the parent;
/// until then a node that was down continues at the present.)
fn next_timestamp(chain: &Inner, parent: &Header) -> Result<u64, BuildBlockError> {
    let now = chain.now().as_secs();
    let step = chain.config.block_time_s.max(1);
    let earliest = parent.timestamp().checked_add(step).ok_or_else(|| BuildBlockError::Execution {
        number: parent.number + 1,
        reason: format!("no block time comes after {}", parent.timestamp()),
    })?;
    let late_by = now.saturating_sub(earliest);
    Ok(earliest + late_by / step * step)
}

fn wait(chain: &Inner) -> Due {
    let mut calls = chain.wake.calls.lock();
    if chain.config.block_time_s == 0 {
        if !calls.transactions && calls.mine.is_empty() && !calls.stop {
            chain.wake.changed.wait_for(&mut calls, Duration::from_millis(IDLE_MS));
        }
        if calls.transactions && calls.mine.is_empty() && !calls.stop {
            let batch = Instant::now() + Duration::from_millis(chain.config.instant_batch_ms);
            while !calls.stop && !chain.wake.changed.wait_until(&mut calls, batch).timed_out() {}
        }
    } else if calls.mine.is_empty() && !calls.stop {
        let due = chain.head.read().header.timestamp.saturating_add(chain.config.block_time_s);
        let step = Duration::from_secs(chain.config.block_time_s);
        // One deadline a block, which does not follow the system's clock: with one that is behind the head, each
        // transaction that arrives would put the block off by a step.
        let deadline = Instant::now() + Duration::from_secs(due).saturating_sub(chain.now()).min(step);
        let is_due = |calls: &mut Calls| calls.stop || !calls.mine.is_empty();
        while !is_due(&mut calls) && !chain.wake.changed.wait_until(&mut calls, deadline).timed_out() {}
    }
    if calls.stop {
        return Due::Stop;
    }
    let even_empty = chain.config.block_time_s > 0 || !calls.mine.is_empty() || idle_too_long(chain);
    if !calls.transactions && !even_empty {
        return Due::Nothing;
    }
    calls.transactions = false;
    Due::Block { waiting: std::mem::take(&mut calls.mine), even_empty }
}

/// Waits a while after a failure. Then it is tried again, whether a transaction came meanwhile or not.
fn pause(chain: &Inner) {
    let mut calls = chain.wake.calls.lock();
    if !calls.stop {
        chain.wake.changed.wait_for(&mut calls, Duration::from_millis(RETRY_MS));
    }
    calls.transactions = true;
}

/// Opens the database again and takes its head over; gives the head's state root. The head is one block further than known
/// when a write went through and only its confirmation failed.
fn adopt_stored_head(chain: &Inner) -> Result<B256, StoreError> {
    chain.store.reopen()?;
    let view = chain.store.latest()?;
    let header = view.own_header()?;
    let (number, root) = (header.number, header.state_root);
    let known = chain.head.read().header.number;
    *chain.head.write() = Head::new(&chain.spec, &view, header.clone())?;
    let mut pool = chain.pool.lock();
    let senders = pool.senders();
    pool.advance(senders, |account| sender_state(&view, account))?;
    drop(pool);
    if number > known {
        let (body, receipts) = (view.body(number)?, view.receipts(number)?);
        chain.blocks.send(Arc::new(BlockWithReceipts { header, body, receipts })).ok();
    }
    Ok(root)
}

/// Whether an instant chain has gone without a block for as long as it may.
fn idle_too_long(chain: &Inner) -> bool {
    let idle_s = chain.config.idle_block_s;
    idle_s > 0 && chain.now().as_secs() >= chain.head.read().header.timestamp.saturating_add(idle_s)
}

/// Moves the head, cleans the pool and tells the subscribers.
fn announce(
    chain: &Inner,
    block: BlockWithReceipts,
    diff: &StateDiff,
    mut best: BestTransactions,
) -> Result<(), StoreError> {
    let view = chain.store.latest()?;
    *chain.head.write() = Head::new(&chain.spec, &view, block.header.clone())?;
    {
        let mut pool = chain.pool.lock();
        for (hash, reason) in best.take_dropped() {
            tracing::debug!(%hash, reason, "dropped a transaction");
            pool.remove(&hash);
        }
        pool.advance(diff.accounts.keys().copied(), |account| sender_state(&view, account))?;
    }
    let included = block.body.transactions.len() > 1;
    if included && best.has_more() {
        chain.wake.call(|calls| calls.transactions = true);
    }
    chain.blocks.send(Arc::new(block)).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, ChainConfig, DevelopmentError};

    #[tokio::test]
    async fn a_fault_that_ends_the_thread_is_told_to_everyone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let genesis = alloy_genesis::Genesis { gas_limit: 30_000_000, ..Default::default() };
        let chain = Chain::open(ChainConfig::new(dir.path(), genesis).instant()).expect("a fresh chain opens");
        let ended = Ended(Arc::downgrade(&chain.inner));
        let faulty = thread::spawn(move || {
            let _ended = ended;
            panic!("a fault");
        });
        faulty.join().expect_err("it panics");
        let trouble = chain.trouble().borrow().clone();
        assert!(trouble.is_some_and(|trouble| trouble.starts_with("blocks are no longer made: a fault")));
        assert!(matches!(chain.mine().await, Err(DevelopmentError::Closed)));
    }
}
