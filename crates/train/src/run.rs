//! The training loop: one step at a time, each a pure function of the recipe, the records and the state before it.

use std::time::Instant;

use openledger_engine::{BackwardError, Exec, LoraAdapter, LoraError, LoraGrad, Model, TrainSequence};
use openledger_kernels::{AdamW, AdamWState, Path};

use crate::{
    checkpoint::Checkpoint,
    clip::clip,
    encode::Example,
    order::Order,
    recipe::{Recipe, RecipeError},
    schedule::learning_rate,
};

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss over the batch's learnt tokens, nats.
    pub loss: f64,
    /// Learning rate.
    pub learning_rate: f32,
    /// Length of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens fed.
    pub tokens: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The recipe breaks a limit.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Every record was refused, or nothing of any is learnt.
    #[error("no token of {records} records is learnt; preview the mask and check the template and the length limit")]
    NothingLearnt {
        /// Records given.
        records: usize,
    },
    /// The adapter cannot be made.
    #[error("the adapter cannot be made")]
    Adapter(#[from] LoraError),
    /// The engine refused a pass.
    #[error("the engine refused step {step}")]
    Backward {
        /// The step.
        step: u64,
        /// The cause.
        #[source]
        source: BackwardError,
    },
    /// The loss or the gradient is no longer finite.
    #[error("step {step} gave loss {loss} and gradient length {norm}; lower the learning rate")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient's length.
        norm: f64,
    },
    /// A checkpoint belongs to another run.
    #[error("the checkpoint was taken with {what} {found}; this run has {expected}")]
    Foreign {
        /// What differs.
        what: &'static str,
        /// Its hash or size in the checkpoint.
        found: String,
        /// Its hash or size here.
        expected: String,
    },
}

/// A training run in memory.
#[derive(Debug)]
pub struct Run {
    model: Model,
    recipe: Recipe,
    examples: Vec<Example>,
    targets: Vec<Vec<Option<u32>>>,
    order: Order,
    adapter: LoraAdapter,
    optimiser: AdamWState,
    gradient: LoraGrad,
    exec: Exec,
    step: u64,
}

impl Run {
    /// Prepares a run from its first step.
    ///
    /// # Errors
    /// [`RunError`] if the recipe is invalid or nothing is learnt.
    pub fn new(model: &Model, recipe: &Recipe, examples: Vec<Example>, threads: usize) -> Result<Self, RunError> {
        recipe.validate()?;
        if examples.iter().all(|e| e.target_count() == 0) {
            return Err(RunError::NothingLearnt { records: examples.len() });
        }
        let adapter = LoraAdapter::new(model.config(), &recipe.lora_config()?, recipe.seed)?;
        let order = Order::new(examples.len(), recipe.batch_size as usize, recipe.seed);
        Ok(Self {
            model: model.clone(),
            recipe: recipe.clone(),
            targets: examples.iter().map(Example::targets).collect(),
            examples,
            order,
            optimiser: AdamWState::new(adapter.params().len()),
            gradient: LoraGrad::new(&adapter),
            adapter,
            exec: Exec::new(threads),
            step: 0,
        })
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.order.steps_per_epoch() * u64::from(self.recipe.epochs)
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Whether every step is done.
    pub fn is_done(&self) -> bool {
        self.step >= self.steps()
    }

    /// The adapter as it is now.
    pub fn adapter(&self) -> &LoraAdapter {
        &self.adapter
    }

    /// What it trains on.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The engine's threads, for work between steps.
    pub fn exec(&mut self) -> &mut Exec {
        &mut self.exec
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`RunError`] if the engine fails or the run diverges; the state is then that of before the step.
    pub fn advance(&mut self) -> Result<StepReport, RunError> {
        let started = Instant::now();
        let rate = learning_rate(&self.recipe, self.step, self.steps());
        let batch = self.order.batch(self.step).to_vec();
        let tokens = batch.iter().map(|&i| self.examples[i].input().len() as u64).sum();
        let loss = self.accumulate(&batch)?;
        let norm = clip(self.gradient.values_mut(), self.recipe.max_grad_norm);
        if !(loss.is_finite() && norm.is_finite()) {
            return Err(RunError::Diverged { step: self.step, loss, norm });
        }
        let settings = AdamW { lr: rate, weight_decay: self.recipe.weight_decay as f32, ..AdamW::default() };
        self.step += 1;
        self.optimiser.step(Path::best(), &settings, self.adapter.params_mut(), self.gradient.values());
        let seconds = started.elapsed().as_secs_f64();
        Ok(StepReport {
            step: self.step,
            steps: self.steps(),
            loss,
            learning_rate: rate,
            grad_norm: norm,
            tokens,
            seconds,
        })
    }

    /// The gradient of the mean loss over the batch's learnt tokens; returns that loss.
    fn accumulate(&mut self, batch: &[usize]) -> Result<f64, RunError> {
        let learnt: usize = batch.iter().map(|&i| self.examples[i].target_count()).sum();
        let scale = 1.0 / learnt.max(1) as f32;
        let sequences: Vec<TrainSequence<'_>> = batch
            .iter()
            .map(|&i| TrainSequence { tokens: self.examples[i].input(), targets: &self.targets[i], scale })
            .collect();
        self.gradient.clear();
        let losses = self
            .model
            .backward(&mut self.exec, &self.adapter, &sequences, &mut self.gradient)
            .map_err(|source| RunError::Backward { step: self.step, source })?;
        let sum: f64 = losses.iter().map(|l| f64::from(l.loss_sum)).sum();
        Ok(sum / learnt.max(1) as f64)
    }

    /// The state after the last step.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            recipe: self.recipe.hash(),
            data: data_hash(&self.examples),
            step: self.step,
            parameters: self.adapter.params().to_vec(),
            first: self.optimiser.m.clone(),
            second: self.optimiser.v.clone(),
        }
    }

    /// Goes to a checkpoint of the same run: what follows is what would have followed there, bit for bit.
    ///
    /// # Errors
    /// [`RunError::Foreign`] if the checkpoint was taken with another recipe, other data or another shape.
    pub fn restore(&mut self, from: Checkpoint) -> Result<(), RunError> {
        let parameters = self.adapter.params().len();
        same("recipe", from.recipe, self.recipe.hash())?;
        same("data", from.data, data_hash(&self.examples))?;
        same("parameters", from.parameters.len(), parameters)?;
        self.adapter.params_mut().copy_from_slice(&from.parameters);
        self.optimiser = AdamWState { steps: from.step as u32, m: from.first, v: from.second };
        self.step = from.step;
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Display>(what: &'static str, found: T, expected: T) -> Result<(), RunError> {
    if found == expected {
        return Ok(());
    }
    Err(RunError::Foreign { what, found: found.to_string(), expected: expected.to_string() })
}

/// Hash over all tokens and masks, in order.
pub(crate) fn data_hash(examples: &[Example]) -> openledger_primitives::B256 {
    let mut hasher = alloy_primitives::Keccak256::new();
    for example in examples {
        hasher.update((example.tokens.len() as u64).to_be_bytes());
        for (token, learnt) in example.tokens.iter().zip(&example.learnt) {
            hasher.update(token.to_be_bytes());
            hasher.update([u8::from(*learnt)]);
        }
    }
    hasher.finalize()
}
