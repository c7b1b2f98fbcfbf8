//! One frozen linear map, quantised or not.

use std::sync::OnceLock;

use alloy_primitives::Keccak256;
use openledger_kernels::{Cpu, Finish, Mat, MatRef, NotFinite, Path, Q8Matrix, Q8Product, QuantisedRows, Start};

use super::ModelOptions;

/// `y = W x` with W out x in.
#[derive(Debug)]
pub(crate) enum Linear {
    /// int8 blocks, and what the first gradient makes of them.
    Q8 { w: Q8Matrix, back: Back },
    /// f32, as it is and transposed.
    F32 { w: Mat, w_t: Mat },
}

/// How a gradient goes through int8 blocks.
#[derive(Debug)]
pub(crate) enum Back {
    /// Against the transpose, quantised once more.
    Q8(OnceLock<Q8Matrix>),
    /// Against integers times scales.
    F32(OnceLock<Mat>),
}

/// Inputs of linear maps, or gradients by their outputs: the integers, if the maps are quantised.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    quantised: QuantisedRows,
}

/// One of several maps that share an input.
pub(crate) struct Product<'a> {
    pub(crate) linear: &'a Linear,
    pub(crate) out: &'a mut Mat,
    pub(crate) finish: Finish<'a>,
}

impl Linear {
    pub(crate) fn new(weights: Vec<f32>, out: usize, input: usize, options: ModelOptions) -> Result<Self, NotFinite> {
        if options.quantise {
            let w = Q8Matrix::quantise(&weights, out, input, Path::best())?;
            let back = match options.exact_gradients {
                false => Back::Q8(OnceLock::new()),
                true => Back::F32(OnceLock::new()),
            };
            return Ok(Self::Q8 { w, back });
        }
        let w = MatRef::new(&weights, out, input);
        Ok(Self::F32 { w: w.to_mat(), w_t: w.transposed() })
    }

    pub(crate) fn d_out(&self) -> usize {
        match self {
            Self::Q8 { w, .. } => w.rows(),
            Self::F32 { w, .. } => w.view().rows(),
        }
    }

    pub(crate) fn d_in(&self) -> usize {
        match self {
            Self::Q8 { w, .. } => w.cols(),
            Self::F32 { w, .. } => w.view().cols(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Q8 { w, back: Back::Q8(w_t) } => w.bytes() + w_t.get().map_or(0, Q8Matrix::bytes),
            Self::Q8 { w, back: Back::F32(exact) } => w.bytes() + exact.get().map_or(0, |w| size_of_val(w.data())),
            Self::F32 { w, w_t } => size_of_val(w.data()) + size_of_val(w_t.data()),
        }
    }

    /// One output's weights as f32.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Q8 { w, .. } => w.dequantise_row(row, out),
            Self::F32 { w, .. } => out.copy_from_slice(w.view().row(row)),
        }
    }

    /// Feeds the canonical bytes: kind (8 or 32), rows and columns as u32 big-endian, then row by row either, for each
    /// block, the scale (f32 little-endian) and 32 signed bytes (zero past the last column), or f32 little-endian.
    pub(crate) fn hash_into(&self, hasher: &mut Keccak256) {
        let header = |hasher: &mut Keccak256, kind: u8, rows: usize, cols: usize| {
            hasher.update([kind]);
            hasher.update((rows as u32).to_be_bytes());
            hasher.update((cols as u32).to_be_bytes());
        };
        match self {
            Self::Q8 { w, .. } => {
                header(hasher, 8, w.rows(), w.cols());
                (0..w.rows()).for_each(|row| hasher.update(q8_row(w, row)));
            }
            Self::F32 { w, .. } => {
                header(hasher, 32, w.view().rows(), w.view().cols());
                (0..w.view().rows()).for_each(|row| hasher.update(f32_bytes(w.view().row(row))));
            }
        }
    }
}

fn dequantise(matrix: &Q8Matrix) -> Mat {
    let mut out = Mat::zeros(matrix.rows(), matrix.cols());
    let rows = out.data_mut().chunks_exact_mut(matrix.cols());
    rows.enumerate().for_each(|(row, out)| matrix.dequantise_row(row, out));
    out
}

fn q8_row(matrix: &Q8Matrix, row: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(matrix.cols() * 9 / 8 + 36);
    for (scale, q) in matrix.row_blocks(row) {
        bytes.extend(scale.to_le_bytes());
        bytes.extend(q.map(|q| q as u8));
    }
    bytes
}

pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Acts {
    /// `out = x W^T` for each product, and what it finishes with; every matrix gets its shape.
    pub(crate) fn multiply(&mut self, cpu: &Cpu, x: MatRef<'_>, mut products: Vec<Product<'_>>) {
        for product in &mut products {
            product.out.reshape(x.rows(), product.linear.d_out());
        }
        if products.iter().any(|product| matches!(product.linear, Linear::Q8 { .. })) {
            cpu.quantise(x, &mut self.quantised);
        }
        let mut quantised = Vec::with_capacity(products.len());
        for Product { linear, out, finish } in products {
            match linear {
                Linear::Q8 { w: weights, .. } => quantised.push(Q8Product { weights, out: out.view_mut(), finish }),
                Linear::F32 { w_t, .. } => exact(cpu, x, w_t.view(), out, (Start::Zero, finish)),
            }
        }
        cpu.q8_matmul(&self.quantised, &mut quantised, Start::Zero);
    }

    /// `dx = dy W` or `dx += dy W`, and what it finishes with; with int8 blocks, of the integers of dy and of the transpose.
    /// A matrix that starts at zero gets its shape.
    pub(crate) fn backward(
        &mut self,
        cpu: &Cpu,
        dy: MatRef<'_>,
        linear: &Linear,
        dx: &mut Mat,
        (start, finish): (Start, Finish<'_>),
    ) {
        if start == Start::Zero {
            dx.reshape(dy.rows(), linear.d_in());
        }
        match linear {
            Linear::Q8 { w, back: Back::Q8(w_t) } => {
                let weights = w_t.get_or_init(|| w.transposed(cpu));
                cpu.quantise(dy, &mut self.quantised);
                cpu.q8_matmul(&self.quantised, &mut [Q8Product { weights, out: dx.view_mut(), finish }], start);
            }
            Linear::Q8 { w, back: Back::F32(dequantised) } => {
                let weights = dequantised.get_or_init(|| dequantise(w));
                exact(cpu, dy, weights.view(), dx, (start, finish));
            }
            Linear::F32 { w, .. } => exact(cpu, dy, w.view(), dx, (start, finish)),
        }
    }
}

/// The same in f32.
fn exact(cpu: &Cpu, x: MatRef<'_>, w: MatRef<'_>, out: &mut Mat, (start, finish): (Start, Finish<'_>)) {
    if start == Start::Zero {
        out.fill(0.0);
    }
    cpu.gemm(x, w, &mut out.view_mut());
    finish.apply(cpu.path(), &mut out.view_mut());
}
