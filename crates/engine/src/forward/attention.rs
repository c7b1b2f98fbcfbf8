//! Causal attention over keys and values in blocks.

use std::ops::Range;

use openledger_kernels::{Mat, MatMut, MatRef, Path};

use super::PlanSeq;
use super::layer::Pass;
use crate::kv::{KV_BLOCK_TOKENS, KvPool};

/// Rows of one sequence whose products with a block of keys or values are one.
const QUERY_ROWS: usize = 8;

/// Rows from which one task takes all heads of its rows.
const WHOLE_ROWS_MIN: usize = 16;

/// Some rows of a sequence at some key heads, and where their results go, row by row.
struct Task<'a> {
    seq: &'a PlanSeq,
    rows: Range<usize>,
    heads: Range<usize>,
    out: &'a mut [f32],
}

impl Pass<'_> {
    /// Stores the keys and values of all rows.
    pub(crate) fn store(&self, layer: usize, k: &Mat, v: &Mat, kv: &mut KvPool) {
        let shape = kv.shape();
        let (head_dim, head_len) = (shape.head_dim, shape.head_len());
        for row in 0..self.plan.rows() {
            let seq = self.plan.seq(row);
            let position = seq.position(row);
            let slot = position % KV_BLOCK_TOKENS;
            let block = kv.layer_mut(seq.blocks[position / KV_BLOCK_TOKENS], layer);
            let (keys, values) = block.split_at_mut(shape.kv_heads * head_len);
            for (key, keys) in k.view().row(row).chunks(head_dim).zip(keys.chunks_mut(head_len)) {
                for (element, to) in key.iter().zip(keys[slot..].iter_mut().step_by(KV_BLOCK_TOKENS)) {
                    *to = *element;
                }
            }
            for (value, values) in v.view().row(row).chunks(head_dim).zip(values.chunks_mut(head_len)) {
                values[slot * head_dim..(slot + 1) * head_dim].copy_from_slice(value);
            }
        }
    }

    /// Every row attends to its sequence up to itself.
    pub(crate) fn attend(&self, layer: usize, q: &Mat, kv: &KvPool, out: &mut Mat) {
        out.reshape(self.plan.rows(), self.weights.config.q_dim());
        self.cpu.pool().each(self.tasks(out.data_mut()), |_, mut task| {
            for head in task.heads.clone() {
                self.attend_head(layer, q, kv, head, &mut task);
            }
        });
    }

    /// Cuts the results: some rows with all heads or, where there are few rows, one row with one head.
    fn tasks<'t>(&'t self, mut rest: &'t mut [f32]) -> Vec<Task<'t>> {
        let config = &self.weights.config;
        let few = self.plan.rows() < WHOLE_ROWS_MIN;
        let (rows_each, heads_each) = if few { (1, 1) } else { (QUERY_ROWS, config.kv_heads) };
        let per_head = config.q_dim() / config.kv_heads;
        let mut tasks = Vec::new();
        for seq in &self.plan.seqs {
            for first in seq.rows.clone().step_by(rows_each) {
                let rows = first..seq.rows.end.min(first + rows_each);
                for first in (0..config.kv_heads).step_by(heads_each) {
                    let heads = first..first + heads_each;
                    let (out, after) = rest.split_at_mut(rows.len() * heads.len() * per_head);
                    rest = after;
                    tasks.push(Task { seq, rows: rows.clone(), heads, out });
                }
            }
        }
        tasks
    }

    /// The query heads of the task's rows that share a key head: one small matrix, the heads of a row together.
    fn attend_head(&self, layer: usize, q: &Mat, kv: &KvPool, head: usize, task: &mut Task<'_>) {
        let (config, path, shape) = (&self.weights.config, self.cpu.path(), kv.shape());
        let (group, dim, seq) = (config.heads / config.kv_heads, config.head_dim, task.seq);
        let piece = group * dim;
        let first_len = seq.position(task.rows.start) + 1;
        let lens = Lens { first: first_len, group, rows: task.rows.len() };
        let mut queries = Mat::zeros(lens.queries(), dim);
        for (row, queries) in task.rows.clone().zip(queries.data_mut().chunks_exact_mut(piece)) {
            queries.copy_from_slice(&q.view().row(row)[head * piece..(head + 1) * piece]);
        }
        let keys_of = |block: &u32| &kv.layer(*block, layer)[head * shape.head_len()..(head + 1) * shape.head_len()];
        let values_of = |block: &u32| {
            let start = (shape.kv_heads + head) * shape.head_len();
            &kv.layer(*block, layer)[start..start + shape.head_len()]
        };
        let blocks = &seq.blocks[..lens.longest().div_ceil(KV_BLOCK_TOKENS)];
        let mut scores = scores(path, queries.view(), blocks.iter().map(keys_of), lens.longest());
        let mut inverse = vec![0.0; lens.queries()];
        for (i, scores) in scores.data_mut().chunks_exact_mut(lens.longest()).enumerate() {
            inverse[i] = 1.0 / soft(path, &mut scores[..lens.of(i)], config.attn_scale, config.attn_softcap);
        }
        let mut out = queries;
        out.fill(0.0);
        mix(path, scores.view(), blocks.iter().map(values_of), lens, &mut out);
        for (out, inverse) in out.data_mut().chunks_exact_mut(dim).zip(inverse) {
            path.scale(out, inverse);
        }
        let at = (head - task.heads.start) * piece;
        let rows = task.out.chunks_exact_mut(task.heads.len() * piece);
        for (to, from) in rows.zip(out.data().chunks_exact(piece)) {
            to[at..at + piece].copy_from_slice(from);
        }
    }
}

