//! Low-rank adapters: parameters, their initial values, their gradients.
//!
//! At a site with input `x` an adapter of rank r adds `s B (A x)` to the output, with `A` r x in, `B` out x r
//! and `s = alpha / r`. It is a layer of its own; weights are never merged.

use std::ops::Range;
use std::sync::OnceLock;

use alloy_primitives::{B256, Keccak256};
use openledger_kernels::{Mat, MatRef};

use crate::model::{ModelConfig, SiteId, SiteInfo, SiteKind};
use crate::rng::SplitMix64;

/// Largest rank of an adapter.
pub const LORA_RANK_MAX: usize = 256;

/// First bytes of an adapter's canonical form; the last one is its version.
const LORA_TAG: &[u8; 16] = b"openledger.lora\x01";

/// Which linear maps are adapted and how strongly.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Inner dimension r.
    pub rank: usize,
    /// The adapter's output is multiplied by `alpha / rank`.
    pub alpha: f32,
    /// Adapted maps, in every layer.
    pub targets: Vec<SiteKind>,
}

impl LoraConfig {
    /// The given rank on all seven linear maps of every layer, with `alpha = 2 * rank`.
    #[must_use]
    pub fn all_linear(rank: usize) -> Self {
        Self { rank, alpha: 2.0 * rank as f32, targets: SiteKind::ALL.to_vec() }
    }

    /// The factor `s = alpha / rank` on the adapter's output.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }
}

/// Why an adapter of that configuration cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// Rank zero or above the limit.
    #[error("rank is {rank}; it must be between 1 and {limit}")]
    Rank {
        /// What was asked.
        rank: usize,
        /// Largest accepted rank.
        limit: usize,
    },
    /// `alpha` is not a positive finite number.
    #[error("alpha is {alpha}; it must be positive and finite")]
    Alpha {
        /// What was asked.
        alpha: f32,
    },
    /// Two adapters that are to be joined differ in rank, factor, sites or model.
    #[error("the adapters are not of one shape")]
    Shape,
    /// No site is adapted.
    #[error("the adapter targets no linear map")]
    NoTargets,
    /// The parameters' count does not fit the model and configuration.
    #[error("{given} parameters given; this model and configuration have {expected}")]
    Parameters {
        /// How many were given.
        given: usize,
        /// How many there are.
        expected: usize,
    },
}

/// Where a site's matrices lie in the flat parameters.
#[derive(Clone, Copy, Debug)]
struct Slot {
    a: usize,
    b: usize,
    end: usize,
}

/// The parameters of one adapter, f32, flat: for each adapted site in order, A (r x in) then B (out x r).
#[derive(Debug)]
pub struct LoraAdapter {
    config: LoraConfig,
    sites: Vec<SiteInfo>,
    slots: Vec<Option<Slot>>,
    params: Vec<f32>,
    packed: OnceLock<Vec<Option<PackedSite>>>,
    hash: OnceLock<B256>,
    /// Hash of each layer's parameters.
    layers: OnceLock<Vec<B256>>,
}

impl Clone for LoraAdapter {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            sites: self.sites.clone(),
            slots: self.slots.clone(),
            params: self.params.clone(),
            packed: OnceLock::new(),
            hash: self.hash.clone(),
            layers: self.layers.clone(),
        }
    }
}

impl LoraAdapter {
    /// A fresh adapter as PEFT makes it: A uniform within `1 / sqrt(in)`, B zero, so that it changes nothing yet.
    ///
    /// # Errors
    /// If the configuration is out of range.
    pub fn new(model: &ModelConfig, config: &LoraConfig, seed: u64) -> Result<Self, LoraError> {
        let mut adapter = Self::zeros(model, config)?;
        let mut rng = SplitMix64::new(seed);
        for (site, slot) in adapter.sites.iter().zip(&adapter.slots) {
            let Some(slot) = slot else { continue };
            let bound = 1.0 / (site.d_in as f32).sqrt();
            adapter.params[slot.a..slot.b].fill_with(|| (2.0 * rng.unit_f32() - 1.0) * bound);
        }
        Ok(adapter)
    }

