//! One decoder layer, backwards.

use std::ops::Range;

use openledger_kernels::{Mat, MatMut, MatRef, Path};

use super::{GradSink, SiteGrad, zeroed};
use crate::forward::{Kept, Pass};
use crate::kv::KvPool;
use crate::lora::{LoraAdapter, PackedSite};
use crate::model::{Activation, Acts, RopeRows, SiteId, SiteKind};

/// Rows of one task of an adapter's products.
const ROWS_PER_TASK: usize = 24;

/// What stays the same through the backward pass of one part of a batch.
pub(super) struct Backward<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) kept: &'a [Kept],
    pub(super) kv: &'a KvPool,
    /// Each sequence's index in the whole batch, and its rows.
    pub(super) seqs: Vec<(usize, Range<usize>)>,
}

/// Gradients by activations, rows by width.
#[derive(Debug, Default)]
pub(crate) struct Grads {
    /// By the residual stream.
    pub(super) h: Mat,
    /// Logits, then the gradients by them.
    pub(super) logits: Mat,
    /// By a block's output before its norm; only where the family normalises it.
    raw: Mat,
    /// By gate (first by its product with up) and up.
    gate: Mat,
    up: Mat,
    /// By a normed input.
    normed: Mat,
    /// By attention's output, and by its inputs.
    pub(super) attn: Mat,
    pub(super) q: Mat,
    pub(super) k: Mat,
    pub(super) v: Mat,
    /// Gradients by outputs, as integers.
    acts: Acts,
    /// An input computed again.
    x: Mat,
    xa: Mat,
    db: Mat,
    /// Attention's results, head by head.
    pub(super) heads: Vec<f32>,
}

