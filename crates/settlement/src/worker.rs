//! The settlement worker: seals, closes, posts and finalises epochs, and finds its place again after any crash.
//!
//! Every step reads where the chain stands before it sends, and notes what it did afterwards. A crash between the
//! two repeats the reading, not the sending.

use std::sync::Arc;
use std::time::Duration;

use openledger_contracts::{EpochPost, VoucherClaim};
use openledger_store::StoreError;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::hub::{CLAIMS_MAX, HubClient, HubEpoch, HubError};
use crate::ledger::{CloseError, EpochRecord, EpochState, Ledger, Retention};

/// When epochs are sealed, and how often the worker looks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerOptions {
    /// An epoch is sealed at this many receipts.
    pub receipts_max: u64,
    /// An epoch is sealed this long after it was opened.
    pub age_max_s: u64,
    /// Pause between two steps, in milliseconds.
    pub poll_ms: u64,
    /// How long answers are kept for retries.
    #[serde(default)]
    pub retention: Retention,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { receipts_max: 10_000, age_max_s: 30, poll_ms: 1000, retention: Retention::default() }
    }
}

/// How settlement stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Receipts in epochs that are not on chain yet.
    pub receipts_waiting: u64,
    /// Epochs on chain in their challenge window.
    pub epochs_pending: u64,
    /// The latest final epoch, 0 for none.
    pub last_final: u64,
    /// What went wrong in the latest step, if anything.
    pub error: Option<String>,
}