    /// An adapter of that shape with the given flat parameters.
    ///
    /// # Errors
    /// If the configuration is out of range or the number of parameters is not the shape's.
    pub fn from_params(model: &ModelConfig, config: &LoraConfig, params: Vec<f32>) -> Result<Self, LoraError> {
        let mut adapter = Self::layout(model, config)?;
        let expected = adapter.expected_params();
        if params.len() != expected {
            return Err(LoraError::Parameters { given: params.len(), expected });
        }
        adapter.params = params;
        Ok(adapter)
    }

    /// An adapter of that shape whose parameters are all zero.
    ///
    /// # Errors
    /// If the configuration is out of range.
    pub fn zeros(model: &ModelConfig, config: &LoraConfig) -> Result<Self, LoraError> {
        let mut adapter = Self::layout(model, config)?;
        adapter.params = vec![0.0; adapter.expected_params()];
        Ok(adapter)
    }

    fn layout(model: &ModelConfig, config: &LoraConfig) -> Result<Self, LoraError> {
        check(config)?;
        let sites = SiteInfo::all(model);
        let mut next = 0;
        let slots = sites
            .iter()
            .map(|site| config.targets.contains(&site.kind).then(|| take_slot(&mut next, site, config.rank)));
        let slots = slots.collect();
        Ok(Self {
            config: config.clone(),
            sites,
            slots,
            params: Vec::new(),
            packed: OnceLock::new(),
            hash: OnceLock::new(),
            layers: OnceLock::new(),
        })
    }

    fn expected_params(&self) -> usize {
        self.slots.iter().flatten().map(|slot| slot.end).max().unwrap_or(0)
    }

    /// Rank, alpha and targets.
    #[must_use]
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The factor on the adapter's output.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.config.scale()
    }

    /// The matrices at a site, or `None` where the adapter does nothing.
    #[must_use]
    pub fn site(&self, id: SiteId) -> Option<LoraSite<'_>> {
        let slot = (*self.slots.get(id.index())?)?;
        let info = &self.sites[id.index()];
        let (a, b) = (&self.params[slot.a..slot.b], &self.params[slot.b..slot.end]);
        Some(LoraSite { info, rank: self.config.rank, scale: self.scale(), a, b })
    }

    /// The adapted sites, in order.
    pub fn sites(&self) -> impl Iterator<Item = LoraSite<'_>> {
        self.sites.iter().filter_map(|site| self.site(site.id))
    }

    /// All parameters, flat.
    #[must_use]
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// All parameters, flat, to be changed.
    pub fn params_mut(&mut self) -> &mut [f32] {
        self.packed.take();
        self.hash.take();
        self.layers.take();
        &mut self.params
    }

    /// Bytes of memory that the parameters take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.params.as_slice())
    }

    /// Keccak-256 of [`to_bytes`](Self::to_bytes); kept until the parameters change.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.hash.get_or_init(|| {
            let mut hasher = Keccak256::new();
            self.write_canonical(|bytes| hasher.update(bytes));
            hasher.finalize()
        })
    }

    /// The canonical bytes: tag and version, rank (u32 big-endian), alpha (f32 bits, big-endian), layers (u32), targets
    /// (one byte: bit k for kind k), then all parameters as little-endian f32.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + 32);
        self.write_canonical(|bytes| out.extend_from_slice(bytes));
        out
    }

    fn write_canonical(&self, mut write: impl FnMut(&[u8])) {
        write(LORA_TAG);
        write(&(self.config.rank as u32).to_be_bytes());
        write(&self.config.alpha.to_bits().to_be_bytes());
        write(&((self.sites.len() / SiteKind::ALL.len()) as u32).to_be_bytes());
        write(&[self.config.targets.iter().fold(0, |bits, kind| bits | 1 << (*kind as u8))]);
        write_values(&self.params, write);
    }

    /// This adapter with the parameters of `below` in all but the last `layers` layers.
    ///
    /// # Errors
    /// [`LoraError::Shape`] if the two are not of one shape.
    pub fn above(&self, below: &Self, layers: usize) -> Result<Self, LoraError> {
        if self.config != below.config || self.sites != below.sites {
            return Err(LoraError::Shape);
        }
        let all = self.sites.len() / SiteKind::ALL.len();
        let from = self.layer(all.saturating_sub(layers)).start;
        let mut params = below.params.clone();
        params[from..].copy_from_slice(&self.params[from..]);
        Ok(Self { params, packed: OnceLock::new(), hash: OnceLock::new(), layers: OnceLock::new(), ..self.clone() })
    }

    /// In how many layers, from the first, the two have the same parameters.
    pub(crate) fn layers_alike(&self, other: &Self) -> usize {
        if self.config != other.config || self.sites != other.sites {
            return 0;
        }
        self.layer_hashes().iter().zip(other.layer_hashes()).take_while(|(own, other)| own == other).count()
    }

    /// Hash of each layer's parameters; kept until they change.
    fn layer_hashes(&self) -> &[B256] {
        self.layers.get_or_init(|| {
            let hash = |layer| {
                let mut hasher = Keccak256::new();
                write_values(&self.params[self.layer(layer)], |bytes| hasher.update(bytes));
                hasher.finalize()
            };
            (0..self.sites.len() / SiteKind::ALL.len()).map(hash).collect()
        })
    }

    /// Where a layer's parameters lie.
    fn layer(&self, layer: usize) -> Range<usize> {
        let kinds = SiteKind::ALL.len();
        let slots = |layers: Range<usize>| self.slots[layers.start * kinds..layers.end * kinds].iter().flatten();
        let start = slots(0..layer).map(|slot| slot.end).max().unwrap_or(0);
        start..slots(layer..layer + 1).map(|slot| slot.end).max().unwrap_or(start)
    }

    /// Where each site's parameters start.
    pub(crate) fn starts(&self) -> Vec<Option<usize>> {
        self.slots.iter().map(|slot| slot.map(|slot| slot.a)).collect()
    }

    /// Whether it was made for a model with these sites.
    pub(crate) fn fits(&self, sites: &[SiteInfo]) -> bool {
        self.sites == sites
    }

    /// The matrices at a site in the layouts that the kernels read.
    pub(crate) fn packed(&self, id: SiteId) -> Option<&PackedSite> {
        let packed =
            self.packed.get_or_init(|| self.sites.iter().map(|site| self.site(site.id).map(PackedSite::new)).collect());
        packed.get(id.index())?.as_ref()
    }
}

