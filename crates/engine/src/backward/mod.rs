//! The backward pass: gradients of the adapters by example and site.
//!
//! It differentiates the unquantised function at the activations that the forward pass produced (straight-through). The
//! bits of one sequence's gradients do not depend on what else is in the batch.

mod attention;
mod grad;
mod layer;
mod loss;

use std::ops::Range;

use openledger_kernels::{Cpu, Mat, MatRef};

pub use grad::LoraGrad;

use crate::exec::Exec;
use crate::forward::{Kept, Pass, Plan, Work};
use crate::kv::{KV_BLOCK_TOKENS, KvPool, KvShape, SeqKv};
use crate::lora::LoraAdapter;
use crate::model::{Model, ModelConfig, SiteInfo};

/// Most tokens of one training sequence.
pub const BACKWARD_ROWS_MAX: usize = 4096;

/// Tokens whose activations are held at once; a larger batch is worked through in parts of about that many.
///
/// SmolLM2-135M keeps 0.7 MB a token.
const PART_ROWS: usize = 1024;

/// One training example.
#[derive(Clone, Copy, Debug)]
pub struct TrainSequence<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// For each position the target for the next token, or none where the loss is masked.
    pub targets: &'a [Option<u32>],
    /// Factor on this sequence's gradient (the sum over its targets of their cross-entropies' gradients).
    pub scale: f32,
}

/// Loss of one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SequenceLoss {
    /// Sum of the cross-entropies of its targets, in nats; not scaled.
    pub loss_sum: f32,
    /// Number of its targets.
    pub tokens: u32,
}

/// The parts of which the LoRA gradients of one site are made, for all sequences of a pass, each under its adapter.
///
/// `x` is the site's input (T x in), `d` the gradient by its output (T x out), `xa = x Aᵀ` and `db = d B` (T x r),
/// `lora_scale` the adapter's factor s: `G_A = s dbᵀ x`, `G_B = s dᵀ xa`. Sequences follow one another in the order of the
/// batch, each with its positions up to the last target, after which all gradients are zero; in the last layer, behind
/// keys and values, from its first target on, before which they are zero too.
#[derive(Clone, Copy, Debug)]
pub struct SiteGrad<'a> {
    /// The site.
    pub site: &'a SiteInfo,
    /// The adapter's factor s.
    pub lora_scale: f32,
    /// Each sequence's index in the batch, and its rows.
    pub seqs: &'a [(usize, Range<usize>)],
    /// Inputs; without columns where the sink does not read them.
    pub x: MatRef<'a>,
    /// Gradients by outputs.
    pub d: MatRef<'a>,
    /// Inputs times Aᵀ.
    pub xa: MatRef<'a>,
    /// Gradients by outputs times B.
    pub db: MatRef<'a>,
    /// Inputs, and gradients by outputs, times the sink's [`Probe`]; without columns where it has none.
    pub projected: [MatRef<'a>; 2],
}

/// Two matrices that a sink wants a site's long sides multiplied by: next to the adapter's own products they cost little.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// in x any.
    pub input: MatRef<'a>,
    /// out x any.
    pub output: MatRef<'a>,
}

/// Takes the parts of which every LoRA gradient is made.
///
/// Called for every adapted site from the sink's lowest layer on, with every sequence that has a target: layers from last to
/// first; within a layer down, gate, up, o, q, k, v. A batch that is worked through in parts gives as many calls a site.
pub trait GradSink {
    /// Whether the sink reads [`SiteGrad::x`]; if not, inputs that are not at hand are not computed again for it.
    fn reads_inputs(&self) -> bool {
        true
    }

    /// The lowest layer whose sites the sink takes: the pass goes no further down.
    fn lowest_layer(&self) -> usize {
        0
    }

    /// What the sink wants the long sides of a site projected by, if anything.
    fn probe(&self, _site: &SiteInfo) -> Option<Probe<'_>> {
        None
    }

    /// One site; `cpu` has the pass's threads.
    fn site(&mut self, cpu: &Cpu, grad: &SiteGrad<'_>);
}

/// Why a batch is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackwardError {
    /// Tokens and targets do not pair up.
    #[error("sequence {seq} has {tokens} tokens but {targets} targets")]
    Targets {
        /// Index of the sequence.
        seq: usize,
        /// Its tokens.
        tokens: usize,
        /// Its targets.
        targets: usize,
    },
    /// A token or target is not in the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sequence is too long.
    #[error("sequence {seq} has {len} tokens; at most {limit} are taken")]
    Length {
        /// Index of the sequence.
        seq: usize,
        /// Its tokens.
        len: usize,
        /// The smaller of the model's context and [`BACKWARD_ROWS_MAX`].
        limit: usize,
    },
    /// An adapter was made for a model of another shape, or differs in rank, factor or sites from the batch's first.
    #[error("an adapter belongs to a model of another shape, or is not configured as the batch's first")]
    Adapter,
}

