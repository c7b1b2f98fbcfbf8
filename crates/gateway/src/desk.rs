//! The attribution desk: one thread with an engine of its own that attributes answers in the order they come.

use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// The attribution panicked: a defect, of which the log has the place.
    #[error("the attribution panicked")]
    Panicked,
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

type Reply<O> = oneshot::Sender<Result<O, DeskError>>;

/// Handle of the desk. The thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    queue: SyncSender<(Task, Reply<Attribution>)>,
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
        let work = move || attend(threads, &tasks, |exec, task| attribute(&catalog, exec, task));
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

/// Does tasks until nobody can bring one. A panic fails its task alone: without this thread every answer would be
/// generated, and none could be charged.
fn attend<T, O>(threads: usize, tasks: &Receiver<(T, Reply<O>)>, work: impl Fn(&mut Exec, &T) -> Result<O, DeskError>) {
    let mut exec = Exec::new(threads);
    while let Ok((task, reply)) = tasks.recv() {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut exec, &task))).unwrap_or_else(|_| {
            // The panic may have left it half changed.
            exec = Exec::new(threads);
            Err(DeskError::Panicked)
        });
        // An asker that went away does not need the outcome.
        let _ = reply.send(outcome);
    }
}

fn attribute(catalog: &Catalog, exec: &mut Exec, task: &Task) -> Result<Attribution, DeskError> {
    let artifact = catalog.artifact(&task.model)?;
    let Task { prompt, completion, request_hash, .. } = task;
    Ok(answer::attribute(catalog.base(), exec, &artifact, prompt, completion, *request_hash)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_task_and_the_next_one_is_done() {
        let (queue, tasks) = sync_channel(1);
        let desk = std::thread::spawn(move || {
            attend(1, &tasks, |_, &task: &u32| if task == 0 { panic!("as the test wants") } else { Ok(task) });
        });
        let ask = async |task: u32| {
            let (reply, outcome) = oneshot::channel();
            queue.send((task, reply)).expect("the desk is there");
            outcome.await.expect("every task is replied to")
        };
        assert!(matches!(ask(0).await, Err(DeskError::Panicked)));
        assert!(matches!(ask(7).await, Ok(7)));
        drop(queue);
        assert!(desk.join().is_ok());
    }
}
