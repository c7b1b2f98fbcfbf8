//! The attribution desk: one thread with an engine of its own that attributes answers in the order they come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use openledger_attribution::attest::Attribution;
use openledger_engine::Exec;
use openledger_primitives::B256;
use openledger_serve::Completion;
use openledger_train::ArtifactError;
use tokio::sync::oneshot;

use crate::answer::{self, AttributionError};
use crate::catalog::{Catalog, Published};

/// Answers that wait to be attributed; one more is refused as busy.
pub(crate) const WAITING_MAX: usize = 256;

/// Why an answer was not attributed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeskError {
    /// Too many wait.
    #[error("{WAITING_MAX} answers wait to be attributed already, which is the limit")]
    Busy,
    /// The model's artifact is gone or damaged.
    #[error("the model's indexes cannot be read")]
    Artifact(#[from] ArtifactError),
    /// The attribution failed.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// The desk is gone.
    #[error("the server is shutting down")]
    Stopped,
}

/// An answer to attribute.
pub(crate) struct Task {
    pub(crate) model: Arc<Published>,
    pub(crate) prompt: Vec<u32>,
    pub(crate) completion: Completion,
    pub(crate) request_hash: B256,
}

type Reply = oneshot::Sender<Result<Attribution, DeskError>>;

/// Handle of the desk. The thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    queue: SyncSender<(Task, Reply)>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("model", &self.model.name).finish_non_exhaustive()
    }
}

impl Desk {
    /// Starts the desk's thread, which computes on `threads` threads.
    pub(crate) fn start(catalog: Arc<Catalog>, threads: usize) -> std::io::Result<Self> {
        let (queue, tasks) = sync_channel(WAITING_MAX);
        let work = move || attend(&catalog, threads, &tasks);
        std::thread::Builder::new().name("attribution".into()).spawn(work)?;
        Ok(Self { queue })
    }

    /// Attributes an answer.
    pub(crate) async fn attribute(&self, task: Task) -> Result<Attribution, DeskError> {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send((task, reply)).map_err(|error| match error {
            TrySendError::Full(_) => DeskError::Busy,
            TrySendError::Disconnected(_) => DeskError::Stopped,
        })?;
        outcome.await.map_err(|_| DeskError::Stopped)?
    }
}

fn attend(catalog: &Catalog, threads: usize, tasks: &Receiver<(Task, Reply)>) {
    let mut exec = Exec::new(threads);
    while let Ok((task, reply)) = tasks.recv() {
        // An asker that went away does not need the outcome.
        let _ = reply.send(attribute(catalog, &mut exec, &task));
    }
}

fn attribute(catalog: &Catalog, exec: &mut Exec, task: &Task) -> Result<Attribution, DeskError> {
    let artifact = catalog.artifact(&task.model)?;
    let Task { prompt, completion, request_hash, .. } = task;
    Ok(answer::attribute(catalog.base(), exec, &artifact, prompt, completion, *request_hash)?)
}
