//! One decoder layer, backwards.

use std::ops::Range;

use openledger_kernels::{Finish, Mat, MatMut, MatRef, Path, Start, Tail};

use super::{GradSink, Probe, SiteGrad, zeroed};
use crate::forward::{Kept, Pass, take};
use crate::kv::KvPool;
use crate::lora::{LoraAdapter, PackedSite};
use crate::model::{Activation, Acts, RopeRows, SiteId, SiteInfo, SiteKind};

/// Rows of one task of an adapter's products.
const ROWS_PER_TASK: usize = 48;

/// What stays the same through the backward pass of one part of a batch.
pub(super) struct Backward<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) kept: &'a [Kept],
    pub(super) kv: &'a KvPool,
    /// Index of the part's first sequence in the whole batch.
    pub(super) first: usize,
    /// Whether the sink reads the sites' inputs.
    pub(super) inputs: bool,
    /// The lowest layer that is worked through.
    pub(super) lowest: usize,
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
    adapter: AdapterGrads,
    /// Attention's results, head by head.
    pub(super) heads: Mat,
}

/// Of one site at a time, the narrow products of gradients.
#[derive(Debug, Default)]
struct AdapterGrads {
    /// d B, and the same times the adapter's factor.
    db: Mat,
    scaled: Mat,
    /// d times what the sink wants it projected by.
    dp: Mat,
}

