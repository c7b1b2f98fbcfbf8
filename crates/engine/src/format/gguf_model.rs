//! From GGUF metadata and tensor names to [`RawModel`].

use std::path::Path;

use super::error::FormatError;
use super::gguf::{Gguf, GgufTensor};
use super::{RawModel, RawTensor, RowOrder};
use crate::model::{Activation, Architecture, ModelConfig, RopeScaling, SiteKind};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

const ARCHITECTURES: &str = "llama, mistral, qwen2, qwen3, gemma, gemma2";
/// Gemma 2's attention window in GGUF files that do not state it.
const GEMMA2_WINDOW: usize = 4096;

pub(super) fn load(path: &Path) -> Result<RawModel, FormatError> {
    let gguf = Gguf::open(path)?;
    let config = config(&gguf)?;
    config.check()?;
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let chat_template = match gguf.optional("tokenizer.chat_template", Gguf::str)? {
        Some(source) => Some(ChatTemplate::new(source, tokenizer.template_tokens())?),
        None => None,
    };
    let mut tensors = std::collections::BTreeMap::new();
    for (name, tensor) in gguf.tensors().iter().filter(|(name, _)| !is_standard_table(name)) {
        // What has no other name keeps its own, so that the model that does not use it is refused.
        let canonical = canonical_name(name, &config).unwrap_or_else(|| name.clone());
        tensors.insert(canonical.clone(), raw_tensor(&gguf, canonical, tensor, &config)?);
    }
    Ok(RawModel { config, tensors, tokenizer, chat_template })
}

fn raw_tensor(gguf: &Gguf, name: String, tensor: &GgufTensor, config: &ModelConfig) -> Result<RawTensor, FormatError> {
    let rows = row_order(&name, config);
    if let RowOrder::Interleaved { heads } = rows {
        let expected = heads * config.head_dim;
        if tensor.shape.first() != Some(&expected) {
            let mut shape = tensor.shape.clone();
            if let Some(first) = shape.first_mut() {
                *first = expected;
            }
            return Err(FormatError::Shape { tensor: name, found: tensor.shape.clone(), expected: shape });
        }
    }
    let place = (tensor.offset, tensor.bytes);
    let raw = RawTensor::on_disk(&name, tensor.shape.clone(), gguf.source().clone(), place, tensor.dtype);
    Ok(raw.with_rows(rows))
}

/// Llama's converter interleaves the halves of each head's rows in q and k; the others' do not.
pub(super) fn row_order(name: &str, config: &ModelConfig) -> RowOrder {
    let llama = matches!(config.architecture, Architecture::Llama | Architecture::Mistral);
    if llama && name.contains(".self_attn.q_proj.") {
        RowOrder::Interleaved { heads: config.heads }
    } else if llama && name.contains(".self_attn.k_proj.") {
        RowOrder::Interleaved { heads: config.kv_heads }
    } else {
        RowOrder::Same
    }
}

/// Whether a tensor is the table of rotary frequencies that old converters wrote and the configuration implies.
fn is_standard_table(name: &str) -> bool {
    name.ends_with(".attn_rot_embd.weight") || name.ends_with(".attn_rot_embd")
}

/// Hugging Face's name of a GGUF tensor, or `None` for one that no supported model has.
fn canonical_name(name: &str, config: &ModelConfig) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (module, part) = rest.rsplit_once('.')?;
    let path = module_path(module, config.post_norms)?;
    Some(format!("model.layers.{layer}.{path}.{part}"))
}

fn module_path(module: &str, post_norms: bool) -> Option<&'static str> {
    Some(match module {
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        "attn_norm" => "input_layernorm",
        "ffn_norm" if post_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_attention_norm" => "post_attention_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        _ => return None,
    })
}

/// GGUF's name of a site's module.
pub(super) fn site_module(kind: SiteKind) -> &'static str {
    match kind {
        SiteKind::Q => "attn_q",
        SiteKind::K => "attn_k",
        SiteKind::V => "attn_v",
        SiteKind::O => "attn_output",
        SiteKind::Gate => "ffn_gate",
        SiteKind::Up => "ffn_up",
        SiteKind::Down => "ffn_down",
    }
}

fn architecture(gguf: &Gguf) -> Result<Architecture, FormatError> {
    const KEY: &str = "general.architecture";
    if let Some(kind) = gguf.optional("general.type", Gguf::str)?
        && kind != "model"
    {
        return Err(FormatError::unsupported("general.type", kind, "model"));
    }
    let name = gguf.str(KEY)?;
    Architecture::from_name(name).ok_or_else(|| FormatError::unsupported(KEY, name, ARCHITECTURES))
}

struct Keys<'a> {
    gguf: &'a Gguf,
    prefix: &'static str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn size(&self, name: &str) -> Result<usize, FormatError> {
        Ok(usize::try_from(self.gguf.u64(&self.key(name))?).unwrap_or(usize::MAX))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, FormatError> {
        match self.gguf.get(&self.key(name)) {
            Some(_) => self.size(name),
            None => Ok(default),
        }
    }

    fn number(&self, name: &str) -> Result<Option<f64>, FormatError> {
        self.gguf.optional(&self.key(name), Gguf::f64)
    }
}

