//! One decoder layer over all rows of a batch.

use openledger_kernels::{Cpu, Finish, Mat, MatRef, Path};

use super::{Plan, Shrunk, expansions, shrink_rows};
use crate::kv::KvPool;
use crate::model::{Activation, Acts, Product, RopeRows, SiteId, SiteKind, Weights};

/// Rows of one task of norms, activations and sums.
const ROWS_PER_TASK: usize = 8;

/// What stays the same through a pass.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) cpu: &'a Cpu,
    pub(crate) plan: &'a Plan<'a>,
    /// What inputs are to be projected by for a sink of gradients, by site; empty where there is none.
    pub(crate) probes: &'a [Option<MatRef<'a>>],
}

/// What the backward pass wants to know of a layer, rows by width.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The layer's input.
    pub(crate) h_in: Mat,
    /// Queries and keys before norm and rotation; only where the family normalises them.
    pub(crate) q_raw: Mat,
    pub(crate) k_raw: Mat,
    /// Queries after the rotation.
    pub(crate) q: Mat,
    /// Attention's output, before the output map.
    pub(crate) attn: Mat,
    /// The output maps' results before their norm; only where the family normalises them.
    pub(crate) o_raw: Mat,
    pub(crate) down_raw: Mat,
    /// The residual stream between attention and feed-forward.
    pub(crate) h_mid: Mat,
    pub(crate) gate: Mat,
    pub(crate) up: Mat,
    /// Each site's input times its adapter's Aᵀ, by kind.
    pub(crate) xa: [Mat; SiteKind::ALL.len()],
    /// Each site's input, projected.
    pub(crate) xp: [Mat; SiteKind::ALL.len()],
}

/// What linear maps need besides their inputs and outputs.
struct Maps<'a> {
    acts: &'a mut Acts,
    scaled: &'a mut [Mat; 3],
    xa: &'a mut [Mat; SiteKind::ALL.len()],
    xp: &'a mut [Mat; SiteKind::ALL.len()],
}

/// What a layer needs meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) acts: Acts,
    /// Of up to three sites, their inputs times Aᵀ and the adapter's factor.
    scaled: [Mat; 3],
    pub(crate) rope: RopeRows,
    /// The layer's output.
    pub(crate) h_out: Mat,
    normed: Mat,
    k: Mat,
    v: Mat,
    act: Mat,
    /// Of the last layer, the rows that go on: queries and input.
    q_tail: Mat,
    h_tail: Mat,
}

