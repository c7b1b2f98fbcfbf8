//! What PEFT's and GGUF's adapters have in common.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{FormatError, at_most};
use super::{RawTensor, gguf, gguf_lora, peft, source::Source};
use crate::lora::{LORA_RANK_MAX, LoraAdapter, LoraConfig};
use crate::model::{ModelConfig, SiteId, SiteInfo, SiteKind};

/// The matrices of one site as they lie in a file.
#[derive(Debug, Default)]
pub(super) struct SiteTensors {
    pub(super) a: Option<RawTensor>,
    pub(super) b: Option<RawTensor>,
}

/// One site's matrices, and the factor that its file puts on their product.
struct LoadedSite {
    rank: usize,
    scale: f64,
    a: Vec<f32>,
    b: Vec<f32>,
}

/// Reads an adapter for a model of that shape: a PEFT folder or a GGUF file.
///
/// # Errors
/// [`FormatError::Shape`] names the site if the adapter is for another model; pickles are refused.
pub fn load_adapter(path: &Path, config: &ModelConfig) -> Result<LoraAdapter, FormatError> {
    if path.is_dir() {
        return peft::read(path, config);
    }
    super::refuse_pickle(path)?;
    let start = Source::open(path)?.read("magic", 0, 4)?;
    if start == gguf::MAGIC {
        return gguf_lora::read(path, config);
    }
    let found = "neither a GGUF file nor a folder with adapter_config.json".to_owned();
    Err(FormatError::NotAModel { path: path.to_owned(), found })
}

/// Builds an adapter from the sites found in a file; `scale` gives each site's factor from its rank.
///
/// The engine has one rank and one factor for all sites. A site of smaller rank is filled with zeros, and one with
/// another factor has its B multiplied by the quotient: the function stays the same.
pub(super) fn build(
    config: &ModelConfig,
    found: BTreeMap<SiteId, SiteTensors>,
    scale: impl Fn(&SiteInfo, usize) -> f64,
) -> Result<LoraAdapter, FormatError> {
    let sites = SiteInfo::all(config);
    let mut loaded = BTreeMap::new();
    for (id, tensors) in found {
        let site = &sites[id.index()];
        loaded.insert(id, load_site(site, tensors, &scale)?);
    }
    let Some(first) = loaded.values().max_by_key(|site| site.rank) else {
        return Err(FormatError::missing("every LoRA tensor"));
    };
    let (rank, common_scale) = (first.rank, first.scale);
    let has = |kind: &SiteKind| sites.iter().any(|site| site.kind == *kind && loaded.contains_key(&site.id));
    let targets: Vec<SiteKind> = SiteKind::ALL.into_iter().filter(has).collect();
    let mut params = Vec::new();
    for site in sites.iter().filter(|site| targets.contains(&site.kind)) {
        push_site(&mut params, site, loaded.get(&site.id), rank, common_scale);
    }
    let lora = LoraConfig { rank, alpha: (common_scale * rank as f64) as f32, targets };
    Ok(LoraAdapter::from_params(config, &lora, params)?)
}

fn load_site(
    site: &SiteInfo,
    tensors: SiteTensors,
    scale: impl Fn(&SiteInfo, usize) -> f64,
) -> Result<LoadedSite, FormatError> {
    let missing = |which: &str| FormatError::missing(format!("lora_{which} of {}", site.path()));
    let a = tensors.a.ok_or_else(|| missing("A"))?;
    let b = tensors.b.ok_or_else(|| missing("B"))?;
    let rank = a.shape.first().copied().unwrap_or(0);
    at_most(&format!("rank of {}", site.path()), rank as u64, LORA_RANK_MAX as u64)?;
    check_shape(site, "A", &a, [rank, site.d_in])?;
    check_shape(site, "B", &b, [site.d_out, rank])?;
    Ok(LoadedSite { rank, scale: scale(site, rank), a: a.to_f32()?, b: b.to_f32()? })
}

fn check_shape(site: &SiteInfo, which: &str, tensor: &RawTensor, expected: [usize; 2]) -> Result<(), FormatError> {
    if tensor.shape == expected {
        return Ok(());
    }
    let name = format!("lora_{which} of {} (is the adapter for another base model?)", site.path());
    Err(FormatError::Shape { tensor: name, found: tensor.shape.clone(), expected: expected.to_vec() })
}

fn push_site(params: &mut Vec<f32>, site: &SiteInfo, loaded: Option<&LoadedSite>, rank: usize, scale: f64) {
    let Some(loaded) = loaded else {
        params.resize(params.len() + rank * (site.d_in + site.d_out), 0.0);
        return;
    };
    params.extend_from_slice(&loaded.a);
    params.resize(params.len() + (rank - loaded.rank) * site.d_in, 0.0);
    let factor = loaded.scale / scale;
    for row in loaded.b.chunks_exact(loaded.rank) {
        params.extend(row.iter().map(|&b| if factor == 1.0 { b } else { (f64::from(b) * factor) as f32 }));
        params.resize(params.len() + rank - loaded.rank, 0.0);
    }
}

/// An adapter for a deeper model names layers that this one does not have.
pub(super) fn check_layer(name: &str, layer: usize, config: &ModelConfig) -> Result<(), FormatError> {
    let name: String = name.chars().take(128).collect();
    at_most(
        &format!("layer of {name} (is the adapter for another base model?)"),
        layer as u64,
        config.layers as u64 - 1,
    )
}