impl Backward<'_> {
    /// From the gradient by the layer's output to that by its input, both in `grads.h`.
    pub(super) fn layer(&self, layer: usize, rope: &RopeRows, grads: &mut Grads, sink: &mut dyn GradSink) {
        self.feed_forward(layer, grads, sink);
        self.attention_output(layer, grads, sink);
        self.attention(layer, self.pass.plan, grads);
        self.attention_inputs(layer, rope, grads, sink);
    }

    /// The same for the last layer, of whose output only some rows, those of `rest`, have a gradient.
    pub(super) fn last_layer(
        &self,
        layer: usize,
        rest: &Backward<'_>,
        rope: &RopeRows,
        grads: &mut Grads,
        sink: &mut dyn GradSink,
    ) {
        rest.feed_forward(layer, grads, sink);
        rest.attention_output(layer, grads, sink);
        self.attention(layer, rest.pass.plan, grads);
        let some = std::mem::take(&mut grads.h);
        self.pass.plan.spread(rest.pass.plan, &some, &mut grads.h);
        self.attention_inputs(layer, rope, grads, sink);
    }

    fn feed_forward(&self, index: usize, g: &mut Grads, sink: &mut dyn GradSink) {
        let (kept, layer) = (&self.kept[index], &self.pass.weights.layers[index]);
        if self.inputs {
            self.pass.activation(&kept.gate, &kept.up, &mut g.x);
        }
        let out = match &layer.post_norms {
            None => &g.h,
            Some([_, norm]) => self.through_norm(&kept.down_raw, norm, &g.h, &mut g.raw),
        };
        let mut products = Products::new(&mut g.acts, &mut g.adapter, sink);
        self.sites(index, &g.x, &[(SiteKind::Down, out)], Some(&mut g.gate), &mut products);
        self.activation_backward(kept, g);
        if self.inputs {
            self.pass.norm(&kept.h_mid, &layer.ffn_norm, &mut g.x);
        }
        let mut products = Products::new(&mut g.acts, &mut g.adapter, sink);
        let ds = [(SiteKind::Gate, &g.gate), (SiteKind::Up, &g.up)];
        self.sites(index, &g.x, &ds, Some(&mut g.normed), &mut products);
        self.add_through_norm(&kept.h_mid, &layer.ffn_norm, &g.normed, &mut g.h);
    }

    fn attention_output(&self, index: usize, g: &mut Grads, sink: &mut dyn GradSink) {
        let kept = &self.kept[index];
        let out = match &self.pass.weights.layers[index].post_norms {
            None => &g.h,
            Some([norm, _]) => self.through_norm(&kept.o_raw, norm, &g.h, &mut g.raw),
        };
        let mut products = Products::new(&mut g.acts, &mut g.adapter, sink);
        self.sites(index, &kept.attn, &[(SiteKind::O, out)], Some(&mut g.attn), &mut products);
    }

    fn attention_inputs(&self, index: usize, rope: &RopeRows, g: &mut Grads, sink: &mut dyn GradSink) {
        let (kept, layer) = (&self.kept[index], &self.pass.weights.layers[index]);
        self.unrotate(rope, &mut g.q);
        self.unrotate(rope, &mut g.k);
        if let Some([q, k]) = &layer.qk_norms {
            self.through_head_norm(&kept.q_raw, q, &mut g.q);
            self.through_head_norm(&kept.k_raw, k, &mut g.k);
        }
        if self.inputs {
            self.pass.norm(&kept.h_in, &layer.attn_norm, &mut g.x);
        }
        let mut products = Products::new(&mut g.acts, &mut g.adapter, sink);
        let ds = [(SiteKind::Q, &g.q), (SiteKind::K, &g.k), (SiteKind::V, &g.v)];
        // Nothing below is asked for a gradient; below the first layer are embeddings, which are frozen.
        let goes_on = index > self.lowest;
        let dx = goes_on.then_some(&mut g.normed);
        self.sites(index, &g.x, &ds, dx, &mut products);
        if goes_on {
            self.add_through_norm(&kept.h_in, &layer.attn_norm, &g.normed, &mut g.h);
        }
    }

    /// Some of a layer's linear maps of the same input, with their adapters: `dx` becomes their sum, the sink is told.
    fn sites(
        &self,
        layer: usize,
        x: &Mat,
        ds: &[(SiteKind, &Mat)],
        mut dx: Option<&mut Mat>,
        products: &mut Products<'_>,
    ) {
        let seqs: Vec<_> = self.pass.plan.seqs.iter().map(|seq| (self.first + seq.chunk, seq.rows.clone())).collect();
        for (at, (kind, d)) in ds.iter().enumerate() {
            let info = &self.pass.weights.sites[SiteId::new(layer, *kind).index()];
            // All adapters are configured alike, so the first answers for them.
            let first = self.adapters().next().and_then(|(adapter, _)| adapter.packed(info.id));
            if let Some(first) = first {
                self.adapter_products(info, first.rank(), d.view(), products);
            }
            if let Some(dx) = &mut dx {
                let linear = self.pass.weights.layers[layer].linear(*kind);
                let start = if at == 0 { Start::Zero } else { Start::Stored };
                let finish = Finish { bias: None, tails: self.tails(info.id, &products.adapter.scaled) };
                products.acts.backward(self.pass.cpu, d.view(), linear, dx, (start, finish));
            }
            let Some(first) = first else { continue };
            let (kept, AdapterGrads { db, dp, .. }) = (&self.kept[layer], &*products.adapter);
            let grad = SiteGrad {
                site: info,
                lora_scale: first.scale,
                seqs: &seqs,
                x: if self.inputs { x.view() } else { MatRef::new(&[], d.view().rows(), 0) },
                d: d.view(),
                xa: kept.xa[*kind as usize].view(),
                db: db.view(),
                projected: [kept.xp[*kind as usize].view(), dp.view()],
            };
            products.sink.site(self.pass.cpu, &grad);
        }
    }

    /// `s db A` for every adapter at the site: to be added to the gradient by its input.
    fn tails<'t>(&'t self, id: SiteId, scaled: &'t Mat) -> Vec<Tail<'t>> {
        let tail = |(adapter, rows): (&'t LoraAdapter, &Range<usize>)| {
            let right = adapter.packed(id)?.a.view();
            Some(Tail { rows: rows.clone(), left: scaled.view().rows_at(rows.clone()), right })
        };
        self.adapters().filter_map(tail).collect()
    }

    /// The adapters, each with its rows, in order.
    fn adapters(&self) -> impl Iterator<Item = (&LoraAdapter, &Range<usize>)> {
        self.pass.plan.segments.iter().filter_map(|segment| Some((segment.adapter?, &segment.rows)))
    }

    /// `db = d B`, the same times the factor, and what the sink wants d projected by.
    fn adapter_products(&self, info: &SiteInfo, rank: usize, d: MatRef<'_>, products: &mut Products<'_>) {
        let probe = products.sink.probe(info).map(|Probe { output, .. }| output);
        let width = probe.map_or(0, MatRef::cols);
        let AdapterGrads { db, scaled, dp, .. } = &mut *products.adapter;
        zeroed(db, d.rows(), rank);
        zeroed(dp, d.rows(), width);
        scaled.reshape(d.rows(), rank);
        let (mut db, mut scaled, mut dp) = (db.data_mut(), scaled.data_mut(), dp.data_mut());
        let mut tasks = Vec::new();
        for (adapter, rows) in self.adapters() {
            let Some(site) = adapter.packed(info.id) else { continue };
            for first in rows.clone().step_by(ROWS_PER_TASK) {
                let rows = first..rows.end.min(first + ROWS_PER_TASK);
                let (db, scaled) = (take(&mut db, rows.len() * rank), take(&mut scaled, rows.len() * rank));
                let dp = take(&mut dp, rows.len() * width);
                tasks.push(AdapterTask { site, d: d.rows_at(rows), probe, db, scaled, dp });
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

/// An adapter's products for some rows of one site.
struct AdapterTask<'a> {
    site: &'a PackedSite,
    d: MatRef<'a>,
    probe: Option<MatRef<'a>>,
    db: &'a mut [f32],
    scaled: &'a mut [f32],
    dp: &'a mut [f32],
}

impl AdapterTask<'_> {
    fn run(self, path: Path) {
        let (rows, rank) = (self.d.rows(), self.site.rank());
        let mut products = vec![(self.site.b.view(), MatMut::new(&mut *self.db, rows, rank))];
        products.extend(self.probe.map(|probe| (probe, MatMut::new(self.dp, rows, probe.cols()))));
        path.gemm_beside(self.d, &mut products);
        self.scaled.copy_from_slice(self.db);
        path.scale(self.scaled, self.site.scale);
    }
}

/// Where an adapter's products go.
struct Products<'a> {
    acts: &'a mut Acts,
    adapter: &'a mut AdapterGrads,
    sink: &'a mut dyn GradSink,
}

impl<'a> Products<'a> {
    fn new(acts: &'a mut Acts, adapter: &'a mut AdapterGrads, sink: &'a mut dyn GradSink) -> Self {
        Self { acts, adapter, sink }
    }
}
