//! Merkle-sum trees: every node also commits to the sum below it, so that a total is provable.
//!
//! Same shape as [`crate::merkle`]; `node = H(0x01 ‖ leftHash ‖ leftSum ‖ rightHash ‖ rightSum)` with sums as
//! 32-byte big-endian integers. The leaf hash comes from the caller and must bind its own sum.

use alloy_primitives::{B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::merkle;

const NODE: u8 = 1;

/// An entry or an inner node: a hash and the sum below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumLeaf {
    /// Hash; for entries made by the caller over account and sum.
    pub hash: B256,
    /// Sum in wei.
    pub sum: u128,
}

/// Root of a sum tree.
pub type SumRoot = SumLeaf;

/// Why a sum tree could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SumTreeError {
    /// The entries add up to more than 2^128 - 1.
    #[error("the sums of {leaves} leaves add up to more than 2^128 - 1")]
    Overflow {
        /// Number of entries.
        leaves: usize,
    },
}

/// A Merkle-sum tree held in memory, level by level.
#[derive(Clone, Debug)]
pub struct SumTree {
    levels: Vec<Vec<SumLeaf>>,
}

impl SumTree {
    /// The tree over `leaves`.
    ///
    /// # Errors
    /// [`SumTreeError::Overflow`] when the total does not fit.
    pub fn from_leaves(leaves: Vec<SumLeaf>) -> Result<Self, SumTreeError> {
        let count = leaves.len();
        let total = leaves.iter().try_fold(0_u128, |total, leaf| total.checked_add(leaf.sum));
        if total.is_none() {
            return Err(SumTreeError::Overflow { leaves: count });
        }
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let next = levels[levels.len() - 1].chunks(2).map(parent).collect();
            levels.push(next);
        }
        Ok(Self { levels })
    }

    /// Root hash and total; an empty tree has `H("")` and 0.
    #[must_use]
    pub fn root(&self) -> SumRoot {
        let empty = SumLeaf { hash: keccak256([]), sum: 0 };
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or(empty)
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// Proof for the entry at `index`, or `None` past the end.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<SumProof> {
        if index >= self.size() {
            return None;
        }
        let siblings = merkle::siblings(&self.levels, index);
        Some(SumProof { index, size: self.size(), siblings })
    }
}

fn parent(pair: &[SumLeaf]) -> SumLeaf {
    match pair {
        // The constructor has checked that the total fits, so no partial sum can overflow.
        [left, right] => join(left, right).unwrap_or(*left),
        _ => pair[0],
    }
}

fn join(left: &SumLeaf, right: &SumLeaf) -> Option<SumLeaf> {
    let sum = left.sum.checked_add(right.sum)?;
    let mut bytes = [NODE; 129];
    bytes[1..33].copy_from_slice(left.hash.as_slice());
    bytes[33..65].copy_from_slice(&U256::from(left.sum).to_be_bytes::<32>());
    bytes[65..97].copy_from_slice(right.hash.as_slice());
    bytes[97..].copy_from_slice(&U256::from(right.sum).to_be_bytes::<32>());
    Some(SumLeaf { hash: keccak256(bytes), sum })
}

/// Shows that an entry stands at `index` in a sum tree of `size` entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumProof {
    /// Position of the entry, from 0.
    pub index: u64,
    /// Number of entries of the tree.
    pub size: u64,
    /// Sibling nodes, from the entry upwards.
    pub siblings: Vec<SumLeaf>,
}

impl SumProof {
    /// True when `leaf` stands at this position under `root`, hash and total both.
    #[must_use]
    pub fn verify(&self, root: SumRoot, leaf: SumLeaf) -> bool {
        let siblings: Vec<Option<SumLeaf>> = self.siblings.iter().copied().map(Some).collect();
        let join = |left: &Option<SumLeaf>, right: &Option<SumLeaf>| join(left.as_ref()?, right.as_ref()?);
        merkle::climb(self.index, self.size, &siblings, Some(leaf), join) == Some(Some(root))
    }
}
