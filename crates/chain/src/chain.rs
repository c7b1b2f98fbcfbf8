//! The chain's handle: open, submit, read, follow, shut down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::KECCAK_EMPTY;
use op_alloy_consensus::OpReceiptEnvelope;
use op_revm::L1BlockInfo;
use parking_lot::{Condvar, Mutex, RwLock};
use rayon::prelude::*;
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    config::ChainConfig,
    error::{DevelopmentError, OpenChainError, StoreError, SubmitError},
    pool::{Journal, Pool, PoolStatus, PooledTx, SenderState, Validator, recover},
    producer::Producer,
    spec::{ChainSpec, MESSAGE_PASSER, genesis_state},
    state::absent_account,
    store::{BlockBody, CommitBlock, Committer, StateView, Store},
};

/// Blocks that a slow subscriber may lag before it misses some.
const BLOCK_EVENTS_MAX: usize = 1_024;
/// Pool events that a slow subscriber may lag before it misses some.
const TX_EVENTS_MAX: usize = 16_384;
/// Seconds that a development chain's clock may be ahead in all: ten years, more than any lock or window lasts. Blocks keep
/// their time for good, so a clock that is far ahead leaves a chain without use.
const CLOCK_AHEAD_MAX_S: u64 = 10 * 365 * 86_400;
/// Prefix of an account that delegates to code (EIP-7702).
const DELEGATION_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];

/// A running chain. Cheap to clone; all clones are the same chain.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(crate) inner: Arc<Inner>,
}

/// A block with its receipts.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockWithReceipts {
    /// Its header and hash.
    pub header: Sealed<Header>,
    /// Its transactions and their senders.
    pub body: BlockBody,
    /// Their receipts.
    pub receipts: Vec<OpReceiptEnvelope>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ChainConfig,
    pub(crate) spec: ChainSpec,
    pub(crate) store: Store,
    pub(crate) pool: Arc<Mutex<Pool>>,
    pub(crate) head: RwLock<Head>,
    pub(crate) wake: Wake,
    pub(crate) blocks: broadcast::Sender<Arc<BlockWithReceipts>>,
    pub(crate) pending: broadcast::Sender<B256>,
    /// Why no block can be made at present.
    pub(crate) trouble: watch::Sender<Option<String>>,
    pub(crate) clock_ahead_s: AtomicU64,
    journal: Mutex<Option<Journal>>,
    producer: Mutex<Option<JoinHandle<()>>>,
}

/// The newest block and what follows from it for new transactions.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) header: Sealed<Header>,
    pub(crate) validator: Validator,
    pub(crate) next_base_fee_wei: u64,
}

/// What wakes the block producer.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) calls: Mutex<Calls>,
    pub(crate) changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) transactions: bool,
    pub(crate) mine: Vec<oneshot::Sender<Result<(), String>>>,
    pub(crate) stop: bool,
}

impl Chain {
    /// Opens the chain in `config.data_dir`, writing the genesis block if the directory is empty,
    /// takes back acknowledged transactions from the journal and starts to make blocks.
    ///
    /// # Errors
    /// See [`OpenChainError`].
    pub fn open(config: ChainConfig) -> Result<Self, OpenChainError> {
        let spec = ChainSpec::from_genesis(&config.genesis)?;
        let store = Store::open(&config.data_dir, config.cache_bytes)?;
        write_genesis(&config, &spec, &store)?;
        let view = store.latest()?;
        let header = check_head(&view)?;
        let head = Head::new(&spec, &view, header)?;
        let committer = Committer::new(head.header.state_root, config.history_blocks);
        let pool = Arc::new(Mutex::new(Pool::new(config.pool)));
        let journaled = Journal::read(&config.data_dir)?;
        let inner = Arc::new(Inner {
            spec,
            store,
            pool: pool.clone(),
            head: RwLock::new(head),
            wake: Wake::default(),
            blocks: broadcast::Sender::new(BLOCK_EVENTS_MAX),
            pending: broadcast::Sender::new(TX_EVENTS_MAX),
            trouble: watch::Sender::new(None),
            clock_ahead_s: AtomicU64::new(0),
            journal: Mutex::new(None),
            producer: Mutex::new(None),
            config,
        });
        inner.reinsert(journaled);
        *inner.journal.lock() = Some(Journal::start(&inner.config.data_dir, pool)?);
        *inner.producer.lock() = Some(Producer::start(&inner, committer)?);
        Ok(Self { inner })
    }

