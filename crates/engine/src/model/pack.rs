//! From the tensors of a file to packed weights, and from packed weights to the model's hash.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use alloy_primitives::{B256, Keccak256, keccak256};
use openledger_kernels::ThreadPool;

use super::linear::f32_bytes;
use super::rope::Frequencies;
use super::{
    Activation, Layer, Linear, ModelConfig, ModelOptions, OpenModelError, RopeScaling, SiteInfo, SiteKind, Weights,
};
use crate::format::{FormatError, RawModel};

/// First bytes of what is hashed; the last one is the version.
const MODEL_TAG: &[u8; 17] = b"openledger.model\x01";

/// Tensors of a layer that only repeat what the configuration says.
const IMPLIED_SUFFIX: &str = ".self_attn.rotary_emb.inv_freq";

/// Most threads that pack or hash at once: more would only compete for memory.
const THREADS_MAX: usize = 8;

struct Packer<'a> {
    raw: &'a RawModel,
    options: ModelOptions,
}

pub(super) fn pack(raw: &RawModel, options: ModelOptions) -> Result<Weights, OpenModelError> {
    let config = &raw.config;
    config.check()?;
    refuse_unused(raw)?;
    let packer = Packer { raw, options };
    let head = match config.tied {
        true => None,
        false => Some(packer.linear("lm_head.weight", config.vocab, config.hidden)?),
    };
    Ok(Weights {
        config: config.clone(),
        sites: SiteInfo::all(config),
        layers: packer.layers()?,
        embedding: packer.linear("model.embed_tokens.weight", config.vocab, config.hidden)?,
        head,
        final_norm: packer.norm("model.norm.weight", config.hidden)?,
        frequencies: Frequencies::of(config),
        tokenizer: raw.tokenizer.clone(),
        chat_template: raw.chat_template.clone(),
        hash: OnceLock::new(),
    })
}

/// A tensor that the decoder does not use, such as a bias, belongs to a model that computes something else.
fn refuse_unused(raw: &RawModel) -> Result<(), FormatError> {
    let used = used_names(&raw.config);
    match raw.tensors.keys().find(|name| !used.contains(*name) && !name.ends_with(IMPLIED_SUFFIX)) {
        Some(name) => Err(FormatError::unsupported("tensor", name, "the weights of this family's decoders")),
        None => Ok(()),
    }
}

/// The names of all tensors that a model of that configuration may have.
fn used_names(config: &ModelConfig) -> BTreeSet<String> {
    let of_layer = |layer: usize| {
        let of_pair = |with: bool, names: [&'static str; 2]| if with { names.to_vec() } else { Vec::new() };
        let sites = SiteKind::ALL.into_iter().map(SiteKind::path);
        let norms = ["input_layernorm", "post_attention_layernorm"].into_iter();
        let post = of_pair(config.post_norms, ["pre_feedforward_layernorm", "post_feedforward_layernorm"]);
        let qk = of_pair(config.qk_norm, ["self_attn.q_norm", "self_attn.k_norm"]);
        let weights = sites.chain(norms).chain(post).chain(qk).map(|part| format!("{part}.weight"));
        let biased = [SiteKind::Q, SiteKind::K, SiteKind::V].into_iter().filter(|_| config.qkv_bias);
        let biases = biased.map(|kind| format!("{}.bias", kind.path()));
        weights.chain(biases).map(move |part| format!("model.layers.{layer}.{part}")).collect::<Vec<_>>()
    };
    // A tied model's file may hold the output layer too: the embedding again.
    let outer = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"].map(str::to_owned);
    (0..config.layers).flat_map(of_layer).chain(outer).collect()
}

impl Packer<'_> {
    fn layers(&self) -> Result<Vec<Layer>, OpenModelError> {
        let mut layers = (0..self.raw.config.layers).map(|_| None).collect::<Vec<_>>();
        pool().chunks(&mut layers, 1, |layer, slot| slot[0] = Some(self.layer(layer)));
        layers.into_iter().flatten().collect()
    }

    fn layer(&self, layer: usize) -> Result<Layer, OpenModelError> {
        let config = &self.raw.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let norm = |part: &str, len: usize| self.norm(&name(part), len);
        // Gemma 2 calls the norm before the feed-forward block "pre_feedforward" and uses "post_attention" for what it says.
        let (ffn_norm, post_norms) = match config.post_norms {
            false => ("post_attention_layernorm", None),
            true => {
                let post = ["post_attention_layernorm", "post_feedforward_layernorm"];
                ("pre_feedforward_layernorm", Some([norm(post[0], config.hidden)?, norm(post[1], config.hidden)?]))
            }
        };
        let qk_norms = match config.qk_norm {
            false => None,
            true => Some([norm("self_attn.q_norm", config.head_dim)?, norm("self_attn.k_norm", config.head_dim)?]),
        };
        Ok(Layer {
            attn_norm: norm("input_layernorm", config.hidden)?,
            ffn_norm: norm(ffn_norm, config.hidden)?,
            post_norms,
            qk_norms,
            qkv_bias: self.biases(layer)?,
            linears: SiteKind::ALL.into_iter().map(|kind| self.site(layer, kind)).collect::<Result<_, _>>()?,
        })
    }

    fn site(&self, layer: usize, kind: SiteKind) -> Result<Linear, OpenModelError> {
        let site = SiteInfo::of(&self.raw.config, layer, kind);
        self.linear(&format!("{}.weight", site.path()), site.d_out, site.d_in)
    }

    fn biases(&self, layer: usize) -> Result<Option<[Vec<f32>; 3]>, OpenModelError> {
        let config = &self.raw.config;
        if !config.qkv_bias {
            return Ok(None);
        }
        let bias = |kind: SiteKind, len: usize| self.vector(&format!("model.layers.{layer}.{}.bias", kind.path()), len);
        Ok(Some([
            bias(SiteKind::Q, config.q_dim())?,
            bias(SiteKind::K, config.kv_dim())?,
            bias(SiteKind::V, config.kv_dim())?,
        ]))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, OpenModelError> {
        Ok(self.raw.tensor(name, &[len])?.to_f32()?)
    }

    /// A norm's weights with the family's one added.
    fn norm(&self, name: &str, len: usize) -> Result<Vec<f32>, OpenModelError> {
        let one = if self.raw.config.norm_plus_one { 1.0 } else { 0.0 };
        Ok(self.vector(name, len)?.into_iter().map(|weight| weight + one).collect())
    }

    fn linear(&self, name: &str, out: usize, input: usize) -> Result<Linear, OpenModelError> {
        let weights = self.raw.tensor(name, &[out, input])?.to_f32()?;
        Linear::new(weights, out, input, self.options).map_err(|bad| OpenModelError::NotFinite {
            tensor: name.to_owned(),
            row: bad.row,
            col: bad.col,
            value: bad.value,
        })
    }
}

fn pool() -> ThreadPool {
    ThreadPool::new(std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX))
}

