//! ModelFactory: jobs live here, not in the page that asked for them. One worker thread runs them one after another.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use openledger_engine::{LoraAdapter, Model};
use openledger_primitives::{Address, B256};
use openledger_store::Store;
use tokio::sync::broadcast;

use crate::{
    data::{DataError, artifact_folder, split, write_records},
    encode::{EncodeReport, Encoder, Example, MaskedToken},
    estimate::Estimate,
    job::{Happening, JOB_RECORDS_MAX, Job, JobEvent, JobId, JobRequest, JobState},
    recipe::{Recipe, RecipeError},
    run::RunError,
    speed::{Clock, Measured, Speed},
    table::{Change, JobTable, TableError},
    work::{Control, Ending, Signal, Work, chain},
};

/// Events that a slow subscriber may be behind before it loses some (they stay in the database).
pub const EVENTS_BEHIND_MAX: usize = 1_024;

/// What ModelFactory may use.
#[derive(Debug, Clone)]
pub struct FactoryConfig {
    /// Where each job gets a folder.
    pub folder: PathBuf,
    /// Threads that compute.
    pub threads: usize,
    /// Most seconds of work that a crash loses.
    pub checkpoint_every_s: u64,
    /// Steps after which a checkpoint is written, whatever the time; 0 for time alone.
    pub checkpoint_every_steps: u64,
    /// Bytes of disk that stay free: a run that would need them is not taken, and one that comes to need
    /// them fails, to be resumed when there is room.
    pub disk_reserve_bytes: u64,
    /// Most bytes of memory that a run may need beside the base model: one that would need more is not taken, because the system
    /// would end the whole process in the middle of it.
    pub memory_bytes_max: u64,
    /// By which speeds are measured.
    pub clock: Clock,
}

/// Of the machine's memory, the part that a run may have: the base model, serving and the chain live beside it.
const MEMORY_SHARE_PERCENT: u64 = 60;
/// The limit where the machine does not say how much memory it has.
const MEMORY_BYTES_MAX_UNKNOWN: u64 = 8 << 30;

impl FactoryConfig {
    /// Two threads, a checkpoint every 30 seconds, 256 MiB of disk kept free, at most 60 % of the machine's memory.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            threads: 2,
            checkpoint_every_s: 30,
            checkpoint_every_steps: 0,
            disk_reserve_bytes: 256 << 20,
            memory_bytes_max: machine_memory_bytes()
                .map_or(MEMORY_BYTES_MAX_UNKNOWN, |bytes| bytes / 100 * MEMORY_SHARE_PERCENT),
            clock: Clock::default(),
        }
    }
}

/// Why ModelFactory did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The recipe breaks a limit.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The recipe names a base model that is not here.
    #[error("base model {given} is not served here; served are {}", list(served))]
    BaseModel {
        /// The hash given.
        given: B256,
        /// The hashes of the models here.
        served: Vec<B256>,
    },
    /// Too many records.
    #[error("{given} records were given; a job takes at most {limit}")]
    TooManyRecords {
        /// How many.
        given: usize,
        /// The limit.
        limit: usize,
    },
    /// The records cannot train.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The job database failed, or refuses.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The job's files failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The folder or the worker could not be set up.
    #[error("could not {operation}")]
    Setup {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Too little disk.
    #[error("the run needs {needed} bytes of disk and {reserve} stay free; {free} are free in {folder}")]
    Disk {
        /// Bytes that the run needs.
        needed: u64,
        /// Bytes that stay free.
        reserve: u64,
        /// Bytes free.
        free: u64,
        /// Where.
        folder: PathBuf,
    },
    /// Too little memory.
    #[error(
        "the run needs {needed} bytes of memory; {limit} may be used: fewer records, a lower lora.rank, fewer checkpoints or a \
         narrower attribution.policy.influence need less"
    )]
    Memory {
        /// Bytes that the run needs.
        needed: u64,
        /// Bytes that may be used.
        limit: u64,
    },
}

fn list(hashes: &[B256]) -> String {
    hashes.iter().map(B256::to_string).collect::<Vec<_>>().join(", ")
}