/// Memory of the backward pass, kept from one batch to the next.
#[derive(Debug, Default)]
pub(crate) struct BackwardScratch {
    kv: Option<KvPool>,
    kept: Vec<Kept>,
    work: Work,
    pub(crate) grads: layer::Grads,
}

/// A sequence under an adapter.
type Item<'a> = (&'a LoraAdapter, TrainSequence<'a>);

/// Sequences whose activations are held at once.
struct Part<'a> {
    first: usize,
    batch: &'a [Item<'a>],
}

impl Model {
    /// Loss and gradients of each sequence under `adapter`; the parts of the gradients go to `sink`.
    ///
    /// A sequence without a target has loss zero and no gradient.
    ///
    /// # Errors
    /// If the batch is refused; the sink has seen nothing then.
    pub fn backward(
        &self,
        exec: &mut Exec,
        adapter: &LoraAdapter,
        batch: &[TrainSequence<'_>],
        sink: &mut dyn GradSink,
    ) -> Result<Vec<SequenceLoss>, BackwardError> {
        let items = batch.iter().map(|sequence| (adapter, *sequence)).collect::<Vec<_>>();
        self.backward_each(exec, &items, sink)
    }

    /// As [`backward`](Self::backward), each sequence under an adapter of its own; all are configured alike.
    ///
    /// # Errors
    /// If the batch is refused; the sink has seen nothing then.
    pub fn backward_each(
        &self,
        exec: &mut Exec,
        batch: &[(&LoraAdapter, TrainSequence<'_>)],
        sink: &mut dyn GradSink,
    ) -> Result<Vec<SequenceLoss>, BackwardError> {
        self.check_training(batch)?;
        let mut losses = vec![SequenceLoss::default(); batch.len()];
        for part in parts(batch) {
            self.backward_part(exec, &part, &mut losses[part.first..], sink);
        }
        Ok(losses)
    }

    fn check_training(&self, batch: &[Item<'_>]) -> Result<(), BackwardError> {
        let (vocab, limit) = (self.config().vocab, self.config().context.min(BACKWARD_ROWS_MAX));
        for (seq, (adapter, TrainSequence { tokens, targets, .. })) in batch.iter().enumerate() {
            if !adapter.fits(self.sites()) || adapter.config() != batch[0].0.config() {
                return Err(BackwardError::Adapter);
            }
            if tokens.len() != targets.len() {
                return Err(BackwardError::Targets { seq, tokens: tokens.len(), targets: targets.len() });
            }
            if tokens.len() > limit {
                return Err(BackwardError::Length { seq, len: tokens.len(), limit });
            }
            if let Some(&token) = tokens.iter().chain(targets.iter().flatten()).find(|token| **token as usize >= vocab)
            {
                return Err(BackwardError::Token { token, vocab });
            }
        }
        Ok(())
    }

    /// The first `layers` layers of sequences that are one there: `kept.h_in` becomes what goes into the next layer.
    fn start_as_one(&self, pass: &Pass<'_>, layers: usize, kept: &mut Kept, work: &mut Work, kv: &mut KvPool) {
        let first = pass.plan.seqs[0].chunk;
        let one = pass.plan.tail(|seq| if seq.chunk == first { seq.rows.len() } else { 0 });
        let alone = Pass { plan: &one, ..*pass };
        alone.start(work, &mut kept.h_in);
        for layer in 0..layers {
            alone.layer(layer, kept, work, kv);
            std::mem::swap(&mut kept.h_in, &mut work.h_out);
        }
        let of_one = std::mem::take(&mut kept.h_in);
        pass.start(work, &mut kept.h_in);
        for rows in kept.h_in.data_mut().chunks_exact_mut(of_one.data().len()) {
            rows.copy_from_slice(of_one.data());
        }
    }

    fn backward_part(&self, exec: &mut Exec, part: &Part<'_>, losses: &mut [SequenceLoss], sink: &mut dyn GradSink) {
        let config = self.config();
        let BackwardScratch { kv, kept, work, grads } = &mut exec.backward;
        let kv = pool_for(kv, config, part.batch);
        let mut plan = Plan::default();
        let mut held = Vec::new();
        for (i, (adapter, sequence)) in part.batch.iter().enumerate().filter(|(_, (_, sequence))| used(sequence) > 0) {
            let mut seq = SeqKv::default();
            // The pool was made large enough for the whole part.
            if kv.grow(&mut seq, used(sequence)).is_ok() {
                plan.push(i, &sequence.tokens[..used(sequence)], 0, seq.blocks.clone(), Some(adapter));
                held.push(seq);
            }
        }
        let probes: Vec<_> = self.sites().iter().map(|site| sink.probe(site).map(|probe| probe.input)).collect();
        let pass = Pass { weights: &self.0, cpu: &exec.cpu, plan: &plan, probes: &probes };
        kept.resize_with(config.layers.max(kept.len()) + 1, Kept::default);
        let last = config.layers - 1;
        let lowest = sink.lowest_layer().min(last);
        // Nothing is kept of a layer below the lowest: the next one writes over it.
        let slot = |layer: usize| layer.max(lowest);
        // Nobody asks while gradients of all layers are wanted: training changes its parameters at every step.
        let alike = if lowest > 0 { layers_alike(part.batch).min(lowest) } else { 0 };
        if alike > 0 {
            self.start_as_one(&pass, alike, &mut kept[lowest], work, kv);
        } else {
            pass.start(work, &mut kept[slot(0)].h_in);
        }
        let tail = plan.tail(|seq| seq.rows.len() - first_target(&part.batch[seq.chunk].1));
        for layer in alike..last {
            pass.layer(layer, &mut kept[slot(layer)], work, kv);
            std::mem::swap(&mut kept[slot(layer + 1)].h_in, &mut work.h_out);
        }
        pass.last_layer(last, &tail, &mut kept[last], work, kv);
        std::mem::swap(&mut kept[config.layers].h_in, &mut work.h_out);
        let inputs = sink.reads_inputs();
        let of = |plan| {
            let pass = Pass { weights: &self.0, cpu: &exec.cpu, plan, probes: &[] };
            layer::Backward { pass, first: part.first, kept, kv, inputs, lowest }
        };
        let (all, rest) = (of(&plan), of(&tail));
        rest.loss(&kept[config.layers].h_in, part.batch, work, grads, losses);
        all.last_layer(last, &rest, &work.rope, grads, sink);
        for layer in (lowest..last).rev() {
            all.layer(layer, &work.rope, grads, sink);
        }
        held.into_iter().for_each(|seq| kv.free(seq));
    }
}

/// In how many layers, from the first, all sequences are one: the same tokens under adapters that are alike there.
fn layers_alike(batch: &[Item<'_>]) -> usize {
    let Some(((adapter, sequence), others)) = batch.split_first() else { return 0 };
    let same = |other: &TrainSequence<'_>| other.tokens[..used(other)] == sequence.tokens[..used(sequence)];
    if !others.iter().all(|(_, other)| same(other)) {
        return 0;
    }
    others.iter().map(|(other, _)| adapter.layers_alike(other)).min().unwrap_or(0)
}

/// Tokens up to the last target.
fn used(sequence: &TrainSequence<'_>) -> usize {
    sequence.targets.iter().rposition(Option::is_some).map_or(0, |last| last + 1)
}

/// Tokens before the first that has a target.
fn first_target(sequence: &TrainSequence<'_>) -> usize {
    sequence.targets.iter().position(Option::is_some).unwrap_or(0)
}

/// Cuts a batch where the activations of a part reach their limit.
fn parts<'a>(batch: &'a [Item<'a>]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (i, (_, sequence)) in batch.iter().enumerate() {
        if i > first && rows + used(sequence) > PART_ROWS {
            parts.push(Part { first, batch: &batch[first..i] });
            (first, rows) = (i, 0);
        }
        rows += used(sequence);
    }
    if rows > 0 {
        parts.push(Part { first, batch: &batch[first..] });
    }
    parts
}

/// The kept pool, or a new one if that one is too small or for another model.
fn pool_for<'a>(kept: &'a mut Option<KvPool>, config: &ModelConfig, batch: &[Item<'_>]) -> &'a mut KvPool {
    let needed = batch.iter().map(|(_, sequence)| used(sequence).div_ceil(KV_BLOCK_TOKENS)).sum();
    if kept.as_ref().is_some_and(|pool| pool.shape() != KvShape::of(config) || pool.free_blocks() < needed) {
        *kept = None;
    }
    kept.get_or_insert_with(|| KvPool::new(config, needed))
}

/// Gives `out` the shape of `rows` by `cols`, all zero.
fn zeroed(out: &mut Mat, rows: usize, cols: usize) {
    out.reshape(rows, cols);
    out.fill(0.0);
}
