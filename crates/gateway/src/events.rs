//! What happens on the node, for pages that stay open: one task looks, everybody who listens gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openledger_settlement::ledger::EpochState;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::app::App;
use crate::error::ApiError;

/// Streams open at once, of jobs and of the node together.
pub(crate) const SUBSCRIBERS_MAX: usize = 256;
/// Events that a slow reader may be behind before it loses some.
const EVENTS_BEHIND_MAX: usize = 1024;
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Receipts told one by one after a pause; more are skipped, the pages read them from the listing.
const RECEIPTS_TOLD_MAX: usize = 100;
/// Pause between comments that keep a connection open.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// An event's name and data.
pub(crate) type NodeEvent = (&'static str, Value);

/// Where events come from and who listens.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<NodeEvent>,
    places: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self { sender, places: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)) }
    }
}

impl Events {
    /// A place among the subscribers, free again when dropped.
    ///
    /// # Errors
    /// 429 when all are taken.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let message = format!("{SUBSCRIBERS_MAX} streams are open already, which is the limit");
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| ApiError::busy(message, 5000))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.sender.subscribe()
    }

    /// Tells everybody.
    pub(crate) fn tell(&self, name: &'static str, data: Value) {
        // An error means that nobody listens.
        let _ = self.sender.send((name, data));
    }

    fn wanted(&self) -> bool {
        self.sender.receiver_count() > 0
    }
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    block: Option<u64>,
    sequence: Option<u64>,
    epochs: Option<BTreeMap<u64, EpochState>>,
}

/// Looks until the app is gone.
pub(crate) async fn watch(app: Weak<App>) {
    let mut seen = Seen::default();
    let mut clock = tokio::time::interval(LOOK_EVERY);
    loop {
        clock.tick().await;
        let Some(app) = app.upgrade() else { return };
        if app.events.wanted() {
            look(app, &mut seen).await;
        } else {
            // Who comes later hears of what comes later.
            seen = Seen::default();
        }
    }
}

async fn look(app: Arc<App>, seen: &mut Seen) {
    match app.chain.block_number().await {
        Ok(number) if seen.block != Some(number) => {
            app.events.tell("block", json!({"number": number}));
            seen.block = Some(number);
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the chain's head cannot be read"),
    }
    let (books, sequence) = (Arc::clone(&app), seen.sequence);
    let found = tokio::task::spawn_blocking(move || {
        let ledger = books.ledger();
        let last = ledger.last_sequence()?;
        let receipts = match sequence {
            Some(known) if known < last => ledger.receipts_page(None, known, RECEIPTS_TOLD_MAX)?,
            _ => Vec::new(),
        };
        Ok::<_, openledger_store::StoreError>((last, receipts, ledger.unsettled_epochs()?))
    });
    let Ok(Ok((last, receipts, epochs))) = found.await else { return };
    for signed in &receipts {
        app.events.tell("receipt", json!({"hash": signed.hash(), "model": signed.receipt.modelId}));
    }
    seen.sequence = Some(last);
    let now: BTreeMap<u64, EpochState> = epochs.iter().map(|epoch| (epoch.number, epoch.state)).collect();
    if let Some(before) = &seen.epochs {
        tell_epochs(&app, before, &now);
    }
    seen.epochs = Some(now);
}

fn tell_epochs(app: &App, before: &BTreeMap<u64, EpochState>, now: &BTreeMap<u64, EpochState>) {
    for (number, state) in now.iter().filter(|(number, state)| before.get(number) != Some(state)) {
        app.events.tell("epoch", json!({"number": number, "state": state}));
    }
    // An epoch leaves the unsettled ones by becoming final.
    for number in before.keys().filter(|number| !now.contains_key(number)) {
        app.events.tell("epoch", json!({"number": number, "state": EpochState::Final}));
    }
}

/// Passes on what happens to jobs.
pub(crate) async fn watch_jobs(app: Weak<App>) {
    let Some(mut jobs) = app.upgrade().map(|app| app.factory.subscribe()) else { return };
    loop {
        let event = match jobs.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let Some(app) = app.upgrade() else { return };
        if !app.events.wanted() {
            continue;
        }
        let shared = Arc::clone(&app);
        if let Ok(Ok(job)) = tokio::task::spawn_blocking(move || shared.factory.job(event.job)).await {
            let data = json!({"id": job.id, "state": job.state, "step": job.step, "steps": job.steps});
            app.events.tell("job", data);
        }
    }
}
