//! The engine thread: takes commands, admits requests, and runs one forward pass an iteration over all that run.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    time::Instant,
};

use openledger_engine::{Chunk, Exec, KV_BLOCK_TOKENS, KvPool, LogitRows, Logits, LoraAdapter, Model, SeqKv};
use tokio::sync::mpsc;

use crate::{
    adapters::{AdapterKey, Tiers},
    config::ServeConfig,
    error::{GenerateError, chain},
    metrics::MetricsSnapshot,
    request::{Completion, Event, Request},
    schedule::{FairQueue, Free, Readiness, Waiting, share_rows},
    sequence::Sequence,
};

/// Adapters that are loaded ahead of free slots.
const PREFETCH_AHEAD: usize = 2;

/// What the engine thread is told.
pub(crate) enum Command {
    /// A new request.
    Submit(Box<Submission>),
    /// A load ended, with the reason if it failed.
    Loaded { key: AdapterKey, error: Option<Arc<str>> },
    /// An adapter is expected to be needed soon.
    Prefetch(AdapterKey),
    /// End the thread.
    Stop,
}

/// A request with where to answer it.
pub(crate) struct Submission {
    pub(crate) request: Request,
    pub(crate) adapter: Option<AdapterKey>,
    pub(crate) events: mpsc::Sender<Event>,
    /// Set by a caller who wants no more than there is.
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) arrived: Instant,
}

impl Submission {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

struct Running<'m> {
    submission: Submission,
    sequence: Sequence<'m>,
    kv: SeqKv,
    blocks: usize,
    weights: Option<Arc<LoraAdapter>>,
    last_token_at: Option<Instant>,
}

/// How a running request ended.
enum End {
    Finished(Completion),
    Failed(GenerateError),
    Cancelled,
}

pub(crate) struct Worker<'m> {
    model: &'m Model,
    config: ServeConfig,
    tiers: Arc<Tiers>,
    queued: Arc<AtomicUsize>,
    metrics: Arc<Mutex<MetricsSnapshot>>,
    loads: SyncSender<AdapterKey>,
    exec: Exec,
    kv: KvPool,
    blocks_free: usize,
    queue: FairQueue<Submission>,
    running: Vec<Running<'m>>,
}

impl<'m> Worker<'m> {
    pub(crate) fn new(
        model: &'m Model,
        config: ServeConfig,
        tiers: Arc<Tiers>,
        queued: Arc<AtomicUsize>,
        metrics: Arc<Mutex<MetricsSnapshot>>,
        loads: SyncSender<AdapterKey>,
    ) -> Self {
        let blocks = config.kv_blocks(model.config());
        let exec = Exec::new(config.threads);
        let kv = KvPool::new(model.config(), blocks);
        let (queue, blocks_free) = (FairQueue::new(config.drain_after), kv.blocks());
        Self { model, config, tiers, queued, metrics, loads, exec, kv, blocks_free, queue, running: Vec::new() }
    }

    /// Serves until it is told to stop or every sender is gone.
    pub(crate) fn run(mut self, inbox: &Receiver<Command>) {
        let mut idle = true;
        while self.receive(inbox, idle) {
            self.drop_gone();
            self.end_cancelled();
            self.request_loads();
            self.admit();
            // Nothing runs after admission: only a command can change that.
            idle = self.running.is_empty();
            self.guarded_step();
            self.note_state();
        }
        self.give_up_all();
    }

    /// Takes every command that waits; blocks for one when idle. False to stop.
    fn receive(&mut self, inbox: &Receiver<Command>, idle: bool) -> bool {
        let mut next = if idle { inbox.recv().map_err(|_| TryRecvError::Disconnected) } else { inbox.try_recv() };
        loop {
            match next {
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
                Ok(command) => {
                    if !self.obey(command) {
                        return false;
                    }
                    next = inbox.try_recv();
                }
            }
        }
    }