/// keccak256(tag ‖ config ‖ hash of each part in order): embedding, layers, final norm, output layer if any.
pub(super) fn hash(weights: &Weights) -> B256 {
    let mut layers = vec![B256::ZERO; weights.layers.len()];
    pool().chunks(&mut layers, 1, |layer, out| out[0] = hash_layer(&weights.layers[layer]));
    let mut hasher = Keccak256::new();
    hasher.update(MODEL_TAG);
    hasher.update(config_bytes(&weights.config));
    hasher.update(hash_linear(&weights.embedding));
    layers.iter().for_each(|layer| hasher.update(layer));
    hasher.update(keccak256(f32_bytes(&weights.final_norm)));
    weights.head.iter().for_each(|head| hasher.update(hash_linear(head)));
    hasher.finalize()
}

fn hash_linear(linear: &Linear) -> B256 {
    let mut hasher = Keccak256::new();
    linear.hash_into(&mut hasher);
    hasher.finalize()
}

fn hash_layer(layer: &Layer) -> B256 {
    let mut hasher = Keccak256::new();
    layer.linears.iter().for_each(|linear| hasher.update(hash_linear(linear)));
    let optional =
        layer.post_norms.iter().flatten().chain(layer.qk_norms.iter().flatten()).chain(layer.qkv_bias.iter().flatten());
    for vector in [&layer.attn_norm, &layer.ffn_norm].into_iter().chain(optional) {
        hasher.update(keccak256(f32_bytes(vector)));
    }
    hasher.finalize()
}

/// Everything in the configuration that changes the function, in the order of its fields: the architecture's name after
/// its length (u8), sizes as u32 big-endian, numbers as their IEEE bits big-endian, options and flags after one byte.
fn config_bytes(config: &ModelConfig) -> Vec<u8> {
    let mut out = vec![config.architecture.name().len() as u8];
    out.extend(config.architecture.name().bytes());
    for size in [
        config.layers,
        config.hidden,
        config.ffn,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.vocab,
        config.context,
    ] {
        out.extend((size as u32).to_be_bytes());
    }
    out.extend(config.rope_theta.to_bits().to_be_bytes());
    out.extend(scaling_bytes(config.rope_scaling));
    out.extend(config.eps.to_bits().to_be_bytes());
    out.push(match config.activation {
        Activation::Silu => 0,
        Activation::GeluTanh => 1,
    });
    for flag in [config.tied, config.qkv_bias, config.qk_norm, config.post_norms] {
        out.push(u8::from(flag));
    }
    for factor in
        [config.embed_scale, config.attn_scale, config.attn_softcap.unwrap_or(0.0), config.final_softcap.unwrap_or(0.0)]
    {
        out.extend(factor.to_bits().to_be_bytes());
    }
    out
}

fn scaling_bytes(scaling: Option<RopeScaling>) -> Vec<u8> {
    let numbers = |kind: u8, values: &[f64]| {
        let bits = values.iter().flat_map(|value| value.to_bits().to_be_bytes());
        std::iter::once(kind).chain(bits).collect()
    };
    match scaling {
        None => vec![0],
        Some(RopeScaling::Linear { factor }) => numbers(1, &[factor]),
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }) => {
            numbers(2, &[factor, low_freq_factor, high_freq_factor, original_context as f64])
        }
    }
}
