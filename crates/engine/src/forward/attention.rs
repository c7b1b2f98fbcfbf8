//! Causal attention over keys and values in blocks.

use openledger_kernels::{Mat, MatMut, MatRef, Path};

use super::layer::Pass;
use crate::kv::{KV_BLOCK_TOKENS, KvPool};

/// Rows from which one task takes all heads of a row.
const WHOLE_ROWS_MIN: usize = 16;

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
        let config = &self.weights.config;
        let (rows, group) = (self.plan.rows(), config.heads / config.kv_heads);
        out.reshape(rows, config.q_dim());
        let piece = group * config.head_dim;
        let per_task = if rows >= WHOLE_ROWS_MIN { config.kv_heads } else { 1 };
        self.cpu.pool().chunks(out.data_mut(), piece * per_task, |task, out| {
            for (i, out) in out.chunks_exact_mut(piece).enumerate() {
                let (row, head) = ((task * per_task + i) / config.kv_heads, (task * per_task + i) % config.kv_heads);
                let query = &q.view().row(row)[head * piece..(head + 1) * piece];
                self.attend_group(layer, kv, (row, head), query, out);
            }
        });
    }

    /// The query heads of one row that share a key head.
    fn attend_group(&self, layer: usize, kv: &KvPool, (row, head): (usize, usize), query: &[f32], out: &mut [f32]) {
        let (config, path) = (&self.weights.config, self.cpu.path());
        let (group, seq) = (config.heads / config.kv_heads, self.plan.seq(row));
        let len = seq.position(row) + 1;
        let shape = kv.shape();
        let keys_of = |block: &u32| &kv.layer(*block, layer)[head * shape.head_len()..(head + 1) * shape.head_len()];
        let values_of = |block: &u32| {
            let start = (shape.kv_heads + head) * shape.head_len();
            &kv.layer(*block, layer)[start..start + shape.head_len()]
        };
        let blocks = &seq.blocks[..len.div_ceil(KV_BLOCK_TOKENS)];
        let mut scores = scores(path, MatRef::new(query, group, config.head_dim), blocks.iter().map(keys_of), len);
        let mut inverse = vec![0.0; group];
        for (scores, inverse) in scores.data_mut().chunks_exact_mut(len).zip(&mut inverse) {
            *inverse = 1.0 / soft(path, scores, config.attn_scale, config.attn_softcap);
        }
        out.fill(0.0);
        mix(path, scores.view(), blocks.iter().map(values_of), out);
        for (out, inverse) in out.chunks_exact_mut(config.head_dim).zip(inverse) {
            path.scale(out, inverse);
        }
    }
}

/// q·k for `len` positions, query by query.
fn scores<'k>(path: Path, query: MatRef<'_>, keys: impl Iterator<Item = &'k [f32]>, len: usize) -> Mat {
    let mut scores = Mat::zeros(query.rows(), len);
    let mut tile = Mat::zeros(query.rows(), KV_BLOCK_TOKENS);
    for (block, keys) in keys.enumerate() {
        tile.fill(0.0);
        path.gemm(query, MatRef::new(keys, query.cols(), KV_BLOCK_TOKENS), &mut tile.view_mut());
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

/// `out += weights values`, position after position.
fn mix<'v>(path: Path, weights: MatRef<'_>, values: impl Iterator<Item = &'v [f32]>, out: &mut [f32]) {
    let (group, len) = (weights.rows(), weights.cols());
    let head_dim = out.len() / group;
    let mut tile = Mat::default();
    for (block, values) in values.enumerate() {
        let first = block * KV_BLOCK_TOKENS;
        let count = KV_BLOCK_TOKENS.min(len - first);
        tile.reshape(group, count);
        for (tile, weights) in tile.data_mut().chunks_exact_mut(count).zip(weights.data().chunks_exact(len)) {
            tile.copy_from_slice(&weights[first..first + count]);
        }
        let values = MatRef::new(&values[..count * head_dim], count, head_dim);
        path.gemm(tile.view(), values, &mut MatMut::new(out, group, head_dim));
    }
}
