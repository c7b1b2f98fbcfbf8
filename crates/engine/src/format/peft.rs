//! Adapters as PEFT saves them: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::adapter::{SiteTensors, build};
use super::error::FormatError;
use super::source::read_file;
use super::{CONFIG_BYTES_MAX, safetensors};
use crate::lora::LoraAdapter;
use crate::model::{ModelConfig, SiteId, SiteInfo, SiteKind};

/// Name of the configuration.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the weights.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";

const PREFIX: &str = "base_model.model.";
const MODULES: &str = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj";

/// Options of PEFT that change what an adapter computes, and that this engine does not have.
const REFUSED: [&str; 16] = [
    "use_dora",
    "fan_in_fan_out",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "layer_replication",
    "lora_bias",
    "megatron_config",
    "loftq_config",
    "eva_config",
    "corda_config",
    "trainable_token_indices",
    "exclude_modules",
    "target_parameters",
    "use_qalora",
    "alora_invocation_tokens",
];

/// Reads a PEFT folder for a model of that shape.
///
/// Tensors are in `F32`, `F16` or `BF16`. Where `rank_pattern`, `alpha_pattern` or `use_rslora` give sites different
/// factors, the result computes the same function with one factor.
///
/// # Errors
/// [`FormatError::Unsupported`] for options that this engine does not have, and for keys of a pattern that are more of an
/// expression than a path, by name; [`FormatError::Shape`] naming the
/// site if the adapter is for another model; [`FormatError::Pickle`] for `adapter_model.bin`.
pub fn read(folder: &Path, config: &ModelConfig) -> Result<LoraAdapter, FormatError> {
    let path = folder.join(CONFIG_FILE);
    let bytes = read_file(&path, CONFIG_BYTES_MAX)?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|source| FormatError::Json { path, source })?;
    let scaling = Scaling::from_json(&json)?;
    let weights = folder.join(WEIGHTS_FILE);
    if !weights.exists() && folder.join("adapter_model.bin").exists() {
        return Err(FormatError::Pickle { path: folder.join("adapter_model.bin") });
    }
    let mut found: BTreeMap<SiteId, SiteTensors> = BTreeMap::new();
    for (name, tensor) in safetensors::open(&weights)? {
        let (id, is_a) = site_of(&name, config)?;
        let site = found.entry(id).or_default();
        *(if is_a { &mut site.a } else { &mut site.b }) = Some(tensor);
    }
    for (id, tensors) in &found {
        scaling.check_rank(&SiteInfo::all(config)[id.index()], tensors)?;
    }
    build(config, found, |site, rank| scaling.of(site, rank))
}

/// Writes a PEFT folder that PEFT's own loader reads. `base_model` is the name or path that it then looks for.
///
/// # Errors
/// [`FormatError::Write`].
pub fn write(folder: &Path, adapter: &LoraAdapter, base_model: &str) -> Result<(), FormatError> {
    fs::create_dir_all(folder).map_err(|source| FormatError::Write { path: folder.to_owned(), source })?;
    let mut tensors = BTreeMap::new();
    for site in adapter.sites() {
        let path = format!("{PREFIX}{}", site.info.path());
        tensors.insert(format!("{path}.lora_A.weight"), (vec![site.rank, site.info.d_in], site.a.to_vec()));
        tensors.insert(format!("{path}.lora_B.weight"), (vec![site.info.d_out, site.rank], site.b.to_vec()));
    }
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    write_file(&folder.join(WEIGHTS_FILE), |out| safetensors::write_f32(out, &tensors, &metadata))?;
    let text = format!("{:#}\n", config_json(adapter, base_model));
    write_file(&folder.join(CONFIG_FILE), |out| out.write_all(text.as_bytes()))
}

/// Writes through a temporary file, so that a reader never sees half of it.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), FormatError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = File::create(&part).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|source| FormatError::Write { path: path.to_owned(), source })
}

fn config_json(adapter: &LoraAdapter, base_model: &str) -> Value {
    let config = adapter.config();
    let modules: Vec<&str> = config.targets.iter().map(|kind| kind.module()).collect();
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "layers_to_transform": null,
        "rank_pattern": {},
        "alpha_pattern": {},
    })
}

/// How PEFT's configuration scales each site.
struct Scaling {
    rank: usize,
    alpha: f64,
    rank_stabilised: bool,
    ranks: Pattern,
    alphas: Pattern,
}

impl Scaling {
    fn from_json(json: &Value) -> Result<Self, FormatError> {
        let kind = json["peft_type"].as_str().unwrap_or("(none)");
        if kind != "LORA" {
            return Err(FormatError::unsupported("peft_type", kind, "LORA"));
        }
        refuse_options(json)?;
        check_targets(&json["target_modules"])?;
        let number =
            |name: &str| json[name].as_f64().ok_or_else(|| FormatError::missing(format!("{name} in {CONFIG_FILE}")));
        Ok(Self {
            rank: number("r")? as usize,
            alpha: number("lora_alpha")?,
            rank_stabilised: json["use_rslora"] == true,
            ranks: Pattern::from_json("rank_pattern", &json["rank_pattern"])?,
            alphas: Pattern::from_json("alpha_pattern", &json["alpha_pattern"])?,
        })
    }