    /// Carries out one command; false to stop.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Submit(submission) => self.enqueue(*submission),
            Command::Loaded { key, error } => self.loaded(&key, error),
            Command::Prefetch(key) => self.ask_for(key),
            Command::Stop => return false,
        }
        true
    }

    fn enqueue(&mut self, submission: Submission) {
        let tokens = submission.request.prompt.len() + submission.request.max_tokens as usize;
        let entry = Waiting {
            tenant: submission.request.tenant.clone(),
            adapter: submission.adapter.clone(),
            blocks: tokens.div_ceil(KV_BLOCK_TOKENS),
            overtaken: 0,
            item: submission,
        };
        let running: Vec<&str> = self.running.iter().map(|r| r.submission.request.tenant.as_str()).collect();
        self.queue.push(entry, &running);
    }

    fn loaded(&mut self, key: &AdapterKey, error: Option<Arc<str>>) {
        let Some(reason) = error else { return };
        for entry in self.queue.remove_where(|w| w.adapter.as_ref() == Some(key)) {
            self.leave_queue(&entry.item, GenerateError::Adapter { id: key.id.clone(), reason: Arc::clone(&reason) });
        }
    }

    fn leave_queue(&self, submission: &Submission, error: GenerateError) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.metrics().request_failed_total += 1;
        send(&submission.events, Event::Failed(error));
    }

    /// Fails a request that was pinned but never ran.
    fn refuse(&self, submission: &Submission, error: GenerateError) {
        submission.adapter.iter().for_each(|key| self.tiers.unpin(key));
        self.metrics().request_failed_total += 1;
        send(&submission.events, Event::Failed(error));
    }

    /// Forgets requests whose caller has gone, wherever they are.
    fn drop_gone(&mut self) {
        let gone = self.queue.remove_where(|w| w.item.events.is_closed()).len();
        self.queued.fetch_sub(gone, Ordering::Relaxed);
        self.metrics().request_cancelled_total += gone as u64;
        for index in (0..self.running.len()).rev() {
            if self.running[index].submission.events.is_closed() {
                self.retire(index, End::Cancelled);
            }
        }
    }

    /// Ends the answers whose callers want no more: where nothing was computed yet, without a token; else with at least
    /// one, because the prompt was.
    fn end_cancelled(&mut self) {
        for entry in self.queue.remove_where(|w| w.item.is_cancelled()) {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.metrics().request_cancelled_total += 1;
            send(&entry.item.events, Event::Failed(GenerateError::Cancelled));
        }
        for index in (0..self.running.len()).rev() {
            let running = &mut self.running[index];
            if running.submission.is_cancelled() && running.sequence.generated() > 0 {
                let completion = running.sequence.cut();
                self.retire(index, End::Finished(completion));
            }
        }
    }

    /// Asks the loader for adapters that waiting requests need, not much ahead of the slots that are free.
    fn request_loads(&mut self) {
        let ahead = self.free().slots + PREFETCH_AHEAD;
        let mut wanted: Vec<AdapterKey> = Vec::new();
        for key in self.queue.waiting().iter().filter_map(|w| w.adapter.as_ref()) {
            if !wanted.contains(key) && !self.is_running(key) {
                wanted.push(key.clone());
            }
            if wanted.len() == ahead {
                break;
            }
        }
        wanted.into_iter().for_each(|key| self.ask_for(key));
    }

    fn ask_for(&mut self, key: AdapterKey) {
        if self.tiers.begin_load(&key)
            && let Err(error) = self.loads.try_send(key)
        {
            // The loader's queue is full: a later iteration asks again.
            let (std::sync::mpsc::TrySendError::Full(key) | std::sync::mpsc::TrySendError::Disconnected(key)) = error;
            self.tiers.end_load(&key);
        }
    }

    fn admit(&mut self) {
        loop {
            let running: Vec<AdapterKey> = self.running.iter().filter_map(|r| r.submission.adapter.clone()).collect();
            let readiness = |key: &AdapterKey| readiness(&self.tiers, &running, key);
            let Some(entry) = self.queue.pop(self.free(), readiness) else { return };
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.start(entry);
        }
    }

    fn start(&mut self, entry: Waiting<Submission>) {
        let submission = entry.item;
        let weights = submission.adapter.as_ref().map(|key| self.tiers.pin(key));
        if matches!(weights, Some(None)) {
            // The adapter was dropped between two looks at the cache; the request waits for it again.
            self.queued.fetch_add(1, Ordering::Relaxed);
            return self.enqueue(submission);
        }
        let sequence = match Sequence::new(self.model.tokenizer(), &submission.request) {
            Ok(sequence) => sequence,
            Err(error) => return self.refuse(&submission, GenerateError::Engine { reason: chain(&error) }),
        };
        self.metrics().request_queue_time_seconds.observe(submission.arrived.elapsed().as_secs_f64());
        self.blocks_free -= entry.blocks;
        let kv = self.kv.alloc();
        self.running.push(Running {
            submission,
            sequence,
            kv,
            blocks: entry.blocks,
            weights: weights.flatten(),
            last_token_at: None,
        });
    }

    fn free(&self) -> Free {
        let mut adapters: Vec<&AdapterKey> =
            self.running.iter().filter_map(|r| r.submission.adapter.as_ref()).collect();
        adapters.sort_unstable();
        adapters.dedup();
        Free {
            sequences: self.config.max_sequences - self.running.len(),
            blocks: self.blocks_free,
            slots: self.config.max_slots.saturating_sub(adapters.len()),
        }
    }

    fn is_running(&self, key: &AdapterKey) -> bool {
        self.running.iter().any(|r| r.submission.adapter.as_ref() == Some(key))
    }

    /// One iteration. A panic in the engine fails the requests that run and leaves the server serving.
    fn guarded_step(&mut self) {
        if self.running.is_empty() {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
            tracing::error!(running = self.running.len(), "the engine panicked; its running requests fail");
            self.rebuild();
            self.fail_running("the pass panicked".into());
            self.blocks_free = self.kv.blocks();
        }
    }

    /// Replaces what a panic may have left half changed.
    fn rebuild(&mut self) {
        self.exec = Exec::new(self.config.threads);
        self.kv = KvPool::new(self.model.config(), self.kv.blocks());
        self.running.iter_mut().for_each(|r| r.kv = SeqKv::default());
    }

    fn step(&mut self) {
        let started = Instant::now();
        let pending: Vec<usize> = self.running.iter().map(|r| r.sequence.pending()).collect();
        let rows = share_rows(&pending, self.config.max_batch_rows, self.config.prefill_chunk);
        let (mut chunks, owners) = chunks(&mut self.running, &rows);
        let logits = match self.model.forward(&mut self.exec, &mut self.kv, &mut chunks) {
            Ok(logits) => logits,
            Err(error) => return self.fail_running(chain(&error)),
        };
        drop(chunks);
        let prompt_rows = self.advance(&rows);
        let sampled = self.sample(&owners, &logits);
        let mut metrics = self.metrics();
        metrics.prompt_tokens_total += prompt_rows as u64;
        metrics.generation_tokens_total += sampled as u64;
        metrics.iteration_tokens_total.observe(rows.iter().sum::<usize>() as f64);
        metrics.observe_throughput(sampled, started.elapsed().as_secs_f64());
    }

    /// Notes what was fed and charges it; returns the number of prompt rows.
    fn advance(&mut self, rows: &[usize]) -> usize {
        let mut prompt_rows = 0;
        for (running, &rows) in self.running.iter_mut().zip(rows) {
            prompt_rows += running.sequence.advance(rows);
            let submission = &running.submission;
            self.queue.charge(&submission.request.tenant, submission.adapter.as_ref(), rows as u64);
        }
        prompt_rows
    }

    /// Samples one token for each chunk that has logits; `owners` says whose chunk it is. Ended requests leave.
    fn sample(&mut self, owners: &[usize], logits: &LogitRows) -> usize {
        let now = Instant::now();
        let (mut ended, mut sampled) = (Vec::new(), 0);
        for (chunk, &owner) in owners.iter().enumerate() {
            let Some(row) = logits.last(chunk) else { continue };
            sampled += 1;
            match self.running[owner].sequence.accept(row) {
                Ok(step) => {
                    self.note_token(owner, now);
                    send(&self.running[owner].submission.events, step.event);
                    ended.extend(step.completion.map(|completion| (owner, End::Finished(completion))));
                }
                Err(error) => ended.push((owner, End::Failed(GenerateError::Engine { reason: chain(&error) }))),
            }
        }
        for (owner, end) in ended.into_iter().rev() {
            self.retire(owner, end);
        }
        sampled
    }

    fn note_token(&mut self, owner: usize, now: Instant) {
        let running = &mut self.running[owner];
        let before = running.last_token_at.replace(now);
        let arrived = running.submission.arrived;
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        match before {
            None => metrics.time_to_first_token_seconds.observe((now - arrived).as_secs_f64()),
            Some(before) => metrics.inter_token_latency_seconds.observe((now - before).as_secs_f64()),
        }
    }

    /// Ends a running request: frees what it held and tells its caller.
    fn retire(&mut self, index: usize, end: End) {
        let running = self.running.remove(index);
        self.kv.free(running.kv);
        self.blocks_free += running.blocks;
        if let Some(key) = &running.submission.adapter {
            self.tiers.unpin(key);
        }
        let submission = running.submission;
        let mut metrics = self.metrics();
        match end {
            End::Cancelled => metrics.request_cancelled_total += 1,
            End::Failed(error) => {
                metrics.request_failed_total += 1;
                send(&submission.events, Event::Failed(error));
            }
            End::Finished(completion) => {
                *metrics.request_success_total.entry(completion.finish).or_default() += 1;
                metrics.e2e_request_latency_seconds.observe(submission.arrived.elapsed().as_secs_f64());
                send(&submission.events, Event::Finished(completion));
            }
        }
    }

    fn fail_running(&mut self, reason: Arc<str>) {
        for index in (0..self.running.len()).rev() {
            self.retire(index, End::Failed(GenerateError::Engine { reason: Arc::clone(&reason) }));
        }
    }

    fn give_up_all(&mut self) {
        for index in (0..self.running.len()).rev() {
            self.retire(index, End::Failed(GenerateError::Stopped));
        }
        for entry in self.queue.remove_where(|_| true) {
            self.leave_queue(&entry.item, GenerateError::Stopped);
        }
        self.note_state();
    }

    fn note_state(&self) {
        let blocks = self.kv.blocks();
        let running = count(self.running.iter().filter_map(|r| r.submission.adapter.as_ref()));
        let waiting = count(self.queue.waiting().iter().filter_map(|w| w.adapter.as_ref()));
        let mut metrics = self.metrics();
        metrics.num_requests_running = self.running.len();
        metrics.kv_cache_usage_perc = 1.0 - self.blocks_free as f64 / blocks as f64;
        metrics.running_lora_adapters = running;
        metrics.waiting_lora_adapters = waiting;
    }

    fn metrics(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The chunks of the next pass, and which request each belongs to.
fn chunks<'a>(running: &'a mut [Running<'_>], rows: &[usize]) -> (Vec<Chunk<'a>>, Vec<usize>) {
    let mut chunks = Vec::with_capacity(rows.len());
    let mut owners = Vec::with_capacity(rows.len());
    for (index, (running, &rows)) in running.iter_mut().zip(rows).enumerate().filter(|(_, (_, rows))| **rows > 0) {
        let (tokens, last) = running.sequence.next_rows(rows);
        let logits = if last { Logits::Last } else { Logits::None };
        chunks.push(Chunk { tokens, kv: &mut running.kv, adapter: running.weights.as_deref(), logits });
        owners.push(index);
    }
    (chunks, owners)
}

fn readiness(tiers: &Tiers, running: &[AdapterKey], key: &AdapterKey) -> Readiness {
    if running.contains(key) {
        Readiness::Running
    } else if tiers.is_cached(key) {
        Readiness::Cached
    } else {
        Readiness::Absent
    }
}

fn count<'a>(keys: impl Iterator<Item = &'a AdapterKey>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key.id.to_string()).or_default() += 1;
    }
    counts
}

/// Sends without waiting: the channel has room for a whole answer, so only a caller that has gone makes it fail.
fn send(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.try_send(event);
}
