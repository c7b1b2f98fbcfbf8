//! Trees in Rust agree with vectors that share no code with them; Solidity's tests read the same file.

use alloy_primitives::{B256, keccak256};
use openledger_primitives::merkle::{self, MerkleProof};
use openledger_primitives::sum_tree::{SumLeaf, SumProof};
use serde::Deserialize;

const VECTORS: &str = include_str!("../../../../contracts/test/vectors/merkle.json");

#[derive(Deserialize)]
struct Vectors {
    count: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    size: u64,
    index: u64,
    data: B256,
    root: B256,
    siblings: Vec<B256>,
    sum: String,
    sum_root: B256,
    sum_total: String,
    sum_sibling_hashes: Vec<B256>,
    sum_sibling_sums: Vec<String>,
}

fn node(hash: &B256, sum: &str) -> SumLeaf {
    SumLeaf { hash: *hash, sum: sum.parse().unwrap() }
}

#[test]
fn proofs_of_every_vector_hold_and_spoilt_ones_do_not() {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.count >= 40 && vectors.count == vectors.cases.len());
    for case in vectors.cases {
        let proof = MerkleProof { index: case.index, size: case.size, siblings: case.siblings };
        let leaf = merkle::leaf_hash(case.data.as_slice());
        assert!(proof.verify(case.root, leaf));
        assert!(!proof.verify(case.root, keccak256(leaf)));
        let siblings = case.sum_sibling_hashes.iter().zip(&case.sum_sibling_sums);
        let siblings = siblings.map(|(hash, sum)| node(hash, sum)).collect();
        let proof = SumProof { index: case.index, size: case.size, siblings };
        let root = node(&case.sum_root, &case.sum_total);
        let leaf = node(&case.data, &case.sum);
        assert!(proof.verify(root, leaf));
        assert!(!proof.verify(root, SumLeaf { sum: leaf.sum + 1, ..leaf }));
    }
}
