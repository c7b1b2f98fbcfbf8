//! A decoder in plain f64, written from the papers' formulas and sharing no code with the engine, and the tiny random
//! models that both run.

use std::collections::BTreeMap;

use openledger_engine::format::{RawModel, RawTensor};
use openledger_engine::{
    Activation, Architecture, LoraAdapter, LoraConfig, Model, ModelConfig, ModelOptions, SiteId, SiteKind, Tokenizer,
};

pub(crate) fn numbers(seed: u64, count: usize, spread: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * spread
    };
    (0..count).map(|_| next()).collect()
}

/// A tiny Llama: two layers, two query heads a key head, sizes that are not multiples of 32.
pub(crate) fn llama() -> ModelConfig {
    ModelConfig { context: 64, tied: true, ..ModelConfig::llama(2, 48, 56, 4, 2, 50) }
}

/// One tiny model of each family's variations.
pub(crate) fn families() -> Vec<ModelConfig> {
    let base = ModelConfig { tied: false, ..llama() };
    let gemma = ModelConfig {
        architecture: Architecture::Gemma,
        activation: Activation::GeluTanh,
        norm_plus_one: true,
        embed_scale: 6.928,
        head_dim: 16,
        tied: true,
        ..base.clone()
    };
    let gemma2 = ModelConfig {
        architecture: Architecture::Gemma2,
        post_norms: true,
        attn_softcap: Some(2.0),
        final_softcap: Some(3.0),
        attn_scale: 0.2,
        ..gemma.clone()
    };
    let qwen2 = ModelConfig { architecture: Architecture::Qwen2, qkv_bias: true, ..base.clone() };
    let qwen3 = ModelConfig { architecture: Architecture::Qwen3, qk_norm: true, ..base.clone() };
    vec![llama(), base, qwen2, qwen3, gemma, gemma2]
}

/// Random tensors by name.
pub(crate) fn tensors(config: &ModelConfig, seed: u64) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut out = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize], spread: f32, around: f32| {
        let count = shape.iter().product();
        let seed = seed.wrapping_mul(31).wrapping_add(out.len() as u64 + 1);
        let values = numbers(seed, count, spread).into_iter().map(|value| value + around).collect();
        out.insert(name.to_owned(), (shape.to_vec(), values));
    };
    let (hidden, ffn, q, kv) = (config.hidden, config.ffn, config.q_dim(), config.kv_dim());
    let one = if config.norm_plus_one { 0.0 } else { 1.0 };
    add("model.embed_tokens.weight", &[config.vocab, hidden], 1.0, 0.0);
    add("model.norm.weight", &[hidden], 0.3, one);
    if !config.tied {
        add("lm_head.weight", &[config.vocab, hidden], 0.3, 0.0);
    }
    for layer in 0..config.layers {
        let mut at = |part: &str, shape: &[usize], spread: f32, around: f32| {
            add(&format!("model.layers.{layer}.{part}"), shape, spread, around);
        };
        at("self_attn.q_proj.weight", &[q, hidden], 0.25, 0.0);
        at("self_attn.k_proj.weight", &[kv, hidden], 0.25, 0.0);
        at("self_attn.v_proj.weight", &[kv, hidden], 0.25, 0.0);
        at("self_attn.o_proj.weight", &[hidden, q], 0.25, 0.0);
        at("mlp.gate_proj.weight", &[ffn, hidden], 0.25, 0.0);
        at("mlp.up_proj.weight", &[ffn, hidden], 0.25, 0.0);
        at("mlp.down_proj.weight", &[hidden, ffn], 0.25, 0.0);
        at("input_layernorm.weight", &[hidden], 0.3, one);
        at("post_attention_layernorm.weight", &[hidden], 0.3, one);
        if config.post_norms {
            at("pre_feedforward_layernorm.weight", &[hidden], 0.3, one);
            at("post_feedforward_layernorm.weight", &[hidden], 0.3, one);
        }
        if config.qk_norm {
            at("self_attn.q_norm.weight", &[config.head_dim], 0.3, one);
            at("self_attn.k_norm.weight", &[config.head_dim], 0.3, one);
        }
        if config.qkv_bias {
            at("self_attn.q_proj.bias", &[q], 0.3, 0.0);
            at("self_attn.k_proj.bias", &[kv], 0.3, 0.0);
            at("self_attn.v_proj.bias", &[kv], 0.3, 0.0);
        }
    }
    out
}

fn tokenizer() -> Tokenizer {
    let letters = (b'a'..=b'z').enumerate().map(|(id, letter)| format!("\"{}\":{id}", letter as char));
    let vocab = letters.collect::<Vec<_>>().join(",");
    let json = format!(
        r#"{{"version":"1.0","added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}},
        "post_processor":null,"decoder":{{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}},
        "model":{{"type":"BPE","vocab":{{{vocab}}},"merges":[]}}}}"#
    );
    Tokenizer::from_json(json.as_bytes(), None, None).unwrap()
}