fn config(gguf: &Gguf) -> Result<ModelConfig, FormatError> {
    let architecture = architecture(gguf)?;
    let keys = Keys { gguf, prefix: architecture.name() };
    refuse_experts(&keys)?;
    let (hidden, heads) = (keys.size("embedding_length")?, keys.size("attention.head_count")?);
    let kv_heads = keys.size_or("attention.head_count_kv", heads)?;
    let layers = keys.size("block_count")?;
    let base = ModelConfig::llama(layers, hidden, keys.size("feed_forward_length")?, heads, kv_heads, vocab(gguf)?);
    let head_dim = keys.size_or("attention.key_length", base.head_dim)?;
    let config = ModelConfig {
        architecture,
        head_dim,
        context: context(&keys, architecture)?,
        rope_theta: keys.number("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: rope_scaling(&keys)?,
        eps: required_eps(&keys)?,
        tied: !gguf.tensors().contains_key("output.weight"),
        qkv_bias: gguf.tensors().contains_key("blk.0.attn_q.bias"),
        attn_scale: 1.0 / (head_dim as f32).sqrt(),
        ..base
    };
    refuse_partial_rotation(&keys, head_dim)?;
    family(&keys, config)
}

/// What only some families have.
fn family(keys: &Keys<'_>, mut config: ModelConfig) -> Result<ModelConfig, FormatError> {
    config.qk_norm = config.architecture == Architecture::Qwen3;
    if matches!(config.architecture, Architecture::Gemma | Architecture::Gemma2) {
        config.activation = Activation::GeluTanh;
        config.embed_scale = (config.hidden as f32).sqrt();
        // The converter has already added the one.
        config.norm_plus_one = false;
    }
    if config.architecture == Architecture::Gemma2 {
        config.post_norms = true;
        config.attn_softcap = Some(keys.number("attn_logit_softcapping")?.unwrap_or(50.0) as f32);
        config.final_softcap = Some(keys.number("final_logit_softcapping")?.unwrap_or(30.0) as f32);
        // Gemma 2 27B scales queries by hidden / heads, the smaller ones by the head's width.
        if config.layers == 46 {
            config.attn_scale = 1.0 / ((config.hidden / config.heads.max(1)) as f32).sqrt();
        }
    }
    Ok(config)
}

fn vocab(gguf: &Gguf) -> Result<usize, FormatError> {
    let embedding =
        gguf.tensors().get("token_embd.weight").ok_or_else(|| FormatError::missing("tensor token_embd.weight"))?;
    match embedding.shape.as_slice() {
        [rows, _] => Ok(*rows),
        other => Err(FormatError::malformed("token_embd.weight", format!("has shape {other:?}, not two dimensions"))),
    }
}

fn context(keys: &Keys<'_>, architecture: Architecture) -> Result<usize, FormatError> {
    let length = keys.size("context_length")?;
    let window_default = if architecture == Architecture::Gemma2 { GEMMA2_WINDOW } else { length };
    let window = keys.size_or("attention.sliding_window", window_default)?;
    Ok(if window == 0 { length } else { length.min(window) })
}

fn required_eps(keys: &Keys<'_>) -> Result<f32, FormatError> {
    const KEY: &str = "attention.layer_norm_rms_epsilon";
    keys.number(KEY)?.map(|eps| eps as f32).ok_or_else(|| FormatError::missing(keys.key(KEY)))
}

fn rope_scaling(keys: &Keys<'_>) -> Result<Option<RopeScaling>, FormatError> {
    const SUPPORTED: &str = "none, linear (Llama 3's table of factors: use the safetensors folder)";
    if keys.gguf.tensors().contains_key("rope_freqs.weight") {
        return Err(FormatError::unsupported("tensor rope_freqs.weight", "a table of factors", SUPPORTED));
    }
    let kind_key = keys.key("rope.scaling.type");
    let linear = |factor| RopeScaling::Linear { factor };
    match keys.gguf.optional(&kind_key, Gguf::str)? {
        Some("none") => Ok(None),
        Some("linear") => {
            let factor = linear_factor(keys)?.ok_or_else(|| FormatError::missing(keys.key("rope.scaling.factor")))?;
            Ok(Some(linear(factor)))
        }
        // Linear is the format's default; zero and one are ways to say that nothing is scaled.
        None => Ok(linear_factor(keys)?.filter(|factor| *factor != 0.0 && *factor != 1.0).map(linear)),
        Some(other) => Err(FormatError::unsupported(kind_key, other, SUPPORTED)),
    }
}

/// By how much positions are divided: files from before the type of scaling have it by another name.
fn linear_factor(keys: &Keys<'_>) -> Result<Option<f64>, FormatError> {
    match keys.number("rope.scaling.factor")? {
        None => keys.number("rope.scale_linear"),
        factor => Ok(factor),
    }
}

fn refuse_experts(keys: &Keys<'_>) -> Result<(), FormatError> {
    match keys.size_or("expert_count", 0)? {
        0 => Ok(()),
        count => Err(FormatError::unsupported(keys.key("expert_count"), count.to_string(), "0 (no experts)")),
    }
}

fn refuse_partial_rotation(keys: &Keys<'_>, head_dim: usize) -> Result<(), FormatError> {
    let rotated = keys.size_or("rope.dimension_count", head_dim)?;
    if rotated != head_dim {
        return Err(FormatError::unsupported(
            keys.key("rope.dimension_count"),
            rotated.to_string(),
            "the head's whole width",
        ));
    }
    Ok(())
}
