//! The preconditioner: for each site's factor a matrix W with W^T W = P, so that (W q) . (W g) = q^T P g.
//!
//! P is the inverse of F + c mean(w) I with F the empirical Fisher of all records and w its eigenvalues, whose mean is
//! the trace over the dimension. With F + c mean(w) I = L L^T (Cholesky), W = L^-1: the same scores as from
//! eigenvectors, (U^T q)^T diag(1 / (w + c mean(w))) (U^T g), in a fixed number of steps with no iteration to converge.
//! f64 with additions, products, divisions and square roots only, in one written order.

use super::policy::{InfluencePolicy, Preconditioner};

/// W of every block of one checkpoint.
///
/// A block's values are the columns of a lower-triangular matrix, each from the diagonal down; for a diagonal
/// preconditioner the diagonal; for none nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transform {
    pub(crate) block: usize,
    pub(crate) kind: Preconditioner,
    pub(crate) values: Vec<f32>,
}

/// How many values W of one block of `block` dimensions takes.
pub(crate) fn block_values(kind: Preconditioner, block: usize) -> usize {
    match kind {
        Preconditioner::BlockFisher | Preconditioner::DataInf => block * (block + 1) / 2,
        Preconditioner::DiagonalFisher => block,
        Preconditioner::Identity => 0,
    }
}

impl Transform {
    /// Computes W from the records' rows (n x dims).
    pub(crate) fn fit(policy: &InfluencePolicy, rows: &[f32], dims: usize, block: usize) -> Self {
        let damping = f64::from(policy.damping_milli) / 1000.0;
        let kind = policy.preconditioner;
        let values = (0..dims).step_by(block).flat_map(|first| {
            let gradients: Vec<&[f32]> = rows.chunks_exact(dims).map(|row| &row[first..first + block]).collect();
            fit_block(kind, &gradients, block, damping)
        });
        Self { block, kind, values: values.collect() }
    }

    /// Replaces one sketch by W times it, block by block. Sums over inputs in ascending order.
    pub(crate) fn apply(&self, row: &mut [f32]) {
        let size = block_values(self.kind, self.block);
        for (at, block) in row.chunks_exact_mut(self.block).enumerate() {
            let values = &self.values[at * size..(at + 1) * size];
            match self.kind {
                Preconditioner::Identity => {}
                Preconditioner::DiagonalFisher => block.iter_mut().zip(values).for_each(|(value, w)| *value *= w),
                Preconditioner::BlockFisher | Preconditioner::DataInf => apply_triangle(values, block),
            }
        }
    }
}

fn apply_triangle(columns: &[f32], block: &mut [f32]) {
    let mut out = vec![0.0f32; block.len()];
    let mut rest = columns;
    for (at, &value) in block.iter().enumerate() {
        let (column, tail) = rest.split_at(block.len() - at);
        out[at..].iter_mut().zip(column).for_each(|(out, w)| *out += value * w);
        rest = tail;
    }
    block.copy_from_slice(&out);
}

fn fit_block(kind: Preconditioner, gradients: &[&[f32]], block: usize, damping: f64) -> Vec<f32> {
    let squares: Vec<f64> =
        gradients.iter().map(|row| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum()).collect();
    let mean_square = squares.iter().sum::<f64>() / gradients.len().max(1) as f64;
    // The mean eigenvalue of the Fisher matrix: its trace over its dimension.
    let added = damping * mean_square / block as f64;
    if added <= 0.0 || !added.is_normal() {
        return vec![0.0; block_values(kind, block)];
    }
    match kind {
        Preconditioner::Identity => Vec::new(),
        Preconditioner::DiagonalFisher => diagonal(gradients, block, added),
        Preconditioner::BlockFisher => block_fisher(gradients, block, added),
        Preconditioner::DataInf => datainf(gradients, &squares, block, added),
    }
}

