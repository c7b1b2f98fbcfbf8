//! How fast a machine trains: measured by a short pass, then by the jobs that ended here.

use std::{fmt, sync::Arc, time::Duration};

use openledger_engine::Model;

use crate::{
    encode::Example,
    recipe::Recipe,
    run::{Run, RunError},
};

/// Tokens of a measurement; a short record more or less does not matter.
const PROBE_TOKENS: usize = 64;
/// Weight of the latest job against all before it.
const LATEST: f64 = 0.5;
/// The shortest time that counts; a clock may not tell two readings apart.
const SECONDS_MIN: f64 = 1e-6;

/// A clock that never goes back: time since some fixed moment. Times are shown to people; nothing is decided by them.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Time since the clock's fixed moment.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Default for Clock {
    /// The machine's.
    fn default() -> Self {
        let started = std::time::Instant::now();
        Self::new(move || started.elapsed())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish()
    }
}

/// How fast a base model trains on some number of threads.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Speed {
    /// Tokens a second of training steps.
    pub train_tokens_per_s: f64,
    /// Tokens a second of the influence index.
    pub index_tokens_per_s: f64,
    /// Jobs that it was measured on; 0 for a short pass over a few of the records.
    pub jobs: u64,
}

impl Speed {
    /// Measures one step over the first records. Both speeds start as that step's.
    pub(crate) fn probe(
        model: &Model,
        recipe: &Recipe,
        examples: &[Example],
        threads: usize,
        clock: &Clock,
    ) -> Result<Self, RunError> {
        let mut tokens = 0;
        let few = examples.iter().take_while(|example| {
            let goes_on = tokens < PROBE_TOKENS;
            tokens += if goes_on { example.input().len() } else { 0 };
            goes_on
        });
        let mut run = Run::new(model, recipe, few.cloned().collect(), threads)?;
        let started = clock.now();
        let step = run.advance()?;
        let rate = rate(step.tokens, clock.now().saturating_sub(started).as_secs_f64());
        Ok(Self { train_tokens_per_s: rate, index_tokens_per_s: rate, jobs: 0 })
    }

    /// The speed after one more job.
    #[must_use]
    pub(crate) fn after(known: Option<Self>, train: Measured, index: Measured) -> Option<Self> {
        let known_jobs = known.filter(|speed| speed.jobs > 0);
        let blend = |measured: Measured, known: Option<f64>| {
            let now = (measured.tokens > 0).then(|| rate(measured.tokens, measured.seconds));
            match (now, known) {
                (Some(now), Some(known)) => Some(LATEST * now + (1.0 - LATEST) * known),
                (now, known) => now.or(known),
            }
        };
        let train_tokens_per_s = blend(train, known_jobs.map(|speed| speed.train_tokens_per_s))
            .or(known.map(|speed| speed.train_tokens_per_s))?;
        let index_tokens_per_s = blend(index, known_jobs.map(|speed| speed.index_tokens_per_s))
            .or(known.map(|speed| speed.index_tokens_per_s))
            .unwrap_or(train_tokens_per_s);
        let jobs = known.map_or(0, |speed| speed.jobs).saturating_add(1);
        Some(Self { train_tokens_per_s, index_tokens_per_s, jobs })
    }
}

/// Tokens and how long they took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) tokens: u64,
    pub(crate) seconds: f64,
}

impl Measured {
    pub(crate) fn add(&mut self, tokens: u64, seconds: f64) {
        self.tokens += tokens;
        self.seconds += seconds;
    }
}

fn rate(tokens: u64, seconds: f64) -> f64 {
    tokens.max(1) as f64 / seconds.max(SECONDS_MIN)
}