    /// `alpha / r`, or `alpha / sqrt(r)` when rank-stabilised.
    fn of(&self, site: &SiteInfo, rank: usize) -> f64 {
        let alpha = self.alphas.of(site).unwrap_or(self.alpha);
        let rank = rank as f64;
        alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }

    /// The tensors must have the rank that the configuration says.
    fn check_rank(&self, site: &SiteInfo, tensors: &SiteTensors) -> Result<(), FormatError> {
        let said = self.ranks.of(site).map_or(self.rank, |rank| rank as usize);
        match tensors.a.as_ref().and_then(|a| a.shape.first()) {
            Some(&rank) if rank != said => Err(FormatError::malformed(
                format!("rank of {}", site.path()),
                format!("is {rank} in {WEIGHTS_FILE} but {said} in {CONFIG_FILE}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Numbers of some sites, by expressions that match their paths, in the order of the file.
struct Pattern(Vec<(PathExpression, f64)>);

impl Pattern {
    fn from_json(name: &str, json: &Value) -> Result<Self, FormatError> {
        let entry = |(key, value): (&String, &Value)| {
            let number = value.as_f64().ok_or_else(|| {
                FormatError::malformed(
                    format!("{name}.{}", shortened(key)),
                    format!("{} is no number", shortened(value)),
                )
            });
            Ok((PathExpression::parse(name, key)?, number?))
        };
        match json {
            Value::Null => Ok(Self(Vec::new())),
            Value::Object(entries) => entries.iter().map(entry).collect::<Result<_, _>>().map(Self),
            other => Err(FormatError::malformed(name, format!("{} is no object", shortened(other)))),
        }
    }

    /// The number of the first key that matches, as PEFT has it.
    fn of(&self, site: &SiteInfo) -> Option<f64> {
        let path = site.path();
        self.0.iter().find(|(expression, _)| expression.matches(&path)).map(|(_, number)| *number)
    }
}

/// A regular expression as the keys of PEFT's patterns mostly are: a path or its last parts, in which a dot is any
/// character; `^` holds it to the whole path.
struct PathExpression {
    path: String,
    whole: bool,
}

impl PathExpression {
    fn parse(name: &str, key: &str) -> Result<Self, FormatError> {
        let (rest, whole) = key.strip_prefix('^').map_or((key, false), |rest| (rest, true));
        let path = rest.strip_suffix('$').unwrap_or(rest);
        if !path.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            return Err(FormatError::unsupported(name, shortened(key), "keys of letters, digits, _ and dots"));
        }
        Ok(Self { path: path.to_owned(), whole })
    }

    /// Whether PEFT's `(.*\.)?(key)$` matches from the start.
    fn matches(&self, path: &str) -> bool {
        let same = |(expected, found): (u8, u8)| expected == b'.' || expected == found;
        let Some(start) = path.len().checked_sub(self.path.len()) else { return false };
        let at_part = start == 0 || (!self.whole && path.as_bytes()[start - 1] == b'.');
        at_part && self.path.bytes().zip(path.bytes().skip(start)).all(same)
    }
}

/// The beginning of what a file says, to show.
fn shortened(value: impl ToString) -> String {
    const SHOWN_CHARS: usize = 64;
    value.to_string().chars().take(SHOWN_CHARS).collect()
}

fn refuse_options(json: &Value) -> Result<(), FormatError> {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    for name in REFUSED {
        if !empty(&json[name]) {
            return Err(FormatError::unsupported(name, shortened(&json[name]), "absent"));
        }
    }
    match json["bias"].as_str() {
        None | Some("none") => Ok(()),
        Some(other) => Err(FormatError::unsupported("bias", other, "none")),
    }
}

/// A list must name known modules; an expression is taken as said by the tensors that came of it.
fn check_targets(targets: &Value) -> Result<(), FormatError> {
    let Some(list) = targets.as_array() else { return Ok(()) };
    for target in list {
        let name = target.as_str().unwrap_or("(not a string)");
        let module = name.rsplit('.').next().unwrap_or(name);
        if SiteKind::from_module(module).is_none() {
            return Err(FormatError::unsupported("target_modules", name, MODULES));
        }
    }
    Ok(())
}

/// The site of a tensor such as `base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight`, and whether it is A.
fn site_of(name: &str, config: &ModelConfig) -> Result<(SiteId, bool), FormatError> {
    let unknown = || FormatError::unsupported("tensor", name.chars().take(128).collect::<String>(), MODULES);
    let path = name.strip_prefix(PREFIX).and_then(|path| path.strip_suffix(".weight")).ok_or_else(unknown)?;
    let path = path.strip_suffix(".default").unwrap_or(path);
    let (path, is_a) = match (path.strip_suffix(".lora_A"), path.strip_suffix(".lora_B")) {
        (Some(path), _) => (path, true),
        (_, Some(path)) => (path, false),
        _ => return Err(unknown()),
    };
    let rest = path.strip_prefix("model.layers.").ok_or_else(unknown)?;
    let (layer, module) = rest.split_once('.').ok_or_else(unknown)?;
    let layer: usize = layer.parse().map_err(|_| unknown())?;
    let kind = SiteKind::ALL.into_iter().find(|kind| kind.path() == module).ok_or_else(unknown)?;
    super::adapter::check_layer(name, layer, config)?;
    Ok((SiteId::new(layer, kind), is_a))
}