impl Pass<'_> {
    /// Embeds all rows and prepares their rotations.
    pub(crate) fn start(&self, work: &mut Work, h: &mut Mat) {
        let config = &self.weights.config;
        let positions = (0..self.plan.rows()).map(|row| self.plan.seq(row).position(row));
        work.rope.fill(&self.weights.frequencies, positions);
        h.reshape(self.plan.rows(), config.hidden);
        for (token, row) in self.plan.tokens.iter().zip(h.data_mut().chunks_exact_mut(config.hidden)) {
            self.weights.embedding.row(*token as usize, row);
            if config.embed_scale != 1.0 {
                self.cpu.path().scale(row, config.embed_scale);
            }
        }
    }

    /// From `kept.h_in` to `work.h_out`.
    pub(crate) fn layer(&self, layer: usize, kept: &mut Kept, work: &mut Work, kv: &mut KvPool) {
        self.attention_inputs(layer, kept, work);
        self.store(layer, &work.k, &work.v, kv);
        self.attend(layer, &kept.q, kv, &mut kept.attn);
        let h_in = std::mem::take(&mut kept.h_in);
        self.attention_output(layer, &h_in, kept, work);
        kept.h_in = h_in;
        self.feed_forward(layer, kept, work);
    }

    /// The same for the last layer, whose results are wanted of some rows only: after keys and values, the others are left
    /// out. All that `kept` holds from attention's output on has `tail`'s rows.
    pub(crate) fn last_layer(&self, layer: usize, tail: &Plan<'_>, kept: &mut Kept, work: &mut Work, kv: &mut KvPool) {
        self.attention_inputs(layer, kept, work);
        self.store(layer, &work.k, &work.v, kv);
        let (mut q, mut h_in) = (std::mem::take(&mut work.q_tail), std::mem::take(&mut work.h_tail));
        self.plan.cut(tail, &kept.q, &mut q);
        self.plan.cut(tail, &kept.h_in, &mut h_in);
        let rest = Pass { plan: tail, ..*self };
        rest.attend(layer, &q, kv, &mut kept.attn);
        rest.attention_output(layer, &h_in, kept, work);
        rest.feed_forward(layer, kept, work);
        (work.q_tail, work.h_tail) = (q, h_in);
    }

    /// Norm, then q, k and v, rotated.
    fn attention_inputs(&self, index: usize, kept: &mut Kept, work: &mut Work) {
        let layer = &self.weights.layers[index];
        self.norm(&kept.h_in, &layer.attn_norm, &mut work.normed);
        let outs = vec![(SiteKind::Q, &mut kept.q), (SiteKind::K, &mut work.k), (SiteKind::V, &mut work.v)];
        let maps = Maps { acts: &mut work.acts, scaled: &mut work.scaled, xa: &mut kept.xa, xp: &mut kept.xp };
        self.linear(index, &work.normed, maps, outs);
        if let Some([q, k]) = &layer.qk_norms {
            self.head_norm(q, &mut kept.q, &mut kept.q_raw);
            self.head_norm(k, &mut work.k, &mut kept.k_raw);
        }
        self.rotate(&mut kept.q, &work.rope);
        self.rotate(&mut work.k, &work.rope);
    }

    fn attention_output(&self, index: usize, h_in: &Mat, kept: &mut Kept, work: &mut Work) {
        let outs = vec![(SiteKind::O, &mut kept.h_mid)];
        let maps = Maps { acts: &mut work.acts, scaled: &mut work.scaled, xa: &mut kept.xa, xp: &mut kept.xp };
        self.linear(index, &kept.attn, maps, outs);
        if let Some([norm, _]) = &self.weights.layers[index].post_norms {
            std::mem::swap(&mut kept.h_mid, &mut kept.o_raw);
            self.norm(&kept.o_raw, norm, &mut kept.h_mid);
        }
        self.add(h_in, &mut kept.h_mid);
    }

    fn feed_forward(&self, index: usize, kept: &mut Kept, work: &mut Work) {
        let layer = &self.weights.layers[index];
        self.norm(&kept.h_mid, &layer.ffn_norm, &mut work.normed);
        let outs = vec![(SiteKind::Gate, &mut kept.gate), (SiteKind::Up, &mut kept.up)];
        let maps = Maps { acts: &mut work.acts, scaled: &mut work.scaled, xa: &mut kept.xa, xp: &mut kept.xp };
        self.linear(index, &work.normed, maps, outs);
        self.activation(&kept.gate, &kept.up, &mut work.act);
        let outs = vec![(SiteKind::Down, &mut work.h_out)];
        let maps = Maps { acts: &mut work.acts, scaled: &mut work.scaled, xa: &mut kept.xa, xp: &mut kept.xp };
        self.linear(index, &work.act, maps, outs);
        if let Some([_, norm]) = &layer.post_norms {
            std::mem::swap(&mut work.h_out, &mut kept.down_raw);
            self.norm(&kept.down_raw, norm, &mut work.h_out);
        }
        self.add(&kept.h_mid, &mut work.h_out);
    }

    /// Some of a layer's linear maps of the same input, with biases and adapters.
    fn linear(&self, layer: usize, x: &Mat, work: Maps<'_>, outs: Vec<(SiteKind, &mut Mat)>) {
        let Maps { acts, scaled, xa, xp } = work;
        let weights = &self.weights.layers[layer];
        let segments = &self.plan.segments;
        let kinds: Vec<_> = outs.iter().map(|(kind, _)| *kind).collect();
        // Maps of the same input follow one another in the order of kinds.
        let first = kinds[0] as usize;
        let narrow = xa[first..].iter_mut().zip(&mut xp[first..]).zip(&mut *scaled);
        let shrunk = kinds.iter().zip(narrow).map(|(kind, ((xa, xp), scaled))| {
            let id = SiteId::new(layer, *kind);
            Shrunk { id, xa, scaled, probe: self.probes.get(id.index()).copied().flatten(), xp }
        });
        shrink_rows(self.cpu, segments, x.view(), shrunk.collect());
        let product = |((kind, out), scaled)| Product {
            linear: weights.linear(kind),
            out,
            finish: Finish { bias: weights.bias(kind), tails: expansions(segments, SiteId::new(layer, kind), scaled) },
        };
        acts.multiply(self.cpu, x.view(), outs.into_iter().zip(&*scaled).map(product).collect());
    }

    /// Calls `change(index, row, path)` on every row, on all threads.
    pub(crate) fn by_rows(&self, out: &mut Mat, change: impl Fn(usize, &mut [f32], Path) + Sync) {
        let cols = out.view().cols();
        self.cpu.pool().chunks(out.data_mut(), ROWS_PER_TASK * cols, |task, rows| {
            for (i, row) in rows.chunks_exact_mut(cols).enumerate() {
                change(task * ROWS_PER_TASK + i, row, self.cpu.path());
            }
        });
    }

    pub(crate) fn norm(&self, x: &Mat, weight: &[f32], out: &mut Mat) {
        let eps = self.weights.config.eps;
        out.reshape(x.view().rows(), x.view().cols());
        self.by_rows(out, |row, out, path| path.rms_norm(x.view().row(row), weight, eps, out));
    }

    /// Normalises each head; the values before go to `raw`.
    fn head_norm(&self, weight: &[f32], x: &mut Mat, raw: &mut Mat) {
        let eps = self.weights.config.eps;
        std::mem::swap(x, raw);
        x.reshape(raw.view().rows(), raw.view().cols());
        self.by_rows(x, |row, out, path| {
            for (x, out) in raw.view().row(row).chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
                path.rms_norm(x, weight, eps, out);
            }
        });
    }

    fn rotate(&self, x: &mut Mat, rope: &RopeRows) {
        self.by_rows(x, |row, x, path| {
            let (cos, sin) = rope.row(row);
            path.rope(x, cos, sin);
        });
    }

    fn add(&self, x: &Mat, out: &mut Mat) {
        self.by_rows(out, |row, out, path| path.add(x.view().row(row), out));
    }

    /// The product of the activated gate and up.
    pub(crate) fn activation(&self, gate: &Mat, up: &Mat, out: &mut Mat) {
        let kind = self.weights.config.activation;
        out.reshape(gate.view().rows(), gate.view().cols());
        self.by_rows(out, |row, out, path| activate(path, kind, gate.view().row(row), up.view().row(row), out));
    }

    /// Logits of the selected rows.
    pub(crate) fn logits(&self, h: &Mat, selected: &[usize], work: &mut Work, logits: &mut Mat) {
        let config = &self.weights.config;
        work.normed.reshape(selected.len(), config.hidden);
        self.by_rows(&mut work.normed, |i, out, path| {
            path.rms_norm(h.view().row(selected[i]), &self.weights.final_norm, config.eps, out);
        });
        let product = Product { linear: self.weights.output(), out: logits, finish: Finish::default() };
        work.acts.multiply(self.cpu, work.normed.view(), vec![product]);
        if let Some(cap) = config.final_softcap {
            self.by_rows(logits, |_, row, path| path.softcap(row, cap));
        }
    }
}

/// `out = activation(gate) * up`.
pub(crate) fn activate(path: Path, kind: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    match kind {
        Activation::Silu => path.silu_mul(gate, up, out),
        Activation::GeluTanh => path.gelu_mul(gate, up, out),
    }
}