    /// Stops making blocks, and closes the journal. What was acknowledged is on disk already.
    pub fn shutdown(&self) {
        self.inner.stop();
    }

    /// The rules of this chain.
    pub fn spec(&self) -> &ChainSpec {
        &self.inner.spec
    }

    /// The newest block's header.
    pub fn head(&self) -> Sealed<Header> {
        self.inner.head.read().header.clone()
    }

    /// Base fee of the next block, in wei.
    pub fn next_base_fee_wei(&self) -> u64 {
        self.inner.head.read().next_base_fee_wei
    }

    /// The state at the head, and all blocks; later blocks do not change it.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn latest(&self) -> Result<StateView, StoreError> {
        self.inner.store.latest()
    }

    /// The state at the end of block `number`.
    ///
    /// # Errors
    /// [`StoreError::Pruned`] or [`StoreError::AheadOfHead`] if there is no such state.
    pub fn state_at(&self, number: u64) -> Result<StateView, StoreError> {
        self.inner.store.at(number)
    }

    /// Offers a signed transaction (EIP-2718 bytes). When this returns, the transaction is on disk
    /// and survives a crash.
    ///
    /// # Errors
    /// [`SubmitError`] with the rule that it breaks.
    pub async fn submit(&self, encoded: Bytes) -> Result<B256, SubmitError> {
        let internal = |error: tokio::task::JoinError| SubmitError::Internal(error.to_string());
        let inner = self.inner.clone();
        // A task of its own: what is in the pool must be settled also when its sender no longer waits for the answer.
        let settled = tokio::spawn(async move {
            let offering = inner.clone();
            let offered = tokio::task::spawn_blocking(move || offering.offer(encoded)).await;
            let (hash, written) = offered.map_err(internal)??;
            let outcome = written.await.map_err(|_| SubmitError::Closed).flatten();
            inner.acknowledge(hash, outcome)
        });
        settled.await.map_err(internal)?
    }

    /// [`Chain::submit`] for callers outside an async runtime.
    ///
    /// # Errors
    /// [`SubmitError`] with the rule that it breaks.
    pub fn submit_blocking(&self, encoded: Bytes) -> Result<B256, SubmitError> {
        let (hash, written) = self.inner.offer(encoded)?;
        let outcome = written.blocking_recv().map_err(|_| SubmitError::Closed).flatten();
        self.inner.acknowledge(hash, outcome)
    }

    /// How many transactions wait.
    pub fn pool_status(&self) -> PoolStatus {
        self.inner.pool.lock().status()
    }

    /// The next nonce of `account`, its waiting transactions counted.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn pending_nonce(&self, account: &Address) -> Result<u64, StoreError> {
        // In this order: a block that is made between the two moves transactions from the pool into the state.
        let pending = self.inner.pool.lock().pending_nonce(account);
        let mined = self.inner.sender_state(account)?.nonce;
        Ok(pending.map_or(mined, |pending| pending.max(mined)))
    }

    /// New blocks from now on. A receiver that lags by more than 1,024 blocks misses some and hears it.
    pub fn subscribe_blocks(&self) -> broadcast::Receiver<Arc<BlockWithReceipts>> {
        self.inner.blocks.subscribe()
    }

    /// Hashes of transactions that the pool takes from now on.
    pub fn subscribe_pending(&self) -> broadcast::Receiver<B256> {
        self.inner.pending.subscribe()
    }

    /// Why no block can be made at present, such as a full disk; `None` while all is well. Meanwhile new transactions are
    /// refused, what was acknowledged is kept, and it is tried again by itself.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.inner.trouble.subscribe()
    }

    /// Moves the clock of later blocks ahead and returns how far it is ahead in all, in seconds.
    ///
    /// # Errors
    /// [`DevelopmentError`] unless this is a development chain, or beyond ten years in all.
    pub fn increase_time(&self, seconds: u64) -> Result<u64, DevelopmentError> {
        if !self.inner.config.development {
            return Err(DevelopmentError::NotDevelopment);
        }
        let further = |ahead: u64| ahead.checked_add(seconds).filter(|ahead| *ahead <= CLOCK_AHEAD_MAX_S);
        let moved = self.inner.clock_ahead_s.fetch_update(Ordering::Relaxed, Ordering::Relaxed, further);
        moved.map(|before| before + seconds).map_err(|ahead| DevelopmentError::TooFarAhead {
            ahead,
            asked: seconds,
            limit: CLOCK_AHEAD_MAX_S,
        })
    }

    /// Makes a block now, also an empty one.
    ///
    /// # Errors
    /// [`DevelopmentError`] unless this is a development chain that can make blocks.
    pub async fn mine(&self) -> Result<(), DevelopmentError> {
        if !self.inner.config.development {
            return Err(DevelopmentError::NotDevelopment);
        }
        let (done, mined) = oneshot::channel();
        self.inner.wake.call(|calls| {
            if !calls.stop {
                calls.mine.push(done);
            }
        });
        mined.await.map_err(|_| DevelopmentError::Closed)?.map_err(DevelopmentError::NoBlocks)
    }
}

