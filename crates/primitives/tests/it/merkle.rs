use openledger_primitives::merkle::{MerkleProof, MerkleTree, leaf_hash};
use openledger_primitives::sum_tree::{SumLeaf, SumTree, SumTreeError};
use openledger_primitives::{B256, U256, keccak256};
use proptest::prelude::*;

/// The definition of RFC 9162, section 2.1.1, written as it reads.
fn reference_root(leaves: &[Vec<u8>]) -> B256 {
    match leaves {
        [] => keccak256([]),
        [only] => keccak256([&[0], only.as_slice()].concat()),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            keccak256([&[1], reference_root(left).as_slice(), reference_root(right).as_slice()].concat())
        }
    }
}

fn reference_sum_root(leaves: &[SumLeaf]) -> SumLeaf {
    match leaves {
        [] => SumLeaf { hash: keccak256([]), sum: 0 },
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let (left, right) = (reference_sum_root(left), reference_sum_root(right));
            let sum = |side: SumLeaf| U256::from(side.sum).to_be_bytes::<32>();
            let bytes = [&[1], left.hash.as_slice(), &sum(left), right.hash.as_slice(), &sum(right)].concat();
            SumLeaf { hash: keccak256(bytes), sum: left.sum + right.sum }
        }
    }
}

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|entry| entry.to_be_bytes().to_vec()).collect()
}

#[test]
fn roots_and_proofs_agree_with_the_definition_for_every_small_size() {
    for size in 0..70 {
        let leaves = entries(size);
        let tree = MerkleTree::from_leaves(&leaves);
        assert_eq!(tree.root(), reference_root(&leaves), "size {size}");
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = tree.prove(index as u64).unwrap();
            assert!(proof.verify(tree.root(), leaf_hash(leaf)), "leaf {index} of {size}");
        }
        assert_eq!(tree.prove(size as u64), None);
    }
}

#[test]
fn a_proof_holds_for_its_own_position_alone() {
    let leaves = entries(11);
    let tree = MerkleTree::from_leaves(&leaves);
    let proof = tree.prove(5).unwrap();
    let accepted = |index: u64, size: u64, leaf: usize| {
        MerkleProof { index, size, ..proof.clone() }.verify(tree.root(), leaf_hash(&leaves[leaf]))
    };
    assert!(accepted(5, 11, 5));
    for index in (0..11).filter(|&index| index != 5) {
        assert!(!accepted(index, 11, 5), "index {index}");
        assert!(!accepted(5, 11, index as usize), "leaf {index}");
    }
    assert!(!accepted(5, 5, 5));
    assert!(!accepted(5, 0, 5));
}

#[test]
fn an_inner_node_is_never_taken_for_a_leaf() {
    let leaves = entries(4);
    let tree = MerkleTree::from_leaves(&leaves);
    let inner = MerkleTree::from_leaves(&leaves[..2]).root();
    let right = MerkleTree::from_leaves(&leaves[2..]).root();
    let forged = MerkleProof { index: 0, size: 2, siblings: vec![right] };
    let preimage = [leaf_hash(&leaves[0]).as_slice(), leaf_hash(&leaves[1]).as_slice()].concat();
    assert!(!forged.verify(tree.root(), leaf_hash(&preimage)));
    // Named by its own hash the inner node does stand there, which is why callers hash entries themselves.
    assert!(forged.verify(tree.root(), inner));
}

#[test]
fn sums_beyond_the_type_are_refused() {
    let leaf = |sum| SumLeaf { hash: B256::ZERO, sum };
    let error = SumTree::from_leaves(vec![leaf(u128::MAX), leaf(1)]).unwrap_err();
    assert_eq!(error, SumTreeError::Overflow { leaves: 2 });
}

proptest! {
    #[test]
    fn sum_trees_agree_with_the_definition_and_catch_a_changed_sum(
        sums in proptest::collection::vec(0_u128..1 << 90, 1..40), position in any::<prop::sample::Index>(), delta in 1_u128..1000,
    ) {
        let leaves: Vec<SumLeaf> = sums.iter().enumerate()
            .map(|(index, &sum)| SumLeaf { hash: keccak256([index as u8]), sum }).collect();
        let tree = SumTree::from_leaves(leaves.clone()).unwrap();
        let root = tree.root();
        prop_assert_eq!(root, reference_sum_root(&leaves));
        let index = position.index(leaves.len());
        let proof = tree.prove(index as u64).unwrap();
        prop_assert!(proof.verify(root, leaves[index]));
        let richer = SumLeaf { sum: leaves[index].sum + delta, ..leaves[index] };
        prop_assert!(!proof.verify(root, richer));
        let larger = SumLeaf { sum: root.sum + delta, ..root };
        prop_assert!(!proof.verify(larger, leaves[index]));
        let mut shifted = proof.clone();
        if let Some(sibling) = shifted.siblings.first_mut() {
            sibling.sum += delta;
            prop_assert!(!shifted.verify(root, leaves[index]));
        }
    }

    #[test]
    fn a_mutated_proof_is_never_accepted(size in 2_usize..60, position in any::<prop::sample::Index>(), bit in 0_usize..256) {
        let leaves = entries(size);
        let tree = MerkleTree::from_leaves(&leaves);
        let index = position.index(size);
        let leaf = leaf_hash(&leaves[index]);
        let proof = tree.prove(index as u64).unwrap();
        for sibling in 0..proof.siblings.len() {
            let mut mutated = proof.clone();
            mutated.siblings[sibling].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!mutated.verify(tree.root(), leaf));
        }
        let mut longer = proof.clone();
        longer.siblings.push(B256::ZERO);
        prop_assert!(!longer.verify(tree.root(), leaf));
        let mut shorter = proof;
        shorter.siblings.pop();
        prop_assert!(!shorter.verify(tree.root(), leaf));
    }
}
