//! How the tokens of a batch become rows: sequences that share an adapter lie together.

use std::ops::Range;

use openledger_kernels::Mat;

use super::Chunk;
use crate::lora::LoraAdapter;

/// Rows that share an adapter.
#[derive(Clone, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) adapter: Option<&'a LoraAdapter>,
    pub(crate) rows: Range<usize>,
}

/// The rows of one sequence, and where its keys and values are.
#[derive(Clone, Debug)]
pub(crate) struct PlanSeq {
    /// Which chunk of the batch.
    pub(crate) chunk: usize,
    pub(crate) rows: Range<usize>,
    /// Position of the first row.
    pub(crate) start: usize,
    pub(crate) blocks: Vec<u32>,
}

impl PlanSeq {
    /// Position of a row.
    pub(crate) fn position(&self, row: usize) -> usize {
        self.start + row - self.rows.start
    }
}

/// All rows of a pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) tokens: Vec<u32>,
    pub(crate) seqs: Vec<PlanSeq>,
    pub(crate) segments: Vec<Segment<'a>>,
    /// Index of each row's sequence.
    pub(crate) seq_of_row: Vec<u32>,
}

impl<'a> Plan<'a> {
    pub(crate) fn of_chunks(chunks: &[Chunk<'a>]) -> Self {
        let mut order = (0..chunks.len()).collect::<Vec<_>>();
        order.sort_by_key(|&chunk| address(chunks[chunk].adapter));
        let mut plan = Self::default();
        for index in order {
            let chunk = &chunks[index];
            plan.push(index, chunk.tokens, chunk.kv.len, chunk.kv.blocks.clone(), chunk.adapter);
        }
        plan
    }

    pub(crate) fn push(
        &mut self,
        chunk: usize,
        tokens: &[u32],
        start: usize,
        blocks: Vec<u32>,
        adapter: Option<&'a LoraAdapter>,
    ) {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        self.tokens.extend(tokens);
        self.seq_of_row.resize(rows.end, self.seqs.len() as u32);
        self.seqs.push(PlanSeq { chunk, rows: rows.clone(), start, blocks });
        match self.segments.last_mut() {
            Some(last) if address(last.adapter) == address(adapter) => last.rows.end = rows.end,
            _ => self.segments.push(Segment { adapter, rows }),
        }
    }

    /// The last rows of each sequence, as many as `kept` says: the plan of what follows the last keys and values.
    pub(crate) fn tail(&self, kept: impl Fn(&PlanSeq) -> usize) -> Self {
        let mut tail = Self::default();
        for seq in &self.seqs {
            let count = kept(seq).min(seq.rows.len());
            if count > 0 {
                let (rows, start) = (seq.rows.end - count..seq.rows.end, seq.start + seq.rows.len() - count);
                tail.push(seq.chunk, &self.tokens[rows], start, seq.blocks.clone(), self.adapter_of(seq));
            }
        }
        tail
    }

    /// The rows of `all` that `tail`, made from this plan, has.
    pub(crate) fn cut(&self, tail: &Self, all: &Mat, out: &mut Mat) {
        let cols = all.view().cols();
        out.reshape(tail.rows(), cols);
        for seq in &tail.seqs {
            let end = self.rows_of(seq.chunk).end * cols;
            let from = &all.data()[end - seq.rows.len() * cols..end];
            out.data_mut()[seq.rows.start * cols..seq.rows.end * cols].copy_from_slice(from);
        }
    }

    /// The opposite of [`cut`](Self::cut): rows that the tail does not have are zero.
    pub(crate) fn spread(&self, tail: &Self, some: &Mat, out: &mut Mat) {
        let cols = some.view().cols();
        out.reshape(self.rows(), cols);
        out.fill(0.0);
        for seq in &tail.seqs {
            let end = self.rows_of(seq.chunk).end * cols;
            let from = &some.data()[seq.rows.start * cols..seq.rows.end * cols];
            out.data_mut()[end - from.len()..end].copy_from_slice(from);
        }
    }

    fn adapter_of(&self, seq: &PlanSeq) -> Option<&'a LoraAdapter> {
        let segment = self.segments.iter().find(|segment| segment.rows.contains(&seq.rows.start));
        segment.and_then(|segment| segment.adapter)
    }

    pub(crate) fn rows(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn seq(&self, row: usize) -> &PlanSeq {
        &self.seqs[self.seq_of_row[row] as usize]
    }

    /// The rows of a chunk.
    pub(crate) fn rows_of(&self, chunk: usize) -> Range<usize> {
        self.seqs.iter().find(|seq| seq.chunk == chunk).map_or(0..0, |seq| seq.rows.clone())
    }
}

fn address(adapter: Option<&LoraAdapter>) -> usize {
    adapter.map_or(0, |adapter| std::ptr::from_ref(adapter).addr())
}
