//! LoRA adapters in GGUF, as llama.cpp reads and writes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::adapter::{SiteTensors, build, check_layer};
use super::error::FormatError;
use super::gguf::{Gguf, GgufTensor, GgufWriter};
use super::gguf_model::{row_order, site_module};
use super::peft::write_file;
use super::{RawTensor, RowOrder, interleave};
use crate::lora::{LoraAdapter, LoraSite};
use crate::model::{Architecture, ModelConfig, SiteId, SiteInfo, SiteKind};

const ALPHA_KEY: &str = "adapter.lora.alpha";

/// Reads a GGUF adapter for a model of that shape.
///
/// # Errors
/// [`FormatError::Shape`] naming the site if the adapter is for another model.
pub fn read(path: &Path, config: &ModelConfig) -> Result<LoraAdapter, FormatError> {
    let gguf = Gguf::open(path)?;
    check_kind(&gguf, config)?;
    let alpha = gguf.f64(ALPHA_KEY)?;
    let mut found: BTreeMap<SiteId, SiteTensors> = BTreeMap::new();
    for (name, tensor) in gguf.tensors() {
        let (id, is_a) = site_of(name, config)?;
        let raw = raw_tensor(&gguf, tensor, &SiteInfo::all(config)[id.index()], is_a, config)?;
        let site = found.entry(id).or_default();
        *(if is_a { &mut site.a } else { &mut site.b }) = Some(raw);
    }
    build(config, found, |_, rank| alpha / rank as f64)
}

/// Writes a GGUF adapter that llama.cpp loads beside the base model.
///
/// # Errors
/// [`FormatError::Write`].
pub fn write(path: &Path, adapter: &LoraAdapter, config: &ModelConfig) -> Result<(), FormatError> {
    let mut gguf = GgufWriter::new();
    gguf.set("general.type", "adapter");
    gguf.set("general.architecture", file_architecture(config));
    gguf.set("adapter.type", "lora");
    gguf.set(ALPHA_KEY, adapter.config().alpha);
    for site in adapter.sites() {
        let name = format!("blk.{}.{}.weight", site.info.layer, site_module(site.info.kind));
        gguf.f32(&format!("{name}.lora_a"), &[site.rank, site.info.d_in], site.a);
        gguf.f32(&format!("{name}.lora_b"), &[site.info.d_out, site.rank], &file_b(&site, config));
    }
    write_file(path, |out| gguf.write_to(out))
}

fn file_b(site: &LoraSite<'_>, config: &ModelConfig) -> Vec<f32> {
    match site_rows(site.info, config) {
        RowOrder::Same => site.b.to_vec(),
        RowOrder::Interleaved { heads } => interleave(site.b, site.info.d_out, heads),
    }
}

fn site_rows(site: &SiteInfo, config: &ModelConfig) -> RowOrder {
    row_order(&format!("{}.weight", site.path()), config)
}

/// Mistral's GGUF files call themselves llama.
fn file_architecture(config: &ModelConfig) -> &'static str {
    match config.architecture {
        Architecture::Mistral => Architecture::Llama.name(),
        other => other.name(),
    }
}

fn check_kind(gguf: &Gguf, config: &ModelConfig) -> Result<(), FormatError> {
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        let found = gguf.str(key)?;
        if found != wanted {
            return Err(FormatError::unsupported(key, found, wanted));
        }
    }
    let (found, wanted) = (gguf.str("general.architecture")?, file_architecture(config));
    if found != wanted {
        let reason = format!("the adapter is for {found}, the model is {wanted}");
        return Err(FormatError::malformed("general.architecture", reason));
    }
    Ok(())
}

fn raw_tensor(
    gguf: &Gguf,
    tensor: &GgufTensor,
    site: &SiteInfo,
    is_a: bool,
    config: &ModelConfig,
) -> Result<RawTensor, FormatError> {
    let name = format!("lora_{} of {}", if is_a { "A" } else { "B" }, site.path());
    let place = (tensor.offset, tensor.bytes);
    let raw = RawTensor::on_disk(&name, tensor.shape.clone(), gguf.source().clone(), place, tensor.dtype);
    // Rows of another model's B cannot be reordered; its shape is refused when the adapter is built.
    let fits = tensor.shape.first() == Some(&site.d_out);
    Ok(if is_a || !fits { raw } else { raw.with_rows(site_rows(site, config)) })
}

/// The site of a tensor such as `blk.3.attn_q.weight.lora_a`, and whether it is A.
fn site_of(name: &str, config: &ModelConfig) -> Result<(SiteId, bool), FormatError> {
    let unknown =
        || FormatError::unsupported("tensor", name, "lora_a and lora_b of attn_{q,k,v,output}, ffn_{gate,up,down}");
    let (path, is_a) = match (name.strip_suffix(".weight.lora_a"), name.strip_suffix(".weight.lora_b")) {
        (Some(path), _) => (path, true),
        (_, Some(path)) => (path, false),
        _ => return Err(unknown()),
    };
    let (layer, module) = path.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).ok_or_else(unknown)?;
    let layer: usize = layer.parse().map_err(|_| unknown())?;
    let kind = SiteKind::ALL.into_iter().find(|kind| site_module(*kind) == module).ok_or_else(unknown)?;
    check_layer(name, layer, config)?;
    Ok((SiteId::new(layer, kind), is_a))
}