/// A running ModelFactory. Cheap to clone; the last clone to go stops its worker at the next step, with a checkpoint.
#[derive(Clone)]
pub struct ModelFactory {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// What the worker and the handles share.
pub(crate) struct Shared {
    pub(crate) models: Vec<Model>,
    pub(crate) config: FactoryConfig,
    pub(crate) table: JobTable,
    pub(crate) events: broadcast::Sender<JobEvent>,
    pub(crate) control: Control,
    wake: Condvar,
    pending: Mutex<bool>,
    stopping: AtomicBool,
}

impl ModelFactory {
    /// Starts the worker, which goes on with what was interrupted. The store must have been opened with
    /// [`TRAIN_SCHEMA`](crate::TRAIN_SCHEMA).
    ///
    /// # Errors
    /// [`FactoryError`] if the folder, the database or the thread cannot be set up.
    pub fn start(models: Vec<Model>, store: Store, config: FactoryConfig) -> Result<Self, FactoryError> {
        fs::create_dir_all(&config.folder).map_err(setup("create the folder"))?;
        let table = JobTable::new(store, config.folder.clone());
        table.requeue_interrupted()?;
        let (events, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        let shared = Arc::new(Shared {
            models,
            config,
            table,
            events,
            control: Control::default(),
            wake: Condvar::new(),
            pending: Mutex::new(true),
            stopping: AtomicBool::new(false),
        });
        let of_worker = Arc::clone(&shared);
        let worker = std::thread::Builder::new().name("modelfactory".into());
        let worker = worker.spawn(move || of_worker.work()).map_err(setup("start the worker thread"))?;
        Ok(Self { inner: Arc::new(Inner { shared, worker: Mutex::new(Some(worker)) }) })
    }

    /// Takes a job: its records are on disk and its place in the queue is kept when this returns.
    ///
    /// # Errors
    /// [`FactoryError`] if the recipe is invalid, nothing of the records is learnt, the memory is too small, or the disk or the
    /// queue is full.
    pub fn submit(&self, request: &JobRequest) -> Result<JobId, FactoryError> {
        self.submit_for(None, request)
    }

    /// As [`submit`](Self::submit), in the name of `owner`.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_for(&self, owner: Option<Address>, request: &JobRequest) -> Result<JobId, FactoryError> {
        let shared = &self.inner.shared;
        let (_, estimate) = self.estimate(request)?;
        shared.check_room(&estimate)?;
        let id = shared.table.insert(&request.recipe, &request.terms, owner)?;
        write_records(&shared.folder(id), &request.records, &request.held_out)?;
        shared.change(id, &[JobState::Paused], JobState::Queued, "queued")?;
        shared.wake();
        Ok(id)
    }

    /// What a job would cost and what becomes of its records, without running it.
    ///
    /// # Errors
    /// [`FactoryError`] if the recipe is invalid or nothing of the records is learnt.
    pub fn estimate(&self, request: &JobRequest) -> Result<(EncodeReport, Estimate), FactoryError> {
        let shared = &self.inner.shared;
        let recipe = &request.recipe;
        recipe.validate()?;
        let given = request.records.len() + request.held_out.len();
        if given > JOB_RECORDS_MAX {
            return Err(FactoryError::TooManyRecords { given, limit: JOB_RECORDS_MAX });
        }
        let model = shared.model(recipe)?;
        let data = split(recipe, request.records.clone(), request.held_out.clone());
        let (examples, report) = Encoder::new(model, recipe).encode_all(&data.train);
        if examples.is_empty() {
            return Err(RunError::NothingLearnt { records: data.train.len() }.into());
        }
        // Before a step is measured: what the index refuses costs nothing.
        recipe.index_row_dims(model)?;
        let adapter = LoraAdapter::zeros(model.config(), &recipe.lora_config()?).map_err(RunError::from)?;
        let speed = shared.speed(model, recipe, &examples)?;
        Ok((report, Estimate::new(model, recipe, &examples, &adapter, speed)?))
    }

    /// The first `limit` records that train, token by token with which of them are learnt.
    ///
    /// # Errors
    /// [`FactoryError`] if the recipe is invalid or nothing of the records is learnt.
    pub fn preview_masks(&self, request: &JobRequest, limit: usize) -> Result<Vec<Vec<MaskedToken>>, FactoryError> {
        let recipe = &request.recipe;
        recipe.validate()?;
        let encoder = Encoder::new(self.inner.shared.model(recipe)?, recipe);
        let masks = request.records.iter().filter_map(|record| encoder.preview_mask(&record.body).ok());
        let masks: Vec<Vec<MaskedToken>> = masks.take(limit).collect();
        if masks.is_empty() {
            return Err(RunError::NothingLearnt { records: request.records.len() }.into());
        }
        Ok(masks)
    }

    /// The base models that can be trained.
    pub fn models(&self) -> &[Model] {
        &self.inner.shared.models
    }

