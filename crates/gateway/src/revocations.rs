//! Follows the Datanet registry: a record that its contributor takes back on chain is taken back here, whoever sent the
//! transaction.
//!
//! How far the chain was looked through is kept in the database, so that nothing is missed over a restart.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openledger_datanet::{Datanets, RecordAccessError};
use openledger_sdk::{ChainError, REVOCATION_BLOCKS_MAX, Revocation};
use openledger_store::{Store, StoreError, number_value};
use tokio::sync::Mutex;
use tokio::task::JoinError;

use crate::app::App;
use crate::error::{ApiError, chain};

/// The first block that was not looked at.
pub(crate) const TABLES: &str = "
CREATE TABLE gateway_followed (one INTEGER PRIMARY KEY CHECK (one = 1), next_block INTEGER NOT NULL) STRICT;
INSERT INTO gateway_followed VALUES (1, 0);
";

/// Pause between two looks, shorter than the time of a block.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One look at a time.
#[derive(Debug, Default)]
pub(crate) struct Revocations(Mutex<()>);

/// Why the registry could not be followed; what was taken back before stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FollowError {
    /// The chain cannot be read.
    #[error("the registry's events cannot be read")]
    Chain(#[from] ChainError),
    /// A record cannot be taken back.
    #[error("a record that was taken back on chain cannot be taken back here")]
    Record(#[from] RecordAccessError),
    /// The database failed.
    #[error("how far the chain was followed cannot be noted")]
    Store(#[from] StoreError),
    /// A background task died.
    #[error("a background task ended early")]
    Task(#[from] JoinError),
}

/// Looks until the app is gone.
pub(crate) async fn watch(app: Weak<App>) {
    let mut clock = tokio::time::interval(LOOK_EVERY);
    let mut failing = false;
    loop {
        clock.tick().await;
        let Some(app) = app.upgrade() else { return };
        let outcome = catch_up(&app).await;
        if let Err(error) = &outcome
            && !failing
        {
            tracing::warn!(error = %chain(error), "revocations on chain are not followed; it is tried again");
        }
        failing = outcome.is_err();
    }
}

/// Takes back what was taken back on chain up to its latest block.
///
/// # Errors
/// [`FollowError`]; the next look goes on from there.
pub(crate) async fn catch_up(app: &Arc<App>) -> Result<(), FollowError> {
    let _one = app.revocations.0.lock().await;
    let head = app.chain.block_number().await?;
    let store = app.store.clone();
    let mut next = tokio::task::spawn_blocking(move || next_block(&store)).await??;
    while next <= head {
        let to = head.min(next + REVOCATION_BLOCKS_MAX - 1);
        let revoked = app.chain.datanets().revocations(next, to).await?;
        let shared = Arc::clone(app);
        tokio::task::spawn_blocking(move || take_back(&shared, &revoked, to + 1)).await??;
        next = to + 1;
    }
    Ok(())
}

fn next_block(store: &Store) -> Result<u64, StoreError> {
    store.read(|tx| tx.count("SELECT next_block FROM gateway_followed", []))
}

/// After a crash between the two the same blocks are looked at again: taking back twice changes nothing.
fn take_back(app: &App, revoked: &[Revocation], next: u64) -> Result<(), FollowError> {
    revoked.iter().try_for_each(|revocation| take_one_back(&app.datanets, revocation))?;
    let sql = "UPDATE gateway_followed SET next_block = ?1";
    app.store.with_tx(|tx| tx.execute(sql, [number_value("block", next)?]).map(drop))?;
    Ok(())
}

fn take_one_back(datanets: &Datanets, revocation: &Revocation) -> Result<(), RecordAccessError> {
    let Revocation { datanet, record, contributor } = *revocation;
    // Anybody can put the hash of somebody else's record into a batch of their own and take that back.
    let own = |datanets: &Datanets| Ok::<_, RecordAccessError>(datanets.statement(record)?.datanet == datanet);
    match own(datanets).and_then(|own| if own { datanets.revoke(record, contributor) } else { Ok(()) }) {
        Err(RecordAccessError::Unknown { .. } | RecordAccessError::NotContributor { .. }) => {
            tracing::debug!(%record, %contributor, "a revocation on chain is of no record of that contributor's here");
            Ok(())
        }
        outcome => outcome,
    }
}

impl From<FollowError> for ApiError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Chain(error) => error.into(),
            FollowError::Record(error) => error.into(),
            FollowError::Store(error) => error.into(),
            FollowError::Task(_) => Self::internal(&error),
        }
    }
}
