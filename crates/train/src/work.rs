//! One job from records to artifact, on the worker thread. Everything it does is done again, with the same result,
//! from the last checkpoint when it is interrupted.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use openledger_engine::{Exec, LoraAdapter, Model};

use crate::{
    artifact::{ArtifactError, write_adapter},
    checkpoint::{Checkpoint, CheckpointError, write_atomic},
    data::{Data, DataError, artifact_folder, read_records, split},
    encode::{EncodeReport, Encoder, Example},
    estimate::Estimate,
    evaluate::{EvaluateError, Evaluation, Evaluator},
    factory::{FactoryError, Shared},
    finish::{Finish, FinishError},
    job::{Happening, Job, JobId, Moment, Phase},
    run::{Run, RunError},
    speed::Measured,
    table::TableError,
};

/// What the owner of a running job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Go,
    Pause,
    Cancel,
    Finish,
    Shutdown,
}

/// How a handle reaches the job that runs.
#[derive(Debug, Default)]
pub(crate) struct Control {
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    job: Option<(JobId, Option<Signal>)>,
    stopping: bool,
}

impl Control {
    pub(crate) fn begin(&self, id: JobId) {
        self.current().job = Some((id, None));
    }

    /// The job is over; gives what was asked of it last. Whoever asks from here on is told that it does not run.
    pub(crate) fn end(&self) -> Signal {
        let mut current = self.current();
        let signal = current.signal();
        current.job = None;
        signal
    }