    /// One job.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if there is none of that number.
    pub fn job(&self, id: JobId) -> Result<Job, FactoryError> {
        Ok(self.inner.shared.table.job(id)?)
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if the database fails.
    pub fn jobs(&self) -> Result<Vec<Job>, FactoryError> {
        Ok(self.inner.shared.table.jobs()?)
    }

    /// Events of a job after number `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if the database fails.
    pub fn events(&self, id: JobId, after: u64, limit: usize) -> Result<Vec<JobEvent>, FactoryError> {
        Ok(self.inner.shared.table.events(id, after, limit)?)
    }

    /// Events of all jobs from now on. A subscriber that falls behind reads what it missed with [`events`](Self::events).
    pub fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.inner.shared.events.subscribe()
    }

    /// Stops a job where it is, so that [`resume`](Self::resume) goes on from there. A running job pauses after its step.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if it neither waits nor runs.
    pub fn pause(&self, id: JobId) -> Result<(), FactoryError> {
        self.inner.shared.ask(id, Signal::Pause, JobState::Paused, "paused")
    }

    /// Stops a job for good.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if it is done or cancelled already.
    pub fn cancel(&self, id: JobId) -> Result<(), FactoryError> {
        self.inner.shared.ask(id, Signal::Cancel, JobState::Cancelled, "cancelled")
    }

    /// Ends a running job's training after its step and makes the artifact from what was learnt so far.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if it does not run.
    pub fn stop_and_save(&self, id: JobId) -> Result<(), FactoryError> {
        let shared = &self.inner.shared;
        if shared.control.give(id, Signal::Finish) {
            return Ok(());
        }
        let state = shared.table.job(id)?.state;
        Err(TableError::State { id, state, wanted: "stopped and saved" }.into())
    }

    /// Puts a paused or failed job back in the queue; it goes on from its last checkpoint.
    ///
    /// # Errors
    /// [`FactoryError::Table`] if it is in another state.
    pub fn resume(&self, id: JobId) -> Result<(), FactoryError> {
        let shared = &self.inner.shared;
        shared.change(id, &[JobState::Paused, JobState::Failed], JobState::Queued, "resumed")?;
        shared.wake();
        Ok(())
    }

    /// Stops the worker after its step, with a checkpoint; the job goes on at the next start.
    pub fn shutdown(&self) {
        self.inner.stop();
    }
}

impl std::fmt::Debug for ModelFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelFactory").field("config", &self.inner.shared.config).finish_non_exhaustive()
    }
}

impl Inner {
    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.control.stop_all();
        self.shared.wake();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            // A panic of the worker was caught and noted for its job; there is nothing left to stop.
            let _ = worker.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn model(&self, recipe: &Recipe) -> Result<&Model, FactoryError> {
        let served = || self.models.iter().map(Model::hash).collect();
        let found = self.models.iter().find(|m| m.hash() == recipe.base_model);
        found.ok_or_else(|| FactoryError::BaseModel { given: recipe.base_model, served: served() })
    }

    pub(crate) fn folder(&self, id: JobId) -> PathBuf {
        self.config.folder.join(format!("job-{id}"))
    }

    /// Checks that a run has the memory and the disk that it needs.
    pub(crate) fn check_room(&self, estimate: &Estimate) -> Result<(), FactoryError> {
        let (needed, limit) = (estimate.memory_bytes, self.config.memory_bytes_max);
        if needed > limit {
            return Err(FactoryError::Memory { needed, limit });
        }
        self.check_disk(estimate.disk_bytes)
    }

    pub(crate) fn check_disk(&self, needed: u64) -> Result<(), FactoryError> {
        let (folder, reserve) = (self.config.folder.clone(), self.config.disk_reserve_bytes);
        let free = free_bytes(&folder).map_err(setup("ask for the free disk space"))?;
        if free < needed.saturating_add(reserve) {
            return Err(FactoryError::Disk { needed, reserve, free, folder });
        }
        Ok(())
    }

    /// How fast a model trains here: as its jobs were, or, before the first has ended, as one short step is.
    pub(crate) fn speed(&self, model: &Model, recipe: &Recipe, examples: &[Example]) -> Result<Speed, FactoryError> {
        let (hash, threads) = (model.hash(), self.config.threads);
        if let Some(known) = self.table.speed(hash, threads)? {
            return Ok(known);
        }
        let measured = Speed::probe(model, recipe, examples, threads, &self.config.clock)?;
        self.table.note_speed(hash, threads, &measured)?;
        Ok(measured)
    }

    /// Takes over how fast a job was.
    pub(crate) fn note_speed(&self, model: &Model, train: Measured, index: Measured) -> Result<(), FactoryError> {
        let (hash, threads) = (model.hash(), self.config.threads);
        match Speed::after(self.table.speed(hash, threads)?, train, index) {
            Some(speed) => Ok(self.table.note_speed(hash, threads, &speed)?),
            None => Ok(()),
        }
    }

