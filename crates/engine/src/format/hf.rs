//! A folder as Hugging Face's libraries save models: `config.json`, `tokenizer.json`,
//! `tokenizer_config.json`, `model.safetensors` or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::error::{FormatError, at_most};
use super::source::read_file;
use super::{RawModel, RawTensor, safetensors};
use crate::model::{Activation, Architecture, ModelConfig, RopeScaling};
use crate::template::ChatTemplate;
use crate::tokenizer::{TOKENIZER_BYTES_MAX, Tokenizer};

/// Largest `config.json`, `tokenizer_config.json` or index, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;
/// Most shards of one model.
const SHARDS_MAX: usize = 1024;

const ARCHITECTURES: &str = "llama, mistral, qwen2, qwen3, gemma, gemma2";

pub(super) fn load(folder: &Path) -> Result<RawModel, FormatError> {
    let json = read_json(&folder.join("config.json"))?;
    let config = config(&Fields(&json))?;
    config.check()?;
    let tensors = tensors(folder)?;
    let tokenizer_config = optional_json(&folder.join("tokenizer_config.json"))?.unwrap_or(Value::Null);
    let tokenizer = tokenizer(folder, &tokenizer_config)?;
    let chat_template = match template_source(folder, &tokenizer_config)? {
        Some(source) => Some(ChatTemplate::new(&source, tokenizer.template_tokens())?),
        None => None,
    };
    let config = ModelConfig { qkv_bias: tensors.contains_key("model.layers.0.self_attn.q_proj.bias"), ..config };
    Ok(RawModel { config, tensors, tokenizer, chat_template })
}

fn read_json(path: &Path) -> Result<Value, FormatError> {
    let bytes = read_file(path, CONFIG_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|source| FormatError::Json { path: path.to_owned(), source })
}

fn optional_json(path: &Path) -> Result<Option<Value>, FormatError> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}

fn tensors(folder: &Path) -> Result<BTreeMap<String, RawTensor>, FormatError> {
    let mut tensors = BTreeMap::new();
    for file in weight_files(folder)? {
        for (name, tensor) in safetensors::open(&file)? {
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(FormatError::malformed(name, "is in two shards"));
            }
        }
    }
    Ok(tensors)
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    let index_path = folder.join("model.safetensors.index.json");
    if index_path.exists() {
        return shards(folder, &read_json(&index_path)?);
    }
    for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"] {
        if folder.join(pickle).exists() {
            return Err(FormatError::Pickle { path: folder.join(pickle) });
        }
    }
    Err(FormatError::NotAModel { path: folder.to_owned(), found: "a folder without model.safetensors".to_owned() })
}

fn shards(folder: &Path, index: &Value) -> Result<Vec<PathBuf>, FormatError> {
    let map = index["weight_map"].as_object().ok_or_else(|| FormatError::missing("weight_map"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    at_most("number of shards", names.len() as u64, SHARDS_MAX as u64)?;
    names.into_iter().map(|name| shard(folder, name)).collect()
}

/// A shard is a file of the folder itself, whatever the index says.
fn shard(folder: &Path, name: &str) -> Result<PathBuf, FormatError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) => Ok(folder.join(only)),
        _ => Err(FormatError::malformed("weight_map", format!("{name:?} is no plain file name"))),
    }
}

fn tokenizer(folder: &Path, config: &Value) -> Result<Tokenizer, FormatError> {
    let json = read_file(&folder.join("tokenizer.json"), TOKENIZER_BYTES_MAX as u64)?;
    let token = |name: &str| config[name].as_str().or_else(|| config[name]["content"].as_str());
    Ok(Tokenizer::from_files(&json, token("bos_token"), token("eos_token"), config["add_bos_token"].as_bool())?)
}

fn template_source(folder: &Path, config: &Value) -> Result<Option<String>, FormatError> {
    let file = folder.join("chat_template.jinja");
    if file.exists() {
        let bytes = read_file(&file, crate::template::TEMPLATE_BYTES_MAX as u64)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| FormatError::malformed("chat_template.jinja", error.to_string()))?;
        return Ok(Some(text));
    }
    Ok(match &config["chat_template"] {
        Value::String(source) => Some(source.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|template| template["name"] == "default");
            default.and_then(|template| template["template"].as_str()).map(str::to_owned)
        }
        _ => None,
    })
}

struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn size(&self, name: &str) -> Result<usize, FormatError> {
        let value = self.0[name].as_u64().ok_or_else(|| missing_or_wrong(name, &self.0[name]))?;
        Ok(usize::try_from(value).unwrap_or(usize::MAX))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, FormatError> {
        if self.0[name].is_null() { Ok(default) } else { self.size(name) }
    }

    fn number_or(&self, name: &str, default: f64) -> Result<f64, FormatError> {
        match &self.0[name] {
            Value::Null => Ok(default),
            value => value.as_f64().ok_or_else(|| missing_or_wrong(name, value)),
        }
    }

    fn text(&self, name: &str) -> Result<&str, FormatError> {
        self.0[name].as_str().ok_or_else(|| missing_or_wrong(name, &self.0[name]))
    }

    fn is_true(&self, name: &str) -> bool {
        self.0[name] == true
    }
}

