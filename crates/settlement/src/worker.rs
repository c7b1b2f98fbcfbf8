//! The settlement worker: seals, closes, posts and finalises epochs, and finds its place again after any crash.
//!
//! Every step reads where the chain stands before it sends, and notes what it did afterwards. A crash between the
//! two repeats the reading, not the sending.

mod claims;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use openledger_contracts::{EpochPost, VoucherClaim};
use openledger_primitives::B256;
use openledger_store::StoreError;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::epoch::EPOCH_RECEIPTS_MAX;
use crate::hub::{CLAIMS_MAX, HubClient, HubEpoch, HubError, PENDING_MAX};
use crate::ledger::{CloseError, EpochRecord, EpochState, Ledger, RefusedClaim, Retention};

/// Epochs sealed and not final before the open one grows instead; the rest of what the hub lets be pending is for
/// sealing by hand.
pub const EPOCHS_WAITING_MAX: u64 = PENDING_MAX - 4;
/// Receipts at which an epoch is sealed however many wait: it must not fill up, or answers could not be charged.
const CROWDED_RECEIPTS_MAX: u64 = EPOCH_RECEIPTS_MAX as u64 / 2;

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
    /// The hub refuses vouchers, and what else was charged does not make up for them yet.
    #[error("epoch {epoch} waits for fees to make up for {vouchers} vouchers that the hub refuses")]
    Short {
        /// Which epoch.
        epoch: u64,
        /// How many vouchers are set aside.
        vouchers: usize,
        /// The hub's refusal of the epoch.
        #[source]
        source: HubError,
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
    /// Time of the chain at which charges were last claimed ahead of their epochs.
    ahead_at: AtomicU64,
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
        Self { ledger, hub, options, status: watch::Sender::default(), ahead_at: AtomicU64::new(0) }
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
        // A voucher that is set aside delays fees; its payer alone is served no more.
        let moves = matches!(outcome, Ok(()) | Err(WorkerError::Short { .. }));
        self.ledger.note_settling(moves, Instant::now());
        let error = outcome.as_ref().err().map(|error| Chain(error).to_string());
        let error = error.into_iter().chain(refusals(&self.ledger.refused_claims())).collect::<Vec<_>>();
        let error = (!error.is_empty()).then(|| error.join("; "));
        let status = self.blocking(move |ledger| status(ledger, error)).await?;
        self.status.send_if_modified(|current| std::mem::replace(current, status.clone()) != status);
        outcome
    }

    async fn advance(&self) -> Result<(), WorkerError> {
        let now = self.hub.now().await?;
        let settled = self.settle_all(now).await;
        let retention = self.options.retention;
        let report = self.blocking(move |ledger| ledger.forget_answers(&retention, now)).await?;
        if report.forgotten > 0 {
            tracing::info!(forgotten = report.forgotten, kept = report.answers, "answers are not kept any more");
        }
        settled
    }

    async fn settle_all(&self, now: u64) -> Result<(), WorkerError> {
        // First: it must not wait for epochs that cannot be posted.
        self.claim_in_time().await?;
        self.seal_if_due(now).await?;
        for epoch in self.blocking(Ledger::unsettled_epochs).await? {
            self.settle(epoch, now).await?;
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

    /// Seals the open epoch when it is old or full. While many epochs wait for the hub it goes on taking receipts instead:
    /// what must be claimed in time is claimed without it.
    async fn seal_if_due(&self, now: u64) -> Result<(), WorkerError> {
        let Some(open) = self.blocking(Ledger::open_epoch).await? else { return Ok(()) };
        let is_due =
            now >= open.opened_at.saturating_add(self.options.age_max_s) || open.receipts >= self.options.receipts_max;
        let has_room =
            open.receipts >= CROWDED_RECEIPTS_MAX || self.blocking(Ledger::epochs_waiting).await? < EPOCHS_WAITING_MAX;
        if is_due && has_room {
            self.seal().await?;
        }
        Ok(())
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
                self.post(&closed.post, now).await
            }
            EpochState::Closed => self.post(&post_of(&epoch)?, now).await,
            EpochState::Posted => self.finalize(&epoch, now).await,
        }
    }

    async fn post(&self, post: &EpochPost, now: u64) -> Result<(), WorkerError> {
        if let Some(posted) = self.hub.epoch(post.epoch).await? {
            return self.note_posted(post, posted, None).await;
        }
        if self.blocking(Ledger::epochs_pending).await? >= PENDING_MAX {
            return Ok(()); // it waits until another is final
        }
        let claims = self.claims_left(post.epoch).await?;
        let ahead = claims.len().saturating_sub(CLAIMS_MAX).next_multiple_of(CLAIMS_MAX).min(claims.len());
        let (ahead, last) = claims.split_at(ahead);
        self.claim(ahead).await?;
        let tx = match self.hub.post_epoch(post, last).await {
            Err(HubError::Reverted { .. }) => self.post_short(post, last, now).await?,
            outcome => outcome?,
        };
        match self.hub.epoch(post.epoch).await? {
            Some(posted) => self.note_posted(post, posted, Some(tx)).await,
            None => Ok(()), // the chain turned back; the next step posts again
        }
    }

    /// Posts an epoch that the hub refused as it was. If one of its vouchers was the reason, the others bring what they
    /// can, and what later charges bring makes up for the one, so that it delays the latest fees and stops nothing.
    async fn post_short(&self, post: &EpochPost, claims: &[VoucherClaim], now: u64) -> Result<B256, WorkerError> {
        self.claim(claims).await?;
        let refused = match self.hub.post_epoch(post, &[]).await {
            Err(error @ HubError::Reverted { .. }) => error,
            outcome => return Ok(outcome?),
        };
        let refused = match self.claim_ahead(now).await? {
            true => match self.hub.post_epoch(post, &[]).await {
                Err(error @ HubError::Reverted { .. }) => error,
                outcome => return Ok(outcome?),
            },
            false => refused,
        };
        match self.ledger.refused_claims().len() {
            0 => Err(refused.into()),
            vouchers => Err(WorkerError::Short { epoch: post.epoch, vouchers, source: refused }),
        }
    }

    async fn note_posted(&self, post: &EpochPost, posted: HubEpoch, tx: Option<B256>) -> Result<(), WorkerError> {
        let number = post.epoch;
        if (posted.receipts_root, posted.balance_root) != (post.receiptsRoot, post.balanceRoot) {
            return Err(WorkerError::OtherEpoch { epoch: number });
        }
        tracing::info!(epoch = number, final_at = posted.final_at, "posted");
        self.blocking(move |ledger| ledger.note_posted(number, posted.final_at, tx)).await
    }

    async fn finalize(&self, epoch: &EpochRecord, now: u64) -> Result<(), WorkerError> {
        let number = epoch.number;
        let Some(posted) = self.hub.epoch(number).await? else { return self.lost(epoch).await };
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

    /// A posted epoch that the hub does not have: it was rejected, or its transaction was lost with a block.
    async fn lost(&self, epoch: &EpochRecord) -> Result<(), WorkerError> {
        let number = epoch.number;
        if self.hub.is_rejected(number, epoch.post_tx).await? {
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

/// What the operator reads of vouchers that are set aside.
fn refusals(refused: &[RefusedClaim]) -> Option<String> {
    let first = refused.first()?;
    let RefusedClaim { channel, payer, owed, reason } = first;
    let more = match refused.len() {
        1 => String::new(),
        several => format!(", and {} more", several - 1),
    };
    Some(format!(
        "the hub refuses the voucher of channel {channel} for {owed} wei ({reason}){more}; its payer {payer} is served no \
         more, and where the channel is empty a deposit of what is missing lets the voucher be claimed"
    ))
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
