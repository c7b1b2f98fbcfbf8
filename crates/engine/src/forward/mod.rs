//! The forward pass over a mixed batch of prefills and decodes.

mod adapt;
mod attention;
mod layer;
mod plan;

use std::ops::Range;

use openledger_kernels::{Mat, MatRef};

pub(crate) use adapt::{Shrunk, expansions, shrink_rows, take};
pub(crate) use layer::{Kept, Pass, Work};
pub(crate) use plan::{Plan, PlanSeq, Segment};

use crate::exec::Exec;
use crate::kv::{KvError, KvPool, KvShape, SeqKv};
use crate::lora::LoraAdapter;
use crate::model::Model;

/// Most rows (tokens of all chunks) of one pass.
pub const FORWARD_ROWS_MAX: usize = 4096;

/// Which logits of a chunk are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None: only keys and values are stored.
    None,
    /// Those after the last token.
    Last,
    /// Those after every token.
    All,
}

/// Consecutive tokens of one sequence, to follow what `kv` holds.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// The sequence's keys and values; grows by `tokens.len()`.
    pub kv: &'a mut SeqKv,
    /// The adapter, or the base model.
    pub adapter: Option<&'a LoraAdapter>,
    /// Which logits to return.
    pub logits: Logits,
}

/// Logits of a pass, chunk by chunk.
#[derive(Debug)]
pub struct LogitRows {
    rows: Mat,
    chunks: Vec<Range<usize>>,
}

impl LogitRows {
    /// The rows of the chunk at that index (none, one, or one a token) by vocabulary.
    #[must_use]
    pub fn chunk(&self, chunk: usize) -> MatRef<'_> {
        self.rows.view().rows_at(self.chunks[chunk].clone())
    }

    /// The logits after the last token of a chunk, if it asked for any.
    #[must_use]
    pub fn last(&self, chunk: usize) -> Option<&[f32]> {
        let rows = &self.chunks[chunk];
        (!rows.is_empty()).then(|| self.rows.view().row(rows.end - 1))
    }
}

/// Why a pass is refused; nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// A chunk has no tokens.
    #[error("chunk {chunk} has no tokens")]
    Empty {
        /// Index of the chunk.
        chunk: usize,
    },
    /// A token is not in the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sequence would grow beyond the model's context.
    #[error("a sequence of {len} tokens is longer than the model's context of {limit}")]
    Context {
        /// Its length with the chunk.
        len: usize,
        /// The context.
        limit: usize,
    },
    /// Too many tokens at once.
    #[error("{rows} tokens in one pass; at most {limit} are taken")]
    Rows {
        /// Tokens of all chunks.
        rows: usize,
        /// [`FORWARD_ROWS_MAX`].
        limit: usize,
    },
    /// An adapter was made for a model of another shape.
    #[error("the adapter of chunk {chunk} belongs to a model of another shape")]
    Adapter {
        /// Index of the chunk.
        chunk: usize,
    },
    /// The pool was made for a model of another shape.
    #[error("the pool of keys and values belongs to a model of another shape")]
    Pool,
    /// Not enough room for keys and values.
    #[error("no room for the keys and values of the batch")]
    Kv(#[from] KvError),
}

/// Memory of the forward pass.
#[derive(Debug, Default)]
pub(crate) struct ForwardScratch {
    work: Work,
    kept: Kept,
}

impl Model {
    /// Runs all chunks in one pass; prefill and decode may be mixed.
    ///
    /// Every row's result is the same to the bit alone or in any batch, and however a prompt is cut into chunks.
    ///
    /// # Errors
    /// If the batch is refused; nothing has changed then.
    pub fn forward(
        &self,
        exec: &mut Exec,
        kv: &mut KvPool,
        chunks: &mut [Chunk<'_>],
    ) -> Result<LogitRows, ForwardError> {
        self.check_batch(kv, chunks)?;
        for chunk in chunks.iter_mut() {
            kv.grow(chunk.kv, chunk.tokens.len())?;
        }
        let plan = Plan::of_chunks(chunks);
        let pass = Pass { weights: &self.0, cpu: &exec.cpu, plan: &plan, probes: &[] };
        let ForwardScratch { work, kept } = &mut exec.forward;
        pass.start(work, &mut kept.h_in);
        let wanted = |seq: &PlanSeq| match chunks[seq.chunk].logits {
            Logits::None => 0,
            Logits::Last => 1,
            Logits::All => seq.rows.len(),
        };
        let tail = plan.tail(wanted);
        let last = self.0.layers.len() - 1;
        for layer in 0..last {
            pass.layer(layer, kept, work, kv);
            std::mem::swap(&mut kept.h_in, &mut work.h_out);
        }
        pass.last_layer(last, &tail, kept, work, kv);
        std::mem::swap(&mut kept.h_in, &mut work.h_out);
        let (selected, ranges) = select(chunks, &tail);
        let mut rows = Mat::default();
        pass.logits(&kept.h_in, &selected, work, &mut rows);
        drop((plan, tail));
        for chunk in chunks {
            chunk.kv.len += chunk.tokens.len();
        }
        Ok(LogitRows { rows, chunks: ranges })
    }

    fn check_batch(&self, kv: &KvPool, chunks: &[Chunk<'_>]) -> Result<(), ForwardError> {
        let config = self.config();
        if kv.shape() != KvShape::of(config) {
            return Err(ForwardError::Pool);
        }
        let rows = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
        if rows > FORWARD_ROWS_MAX {
            return Err(ForwardError::Rows { rows, limit: FORWARD_ROWS_MAX });
        }
        for (index, chunk) in chunks.iter().enumerate() {
            self.check_chunk(index, chunk)?;
        }
        Ok(kv.check_room(chunks.iter().map(|chunk| (&*chunk.kv, chunk.tokens.len())))?)
    }

    fn check_chunk(&self, index: usize, chunk: &Chunk<'_>) -> Result<(), ForwardError> {
        let config = self.config();
        if chunk.tokens.is_empty() {
            return Err(ForwardError::Empty { chunk: index });
        }
        if let Some(&token) = chunk.tokens.iter().find(|token| **token as usize >= config.vocab) {
            return Err(ForwardError::Token { token, vocab: config.vocab });
        }
        let len = chunk.kv.len() + chunk.tokens.len();
        if len > config.context {
            return Err(ForwardError::Context { len, limit: config.context });
        }
        match chunk.adapter {
            Some(adapter) if !adapter.fits(self.sites()) => Err(ForwardError::Adapter { chunk: index }),
            _ => Ok(()),
        }
    }
}

/// The rows whose logits are wanted, in the chunks' order, and where each chunk's are among them.
fn select(chunks: &[Chunk<'_>], plan: &Plan<'_>) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut selected = Vec::new();
    let mut ranges = vec![0..0; chunks.len()];
    for (chunk, range) in chunks.iter().zip(&mut ranges).enumerate().map(|(i, (chunk, range))| ((i, chunk), range)) {
        let (index, chunk) = chunk;
        let rows = plan.rows_of(index);
        let wanted = match chunk.logits {
            Logits::None => rows.end..rows.end,
            Logits::Last => rows.end - 1..rows.end,
            Logits::All => rows,
        };
        *range = selected.len()..selected.len() + wanted.len();
        selected.extend(wanted);
    }
    (selected, ranges)
}