fn missing_or_wrong(name: &str, value: &Value) -> FormatError {
    if value.is_null() {
        FormatError::missing(format!("{name} in config.json"))
    } else {
        let shown: String = value.to_string().chars().take(64).collect();
        FormatError::malformed(format!("{name} in config.json"), format!("{shown} is of the wrong kind"))
    }
}

fn config(fields: &Fields<'_>) -> Result<ModelConfig, FormatError> {
    let name = fields.text("model_type")?;
    let architecture =
        Architecture::from_name(name).ok_or_else(|| FormatError::unsupported("model_type", name, ARCHITECTURES))?;
    refuse_biases(fields, architecture)?;
    let gemma = matches!(architecture, Architecture::Gemma | Architecture::Gemma2);
    let heads = fields.size("num_attention_heads")?;
    let base = ModelConfig::llama(
        fields.size("num_hidden_layers")?,
        fields.size("hidden_size")?,
        fields.size("intermediate_size")?,
        heads,
        fields.size_or("num_key_value_heads", heads)?,
        fields.size("vocab_size")?,
    );
    let head_dim = fields.size_or("head_dim", base.head_dim)?;
    let config = ModelConfig {
        architecture,
        head_dim,
        context: context(fields, architecture)?,
        rope_theta: rope_theta(fields)?,
        rope_scaling: rope_scaling(fields)?,
        eps: fields.number_or("rms_norm_eps", 1e-6)? as f32,
        tied: fields.0["tie_word_embeddings"].as_bool().unwrap_or(gemma),
        activation: activation(fields, gemma)?,
        qk_norm: architecture == Architecture::Qwen3,
        norm_plus_one: gemma,
        embed_scale: if gemma { (base.hidden as f32).sqrt() } else { 1.0 },
        attn_scale: 1.0 / (head_dim as f32).sqrt(),
        ..base
    };
    gemma2(fields, config)
}

fn gemma2(fields: &Fields<'_>, mut config: ModelConfig) -> Result<ModelConfig, FormatError> {
    if config.architecture == Architecture::Gemma2 {
        config.post_norms = true;
        config.attn_scale = 1.0 / (fields.number_or("query_pre_attn_scalar", 256.0)? as f32).sqrt();
        config.attn_softcap = Some(fields.number_or("attn_logit_softcapping", 50.0)? as f32);
        config.final_softcap = Some(fields.number_or("final_logit_softcapping", 30.0)? as f32);
    }
    Ok(config)
}

fn refuse_biases(fields: &Fields<'_>, architecture: Architecture) -> Result<(), FormatError> {
    for name in ["attention_bias", "mlp_bias"] {
        if fields.is_true(name) && architecture != Architecture::Qwen2 {
            return Err(FormatError::unsupported(name, "true", "false"));
        }
    }
    Ok(())
}

fn activation(fields: &Fields<'_>, gemma: bool) -> Result<Activation, FormatError> {
    let either = fields.0["hidden_activation"].as_str().or(fields.0["hidden_act"].as_str());
    match either {
        // Gemma's first configurations say "gelu" and mean its tanh form.
        Some("gelu" | "gelu_pytorch_tanh") | None if gemma => Ok(Activation::GeluTanh),
        Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
        Some("silu" | "swish") | None => Ok(Activation::Silu),
        Some(other) => Err(FormatError::unsupported("hidden_act", other, "silu, gelu_pytorch_tanh")),
    }
}

/// Within a sliding window, windowed and full attention are the same function.
fn context(fields: &Fields<'_>, architecture: Architecture) -> Result<usize, FormatError> {
    let length = fields.size_or("max_position_embeddings", 2048)?;
    let windowed = match architecture {
        Architecture::Qwen2 | Architecture::Qwen3 => fields.is_true("use_sliding_window"),
        _ => true,
    };
    let window = if windowed { fields.size_or("sliding_window", length)? } else { length };
    Ok(length.min(window))
}

/// Newer configurations keep theta in `rope_parameters`, beside the scaling.
fn rope_theta(fields: &Fields<'_>) -> Result<f64, FormatError> {
    let nested = Fields(&fields.0["rope_parameters"]);
    if nested.0.is_object() {
        return nested.number_or("rope_theta", 10_000.0);
    }
    fields.number_or("rope_theta", 10_000.0)
}

fn rope_scaling(fields: &Fields<'_>) -> Result<Option<RopeScaling>, FormatError> {
    let nested = ["rope_parameters", "rope_scaling"].into_iter().map(|name| &fields.0[name]);
    let Some(scaling) = nested.into_iter().find(|value| value.is_object()).map(Fields) else { return Ok(None) };
    if scaling.number_or("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(FormatError::unsupported("partial_rotary_factor", "below 1", "1"));
    }
    let kind = scaling.0["rope_type"].as_str().or(scaling.0["type"].as_str()).unwrap_or("default");
    let required = |name: &str| match scaling.number_or(name, f64::NAN)? {
        value if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(missing_or_wrong(name, &scaling.0[name])),
    };
    match kind {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor: required("factor")? })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: required("factor")?,
            low_freq_factor: required("low_freq_factor")?,
            high_freq_factor: required("high_freq_factor")?,
            original_context: scaling.size("original_max_position_embeddings")?,
        })),
        other => Err(FormatError::unsupported("rope_type", other, "default, linear, llama3")),
    }
}
