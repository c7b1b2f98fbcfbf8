//! Opening one row of the index.

use openledger_primitives::B256;
use openledger_primitives::merkle::{MerkleProof, leaf_hash};

use super::index::{InfluenceIndex, QuerySketch, header_hash, outer, row_leaf, score, transform_hash};

/// One record's row with the path to the index root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowProof {
    /// The row's scale.
    pub scale: u32,
    /// The row.
    pub values: Vec<i8>,
    /// Its place under the rows' root; its index is the record.
    pub proof: MerkleProof,
    /// Hash of the header.
    pub header: B256,
    /// Hash of the record table.
    pub records: B256,
    /// Hash of the preconditioner.
    pub transform: B256,
    /// Root over the rows.
    pub rows_root: B256,
}

impl InfluenceIndex {
    /// Opens a record's row. `None` for a record the index does not hold.
    pub fn prove(&self, record: u32) -> Option<RowProof> {
        let (values, scale) = self.row(record)?;
        Some(RowProof {
            scale,
            values: values.to_vec(),
            proof: self.tree.prove(record.into())?,
            header: header_hash(&self.parts),
            records: self.parts.records.hash(),
            transform: transform_hash(&self.parts),
            rows_root: self.tree.root(),
        })
    }
}

impl RowProof {
    /// Whether this row stands under the index root.
    pub fn verify(&self, root: B256) -> bool {
        let Ok(record) = u32::try_from(self.proof.index) else { return false };
        let leaf = leaf_hash(&row_leaf(record, self.scale, &self.values));
        outer(self.header, self.records, self.transform, self.rows_root) == root
            && self.proof.verify(self.rows_root, leaf)
    }

    /// The record's score for a query; `None` where the lengths differ.
    pub fn score(&self, query: &QuerySketch) -> Option<i64> {
        (query.values.len() == self.values.len()).then(|| score(&self.values, self.scale, query))
    }
}
