//! How the tokens of a batch become rows: sequences that share an adapter lie together.

use std::ops::Range;

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
