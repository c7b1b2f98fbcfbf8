//! A pool of threads for fork-join loops far shorter than a time slice.
//!
//! A loop's state is one word, `end << 32 | next`. Whoever moves one of the two towards the other, while they are apart,
//! owns the task between: the caller and every other worker from the front, the rest from the back, so that in loops over
//! the same rows a core mostly finds what it wrote itself. The caller takes part and returns once all tasks are done, so a
//! worker that the system does not run delays nobody. Which thread runs a task never shows in a result.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, Thread};

/// Most threads of a pool.
pub const THREADS_MAX: usize = 256;

/// Loops of more tasks run on the caller's thread.
const TASKS_MAX: usize = 1 << 31;

/// Where a loop's front starts: threads that come too late may move the back below it, each by one.
const BIAS: u64 = THREADS_MAX as u64;

/// Turns of the loop in which an idle worker looks for work before it sleeps: tens of microseconds.
const SPINS: u32 = 4000;

/// Turns in which the caller waits for the last tasks before it sleeps.
const CALLER_SPINS: u32 = 20_000;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

struct Job<'a> {
    task: &'a Task<'a>,
    tasks: usize,
    done: AtomicUsize,
    panicked: AtomicBool,
    caller: Thread,
}

/// From where a thread takes tasks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Front,
    Back,
}

struct Shared {
    word: AtomicU64,
    job: AtomicPtr<()>,
    stop: AtomicBool,
    sleepers: AtomicUsize,
}

/// Threads that run loops; the calling thread is one of them.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    busy: Mutex<()>,
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish()
    }
}

impl ThreadPool {
    /// A pool of that many threads in all, between 1 and [`THREADS_MAX`]; fewer if the system gives no more.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            word: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
        });
        let from = |thread: usize| if thread.is_multiple_of(2) { From::Front } else { From::Back };
        let workers =
            (1..threads.clamp(1, THREADS_MAX)).map_while(|thread| spawn(&shared, from(thread)).ok()).collect();
        Self { shared, workers, busy: Mutex::new(()) }
    }

    /// Threads, with the caller.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)` to `task(tasks - 1)`, in any order, on all threads, and returns when all are done.
    ///
    /// A loop started from within a task runs on the task's own thread.
    ///
    /// # Panics
    /// If a task panics, once all of them have ended.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        let busy = match tasks {
            0 | 1 => None,
            _ => match self.busy.try_lock() {
                Ok(guard) => Some(guard),
                // A loop whose task panicked has ended like any other: the lock guards nothing that it could have left.
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            },
        };
        match busy {
            Some(_guard) if !self.workers.is_empty() && tasks < TASKS_MAX => self.fork_join(tasks, &task),
            _ => (0..tasks).for_each(task),
        }
    }

    fn fork_join(&self, tasks: usize, task: &Task<'_>) {
        let (done, panicked) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = Job { task, tasks, done, panicked, caller: thread::current() };
        self.shared.job.store((&raw const job).cast_mut().cast(), Ordering::Relaxed);
        self.shared.word.store(((BIAS + tasks as u64) << 32) | BIAS, Ordering::SeqCst);
        if self.shared.sleepers.load(Ordering::SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread().unpark());
        }
        while let Some(index) = self.shared.claim(From::Front) {
            run_task(&job, index);
        }
        wait_until(|| job.done.load(Ordering::Acquire) == tasks);
        if job.panicked.load(Ordering::Relaxed) {
            resume_unwind(Box::new("a task of a parallel loop panicked"));
        }
    }

    /// Calls `task(i, chunk)` for every chunk of `data` (the last may be shorter).
    pub fn chunks<T: Send>(&self, data: &mut [T], chunk: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        let chunks = data.chunks_mut(chunk.max(1)).map(Some).map(Mutex::new).collect::<Vec<_>>();
        self.run(chunks.len(), |index| {
            if let Some(part) = chunks[index].lock().unwrap_or_else(PoisonError::into_inner).take() {
                task(index, part);
            }
        });
    }

    /// Calls `task(i, item)` for every item, each of which one thread owns meanwhile.
    pub fn each<T: Send>(&self, items: impl IntoIterator<Item = T>, task: impl Fn(usize, T) + Sync) {
        let items = items.into_iter().map(Some).map(Mutex::new).collect::<Vec<_>>();
        self.run(items.len(), |index| {
            if let Some(item) = items[index].lock().unwrap_or_else(PoisonError::into_inner).take() {
                task(index, item);
            }
        });
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker's panics are caught in `run_task`; there is nothing to learn from the join.
            let _ = worker.join();
        }
    }
}

fn spawn(shared: &Arc<Shared>, from: From) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("kernels".into()).spawn(move || work(&shared, from))
}

fn work(shared: &Shared, from: From) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(index) = shared.claim(from) {
            let job = shared.job.load(Ordering::Relaxed).cast_const().cast::<Job<'_>>();
            // SAFETY: the claim read the word that the caller stored after `job`, and the caller keeps `job` alive
            // until `done` counts this task, which `run_task` does last.
            run_task(unsafe { &*job }, index);
            idle = 0;
        } else if idle < SPINS {
            std::hint::spin_loop();
            idle += 1;
        } else {
            shared.sleep();
            idle = 0;
        }
    }
}

impl Shared {
    /// Takes a task of the running loop: its index.
    fn claim(&self, from: From) -> Option<usize> {
        let split = |word: u64| (word & u64::from(u32::MAX), word >> 32);
        let (next, end) = split(self.word.load(Ordering::Relaxed));
        if next >= end {
            return None;
        }
        let (next, end) = split(match from {
            From::Front => self.word.fetch_add(1, Ordering::Acquire),
            From::Back => self.word.fetch_sub(1 << 32, Ordering::Acquire),
        });
        let index = if from == From::Front { next } else { end.wrapping_sub(1) };
        (next < end).then(|| (index - BIAS) as usize)
    }

    fn has_work(&self) -> bool {
        let word = self.word.load(Ordering::SeqCst);
        (word & u64::from(u32::MAX)) < word >> 32
    }

    fn sleep(&self) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if !self.has_work() && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs one task and counts it. After the last count the job may be gone, so the caller's handle is taken before.
fn run_task(job: &Job<'_>, index: usize) {
    let (caller, tasks) = (job.caller.clone(), job.tasks);
    if catch_unwind(AssertUnwindSafe(|| (job.task)(index))).is_err() {
        job.panicked.store(true, Ordering::Relaxed);
    }
    if job.done.fetch_add(1, Ordering::AcqRel) + 1 == tasks && caller.id() != thread::current().id() {
        caller.unpark();
    }
}

fn wait_until(ready: impl Fn() -> bool) {
    for _ in 0..CALLER_SPINS {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
    while !ready() {
        thread::park();
    }
}
