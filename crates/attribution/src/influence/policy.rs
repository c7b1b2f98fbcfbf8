//! The choices an index is built with; part of the attribution policy in a model's manifest.

use openledger_primitives::B256;
use serde::{Deserialize, Serialize};

use super::sketch::SiteShape;
use super::{CHECKPOINTS_MAX, ROW_DIMS_MAX, SITES_MAX};

/// Widest projection.
pub(crate) const PROJECTION_DIM_MAX: u16 = 256;

/// Most signs kept in memory, at four bytes each.
const SIGNS_MAX: u64 = 1 << 26;

/// How gradients are weighed against one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preconditioner {
    /// Inverse of the damped empirical Fisher of each site's factor.
    BlockFisher,
    /// Its diagonal only.
    DiagonalFisher,
    /// DataInf (arXiv 2310.00902): the mean of the inverses of single records' damped Fishers.
    DataInf,
    /// None: the plain dot product.
    Identity,
}

/// Whether rows are brought to one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Unit length at each checkpoint: scores are sums of cosines, and a few high-loss records cannot dominate.
    PerCheckpoint,
    /// As they are.
    None,
}

/// Which adapted sites take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteSelection {
    /// Modules by their PEFT name (`q_proj`, ...); empty for all.
    pub modules: Vec<String>,
    /// Every how many layers, beginning with the last and going down.
    pub layer_stride: u16,
    /// Only so many layers, the last ones; 0 for all. Below them the trained adapter stands in every checkpoint's place, and
    /// the backward pass of a query ends at the lowest of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_layers: u16,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// All choices of the influence channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfluencePolicy {
    /// Optimiser steps after which the adapter was kept, ascending; take an early one.
    pub checkpoints: Vec<u32>,
    /// Dimensions that the long side of each factor's gradient is projected to: a multiple of 8.
    pub projection_dim: u16,
    /// Seed of the projection's signs.
    pub projection_seed: B256,
    /// Which sites.
    pub sites: SiteSelection,
    /// How gradients are weighed.
    pub preconditioner: Preconditioner,
    /// The damping c in thousandths: c x the mean eigenvalue is added to each.
    pub damping_milli: u32,
    /// Whether rows are brought to one length.
    pub normalise: Normalise,
    /// Bits of a stored value, 2 to 8.
    pub quantise_bits: u8,
}

/// Layers that take part unless a policy says otherwise.
///
/// Measured on SmolLM2-135M by retraining on 50 halves of 818 records, two seeds each (the trainer's example
/// `attribution_quality`): all 30 layers score 0.522, the last ten 0.548, seven 0.539, five 0.517, one 0.443; BM25 0.462. Seven
/// make the pass of a query less than half as long, and the index four times smaller.
const LAST_LAYERS: u16 = 7;

impl Default for InfluencePolicy {
    /// Block Fisher with c = 1 on the last layers, 8 dimensions, cosines; the checkpoints are the trainer's to add.
    fn default() -> Self {
        Self {
            checkpoints: Vec::new(),
            projection_dim: 8,
            projection_seed: B256::ZERO,
            sites: SiteSelection { modules: Vec::new(), layer_stride: 1, last_layers: LAST_LAYERS },
            preconditioner: Preconditioner::BlockFisher,
            damping_milli: 1000,
            normalise: Normalise::PerCheckpoint,
            quantise_bits: 8,
        }
    }
}

/// Why a policy cannot be followed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// No checkpoint, too many, or not ascending.
    #[error("{count} checkpoints, which must be 1 to {max} steps in ascending order")]
    Checkpoints {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A projection that is no multiple of 8 or too wide.
    #[error("projection_dim is {given}; it must be a multiple of 8, at most {max}")]
    ProjectionDim {
        /// The value.
        given: u16,
        /// The limit.
        max: u16,
    },
    /// A damping of zero.
    #[error("damping_milli is 0; the Fisher matrix would not be invertible")]
    NoDamping,
    /// Stored values too narrow or too wide.
    #[error("quantise_bits is {given}; it must be 2 to 8")]
    QuantiseBits {
        /// The value.
        given: u8,
    },
    /// A stride of zero.
    #[error("layer_stride is 0; it must be at least 1")]
    LayerStride,
    /// No site, or too many.
    #[error("{count} sites selected; it must be 1 to {max}")]
    Sites {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// More signs than are kept in memory.
    #[error("projection of {count} signs; at most {max} are kept: lower projection_dim or sites")]
    Signs {
        /// Sum over the sites' sides, times projection_dim.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// Rows that would be too long.
    #[error("rows of {dims} dimensions; at most {max} are allowed: lower projection_dim, sites or checkpoints")]
    RowDims {
        /// Dimensions.
        dims: usize,
        /// The limit.
        max: usize,
    },
}

impl InfluencePolicy {
    /// Checks the policy for `sites` selected sites of rank `rank`, and gives the dimensions of one checkpoint.
    ///
    /// # Errors
    /// [`PolicyError`] names the value and its limit.
    pub fn checkpoint_dims(&self, sites: usize, rank: usize) -> Result<usize, PolicyError> {
        self.check_values()?;
        if sites == 0 || sites > SITES_MAX {
            return Err(PolicyError::Sites { count: sites, max: SITES_MAX });
        }
        let dims = sites.saturating_mul(2 * usize::from(self.projection_dim)).saturating_mul(rank);
        let total = dims.saturating_mul(self.checkpoints.len());
        if total == 0 || total > ROW_DIMS_MAX {
            return Err(PolicyError::RowDims { dims: total, max: ROW_DIMS_MAX });
        }
        Ok(dims)
    }

    /// Checks that the signs of these sites' projections fit into memory.
    ///
    /// # Errors
    /// [`PolicyError::Signs`] gives their number and its limit.
    pub fn check_signs(&self, sites: &[SiteShape]) -> Result<(), PolicyError> {
        let sides: u64 = sites.iter().map(|site| u64::from(site.d_in) + u64::from(site.d_out)).sum();
        let count = sides * u64::from(self.projection_dim);
        if count > SIGNS_MAX { Err(PolicyError::Signs { count, max: SIGNS_MAX }) } else { Ok(()) }
    }

    fn check_values(&self) -> Result<(), PolicyError> {
        let (count, k) = (self.checkpoints.len(), self.projection_dim);
        if count == 0 || count > CHECKPOINTS_MAX || !self.checkpoints.is_sorted_by(|a, b| a < b) {
            return Err(PolicyError::Checkpoints { count, max: CHECKPOINTS_MAX });
        }
        if k == 0 || !k.is_multiple_of(8) || k > PROJECTION_DIM_MAX {
            return Err(PolicyError::ProjectionDim { given: k, max: PROJECTION_DIM_MAX });
        }
        if self.damping_milli == 0 {
            return Err(PolicyError::NoDamping);
        }
        if !(2..=8).contains(&self.quantise_bits) {
            return Err(PolicyError::QuantiseBits { given: self.quantise_bits });
        }
        if self.sites.layer_stride == 0 { Err(PolicyError::LayerStride) } else { Ok(()) }
    }
}
