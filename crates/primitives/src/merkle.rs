//! Merkle trees over keccak256 with the shape and the proofs of RFC 9162.
//!
//! `leaf = H(0x00 ‖ data)`, `node = H(0x01 ‖ left ‖ right)`, the empty tree is `H("")`. A proof names its
//! position, so it shows not only that an entry is there but also which one it is.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Hash of a leaf holding `data`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> B256 {
    let mut bytes = Vec::with_capacity(1 + data.len());
    bytes.push(LEAF);
    bytes.extend_from_slice(data);
    keccak256(bytes)
}

fn node_hash(left: &B256, right: &B256) -> B256 {
    let mut bytes = [NODE; 65];
    bytes[1..33].copy_from_slice(left.as_slice());
    bytes[33..].copy_from_slice(right.as_slice());
    keccak256(bytes)
}

/// A Merkle tree held in memory, level by level.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    /// `levels[0]` are the leaves; an unpaired last entry moves up unchanged.
    levels: Vec<Vec<B256>>,
}

impl MerkleTree {
    /// The tree over entries given as bytes.
    pub fn from_leaves(data: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        Self::from_hashes(data.into_iter().map(|entry| leaf_hash(entry.as_ref())).collect())
    }

    /// The tree over leaf hashes made by [`leaf_hash`].
    #[must_use]
    pub fn from_hashes(leaves: Vec<B256>) -> Self {
        let mut levels = vec![leaves];
        while let Some(next) = parents(levels.last().map_or(&[], Vec::as_slice)) {
            levels.push(next);
        }
        Self { levels }
    }

    /// The root hash.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_else(|| keccak256([]))
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// Proof for the leaf at `index`, or `None` past the end.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<MerkleProof> {
        if index >= self.size() {
            return None;
        }
        let siblings = siblings(&self.levels, index);
        Some(MerkleProof { index, size: self.size(), siblings })
    }
}

fn parents(level: &[B256]) -> Option<Vec<B256>> {
    (level.len() > 1).then(|| level.chunks(2).map(parent).collect())
}

fn parent(pair: &[B256]) -> B256 {
    match pair {
        [left, right] => node_hash(left, right),
        _ => pair[0],
    }
}

/// The entries beside the path from leaf `index` to the root; levels where the path moves up alone add none.
pub(crate) fn siblings<T: Clone>(levels: &[Vec<T>], index: u64) -> Vec<T> {
    let position = |level: usize| (index >> level) as usize ^ 1;
    levels.iter().enumerate().filter_map(|(level, row)| row.get(position(level)).cloned()).collect()
}

/// Shows that a leaf stands at `index` in a tree of `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerkleProof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves of the tree.
    pub size: u64,
    /// Sibling hashes, from the leaf upwards.
    pub siblings: Vec<B256>,
}

impl MerkleProof {
    /// True when `leaf` (a hash made by [`leaf_hash`]) stands at this position under `root`.
    #[must_use]
    pub fn verify(&self, root: B256, leaf: B256) -> bool {
        climb(self.index, self.size, &self.siblings, leaf, node_hash) == Some(root)
    }
}

/// Recomputes the root from a leaf and its siblings as RFC 9162, section 2.1.3.2, does.
/// `None` when the number of siblings does not fit the position.
pub(crate) fn climb<T: Clone>(index: u64, size: u64, siblings: &[T], leaf: T, join: impl Fn(&T, &T) -> T) -> Option<T> {
    let mut last = size.checked_sub(1).filter(|&last| index <= last)?;
    let mut position = index;
    let mut hash = leaf;
    for sibling in siblings {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = join(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = join(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}