impl Backward<'_> {
    /// From the gradient by the layer's output to that by its input, both in `grads.h`.
    pub(super) fn layer(&self, layer: usize, rope: &RopeRows, grads: &mut Grads, sink: &mut dyn GradSink) {
        self.feed_forward(layer, grads, sink);
        self.attention_output(layer, grads, sink);
        self.attention(layer, grads);
        self.attention_inputs(layer, rope, grads, sink);
    }

    fn feed_forward(&self, index: usize, g: &mut Grads, sink: &mut dyn GradSink) {
        let (kept, layer) = (&self.kept[index], &self.pass.weights.layers[index]);
        let (rows, ffn) = (self.pass.plan.rows(), self.pass.weights.config.ffn);
        self.pass.activation(&kept.gate, &kept.up, &mut g.x);
        zeroed(&mut g.gate, rows, ffn);
        let out = match &layer.post_norms {
            None => &g.h,
            Some([_, norm]) => self.through_norm(&kept.down_raw, norm, &g.h, &mut g.raw),
        };
        let mut products = Products { acts: &mut g.acts, xa: &mut g.xa, db: &mut g.db, sink };
        self.site(SiteId::new(index, SiteKind::Down), &g.x, out, Some(&mut g.gate), &mut products);
        self.activation_backward(kept, g);
        self.pass.norm(&kept.h_mid, &layer.ffn_norm, &mut g.x);
        zeroed(&mut g.normed, rows, self.pass.weights.config.hidden);
        let mut products = Products { acts: &mut g.acts, xa: &mut g.xa, db: &mut g.db, sink };
        self.site(SiteId::new(index, SiteKind::Gate), &g.x, &g.gate, Some(&mut g.normed), &mut products);
        self.site(SiteId::new(index, SiteKind::Up), &g.x, &g.up, Some(&mut g.normed), &mut products);
        self.add_through_norm(&kept.h_mid, &layer.ffn_norm, &g.normed, &mut g.h);
    }

    fn attention_output(&self, index: usize, g: &mut Grads, sink: &mut dyn GradSink) {
        let kept = &self.kept[index];
        zeroed(&mut g.attn, self.pass.plan.rows(), self.pass.weights.config.q_dim());
        let out = match &self.pass.weights.layers[index].post_norms {
            None => &g.h,
            Some([norm, _]) => self.through_norm(&kept.o_raw, norm, &g.h, &mut g.raw),
        };
        let mut products = Products { acts: &mut g.acts, xa: &mut g.xa, db: &mut g.db, sink };
        self.site(SiteId::new(index, SiteKind::O), &kept.attn, out, Some(&mut g.attn), &mut products);
    }

    fn attention_inputs(&self, index: usize, rope: &RopeRows, g: &mut Grads, sink: &mut dyn GradSink) {
        let (kept, layer) = (&self.kept[index], &self.pass.weights.layers[index]);
        self.unrotate(rope, &mut g.q);
        self.unrotate(rope, &mut g.k);
        if let Some([q, k]) = &layer.qk_norms {
            self.through_head_norm(&kept.q_raw, q, &mut g.q);
            self.through_head_norm(&kept.k_raw, k, &mut g.k);
        }
        self.pass.norm(&kept.h_in, &layer.attn_norm, &mut g.x);
        zeroed(&mut g.normed, self.pass.plan.rows(), self.pass.weights.config.hidden);
        let mut products = Products { acts: &mut g.acts, xa: &mut g.xa, db: &mut g.db, sink };
        for (kind, d) in [(SiteKind::Q, &g.q), (SiteKind::K, &g.k), (SiteKind::V, &g.v)] {
            // Nothing below the first layer has a gradient: embeddings are frozen.
            let dx = (index > 0).then_some(&mut g.normed);
            self.site(SiteId::new(index, kind), &g.x, d, dx, &mut products);
        }
        if index > 0 {
            self.add_through_norm(&kept.h_in, &layer.attn_norm, &g.normed, &mut g.h);
        }
    }

    /// One linear map and its adapter: adds to `dx`, tells the sink.
    fn site(&self, id: SiteId, x: &Mat, d: &Mat, mut dx: Option<&mut Mat>, products: &mut Products<'_>) {
        let weights = self.pass.weights;
        let info = &weights.sites[id.index()];
        if let Some(dx) = &mut dx {
            let linear = weights.layers[info.layer].linear(info.kind);
            products.acts.backward(self.pass.cpu, d.view(), linear, dx);
        }
        // All adapters are configured alike, so the first answers for them.
        let Some(first) = self.adapters().next().and_then(|(adapter, _)| adapter.packed(id)) else { return };
        self.adapter_products(id, first.a.view().rows(), x.view(), d.view(), dx, products);
        let (xa, db) = (products.xa.view(), products.db.view());
        let (x, d) = (x.view(), d.view());
        let grad = SiteGrad { site: info, lora_scale: first.scale, seqs: &self.seqs, x, d, xa, db };
        products.sink.site(self.pass.cpu, &grad);
    }

    /// The adapters, each with its rows, in order.
    fn adapters(&self) -> impl Iterator<Item = (&LoraAdapter, &Range<usize>)> {
        self.pass.plan.segments.iter().filter_map(|segment| Some((segment.adapter?, &segment.rows)))
    }

    /// `xa = x Aᵀ`, `db = d B`, `dx += s db A`.
    fn adapter_products(
        &self,
        id: SiteId,
        rank: usize,
        x: MatRef<'_>,
        d: MatRef<'_>,
        dx: Option<&mut Mat>,
        products: &mut Products<'_>,
    ) {
        zeroed(products.xa, x.rows(), rank);
        zeroed(products.db, x.rows(), rank);
        let (mut xa, mut db) = (products.xa.data_mut(), products.db.data_mut());
        let mut dx = dx.map(Mat::data_mut);
        let mut tasks = Vec::new();
        for (adapter, rows) in self.adapters() {
            let Some(site) = adapter.packed(id) else { continue };
            for first in rows.clone().step_by(ROWS_PER_TASK) {
                let rows = first..rows.end.min(first + ROWS_PER_TASK);
                let (xa, db) = (take(&mut xa, rows.len() * rank), take(&mut db, rows.len() * rank));
                let dx = dx.as_mut().map(|dx| take(dx, rows.len() * x.cols()));
                tasks.push(AdapterTask { site, x: x.rows_at(rows.clone()), d: d.rows_at(rows), xa, db, dx });
            }
        }
        self.pass.cpu.pool().each(tasks, |_, task| task.run(self.pass.cpu.path()));
    }

    /// From the product's gradient in `g.gate` to those of gate and up.
    fn activation_backward(&self, kept: &Kept, g: &mut Grads) {
        let (kind, cols) = (self.pass.weights.config.activation, kept.gate.view().cols());
        let path = self.pass.cpu.path();
        g.up.reshape(kept.gate.view().rows(), cols);
        let rows = g.gate.data_mut().chunks_exact_mut(cols).zip(g.up.data_mut().chunks_exact_mut(cols));
        self.pass.cpu.pool().each(rows, |row, (d_gate, d_up)| {
            let (gate, up) = (kept.gate.view().row(row), kept.up.view().row(row));
            match kind {
                Activation::Silu => path.silu_mul_backward(gate, up, d_gate, d_up),
                Activation::GeluTanh => path.gelu_mul_backward(gate, up, d_gate, d_up),
            }
        });
    }

    /// The gradient by a norm's input.
    fn through_norm<'m>(&self, x: &Mat, weight: &[f32], d: &Mat, out: &'m mut Mat) -> &'m Mat {
        zeroed(out, x.view().rows(), x.view().cols());
        self.add_through_norm(x, weight, d, out);
        out
    }

    fn add_through_norm(&self, x: &Mat, weight: &[f32], d: &Mat, out: &mut Mat) {
        let eps = self.pass.weights.config.eps;
        self.pass.by_rows(out, |row, out, path| {
            path.rms_norm_backward(x.view().row(row), weight, eps, d.view().row(row), out)
        });
    }

    fn through_head_norm(&self, x: &Mat, weight: &[f32], d: &mut Mat) {
        let eps = self.pass.weights.config.eps;
        let head_dim = weight.len();
        self.pass.by_rows(d, |row, d, path| {
            for (x, d) in x.view().row(row).chunks_exact(head_dim).zip(d.chunks_exact_mut(head_dim)) {
                let dy = d.to_vec();
                d.fill(0.0);
                path.rms_norm_backward(x, weight, eps, &dy, d);
            }
        });
    }

    fn unrotate(&self, rope: &RopeRows, d: &mut Mat) {
        self.pass.by_rows(d, |row, d, path| {
            let (cos, sin) = rope.row(row);
            path.rope_inverse(d, cos, sin);
        });
    }
}

/// Cuts the first `len` elements off `rest`.
fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (first, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    first
}

/// An adapter's products for some rows of one site.
struct AdapterTask<'a> {
    site: &'a PackedSite,
    x: MatRef<'a>,
    d: MatRef<'a>,
    xa: &'a mut [f32],
    db: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
}

impl AdapterTask<'_> {
    fn run(self, path: Path) {
        let (rows, cols, rank) = (self.x.rows(), self.x.cols(), self.site.a.view().rows());
        path.gemm(self.x, self.site.a_t.view(), &mut MatMut::new(self.xa, rows, rank));
        path.gemm(self.d, self.site.b.view(), &mut MatMut::new(self.db, rows, rank));
        if let Some(dx) = self.dx {
            let mut scaled = self.db.to_vec();
            path.scale(&mut scaled, self.site.scale);
            path.gemm(MatRef::new(&scaled, rows, rank), self.site.a.view(), &mut MatMut::new(dx, rows, cols));
        }
    }
}

/// Where an adapter's products go.
struct Products<'a> {
    acts: &'a mut Acts,
    xa: &'a mut Mat,
    db: &'a mut Mat,
    sink: &'a mut dyn GradSink,
}
