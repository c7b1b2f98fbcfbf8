//! How much work of requests goes on at a time.

use std::sync::Arc;

use jsonrpsee::{core::RpcResult, types::ErrorObjectOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{internal, limit_exceeded, server_error};

/// Lets a limited number of requests in, and of those a smaller number execute. Clones are the same gate.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    calls: Arc<Semaphore>,
    calls_max: usize,
    executions: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(calls_max: usize, executions_max: usize) -> Self {
        let (calls, executions) = (Arc::new(Semaphore::new(calls_max)), Arc::new(Semaphore::new(executions_max)));
        Self { calls, calls_max, executions }
    }

    /// Lets one request in that does its own work; it counts until what this returns is dropped.
    ///
    /// # Errors
    /// The limit if too many requests are being worked on.
    pub(super) fn enter(&self) -> RpcResult<OwnedSemaphorePermit> {
        self.calls.clone().try_acquire_owned().map_err(|_| {
            let limit = self.calls_max;
            limit_exceeded(format!("{limit} requests are being worked on, which is the most; try again later"))
        })
    }

    /// Runs short database work off the async threads.
    ///
    /// # Errors
    /// The limit if too many requests are being worked on, or what `work` fails with.
    pub(super) async fn read<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> RpcResult<T>
    where
        T: Send + 'static,
        E: Into<ErrorObjectOwned> + Send + 'static,
    {
        run(self.enter()?, work).await
    }

    /// Runs the EVM, or another long piece of work, off the async threads, a limited number at a time; more wait.
    ///
    /// # Errors
    /// The limit if too many requests are being worked on or wait, or what `work` fails with.
    pub(super) async fn execute<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> RpcResult<T>
    where
        T: Send + 'static,
        E: Into<ErrorObjectOwned> + Send + 'static,
    {
        let call = self.enter()?;
        let execution = self.executions.clone().acquire_owned().await;
        let execution = execution.map_err(|_| server_error("node is shutting down"))?;
        run((call, execution), work).await
    }
}

/// The work goes on when its client has left, so it holds the permits itself.
async fn run<T, E>(permits: impl Send + 'static, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> RpcResult<T>
where
    T: Send + 'static,
    E: Into<ErrorObjectOwned> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || {
        let _permits = permits;
        work()
    });
    done.await.map_err(|error| internal(error.to_string()))?.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Begins work that lasts until the sender is dropped, and whose client leaves.
    async fn leave_working(gate: &Gate) -> Sender<()> {
        let (end, ended) = channel();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let work = gate.execute(move || {
            begin.send(()).ok();
            ended.recv().ok();
            RpcResult::Ok(())
        });
        tokio::select! {
            _ = work => panic!("it ends only when it is told to"),
            begun = begun => begun.expect("it begins"),
        }
        end
    }

    #[tokio::test]
    async fn work_counts_until_it_ends_also_when_its_client_left() {
        let gate = Gate::new(2, 1);
        let end = leave_working(&gate).await;
        assert_eq!(gate.executions.available_permits(), 0);
        let mut next = Box::pin(gate.execute(|| RpcResult::Ok(7)));
        assert!(futures::poll!(&mut next).is_pending());
        let refused = gate.read(|| RpcResult::Ok(8)).await.expect_err("two are worked on");
        assert_eq!(refused.message(), "2 requests are being worked on, which is the most; try again later");
        drop(end);
        assert_eq!(next.await.expect("it is its turn"), 7);
        assert_eq!(gate.read(|| RpcResult::Ok(8)).await.expect("there is room"), 8);
    }
}