    /// Tells the running job; false if another or none runs.
    pub(crate) fn give(&self, id: JobId, signal: Signal) -> bool {
        match &mut self.current().job {
            Some((running, slot)) if *running == id => {
                *slot = Some(signal);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn stop_all(&self) {
        self.current().stopping = true;
    }

    pub(crate) fn signal(&self) -> Signal {
        self.current().signal()
    }

    /// Whether the job must be left: everything but going on and finishing early.
    pub(crate) fn leave(&self) -> bool {
        !matches!(self.signal(), Signal::Go | Signal::Finish)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn signal(&self) -> Signal {
        match &self.job {
            Some((_, Some(signal))) => *signal,
            _ if self.stopping => Signal::Shutdown,
            _ => Signal::Go,
        }
    }
}

/// Whether a job that did not fail has its artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Left,
}

/// Why a job ended without an artifact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WorkError {
    #[error("stopped")]
    Left,
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Evaluate(EvaluateError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Finish(#[from] FinishError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Factory(#[from] FactoryError),
    #[error("could not read or write {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<EvaluateError> for WorkError {
    fn from(error: EvaluateError) -> Self {
        match error {
            EvaluateError::Stopped => Self::Left,
            other => Self::Evaluate(other),
        }
    }
}

/// One job at work.
pub(crate) struct Work<'a> {
    shared: &'a Shared,
    model: &'a Model,
    job: &'a Job,
    folder: PathBuf,
}

/// The records as tokens.
struct Encoded {
    data: Data,
    train: Vec<Example>,
    held_out: Vec<Example>,
    report: EncodeReport,
}

impl<'a> Work<'a> {
    pub(crate) fn new(shared: &'a Shared, model: &'a Model, job: &'a Job) -> Self {
        Self { shared, model, job, folder: shared.folder(job.id) }
    }

    /// Runs the job; the error is the whole chain of causes in one line.
    pub(crate) fn run_caught(&self) -> Result<Ending, String> {
        match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => Ok(Ending::Whole),
            Ok(Err(WorkError::Left)) => Ok(Ending::Left),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("the worker panicked; its log says where".to_owned()),
        }
    }

    fn run(&self) -> Result<(), WorkError> {
        let encoded = self.encode()?;
        let mut exec = Exec::new(self.shared.config.threads);
        let base = self.measure_base(&encoded, &mut exec)?;
        let mut run = Run::new(self.model, &self.job.recipe, encoded.train.clone(), self.shared.config.threads)?;
        let trained = self.train(&mut run, &encoded)?;
        let tuned = self.measure(
            &encoded,
            Some(run.adapter()),
            &mut exec,
            Phase::MeasuringTuned,
            Moment::Tuned,
            run.step_count(),
        )?;
        let checkpoints = self.attribution_steps(run.steps(), run.step_count());
        let finish = Finish {
            shared: self.shared,
            model: self.model,
            job: self.job,
            folder: &self.folder,
            records: &encoded.data.train,
            examples: &encoded.train,
            report: &encoded.report,
            base: base.as_ref(),
            tuned: tuned.as_ref(),
            steps: run.step_count(),
            checkpoints: checkpoints.into_iter().collect(),
            adapter: run.adapter(),
            speed: RefCell::default(),
        };
        finish
            .write(&mut exec, &artifact_folder(&self.folder))
            .map_err(|e| if self.shared.control.leave() { WorkError::Left } else { e.into() })?;
        Ok(self.shared.note_speed(self.model, trained, finish.speed.take())?)
    }

    fn encode(&self) -> Result<Encoded, WorkError> {
        self.phase(Phase::Encoding)?;
        let recipe = &self.job.recipe;
        let (records, given) = read_records(&self.folder)?;
        let data = split(recipe, records, given);
        let encoder = Encoder::new(self.model, recipe);
        let (train, report) = encoder.encode_all(&data.train);
        let (held_out, _) = encoder.encode_all(&data.held_out);
        let config = recipe.lora_config().map_err(RunError::from)?;
        let adapter = LoraAdapter::zeros(self.model.config(), &config).map_err(RunError::from)?;
        let speed = self.shared.speed(self.model, recipe, &train)?;
        let estimate = Estimate::new(self.model, recipe, &train, &adapter, speed).map_err(RunError::from)?;
        self.shared.check_room(&estimate)?;
        self.note(Happening::Encoded { report: report.clone(), held_out: held_out.len(), estimate })?;
        Ok(Encoded { data, train, held_out, report })
    }

    /// Measures the base model once; what was measured before an interruption is kept.
    fn measure_base(&self, encoded: &Encoded, exec: &mut Exec) -> Result<Option<Evaluation>, WorkError> {
        let path = self.folder.join("base.json");
        if let Some(kept) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(Some(kept));
        }
        let measured = self.measure(encoded, None, exec, Phase::MeasuringBase, Moment::Base, 0)?;
        if let Some(evaluation) = &measured {
            write_atomic(&path, &serde_json::to_vec(evaluation).expect("an evaluation has string keys only"))?;
        }
        Ok(measured)
    }

    fn measure(
        &self,
        encoded: &Encoded,
        adapter: Option<&LoraAdapter>,
        exec: &mut Exec,
        phase: Phase,
        moment: Moment,
        step: u64,
    ) -> Result<Option<Evaluation>, WorkError> {
        if encoded.held_out.is_empty() {
            return Ok(None);
        }
        self.phase(phase)?;
        let evaluation = self.evaluate(encoded, adapter, exec)?;
        let during = (moment == Moment::During).then_some(step);
        self.shared.note(self.job.id, during, Happening::Evaluated { moment, step, evaluation: evaluation.clone() })?;
        Ok(Some(evaluation))
    }

    fn evaluate(
        &self,
        encoded: &Encoded,
        adapter: Option<&LoraAdapter>,
        exec: &mut Exec,
    ) -> Result<Evaluation, WorkError> {
        let max_new_tokens = self.job.recipe.evaluation.max_new_tokens as usize;
        let stop = || self.shared.control.leave();
        let mut evaluator = Evaluator { model: self.model, adapter, exec, max_new_tokens, stop: &stop };
        Ok(evaluator.run(&encoded.held_out, &encoded.data.held_out)?)
    }

    /// Trains from the last checkpoint to the last step, or to where the owner stops it.
    /// Gives how fast it went.
    fn train(&self, run: &mut Run, encoded: &Encoded) -> Result<Measured, WorkError> {
        if let Some(checkpoint) = Checkpoint::read(&self.checkpoint_path())? {
            run.restore(checkpoint)?;
        }
        self.shared.table.forget_steps_after(self.job.id, run.step_count())?;
        self.phase(Phase::Training)?;
        let wanted = self.attribution_steps(run.steps(), run.steps());
        let (mut saved_at, mut speed) = (Instant::now(), Measured::default());
        loop {
            if wanted.contains(&run.step_count()) {
                write_adapter(&self.attribution_path(run.step_count()), run.adapter(), self.model)?;
            }
            if self.stop_training(run)? {
                self.save(run)?;
                return Ok(speed);
            }
            let started = self.shared.config.clock.now();
            let report = run.advance()?;
            speed.add(report.tokens, self.shared.config.clock.now().saturating_sub(started).as_secs_f64());
            self.shared.note(self.job.id, Some(report.step), Happening::Step(report))?;
            self.measure_during(run, encoded)?;
            if self.is_save_due(run.step_count(), saved_at) {
                self.save(run)?;
                saved_at = Instant::now();
            }
        }
    }

    /// Whether training is over: all steps taken, or stopped early by the owner (which is remembered).
    fn stop_training(&self, run: &Run) -> Result<bool, WorkError> {
        if self.shared.control.leave() {
            self.save(run)?;
            return Err(WorkError::Left);
        }
        if run.is_done() || self.stopped_at()?.is_some_and(|step| run.step_count() >= step) {
            return Ok(true);
        }
        let stop = self.shared.control.signal() == Signal::Finish && run.step_count() > 0;
        if stop {
            write_adapter(&self.attribution_path(run.step_count()), run.adapter(), self.model)?;
            write_atomic(&self.stopped_path(), run.step_count().to_string().as_bytes())?;
        }
        Ok(stop)
    }

    fn measure_during(&self, run: &mut Run, encoded: &Encoded) -> Result<(), WorkError> {
        let every = u64::from(self.job.recipe.evaluation.every_steps);
        let step = run.step_count();
        if every == 0 || encoded.held_out.is_empty() || !step.is_multiple_of(every) || run.is_done() {
            return Ok(());
        }
        let adapter = run.adapter().clone();
        let evaluation = match self.evaluate(encoded, Some(&adapter), run.exec()) {
            // The owner wants it to stop: the step itself is done, and the loop sees the wish next.
            Err(WorkError::Left) => return Ok(()),
            other => other?,
        };
        self.shared.note(self.job.id, Some(step), Happening::Evaluated { moment: Moment::During, step, evaluation })?;
        Ok(())
    }

    fn is_save_due(&self, step: u64, saved_at: Instant) -> bool {
        let config = &self.shared.config;
        let by_steps = config.checkpoint_every_steps > 0 && step.is_multiple_of(config.checkpoint_every_steps);
        by_steps || saved_at.elapsed().as_secs() >= config.checkpoint_every_s
    }

    fn save(&self, run: &Run) -> Result<(), WorkError> {
        self.shared.check_disk(12 * run.adapter().params().len() as u64)?;
        run.checkpoint().write(&self.checkpoint_path())?;
        self.shared.note(self.job.id, Some(run.step_count()), Happening::Checkpoint { step: run.step_count() })?;
        Ok(())
    }

    /// Steps of the attribution checkpoints, of a run of `steps` that ends after `taken`.
    fn attribution_steps(&self, steps: u64, taken: u64) -> BTreeSet<u64> {
        let bps = &self.job.recipe.attribution.checkpoints_bps;
        let planned: BTreeSet<u64> = bps.iter().map(|&at| (u64::from(at) * steps).div_ceil(10_000)).collect();
        let reached: BTreeSet<u64> = planned.into_iter().filter(|&step| step <= taken).collect();
        if reached.is_empty() && !bps.is_empty() { BTreeSet::from([taken]) } else { reached }
    }

    fn stopped_at(&self) -> Result<Option<u64>, WorkError> {
        let path = self.stopped_path();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(WorkError::Io { path, source }),
        }
    }

    fn stopped_path(&self) -> PathBuf {
        self.folder.join("stopped-at")
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("checkpoint.bin")
    }

    fn attribution_path(&self, step: u64) -> PathBuf {
        attribution_path(&self.folder, step)
    }

    fn phase(&self, phase: Phase) -> Result<(), WorkError> {
        Ok(self.shared.note(self.job.id, None, Happening::Phase { phase })?)
    }

    fn note(&self, happening: Happening) -> Result<(), WorkError> {
        Ok(self.shared.note(self.job.id, None, happening)?)
    }
}

/// Where the adapter of an attribution checkpoint lies while the job runs.
pub(crate) fn attribution_path(job: &std::path::Path, step: u64) -> PathBuf {
    job.join("attribution").join(step.to_string())
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    let mut lines: Vec<String> = causes.map(ToString::to_string).collect();
    lines.dedup();
    lines.join(": ")
}
