//! Sketches from the engine's backward pass.

use std::ops::Range;

use openledger_engine::{
    BackwardError, Cpu, Exec, GradSink, LoraAdapter, LoraConfig, Model, Probe, SiteGrad, SiteId, SiteInfo,
    TrainSequence,
};

use super::build::{BuildInfluenceError, InfluenceBuilder};
use super::index::{InfluenceIndex, QuerySketch, ScoreError};
use super::policy::{InfluencePolicy, SiteSelection};
use super::sketch::{CheckpointSketch, ProjectedGradient, SiteShape, Sketcher};
use crate::record::RecordTable;

/// Sequences handed to the backward pass at once; progress is reported after each batch. Which sequences share a batch
/// does not change a bit of any sketch.
const BATCH_SEQUENCES: usize = 8;

/// Why sketches cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SketchError {
    /// The backward pass refused the sequences.
    #[error("the backward pass failed")]
    Backward(#[from] BackwardError),
    /// The sketches do not fit the index being built.
    #[error("the sketches do not fit the index")]
    Build(#[from] BuildInfluenceError),
    /// The sketches do not fit the index being queried.
    #[error("the query does not fit the index")]
    Score(#[from] ScoreError),
    /// An answer that is empty, begins with the first token or ends after the last.
    #[error("answer at tokens {start}..{end} of {tokens}: it must follow a prompt and hold a token")]
    Answer {
        /// First token of the answer.
        start: usize,
        /// One past its last token.
        end: usize,
        /// Tokens of prompt and answer.
        tokens: usize,
    },
}

impl SiteSelection {
    /// The sites of `sites` that an adapter of this configuration adapts and that this selection keeps.
    pub fn of(&self, sites: &[SiteInfo], lora: &LoraConfig) -> Vec<SiteShape> {
        let last = sites.iter().map(|site| site.layer).max().unwrap_or(0);
        let stride = usize::from(self.layer_stride.max(1));
        let kept = |site: &&SiteInfo| {
            let named = self.modules.is_empty() || self.modules.iter().any(|module| module == site.kind.module());
            let below_last = last - site.layer;
            let near = self.last_layers == 0 || below_last < usize::from(self.last_layers);
            named && lora.targets.contains(&site.kind) && near && below_last.is_multiple_of(stride)
        };
        let shape = |site: &SiteInfo| SiteShape { id: site.id.0, d_in: site.d_in as u32, d_out: site.d_out as u32 };
        sites.iter().filter(kept).map(shape).collect()
    }
}

impl InfluenceBuilder {
    /// Starts an index over these records for adapters of this configuration on a model with these sites.
    ///
    /// # Errors
    /// [`BuildInfluenceError`] where the policy does not fit or there is no record.
    pub fn new(
        policy: InfluencePolicy,
        sites: &[SiteInfo],
        lora: &LoraConfig,
        records: RecordTable,
    ) -> Result<Self, BuildInfluenceError> {
        let sites = policy.sites.of(sites, lora);
        Self::from_shapes(policy, &sites, lora.rank, records)
    }

    /// Computes and adds the next checkpoint: one backward pass over every record's sequence, in table order.
    /// `progress` is told how many are done, of how many.
    ///
    /// # Errors
    /// [`SketchError`] where sequences and records do not pair up or the backward pass refuses one.
    pub fn checkpoint(
        &mut self,
        model: &Model,
        exec: &mut Exec,
        adapter: &LoraAdapter,
        sequences: &[TrainSequence<'_>],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), SketchError> {
        let expected = self.records().len();
        if sequences.len() != expected {
            return Err(BuildInfluenceError::Sequences { given: sequences.len(), expected }.into());
        }
        let (rank, expected) = (adapter.config().rank, self.sketcher().rank());
        if rank != expected {
            return Err(BuildInfluenceError::Rank { rank, expected }.into());
        }
        let sketch = sketch_sequences(self.sketcher(), model, exec, adapter, sequences, progress)?;
        Ok(self.add(sketch)?)
    }
}

impl InfluenceIndex {
    /// Sketches an answer: the gradient of its mean negative log-likelihood given what precedes it, at every checkpoint
    /// of the index. `tokens` holds prompt and answer, `answer` says which of them are the answer.
    ///
    /// # Errors
    /// [`SketchError`] where the checkpoints are not the index's, or the answer is not a part of the tokens.
    pub fn sketch(
        &self,
        model: &Model,
        exec: &mut Exec,
        checkpoints: &[LoraAdapter],
        tokens: &[u32],
        answer: Range<usize>,
    ) -> Result<QuerySketch, SketchError> {
        let (start, end) = (answer.start, answer.end);
        if start == 0 || start >= end || end > tokens.len() {
            return Err(SketchError::Answer { start, end, tokens: tokens.len() });
        }
        let target = |at: usize| answer.contains(&(at + 1)).then(|| tokens[at + 1]);
        let targets: Vec<Option<u32>> = (0..tokens.len()).map(target).collect();
        let sequence = TrainSequence { tokens, targets: &targets, scale: 1.0 / (end - start) as f32 };
        let batch: Vec<_> = checkpoints.iter().map(|adapter| (adapter, sequence)).collect();
        let dims = self.sketcher().dims();
        let mut rows = vec![0.0; dims * batch.len()];
        model.backward_each(exec, &batch, &mut SketchSink::new(self.sketcher(), &mut rows))?;
        let sketch = |(adapter, row): (&LoraAdapter, &[f32])| CheckpointSketch {
            adapter: adapter.hash(),
            dims,
            rows: row.to_vec(),
        };
        let sketches = checkpoints.iter().zip(rows.chunks_exact(dims)).map(sketch).collect();
        Ok(self.quantise_query(sketches)?)
    }
}

fn sketch_sequences(
    sketcher: &Sketcher,
    model: &Model,
    exec: &mut Exec,
    adapter: &LoraAdapter,
    sequences: &[TrainSequence<'_>],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<CheckpointSketch, BackwardError> {
    let dims = sketcher.dims();
    let mut sketch = CheckpointSketch::zeros(adapter.hash(), dims, sequences.len());
    let batches = sequences.chunks(BATCH_SEQUENCES).zip(sketch.rows.chunks_mut(BATCH_SEQUENCES * dims));
    let mut done = 0;
    for (batch, rows) in batches {
        model.backward(exec, adapter, batch, &mut SketchSink::new(sketcher, rows))?;
        done += batch.len();
        progress(done, sequences.len());
    }
    Ok(sketch)
}

/// Sketches what the backward pass hands out, projected, one row a sequence.
#[derive(Debug)]
pub struct SketchSink<'a> {
    sketcher: &'a Sketcher,
    rows: &'a mut [f32],
}

impl<'a> SketchSink<'a> {
    /// Adds to `rows`, which hold [`Sketcher::dims`] values for each sequence of the batch.
    pub fn new(sketcher: &'a Sketcher, rows: &'a mut [f32]) -> Self {
        Self { sketcher, rows }
    }
}

impl GradSink for SketchSink<'_> {
    fn lowest_layer(&self) -> usize {
        self.sketcher.sites().iter().map(|site| SiteId(site.id).layer()).min().unwrap_or(0)
    }

    fn reads_inputs(&self) -> bool {
        false
    }

    fn probe(&self, site: &SiteInfo) -> Option<Probe<'_>> {
        let [input, output] = self.sketcher.signs(self.sketcher.position(site.id.0)?);
        Some(Probe { input, output })
    }

    fn site(&mut self, cpu: &Cpu, grad: &SiteGrad<'_>) {
        let Some(position) = self.sketcher.position(grad.site.id.0) else { return };
        let ([inputs, outputs], xa, db) = (grad.projected, grad.xa, grad.db);
        let gradient = ProjectedGradient { scale: grad.lora_scale, inputs, outputs, xa, db };
        self.sketcher.add_all(cpu, self.rows, position, gradient, grad.seqs);
    }
}