/// How many positions each of some queries sees: those of one row alike, those of the next row one more.
#[derive(Clone, Copy)]
struct Lens {
    first: usize,
    group: usize,
    rows: usize,
}

impl Lens {
    fn queries(self) -> usize {
        self.rows * self.group
    }

    fn of(self, query: usize) -> usize {
        self.first + query / self.group
    }

    fn longest(self) -> usize {
        self.first + self.rows - 1
    }
}

/// q·k for `len` positions, query by query.
fn scores<'k>(path: Path, queries: MatRef<'_>, keys: impl Iterator<Item = &'k [f32]>, len: usize) -> Mat {
    let mut scores = Mat::zeros(queries.rows(), len);
    let mut tile = Mat::zeros(queries.rows(), KV_BLOCK_TOKENS);
    for (block, keys) in keys.enumerate() {
        tile.fill(0.0);
        path.gemm(queries, MatRef::new(keys, queries.cols(), KV_BLOCK_TOKENS), &mut tile.view_mut());
        let first = block * KV_BLOCK_TOKENS;
        let count = KV_BLOCK_TOKENS.min(len - first);
        for (scores, tile) in scores.data_mut().chunks_exact_mut(len).zip(tile.data().chunks_exact(KV_BLOCK_TOKENS)) {
            scores[first..first + count].copy_from_slice(&tile[..count]);
        }
    }
    scores
}

/// Turns scores into unnormalised probabilities; returns their sum.
pub(crate) fn soft(path: Path, scores: &mut [f32], scale: f32, cap: Option<f32>) -> f32 {
    path.scale(scores, scale);
    if let Some(cap) = cap {
        path.softcap(scores, cap);
    }
    let top = path.max(scores);
    path.exp_sum(scores, top)
}

/// `out += weights values`, position after position: first those that every query sees, then each row's own. No weight
/// of zero is added for what a query does not see, so that its bits are those that it has alone.
fn mix<'v>(path: Path, weights: MatRef<'_>, values: impl Iterator<Item = &'v [f32]>, lens: Lens, out: &mut Mat) {
    let dim = out.view().cols();
    for (block, values) in values.enumerate() {
        let values = MatRef::new(values, KV_BLOCK_TOKENS, dim);
        let start = block * KV_BLOCK_TOKENS;
        let of_block = |first: usize, end: usize| first.max(start)..end.clamp(start, start + KV_BLOCK_TOKENS);
        let mut add = |positions: Range<usize>, queries: Range<usize>| {
            let out = &mut out.data_mut()[queries.start * dim..queries.end * dim];
            let mut out = MatMut::new(out, queries.len(), dim);
            let values = values.rows_at(positions.start - start..positions.end - start);
            path.gemm(weights.rows_at(queries).cols_at(positions), values, &mut out);
        };
        let common = of_block(0, lens.first);
        if !common.is_empty() {
            add(common, 0..lens.queries());
        }
        for first in (lens.group..lens.queries()).step_by(lens.group) {
            let own = of_block(lens.first, lens.of(first));
            if !own.is_empty() {
                add(own, first..first + lens.group);
            }
        }
    }
}