pub(crate) fn model(config: &ModelConfig, seed: u64, quantise: bool) -> Model {
    model_with(config, seed, ModelOptions { quantise, ..ModelOptions::default() })
}

pub(crate) fn model_with(config: &ModelConfig, seed: u64, options: ModelOptions) -> Model {
    let tensors = tensors(config, seed);
    let raw = |(name, (shape, values)): (String, (Vec<usize>, Vec<f32>))| {
        let tensor = RawTensor::from_f32(&name, shape, values).unwrap();
        (name, tensor)
    };
    let tensors = tensors.into_iter().map(raw).collect();
    let raw = RawModel { config: config.clone(), tensors, tokenizer: tokenizer(), chat_template: None };
    Model::from_raw(&raw, options).unwrap()
}

/// An adapter whose A and B are both random.
pub(crate) fn adapter(config: &ModelConfig, rank: usize, seed: u64) -> LoraAdapter {
    let mut adapter = LoraAdapter::new(config, &LoraConfig::all_linear(rank), seed).unwrap();
    let values = numbers(seed ^ 77, adapter.params().len(), 0.2);
    adapter.params_mut().copy_from_slice(&values);
    adapter
}

pub(crate) fn tokens(seed: u64, count: usize) -> Vec<u32> {
    numbers(seed ^ 5, count, 1.0).into_iter().map(|x| ((x + 1.0) * 24.0) as u32).collect()
}

type Rows = Vec<Vec<f64>>;