fn diagonal(gradients: &[&[f32]], block: usize, added: f64) -> Vec<f32> {
    let mut sums = vec![0.0f64; block];
    for row in gradients {
        sums.iter_mut().zip(*row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    sums.iter().map(|sum| (1.0 / (sum / gradients.len() as f64 + added)).sqrt() as f32).collect()
}

fn block_fisher(gradients: &[&[f32]], block: usize, added: f64) -> Vec<f32> {
    let weight = 1.0 / gradients.len() as f64;
    let mut fisher = moments(gradients, |_| weight, block);
    (0..block).for_each(|at| fisher[at * block + at] += added);
    cholesky(&mut fisher, block);
    columns(&invert_lower(&fisher, block), block)
}

/// P = (I - mean of g g^T / (lambda + |g|^2)) / lambda, which is positive definite. Written as W^T W with W lower
/// triangular by factoring P with rows and columns reversed.
fn datainf(gradients: &[&[f32]], squares: &[f64], block: usize, lambda: f64) -> Vec<f32> {
    let weight = |at: usize| 1.0 / (gradients.len() as f64 * (lambda + squares[at]));
    let mean = moments(gradients, weight, block);
    let mut reversed = vec![0.0; block * block];
    for row in 0..block {
        for column in 0..=row {
            let (i, j) = (block - 1 - column, block - 1 - row);
            let identity = if row == column { 1.0 } else { 0.0 };
            reversed[row * block + column] = (identity - mean[i * block + j]) / lambda;
        }
    }
    cholesky(&mut reversed, block);
    let mut factor = vec![0.0; block * block];
    for row in 0..block {
        for column in 0..=row {
            factor[row * block + column] = reversed[(block - 1 - column) * block + block - 1 - row];
        }
    }
    columns(&factor, block)
}

/// Lower triangle of the sum of weight(i) g_i g_i^T, records in order.
fn moments(gradients: &[&[f32]], weight: impl Fn(usize) -> f64, block: usize) -> Vec<f64> {
    let mut sums = vec![0.0f64; block * block];
    let mut wide = vec![0.0f64; block];
    for (at, row) in gradients.iter().enumerate() {
        wide.iter_mut().zip(*row).for_each(|(wide, &value)| *wide = f64::from(value));
        let weight = weight(at);
        for i in 0..block {
            let scaled = weight * wide[i];
            let target = &mut sums[i * block..i * block + i + 1];
            target.iter_mut().zip(&wide).for_each(|(sum, value)| *sum += scaled * value);
        }
    }
    sums
}

/// Replaces the lower triangle of a positive definite matrix by L with L L^T equal to it, row by row.
fn cholesky(matrix: &mut [f64], block: usize) {
    for i in 0..block {
        for j in 0..=i {
            let (head, tail) = matrix.split_at_mut(i * block);
            let row_j = if j < i { &head[j * block..j * block + j] } else { &[] };
            let row_i = &mut tail[..block];
            if j < i {
                let sum = row_j.iter().zip(&row_i[..j]).fold(row_i[j], |rest, (a, b)| rest - a * b);
                row_i[j] = sum / head[j * block + j];
            } else {
                let rest = row_i[..i].iter().fold(row_i[i], |rest, a| rest - a * a);
                // Damping keeps this positive; the floor only guards against rounding.
                row_i[i] = rest.max(f64::MIN_POSITIVE).sqrt();
            }
        }
    }
}

/// Inverse of a lower-triangular matrix, column by column.
fn invert_lower(lower: &[f64], block: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; block * block];
    for i in 0..block {
        let (head, tail) = inverse.split_at_mut(i * block);
        let row = &mut tail[..block];
        // Row i of the inverse: (e_i - sum over j < i of l_ij inverse_j) / l_ii.
        for j in 0..i {
            let factor = lower[i * block + j];
            row.iter_mut().zip(&head[j * block..j * block + j + 1]).for_each(|(out, value)| *out -= factor * value);
        }
        row[i] = 1.0;
        let divisor = lower[i * block + i];
        row[..=i].iter_mut().for_each(|value| *value /= divisor);
    }
    inverse
}

fn columns(lower: &[f64], block: usize) -> Vec<f32> {
    (0..block).flat_map(|column| (column..block).map(move |row| lower[row * block + column] as f32)).collect()
}
