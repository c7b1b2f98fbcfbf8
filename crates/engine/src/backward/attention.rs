//! Attention, backwards: per sequence and key head, some queries at a time.

use std::ops::Range;

use openledger_kernels::{Mat, MatMut};

use super::layer::{Backward, Grads};
use super::zeroed;
use crate::forward::{Plan, PlanSeq};
use crate::kv::KV_BLOCK_TOKENS;

/// Queries whose scores are held at once.
const QUERIES: usize = 32;

/// Rows of one task that gathers results.
const ROWS_PER_TASK: usize = 16;

/// One sequence and key head, and the gradients by its queries (head by head), keys and values.
struct Task<'a> {
    seq: &'a PlanSeq,
    /// Which rows of attention's output have a gradient: the sequence's last.
    rows: Range<usize>,
    head: usize,
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

impl Backward<'_> {
    /// From the gradient by attention's output, of which there are `some` rows, to those by rotated q, rotated k, and v.
    pub(super) fn attention(&self, layer: usize, some: &Plan<'_>, grads: &mut Grads) {
        let config = &self.pass.weights.config;
        let per_row = config.q_dim() + 2 * config.kv_dim();
        let mut heads = std::mem::take(&mut grads.heads);
        heads.reshape(self.pass.plan.rows(), per_row);
        let tasks = self.tasks(some, heads.data_mut());
        self.pass.cpu.pool().each(tasks, |_, task| self.head(layer, &grads.attn, task));
        self.gather(heads.data(), grads);
        grads.heads = heads;
    }

    /// Cuts the results' memory: per sequence and key head dq (group x T x d), dk (T x d), dv (T x d).
    fn tasks<'t>(&'t self, some: &Plan<'_>, mut rest: &'t mut [f32]) -> Vec<Task<'t>> {
        let config = &self.pass.weights.config;
        let mut tasks = Vec::new();
        for seq in &self.pass.plan.seqs {
            let one = seq.rows.len() * config.head_dim;
            for head in 0..config.kv_heads {
                let (dq, after) = rest.split_at_mut(one * config.heads / config.kv_heads);
                let (dk, after) = after.split_at_mut(one);
                let (dv, after) = after.split_at_mut(one);
                rest = after;
                tasks.push(Task { seq, rows: some.rows_of(seq.chunk), head, dq, dk, dv });
            }
        }
        tasks
    }

    /// Queries some at a time, with the keys that the last of them sees.
    fn head(&self, layer: usize, d_out: &Mat, task: Task<'_>) {
        let (config, path) = (&self.pass.weights.config, self.pass.cpu.path());
        let (rows, dim) = (task.seq.rows.len(), config.head_dim);
        [&mut *task.dq, &mut *task.dk, &mut *task.dv].into_iter().for_each(|grads| grads.fill(0.0));
        let (keys, values) = self.keys_and_values(layer, task.seq, task.head);
        let (keys_t, values_t) = (keys.view().transposed(), values.view().transposed());
        let (mut scores, mut by_p) = (Mat::default(), Mat::default());
        // Queries before the first with a gradient by its result have none.
        let skipped = rows - task.rows.len();
        for (i, dq) in task.dq.chunks_exact_mut(rows * dim).enumerate() {
            let head = task.head * config.heads / config.kv_heads + i;
            let columns = head * dim..(head + 1) * dim;
            let q = self.kept[layer].q.view().rows_at(task.seq.rows.clone()).cols_at(columns.clone());
            let d = d_out.view().rows_at(task.rows.clone()).cols_at(columns);
            for (block, dq) in dq[skipped * dim..].chunks_mut(QUERIES * dim).enumerate() {
                let first = skipped + block * QUERIES;
                let (count, seen) = (dq.len() / dim, first + dq.len() / dim);
                let (q, d) = (q.rows_at(first..seen), d.rows_at(first - skipped..seen - skipped));
                zeroed(&mut scores, count, seen);
                path.gemm(q, keys_t.view().cols_at(0..seen), &mut scores.view_mut());
                zeroed(&mut by_p, count, seen);
                path.gemm(d, values_t.view().cols_at(0..seen), &mut by_p.view_mut());
                self.softmax_backward(first, &mut scores, &mut by_p);
                path.gemm(by_p.view(), keys.view().rows_at(0..seen), &mut MatMut::new(dq, count, dim));
                let (dk, dv) = (&mut task.dk[..seen * dim], &mut task.dv[..seen * dim]);
                path.gemm_at(by_p.view(), q, &mut MatMut::new(dk, seen, dim));
                path.gemm_at(scores.view(), d, &mut MatMut::new(dv, seen, dim));
            }
        }
    }

    /// Turns scores into probabilities, and the gradient by probabilities into that by scores; both causal. The first
    /// row is the query at that position.
    fn softmax_backward(&self, first: usize, scores: &mut Mat, by_p: &mut Mat) {
        let (config, path) = (&self.pass.weights.config, self.pass.cpu.path());
        let seen = scores.view().cols();
        let pairs = scores.data_mut().chunks_exact_mut(seen).zip(by_p.data_mut().chunks_exact_mut(seen));
        for (t, (p, d)) in (first..).zip(pairs) {
            let (p, later_p) = p.split_at_mut(t + 1);
            let (d, later_d) = d.split_at_mut(t + 1);
            later_p.fill(0.0);
            later_d.fill(0.0);
            path.scale(p, config.attn_scale);
            let capped = config.attn_softcap.map(|cap| {
                path.softcap(p, cap);
                (cap, p.to_vec())
            });
            let top = path.max(p);
            let sum = path.exp_sum(p, top);
            path.scale(p, 1.0 / sum);
            let mean = path.dot(p, d);
            path.softmax_gradient(p, mean, config.attn_scale, d);
            if let Some((cap, capped)) = capped {
                path.softcap_backward(&capped, cap, d);
            }
        }
    }

    /// T x d keys and values of one head.
    fn keys_and_values(&self, layer: usize, seq: &PlanSeq, head: usize) -> (Mat, Mat) {
        let shape = self.kv.shape();
        let (rows, dim) = (seq.rows.len(), shape.head_dim);
        let (mut keys, mut values) = (Mat::zeros(rows, dim), Mat::zeros(rows, dim));
        let block_rows = KV_BLOCK_TOKENS * dim;
        let blocks = keys.data_mut().chunks_mut(block_rows).zip(values.data_mut().chunks_mut(block_rows));
        for (block, (keys, values)) in seq.blocks.iter().zip(blocks) {
            let block = self.kv.layer(*block, layer);
            let from_k = &block[head * shape.head_len()..][..shape.head_len()];
            let from_v = &block[(shape.kv_heads + head) * shape.head_len()..][..shape.head_len()];
            values.copy_from_slice(&from_v[..values.len()]);
            for (slot, key) in keys.chunks_exact_mut(dim).enumerate() {
                for (to, from) in key.iter_mut().zip(from_k[slot..].iter().step_by(KV_BLOCK_TOKENS)) {
                    *to = *from;
                }
            }
        }
        (keys, values)
    }

    /// From memory by heads to rows.
    fn gather(&self, heads: &[f32], grads: &mut Grads) {
        let config = &self.pass.weights.config;
        let (rows, group) = (self.pass.plan.rows(), config.heads / config.kv_heads);
        grads.q.reshape(rows, config.q_dim());
        grads.k.reshape(rows, config.kv_dim());
        grads.v.reshape(rows, config.kv_dim());
        let parts = |to: &mut Mat| to.view().cols() * ROWS_PER_TASK;
        let (by_q, by_k) = (parts(&mut grads.q), parts(&mut grads.k));
        let keys_and_values = grads.k.data_mut().chunks_mut(by_k).zip(grads.v.data_mut().chunks_mut(by_k));
        let tasks = grads.q.data_mut().chunks_mut(by_q).zip(keys_and_values);
        self.pass.cpu.pool().each(tasks, |task, (q, (k, v))| {
            let first = task * ROWS_PER_TASK;
            self.gather_rows(heads, first, (0, group), q);
            self.gather_rows(heads, first, (group, 1), k);
            self.gather_rows(heads, first, (group + 1, 1), v);
        });
    }

    /// Some rows of one result: of each key head's matrices those `count` that begin at `skip`.
    fn gather_rows(&self, heads: &[f32], first: usize, (skip, count): (usize, usize), to: &mut [f32]) {
        let config = &self.pass.weights.config;
        let (dim, each) = (config.head_dim, config.heads / config.kv_heads + 2);
        for (row, to) in (first..).zip(to.chunks_exact_mut(config.kv_heads * count * dim)) {
            let rows = &self.pass.plan.seq(row).rows;
            for (i, to) in to.chunks_exact_mut(dim).enumerate() {
                // All sequences before, then this one's matrices before, then its rows before.
                let matrix = i / count * each + skip + i % count;
                let at = rows.start * config.kv_heads * each + matrix * rows.len() + row - rows.start;
                to.copy_from_slice(&heads[at * dim..(at + 1) * dim]);
            }
        }
    }
}