/// The reference.
pub(crate) struct Decoder {
    config: ModelConfig,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Decoder {
    pub(crate) fn new(config: &ModelConfig, seed: u64) -> Self {
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let tensors = tensors(config, seed).into_iter().map(|(name, (shape, values))| (name, (shape, wide(values))));
        Self { config: config.clone(), tensors: tensors.collect() }
    }

    fn tensor(&self, name: &str) -> &[f64] {
        &self.tensors[name].1
    }

    /// Logits after each token, with the adapter's shape and other parameters.
    pub(crate) fn logits(&self, tokens: &[u32], lora: Option<(&LoraAdapter, &[f64])>) -> Rows {
        let c = &self.config;
        let embedding = self.tensor("model.embed_tokens.weight");
        let embed =
            |t: &u32| embedding[*t as usize * c.hidden..][..c.hidden].iter().map(|x| x * f64::from(c.embed_scale));
        let mut h: Rows = tokens.iter().map(|token| embed(token).collect()).collect();
        for layer in 0..c.layers {
            h = self.layer(layer, h, lora);
        }
        let head = if c.tied { embedding } else { self.tensor("lm_head.weight") };
        let h = self.norm(&h, "model.norm.weight");
        let cap = |x: f64| c.final_softcap.map_or(x, |cap| f64::from(cap) * (x / f64::from(cap)).tanh());
        h.iter().map(|h| matvec(head, h).into_iter().map(cap).collect()).collect()
    }

    fn layer(&self, layer: usize, h: Rows, lora: Option<(&LoraAdapter, &[f64])>) -> Rows {
        let c = &self.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let linear = |x: &Rows, kind: SiteKind| self.linear(layer, kind, x, lora);
        let x = self.norm(&h, &name("input_layernorm.weight"));
        let mut q = linear(&x, SiteKind::Q);
        let mut k = linear(&x, SiteKind::K);
        let v = linear(&x, SiteKind::V);
        if c.qk_norm {
            q = self.head_norm(q, &name("self_attn.q_norm.weight"));
            k = self.head_norm(k, &name("self_attn.k_norm.weight"));
        }
        let (q, k) = (self.rotate(q), self.rotate(k));
        let mut out = linear(&self.attention(&q, &k, &v), SiteKind::O);
        if c.post_norms {
            out = self.norm(&out, &name("post_attention_layernorm.weight"));
        }
        let h = sum(h, out);
        let before = if c.post_norms { "pre_feedforward_layernorm.weight" } else { "post_attention_layernorm.weight" };
        let x = self.norm(&h, &name(before));
        let (gate, up) = (linear(&x, SiteKind::Gate), linear(&x, SiteKind::Up));
        let act = gate.iter().zip(&up).map(|(g, u)| g.iter().zip(u).map(|(g, u)| self.activation(*g) * u).collect());
        let mut out = linear(&act.collect(), SiteKind::Down);
        if c.post_norms {
            out = self.norm(&out, &name("post_feedforward_layernorm.weight"));
        }
        sum(h, out)
    }

    fn activation(&self, x: f64) -> f64 {
        match self.config.activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    fn linear(&self, layer: usize, kind: SiteKind, x: &Rows, lora: Option<(&LoraAdapter, &[f64])>) -> Rows {
        let name = format!("model.layers.{layer}.{}", kind.path());
        let weights = self.tensor(&format!("{name}.weight"));
        let mut y: Rows = x.iter().map(|x| matvec(weights, x)).collect();
        if let Some((_, bias)) = self.tensors.get(&format!("{name}.bias")) {
            y.iter_mut().for_each(|y| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
        let Some((adapter, params)) = lora else { return y };
        let Some(start) = start_of(adapter, SiteId::new(layer, kind)) else { return y };
        let (rank, d_in, d_out) = (adapter.config().rank, x[0].len(), y[0].len());
        let a = &params[start..start + rank * d_in];
        let b = &params[start + rank * d_in..start + rank * (d_in + d_out)];
        let scale = f64::from(adapter.config().alpha) / rank as f64;
        for (x, y) in x.iter().zip(&mut y) {
            let delta = matvec(b, &matvec(a, x));
            y.iter_mut().zip(delta).for_each(|(y, d)| *y += scale * d);
        }
        y
    }

    fn norm(&self, x: &Rows, name: &str) -> Rows {
        let one = if self.config.norm_plus_one { 1.0 } else { 0.0 };
        x.iter().map(|x| self.normed(x, self.tensor(name), one)).collect()
    }

    fn head_norm(&self, x: Rows, name: &str) -> Rows {
        let heads =
            |x: Vec<f64>| x.chunks(self.config.head_dim).flat_map(|x| self.normed(x, self.tensor(name), 0.0)).collect();
        x.into_iter().map(heads).collect()
    }

    fn normed(&self, x: &[f64], weight: &[f64], one: f64) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let rms = (mean + f64::from(self.config.eps)).sqrt();
        x.iter().zip(weight).map(|(x, w)| x / rms * (w + one)).collect()
    }

    fn rotate(&self, x: Rows) -> Rows {
        let dim = self.config.head_dim;
        let turn = |position: usize, x: Vec<f64>| {
            let mut out = x.clone();
            for (i, value) in out.iter_mut().enumerate() {
                let (head, j) = (i / dim * dim, i % dim);
                let pair = j % (dim / 2);
                let angle = position as f64 * self.config.rope_theta.powf(-2.0 * pair as f64 / dim as f64);
                let (low, high) = (x[head + pair], x[head + pair + dim / 2]);
                *value = if j < dim / 2 {
                    low * angle.cos() - high * angle.sin()
                } else {
                    high * angle.cos() + low * angle.sin()
                };
            }
            out
        };
        x.into_iter().enumerate().map(|(position, x)| turn(position, x)).collect()
    }

    fn attention(&self, q: &Rows, k: &Rows, v: &Rows) -> Rows {
        let c = &self.config;
        let (dim, group) = (c.head_dim, c.heads / c.kv_heads);
        let mut out = vec![vec![0.0; c.q_dim()]; q.len()];
        for t in 0..q.len() {
            for head in 0..c.heads {
                let kv = head / group * dim;
                let score = |s: usize| {
                    let dot =
                        (0..dim).map(|d| q[t][head * dim + d] * k[s][kv + d]).sum::<f64>() * f64::from(c.attn_scale);
                    c.attn_softcap.map_or(dot, |cap| f64::from(cap) * (dot / f64::from(cap)).tanh())
                };
                let weights = softmax((0..=t).map(score).collect());
                for (s, weight) in weights.iter().enumerate() {
                    (0..dim).for_each(|d| out[t][head * dim + d] += weight * v[s][kv + d]);
                }
            }
        }
        out
    }

    /// Sum of the targets' cross-entropies.
    pub(crate) fn loss(&self, tokens: &[u32], targets: &[Option<u32>], lora: (&LoraAdapter, &[f64])) -> f64 {
        let logits = self.logits(tokens, Some(lora));
        let one =
            |(logits, target): (Vec<f64>, &Option<u32>)| target.map_or(0.0, |t| -softmax(logits)[t as usize].ln());
        logits.into_iter().zip(targets).map(one).sum()
    }
}

/// Where a site's parameters start in the documented flat order.
pub(crate) fn start_of(adapter: &LoraAdapter, id: SiteId) -> Option<usize> {
    adapter.site(id)?;
    let before = adapter.sites().take_while(|site| site.info.id < id);
    Some(before.map(|site| site.a.len() + site.b.len()).sum())
}

fn matvec(weights: &[f64], x: &[f64]) -> Vec<f64> {
    weights.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn sum(a: Rows, b: Rows) -> Rows {
    a.into_iter().zip(b).map(|(a, b)| a.into_iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn softmax(x: Vec<f64>) -> Vec<f64> {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.into_iter().map(|x| (x - top).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}