impl Wake {
    pub(crate) fn call(&self, change: impl FnOnce(&mut Calls)) {
        change(&mut self.calls.lock());
        self.changed.notify_all();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.wake.call(|calls| calls.stop = true);
        let producer = self.producer.lock().take();
        if let Some(producer) = producer.filter(|p| p.thread().id() != std::thread::current().id()) {
            producer.join().ok();
        }
        self.journal.lock().take();
    }

    /// The time since 1970, moved ahead on development chains.
    pub(crate) fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now + Duration::from_secs(self.clock_ahead_s.load(Ordering::Relaxed))
    }

    pub(crate) fn sender_state(&self, sender: &Address) -> Result<SenderState, StoreError> {
        sender_state(&self.store.latest()?, sender)
    }

    /// Checks a transaction, puts it into the pool and queues its journal record.
    fn offer(&self, encoded: Bytes) -> Result<(B256, oneshot::Receiver<Result<(), SubmitError>>), SubmitError> {
        if let Some(trouble) = self.trouble.borrow().clone() {
            return Err(SubmitError::NoBlocks(trouble));
        }
        let tx = self.check(encoded.clone())?;
        let hash = tx.hash();
        self.insert(tx)?;
        let journal = self.journal.lock();
        let appended = journal.as_ref().ok_or(SubmitError::Closed).and_then(|journal| journal.append(encoded));
        drop(journal);
        let written = appended.inspect_err(|_| self.take_back(&hash))?;
        Ok((hash, written))
    }

    fn check(&self, encoded: Bytes) -> Result<PooledTx, SubmitError> {
        let tx = recover(&encoded)?;
        let validator = self.head.read().validator.clone();
        if self.pool.lock().contains(&tx.inner().tx_hash()) {
            return Err(SubmitError::AlreadyKnown);
        }
        validator.check(tx, encoded)
    }

    /// Puts a checked transaction into the pool. The sender's state is read while the pool is locked:
    /// otherwise a block could come between the two, and the pool would keep a state that is gone.
    fn insert(&self, tx: PooledTx) -> Result<(), SubmitError> {
        let internal = |error: StoreError| SubmitError::Internal(error.to_string());
        let mut pool = self.pool.lock();
        let view = self.store.latest().map_err(internal)?;
        let sender = tx.tx.signer();
        let account = view.account(&sender).map_err(internal)?.unwrap_or_else(absent_account);
        if account.code_hash != KECCAK_EMPTY {
            let code = view.code(&account.code_hash).map_err(internal)?.unwrap_or_default();
            if !code.starts_with(&DELEGATION_PREFIX) {
                return Err(SubmitError::SenderHasCode(sender));
            }
        }
        let state = SenderState { nonce: account.nonce, balance: account.balance };
        pool.insert(tx, state)
    }

    /// After the journal answered: the transaction counts, or it is taken back.
    fn acknowledge(&self, hash: B256, outcome: Result<(), SubmitError>) -> Result<B256, SubmitError> {
        if let Err(error) = outcome {
            self.take_back(&hash);
            return Err(error);
        }
        self.pool.lock().settle(&hash);
        self.pending.send(hash).ok();
        self.wake.call(|calls| calls.transactions = true);
        Ok(hash)
    }

    /// A transaction that cannot be journaled goes; what was acknowledged and had to go for it comes back.
    fn take_back(&self, hash: &B256) {
        if let Err(error) = self.pool.lock().take_back(hash, |sender| self.sender_state(sender)) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "could not take displaced transactions back into the pool");
        }
        self.wake.call(|calls| calls.transactions = true);
    }

    /// Takes journaled transactions back; those that were mined or became invalid fall away.
    fn reinsert(&self, journaled: Vec<Bytes>) {
        let checked: Vec<_> = journaled.into_par_iter().map(|bytes| self.check(bytes)).collect();
        let mut kept = 0usize;
        for tx in checked.into_iter().flatten() {
            let hash = tx.hash();
            kept += usize::from(self.insert(tx).is_ok());
            self.pool.lock().settle(&hash);
        }
        if kept > 0 {
            tracing::info!(transactions = kept, "took back acknowledged transactions");
            self.wake.call(|calls| calls.transactions = true);
        }
    }
}