/// Little-endian, some at a time.
fn write_values(values: &[f32], mut write: impl FnMut(&[u8])) {
    for values in values.chunks(1024) {
        write(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
}

fn check(config: &LoraConfig) -> Result<(), LoraError> {
    if config.rank == 0 || config.rank > LORA_RANK_MAX {
        return Err(LoraError::Rank { rank: config.rank, limit: LORA_RANK_MAX });
    }
    if !(config.alpha.is_finite() && config.alpha > 0.0) {
        return Err(LoraError::Alpha { alpha: config.alpha });
    }
    if config.targets.is_empty() { Err(LoraError::NoTargets) } else { Ok(()) }
}

fn take_slot(next: &mut usize, site: &SiteInfo, rank: usize) -> Slot {
    let a = *next;
    let b = a + rank * site.d_in;
    *next = b + rank * site.d_out;
    Slot { a, b, end: *next }
}

/// One site's matrices.
#[derive(Clone, Copy, Debug)]
pub struct LoraSite<'a> {
    /// The adapted map.
    pub info: &'a SiteInfo,
    /// Inner dimension r.
    pub rank: usize,
    /// Factor on the output.
    pub scale: f32,
    /// A, r x in, row-major.
    pub a: &'a [f32],
    /// B, out x r, row-major.
    pub b: &'a [f32],
}

/// One site's matrices as the kernels read them: the output dimension of each product runs along the rows.
#[derive(Debug)]
pub(crate) struct PackedSite {
    pub(crate) scale: f32,
    /// r x in.
    pub(crate) a: Mat,
    /// in x r.
    pub(crate) a_t: Mat,
    /// out x r.
    pub(crate) b: Mat,
    /// r x out.
    pub(crate) b_t: Mat,
}

impl PackedSite {
    pub(crate) fn rank(&self) -> usize {
        self.a.view().rows()
    }

    fn new(site: LoraSite<'_>) -> Self {
        let a = MatRef::new(site.a, site.rank, site.info.d_in);
        let b = MatRef::new(site.b, site.info.d_out, site.rank);
        Self { scale: site.scale, a: a.to_mat(), a_t: a.transposed(), b: b.to_mat(), b_t: b.transposed() }
    }
}