    /// Notes an event and tells subscribers.
    pub(crate) fn note(&self, id: JobId, step: Option<u64>, happening: Happening) -> Result<(), TableError> {
        let event = self.table.note(id, step, happening)?;
        // An error means that nobody listens.
        let _ = self.events.send(event);
        Ok(())
    }

    pub(crate) fn change(
        &self,
        id: JobId,
        from: &[JobState],
        to: JobState,
        wanted: &'static str,
    ) -> Result<(), TableError> {
        self.changed(id, from, Change { to, wanted, reason: None, artifact: None })
    }

    fn changed(&self, id: JobId, from: &[JobState], change: Change<'_>) -> Result<(), TableError> {
        let event = self.table.change(id, from, change)?;
        // An error means that nobody listens.
        let _ = self.events.send(event);
        Ok(())
    }

    /// Tells the worker, if it is at that job; else changes the state of the job that waits.
    fn ask(&self, id: JobId, signal: Signal, to: JobState, wanted: &'static str) -> Result<(), FactoryError> {
        if self.control.give(id, signal) {
            return Ok(());
        }
        let from: &[JobState] = match to {
            JobState::Cancelled => &[JobState::Queued, JobState::Paused, JobState::Failed],
            _ => &[JobState::Queued],
        };
        self.change(id, from, to, wanted)?;
        if to == JobState::Cancelled {
            self.forget(id)?;
        }
        Ok(())
    }

    /// Removes what a cancelled job kept, its copy of the records above all.
    pub(crate) fn forget(&self, id: JobId) -> Result<(), FactoryError> {
        match fs::remove_dir_all(self.folder(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(setup("remove the job's folder")(error)),
            _ => Ok(()),
        }
    }

    fn wake(&self) {
        *self.pending() = true;
        self.wake.notify_all();
    }

    fn pending(&self) -> MutexGuard<'_, bool> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker thread.
    fn work(&self) {
        while !self.stopping.load(Ordering::SeqCst) {
            match self.table.next_queued() {
                Ok(Some(id)) => self.run_job(id),
                Ok(None) => self.sleep(),
                Err(error) => {
                    tracing::error!(%error, "the job database failed; the worker waits for the next request");
                    self.sleep();
                }
            }
        }
    }

    fn sleep(&self) {
        let pending = self.pending();
        let mut pending = self.wake.wait_while(pending, |pending| !*pending).unwrap_or_else(PoisonError::into_inner);
        *pending = false;
    }

    fn run_job(&self, id: JobId) {
        let job = match self.change(id, &[JobState::Queued], JobState::Running, "run").and_then(|()| self.table.job(id))
        {
            Ok(job) => job,
            // It was cancelled or paused between two looks.
            Err(error) => return tracing::warn!(job = id.0, %error, "the job was not started"),
        };
        self.control.begin(id);
        let model = self.model(&job.recipe);
        let ending = model.map_err(|e| e.to_string()).and_then(|model| Work::new(self, model, &job).run_caught());
        let asked = self.control.end();
        let (to, reason) = match self.state_after(id, ending, asked) {
            Ok(state) => (state, None),
            Err(reason) => (JobState::Failed, Some(reason)),
        };
        let artifact = (to == JobState::Done).then(|| artifact_folder(&self.folder(id)));
        let change = Change { to, wanted: "ended", reason: reason.as_deref(), artifact: artifact.as_deref() };
        if let Err(error) = self.changed(id, &[JobState::Running], change) {
            tracing::error!(job = id.0, %error, "the job's end was not noted; it runs again at the next start");
        }
    }

    /// The state that a job goes to from the worker. Whoever paused or cancelled it was told that it will be, also when that
    /// came while the artifact was written.
    fn state_after(&self, id: JobId, ending: Result<Ending, String>, asked: Signal) -> Result<JobState, String> {
        match (ending, asked) {
            (_, Signal::Cancel) => {
                self.forget(id).map_err(|error| chain(&error))?;
                Ok(JobState::Cancelled)
            }
            (Err(reason), _) => Err(reason),
            (Ok(_), Signal::Pause) => Ok(JobState::Paused),
            (Ok(Ending::Whole), _) => Ok(JobState::Done),
            (Ok(Ending::Left), _) => Ok(JobState::Queued),
        }
    }
}

fn setup(operation: &'static str) -> impl FnOnce(io::Error) -> FactoryError {
    move |source| FactoryError::Setup { operation, source }
}

/// The memory of the machine, or of the container where that is less, as Linux says it.
fn machine_memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let total: u64 = total.map(|kib: u64| kib << 10)?;
    // "max" where there is no limit.
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|bytes| bytes.trim().parse().ok());
    Some(container.map_or(total, |bytes: u64| bytes.min(total)))
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