pub(crate) fn sender_state(view: &StateView, sender: &Address) -> Result<SenderState, StoreError> {
    let account = view.account(sender)?;
    Ok(account
        .map_or_else(SenderState::default, |account| SenderState { nonce: account.nonce, balance: account.balance }))
}

impl Head {
    pub(crate) fn new(spec: &ChainSpec, view: &StateView, header: Sealed<Header>) -> Result<Self, StoreError> {
        let mut db = revm::database::WrapDatabaseRef(view);
        let op_spec = spec.op_spec();
        let l1 = L1BlockInfo::try_fetch(&mut db, U256::from(header.number), op_spec)?;
        let validator = Validator {
            chain_id: spec.chain_id,
            block_gas_limit: header.gas_limit,
            spec: op_spec,
            l1,
            base_fee_floor_wei: spec.base_fee_floor(&header),
        };
        Ok(Self { next_base_fee_wei: spec.next_base_fee(&header), header, validator })
    }
}

fn write_genesis(config: &ChainConfig, spec: &ChainSpec, store: &Store) -> Result<(), OpenChainError> {
    use alloy_consensus::Sealable;
    let diff = genesis_state(&config.genesis);
    let existing = store.genesis_hash()?;
    let empty = Committer::new(alloy_trie::EMPTY_ROOT_HASH, config.history_blocks);
    let (root, passer_root, hashed) = match existing {
        None => {
            let mut committer = empty;
            let hashed = committer.hash_on(store, &diff)?;
            let passer = hashed.storage_root(&MESSAGE_PASSER);
            (hashed.root, passer.unwrap_or(alloy_trie::EMPTY_ROOT_HASH), Some((committer, hashed)))
        }
        Some(_) => {
            let passer = diff.accounts.get(&MESSAGE_PASSER);
            let slots = passer.iter().flat_map(|account| &account.storage);
            let slots = slots.map(|(slot, value)| (B256::from(*slot), *value));
            let passer = alloy_trie::root::storage_root_unhashed(slots);
            (crate::state::root_from_scratch(&diff), passer, None)
        }
    };
    let header = spec.genesis_header(&config.genesis, root, passer_root)?.seal_slow();
    match (existing, hashed) {
        (Some(found), _) if found != header.hash() => {
            Err(OpenChainError::OtherGenesis { path: config.data_dir.clone(), found, expected: header.hash() })
        }
        (None, Some((committer, hashed))) => {
            let body = BlockBody::default();
            let block = CommitBlock { header: &header, body: &body, receipts: &[], diff: &diff, hashed };
            Ok(committer.commit_on(store, &block)?)
        }
        _ => Ok(()),
    }
}

/// The head, after checking that the stored state is the one that it commits to.
fn check_head(view: &StateView) -> Result<Sealed<Header>, OpenChainError> {
    let header = view.own_header()?;
    let stored = view.stored_root()?;
    if stored != header.state_root {
        return Err(OpenChainError::StateMismatch { number: header.number, header: header.state_root, stored });
    }
    Ok(header)
}
