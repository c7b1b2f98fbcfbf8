//! Snapshots: ordered, accepted records under one root.

use openledger_primitives::merkle::{MerkleProof, MerkleTree, leaf_hash};
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId};
use serde::{Deserialize, Serialize};

/// First byte of a snapshot body.
pub const SNAPSHOT_BODY_VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 8 + 8;
const ENTRY_BYTES: usize = 32 + 20 + 8;

/// One accepted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// The record.
    pub record_hash: RecordHash,
    /// Who contributed it.
    pub contributor: Address,
    /// Its cluster of near-duplicates, numbered from 1 in each Datanet.
    pub cluster: u64,
}

impl SnapshotEntry {
    /// Leaf data: `abi.encodePacked(uint64 index, bytes32 recordHash, address contributor, uint64 cluster)`.
    #[must_use]
    pub fn leaf_data(&self, index: u64) -> Vec<u8> {
        let mut data = index.to_be_bytes().to_vec();
        self.write(&mut data);
        data
    }

    /// Leaf hash, which proofs are checked against.
    #[must_use]
    pub fn leaf_hash(&self, index: u64) -> B256 {
        leaf_hash(&self.leaf_data(index))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.record_hash.0.as_slice());
        out.extend_from_slice(self.contributor.as_slice());
        out.extend_from_slice(&self.cluster.to_be_bytes());
    }
}

/// An ordered list of accepted records. Models name it by Datanet, number and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The Datanet.
    pub datanet: DatanetId,
    /// Number in the Datanet, from 1.
    pub id: SnapshotId,
    /// Records by priority of their batch, then by position in it.
    pub entries: Vec<SnapshotEntry>,
}

impl Snapshot {
    /// Merkle root over the entries.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree().root()
    }

    /// Proof for the entry at `index`, or `None` past the end.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<MerkleProof> {
        self.tree().prove(index)
    }

    /// Number of distinct contributors.
    #[must_use]
    pub fn contributor_count(&self) -> u32 {
        let contributors: std::collections::BTreeSet<_> = self.entries.iter().map(|entry| entry.contributor).collect();
        u32::try_from(contributors.len()).unwrap_or(u32::MAX)
    }

    /// The snapshot as a blob; its keccak256 is the content hash on chain.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES);
        body.push(SNAPSHOT_BODY_VERSION);
        body.extend_from_slice(&self.datanet.0.to_be_bytes());
        body.extend_from_slice(&self.id.0.to_be_bytes());
        body.extend_from_slice(&(self.entries.len() as u64).to_be_bytes());
        for entry in &self.entries {
            entry.write(&mut body);
        }
        body
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`DecodeSnapshotError`] for another version or another length than the body claims.
    pub fn from_body(body: &[u8]) -> Result<Self, DecodeSnapshotError> {
        let found = body.first().copied().unwrap_or(0);
        if found != SNAPSHOT_BODY_VERSION {
            return Err(DecodeSnapshotError::Version { found });
        }
        let wrong = || DecodeSnapshotError::Length { bytes: body.len() };
        let (head, entries) = body.split_at_checked(HEAD_BYTES).ok_or_else(wrong)?;
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| head[at + byte]));
        let count = number(17);
        if count.checked_mul(ENTRY_BYTES as u64) != Some(entries.len() as u64) {
            return Err(wrong());
        }
        let entries = entries.chunks_exact(ENTRY_BYTES).map(read_entry).collect();
        Ok(Self { datanet: DatanetId(number(1)), id: SnapshotId(number(9)), entries })
    }

    fn tree(&self) -> MerkleTree {
        MerkleTree::from_leaves(self.entries.iter().zip(0..).map(|(entry, index)| entry.leaf_data(index)))
    }
}

fn read_entry(bytes: &[u8]) -> SnapshotEntry {
    SnapshotEntry {
        record_hash: RecordHash(B256::from_slice(&bytes[..32])),
        contributor: Address::from_slice(&bytes[32..52]),
        cluster: u64::from_be_bytes(std::array::from_fn(|byte| bytes[52 + byte])),
    }
}

/// Why bytes are no snapshot body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeSnapshotError {
    /// Of another version.
    #[error("snapshot body has version {found}; known is {SNAPSHOT_BODY_VERSION}")]
    Version {
        /// First byte, or 0 for no bytes.
        found: u8,
    },
    /// Another length than the number of entries asks for.
    #[error("snapshot body of {bytes} bytes does not have the length that it claims")]
    Length {
        /// Its length.
        bytes: usize,
    },
}