/// Why a step stopped short. The next step tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The hub refused or could not be asked.
    #[error("epoch settlement met the hub's refusal")]
    Hub(#[from] HubError),
    /// An epoch could not be closed.
    #[error("epoch {epoch} could not be closed")]
    Close {
        /// Which epoch.
        epoch: u64,
        /// Why.
        #[source]
        source: CloseError,
    },
    /// The hub has an epoch of this number with other roots: two settlers, or other books.
    #[error("the hub's epoch {epoch} has other roots than these books")]
    OtherEpoch {
        /// Which epoch.
        epoch: u64,
    },
    /// The hub rejected a posted epoch after a challenge.
    #[error("the hub rejected epoch {epoch} after a challenge; it must be looked into before it is posted again")]
    Rejected {
        /// Which epoch.
        epoch: u64,
    },
    /// An epoch without the fields that its state requires.
    #[error("epoch {epoch} is {state:?} but has no post")]
    Damaged {
        /// Which epoch.
        epoch: u64,
        /// Its state.
        state: EpochState,
    },
    /// The database failed.
    #[error("the books could not be read or written")]
    Store(#[from] StoreError),
    /// A background task died.
    #[error("a background task of settlement ended early")]
    Task(#[from] JoinError),
}

/// Settles epochs, one step at a time.
pub struct SettlementWorker {
    ledger: Ledger,
    hub: Arc<dyn HubClient>,
    options: WorkerOptions,
    status: watch::Sender<WorkerStatus>,
}

impl std::fmt::Debug for SettlementWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettlementWorker").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SettlementWorker {
    /// A worker on these books.
    #[must_use]
    pub fn new(ledger: Ledger, hub: Arc<dyn HubClient>, options: WorkerOptions) -> Self {
        Self { ledger, hub, options, status: watch::Sender::default() }
    }

    /// Follows how settlement stands.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<WorkerStatus> {
        self.status.subscribe()
    }

    /// Steps until `stop` turns true; finishes the step under way first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.step().await {
                tracing::warn!(error = %Chain(&error), "settlement step stopped short");
            }
            let pause = tokio::time::sleep(Duration::from_millis(self.options.poll_ms));
            tokio::select! {
                () = pause => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
    }

    /// Does all that can be done now: seals what is due, closes, posts, finalises.
    ///
    /// # Errors
    /// [`WorkerError`]; what was done before stays done.
    pub async fn step(&self) -> Result<(), WorkerError> {
        let outcome = self.advance().await;
        let error = outcome.as_ref().err().map(|error| Chain(error).to_string());
        let status = self.blocking(move |ledger| status(ledger, error)).await?;
        self.status.send_if_modified(|current| std::mem::replace(current, status.clone()) != status);
        outcome
    }

    async fn advance(&self) -> Result<(), WorkerError> {
        let now = self.hub.now().await?;
        self.seal_if_due(now).await?;
        for epoch in self.blocking(Ledger::unsettled_epochs).await? {
            self.settle(epoch, now).await?;
        }
        let retention = self.options.retention;
        let report = self.blocking(move |ledger| ledger.forget_answers(&retention, now)).await?;
        if report.forgotten > 0 {
            tracing::info!(forgotten = report.forgotten, kept = report.answers, "answers are not kept any more");
        }
        Ok(())
    }

    /// Seals the open epoch whatever its age, for a shutdown or a demonstration.
    ///
    /// # Errors
    /// [`WorkerError::Store`].
    pub async fn seal(&self) -> Result<Option<u64>, WorkerError> {
        self.blocking(Ledger::seal_epoch).await
    }

    async fn seal_if_due(&self, now: u64) -> Result<(), WorkerError> {
        let open = self.blocking(Ledger::unsettled_epochs).await?;
        let Some(open) = open.into_iter().find(|epoch| epoch.state == EpochState::Open) else { return Ok(()) };
        let aged = now >= open.opened_at.saturating_add(self.options.age_max_s);
        if aged || open.receipts >= self.options.receipts_max || self.withdrawal_pending(now).await? {
            self.seal().await?;
        }
        Ok(())
    }

    /// True when a payer with unclaimed charges is taking its money out: its voucher must be claimed in time.
    async fn withdrawal_pending(&self, now: u64) -> Result<bool, WorkerError> {
        let mut pending = false;
        for channel in self.blocking(Ledger::unclaimed_channels).await? {
            let on_chain = self.hub.channel(&channel.config).await?;
            pending |= on_chain.withdraw_requested_at != 0;
            if on_chain != channel.on_chain {
                self.blocking(move |ledger| ledger.mirror(&channel.config, on_chain, now)).await?;
            }
        }
        Ok(pending)
    }

    async fn settle(&self, epoch: EpochRecord, now: u64) -> Result<(), WorkerError> {
        let number = epoch.number;
        match epoch.state {
            EpochState::Open | EpochState::Final => Ok(()),
            EpochState::Sealed => {
                let close = move |ledger: &Ledger| Ok::<_, StoreError>(ledger.close_epoch(number));
                let closed = self.blocking(close).await?;
                let closed = closed.map_err(|source| WorkerError::Close { epoch: number, source })?;
                tracing::info!(epoch = number, receipts = closed.post.receiptCount, fees = closed.post.fees, "closed");
                self.post(&closed.post).await
            }
            EpochState::Closed => self.post(&post_of(&epoch)?).await,
            EpochState::Posted => self.finalize(&post_of(&epoch)?, now).await,
        }
    }

    async fn post(&self, post: &EpochPost) -> Result<(), WorkerError> {
        if let Some(posted) = self.hub.epoch(post.epoch).await? {
            return self.note_posted(post, posted, None).await;
        }
        let claims = self.claims_left(post.epoch).await?;
        let ahead = claims.len().saturating_sub(CLAIMS_MAX).next_multiple_of(CLAIMS_MAX).min(claims.len());
        let (ahead, last) = claims.split_at(ahead);
        for claims in ahead.chunks(CLAIMS_MAX) {
            self.hub.claim_vouchers(claims).await?;
        }
        let tx = self.hub.post_epoch(post, last).await?;
        match self.hub.epoch(post.epoch).await? {
            Some(posted) => self.note_posted(post, posted, Some(tx)).await,
            None => Ok(()), // the chain turned back; the next step posts again
        }
    }

    /// The epoch's claims that the hub has not taken yet.
    async fn claims_left(&self, number: u64) -> Result<Vec<VoucherClaim>, WorkerError> {
        let mut left = Vec::new();
        for claim in self.blocking(move |ledger| ledger.epoch_claims(number)).await? {
            let on_chain = self.hub.channel(&claim.config).await?;
            if on_chain.total_claimed.0 < claim.totalClaimed {
                left.push(claim);
            }
        }
        Ok(left)
    }

    async fn note_posted(
        &self,
        post: &EpochPost,
        posted: HubEpoch,
        tx: Option<openledger_primitives::B256>,
    ) -> Result<(), WorkerError> {
        let number = post.epoch;
        if (posted.receipts_root, posted.balance_root) != (post.receiptsRoot, post.balanceRoot) {
            return Err(WorkerError::OtherEpoch { epoch: number });
        }
        tracing::info!(epoch = number, final_at = posted.final_at, "posted");
        self.blocking(move |ledger| ledger.note_posted(number, posted.final_at, tx)).await
    }

    async fn finalize(&self, post: &EpochPost, now: u64) -> Result<(), WorkerError> {
        let number = post.epoch;
        let Some(posted) = self.hub.epoch(number).await? else { return self.lost(number).await };
        if posted.is_final {
            return self.blocking(move |ledger| ledger.note_final(number, None)).await;
        }
        if now < posted.final_at {
            return Ok(());
        }
        let tx = self.hub.finalize_epoch(number).await?;
        tracing::info!(epoch = number, "final");
        self.blocking(move |ledger| ledger.note_final(number, Some(tx))).await
    }

    /// A posted epoch that the hub does not have: its transaction was lost with a block, or it was rejected. A lost
    /// transaction takes its claims with it; a rejection leaves them.
    async fn lost(&self, number: u64) -> Result<(), WorkerError> {
        let claims = self.blocking(move |ledger| ledger.epoch_claims(number)).await?;
        let left = self.claims_left(number).await?;
        if left.len() < claims.len() {
            return Err(WorkerError::Rejected { epoch: number });
        }
        self.blocking(move |ledger| ledger.note_forgotten(number)).await
    }

    /// Runs database work where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WorkerError> {
        let ledger = self.ledger.clone();
        Ok(tokio::task::spawn_blocking(move || work(&ledger)).await??)
    }
}

fn post_of(epoch: &EpochRecord) -> Result<EpochPost, WorkerError> {
    epoch.post.clone().ok_or(WorkerError::Damaged { epoch: epoch.number, state: epoch.state })
}

fn status(ledger: &Ledger, error: Option<String>) -> Result<WorkerStatus, StoreError> {
    let unsettled = ledger.unsettled_epochs()?;
    let (pending, waiting): (Vec<_>, Vec<_>) =
        unsettled.into_iter().partition(|epoch| epoch.state == EpochState::Posted);
    Ok(WorkerStatus {
        receipts_waiting: waiting.iter().map(|epoch| epoch.receipts).sum(),
        epochs_pending: pending.len() as u64,
        last_final: ledger.last_final_epoch()?,
        error,
    })
}

/// Prints an error with its sources.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
