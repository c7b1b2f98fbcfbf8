//! The handle to a running server.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc::{SyncSender, TrySendError, sync_channel},
};
use std::{thread::JoinHandle, time::Instant};

use openledger_engine::Model;
use tokio::sync::mpsc;

use crate::{
    adapters::{AdapterId, AdapterInfo, AdapterKey, AdapterSpec, Tiers},
    config::{COMMANDS_SPARE, LOADS_MAX, ServeConfig, StartError},
    error::{GenerateError, RegisterError, SubmitError, UnloadError},
    loader,
    metrics::MetricsSnapshot,
    request::{Completion, Event, Request},
    worker::{Command, Submission, Worker},
};

/// Most time that a busy caller is told to wait.
const RETRY_AFTER_MS_MAX: u64 = 60_000;

/// A running server. Cheap to clone; the last clone to go stops it.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    model: Model,
    config: ServeConfig,
    tiers: Arc<Tiers>,
    queued: Arc<AtomicUsize>,
    metrics: Arc<Mutex<MetricsSnapshot>>,
    commands: SyncSender<Command>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts the engine thread and the adapter loader thread.
    ///
    /// # Errors
    /// [`StartError`] if a limit is too small or a thread cannot be started.
    pub fn start(model: Model, config: ServeConfig) -> Result<Self, StartError> {
        config.validate(model.config())?;
        let tiers = Arc::new(Tiers::new(config.adapter_cache_bytes));
        let queued = Arc::new(AtomicUsize::new(0));
        let metrics = Arc::new(Mutex::new(MetricsSnapshot::new(config.max_slots)));
        let (commands, inbox) = sync_channel(config.max_queue + COMMANDS_SPARE);
        let (loads, wanted) = sync_channel(LOADS_MAX);
        let (engine_model, engine_config, engine_tiers) = (model.clone(), config.clone(), Arc::clone(&tiers));
        let (engine_queued, engine_metrics) = (Arc::clone(&queued), Arc::clone(&metrics));
        let engine = spawn("openlora-engine", move || {
            Worker::new(&engine_model, engine_config, engine_tiers, engine_queued, engine_metrics, loads).run(&inbox);
        })?;
        let (loader_model, loader_tiers, loader_commands) = (model.clone(), Arc::clone(&tiers), commands.clone());
        let rank_max = config.max_rank;
        let load = spawn("openlora-loader", move || {
            loader::run(&loader_model, rank_max, &loader_tiers, &wanted, &loader_commands)
        })?;
        let threads = Mutex::new(vec![engine, load]);
        Ok(Self { inner: Arc::new(Inner { model, config, tiers, queued, metrics, commands, threads }) })
    }

    /// The base model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// The limits that it keeps.
    pub fn config(&self) -> &ServeConfig {
        &self.inner.config
    }

    /// Whether [`Server::submit`] would take a request, apart from how busy it is.
    ///
    /// # Errors
    /// [`SubmitError`]: unknown adapter, or a request that breaks a limit.
    pub fn check(&self, request: &Request) -> Result<(), SubmitError> {
        request.validate(self.inner.model.config().vocab, self.inner.config.max_context)?;
        request.adapter.as_ref().map_or(Ok(()), |id| self.resolve(id).map(drop))
    }

    /// Puts a request in the queue. Never waits; dropping the [`Generation`] cancels the request.
    ///
    /// # Errors
    /// [`SubmitError`]: busy, unknown adapter, or a request that breaks a limit.
    pub fn submit(&self, request: Request) -> Result<Generation, SubmitError> {
        let inner = &*self.inner;
        request.validate(inner.model.config().vocab, inner.config.max_context)?;
        let adapter = request.adapter.as_ref().map(|id| self.resolve(id)).transpose()?;
        self.take_place()?;
        // Room for every token and the end: the engine thread never waits for a reader.
        let (events, received) = mpsc::channel(request.max_tokens as usize + 1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let generation = Generation { received, cancelled: Arc::clone(&cancelled) };
        let submission = Submission { request, adapter, events, cancelled, arrived: Instant::now() };
        match inner.commands.try_send(Command::Submit(Box::new(submission))) {
            Ok(()) => Ok(generation),
            Err(error) => {
                inner.queued.fetch_sub(1, Ordering::Relaxed);
                Err(match error {
                    TrySendError::Full(_) => self.busy(),
                    TrySendError::Disconnected(_) => SubmitError::Stopped,
                })
            }
        }
    }

    /// Registers an adapter, so that requests can name it. Reads the file only if its hash was not given; call it from a
    /// thread that may block in that case.
    ///
    /// # Errors
    /// [`RegisterError`]: another base model, other weights under the same name, or a file that is no usable adapter.
    pub fn register(&self, spec: AdapterSpec) -> Result<AdapterInfo, RegisterError> {
        let inner = &*self.inner;
        let base = inner.model.hash();
        if let Some(adapter_base) = spec.base_model.filter(|&hash| hash != base) {
            return Err(RegisterError::BaseModel { id: spec.id, adapter_base, base });
        }
        let weights_hash = match spec.weights_hash {
            Some(hash) if spec.path.exists() => hash,
            expected => {
                let actual = loader::read(&spec.id, &spec.path, &inner.model, inner.config.max_rank)?.hash();
                loader::same_weights(&spec.id, expected.unwrap_or(actual), actual)?;
                actual
            }
        };
        inner.tiers.register(&spec, weights_hash)?;
        inner.tiers.info(&spec.id).ok_or(RegisterError::Stopped)
    }

    /// Forgets an adapter. Requests that run with it finish; those that wait for it fail.
    ///
    /// # Errors
    /// [`UnloadError::Unknown`] if no adapter has that name.
    pub fn unload(&self, id: &AdapterId) -> Result<(), UnloadError> {
        self.inner.tiers.unload(id)
    }

    /// Asks for an adapter to be in memory before its first request. Returns at once; a full loader queue ignores it.
    ///
    /// # Errors
    /// [`SubmitError::UnknownAdapter`] if no adapter has that name.
    pub fn prefetch(&self, id: &AdapterId) -> Result<(), SubmitError> {
        let key = self.resolve(id)?;
        // A full queue means that the server has better to do than prefetching.
        let _ = self.inner.commands.try_send(Command::Prefetch(key));
        Ok(())
    }

    /// Every registered adapter, by name.
    pub fn adapters(&self) -> Vec<AdapterInfo> {
        self.inner.tiers.list()
    }

    /// One registered adapter.
    pub fn adapter(&self, id: &AdapterId) -> Option<AdapterInfo> {
        self.inner.tiers.info(id)
    }

    /// Counters and histograms now.
    pub fn metrics(&self) -> MetricsSnapshot {
        let mut snapshot = self.inner.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = self.inner.tiers.counts();
        snapshot.num_requests_waiting = self.inner.queued.load(Ordering::Relaxed);
        snapshot.adapters_registered = counts.registered;
        snapshot.adapters_cached = counts.cached;
        snapshot.adapter_cache_bytes = counts.cached_bytes;
        snapshot.adapter_loads_total = counts.loads;
        snapshot.adapter_evictions_total = counts.evictions;
        snapshot
    }

    /// Stops: requests that run or wait fail with [`GenerateError::Stopped`]. Returns when the threads have ended.
    pub fn shutdown(&self) {
        self.inner.stop();
    }

    fn resolve(&self, id: &AdapterId) -> Result<AdapterKey, SubmitError> {
        self.inner.tiers.resolve(id).ok_or_else(|| SubmitError::UnknownAdapter { id: id.clone() })
    }

    fn take_place(&self) -> Result<(), SubmitError> {
        let inner = &*self.inner;
        let take = |n: usize| (n < inner.config.max_queue).then_some(n + 1);
        match inner.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.busy()),
        }
    }

    fn busy(&self) -> SubmitError {
        let queued = self.inner.queued.load(Ordering::Relaxed);
        let rounds = queued.div_ceil(self.inner.config.max_sequences) as u64;
        let retry_after_ms = (rounds * 1_000).clamp(1_000, RETRY_AFTER_MS_MAX);
        SubmitError::Busy { queued, limit: self.inner.config.max_queue, retry_after_ms }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Inner {
    fn stop(&self) {
        // An error means that the engine thread has ended already.
        let _ = self.commands.send(Command::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic of the thread was logged by it; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.into()).spawn(body).map_err(|source| StartError::Thread { name, source })
}

/// The stream of events that answers one request. Dropping it cancels the request.
#[derive(Debug)]
pub struct Generation {
    received: mpsc::Receiver<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Generation {
    /// Asks for no more tokens. The answer then ends with those that there are, at least one, and
    /// [`FinishReason::Cancelled`](crate::FinishReason::Cancelled), unless it ends by itself first; a request that still
    /// waits fails with [`GenerateError::Cancelled`]. Read on for the end.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The next event; none after the end.
    pub async fn next(&mut self) -> Option<Event> {
        self.received.recv().await
    }

    /// Like [`next`](Self::next), from a thread that may block.
    pub fn next_blocking(&mut self) -> Option<Event> {
        self.received.blocking_recv()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`GenerateError`] if the answer was given up.
    pub async fn finish(mut self) -> Result<Completion, GenerateError> {
        while let Some(event) = self.next().await {
            if let Some(end) = ending(event) {
                return end;
            }
        }
        Err(GenerateError::Stopped)
    }

    /// Like [`finish`](Self::finish), from a thread that may block.
    ///
    /// # Errors
    /// [`GenerateError`] if the answer was given up.
    pub fn finish_blocking(mut self) -> Result<Completion, GenerateError> {
        while let Some(event) = self.next_blocking() {
            if let Some(end) = ending(event) {
                return end;
            }
        }
        Err(GenerateError::Stopped)
    }
}

fn ending(event: Event) -> Option<Result<Completion, GenerateError>> {
    match event {
        Event::Token { .. } => None,
        Event::Finished(completion) => Some(Ok(completion)),
        Event::Failed(error) => Some(Err(error)),
    }
}
