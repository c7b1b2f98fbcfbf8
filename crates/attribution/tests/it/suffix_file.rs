use openledger_attribution::DecodeError;
use openledger_attribution::suffix::{SuffixBuilder, SuffixIndex, SuffixPolicy};
use openledger_primitives::{B256, keccak256};

use crate::golden::check_golden;
use crate::mutate::mutations;
use crate::suffix::{index, records};

fn golden() -> Vec<u8> {
    small().to_bytes()
}

fn small() -> SuffixIndex {
    index(SuffixPolicy::default(), &[vec![1, 2, 3], vec![1, 2], vec![30, 1, 2]], records(&[5, 6, 5]))
}

fn wide() -> SuffixIndex {
    let mut builder = SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], 100_000, records(&[5, 6]));
    builder.push(0, &[99_999, 3, 70_000]).unwrap();
    builder.push(1, &[3, 70_000]).unwrap();
    builder.finish().unwrap()
}

#[test]
fn the_golden_file_is_what_is_written_today() {
    check_golden("suffix-v1.bin", &small().to_bytes());
}

#[test]
fn reading_gives_back_the_same_index() {
    for index in [small(), wide()] {
        let read = SuffixIndex::from_bytes(&index.to_bytes()).unwrap();
        assert_eq!(read.root(), index.root());
        assert_eq!(read.to_bytes(), index.to_bytes());
        assert_eq!(read.interval(&[1, 2]), index.interval(&[1, 2]));
    }
}

#[test]
fn more_than_65535_distinct_tokens_are_sorted_as_well() {
    let count = 70_000;
    let mut builder = SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], count, records(&[5]));
    let text: Vec<u32> = (0..count).rev().collect();
    builder.push(0, &text).unwrap();
    let index = builder.finish().unwrap();
    assert_eq!(index.first_disorder(), None);
    assert_eq!(index.longest_match(&[69_999, 69_998, 5]), 2);
}

#[test]
fn another_format_and_another_version_are_named() {
    let mut bytes = golden();
    bytes[4] = 9;
    let version = SuffixIndex::from_bytes(&bytes).unwrap_err();
    assert_eq!(version, DecodeError::Version { what: "suffix index", found: 9, supported: 1 });
    assert!(matches!(SuffixIndex::from_bytes(b"GGUF....").unwrap_err(), DecodeError::Magic { .. }));
}

#[test]
fn damage_is_always_an_error_and_never_a_panic() {
    for bytes in mutations(&golden(), 11, 4000).filter(|bytes| *bytes != golden()) {
        assert!(SuffixIndex::from_bytes(&bytes).is_err(), "accepted {}", keccak256(&bytes));
    }
}

#[test]
fn absurd_counts_allocate_nothing() {
    // Header up to the vocabulary, then a snapshot count of 4 billion.
    let mut bytes = golden()[..5 + 9 + 32 + 4].to_vec();
    bytes.extend([0xff; 4]);
    assert!(matches!(SuffixIndex::from_bytes(&bytes).unwrap_err(), DecodeError::TooLarge { .. }));
}

#[test]
fn a_table_out_of_order_is_found_by_its_first_bad_pair() {
    let mut index_bytes = small().to_bytes();
    // Swapping two table entries keeps a permutation; the stated root must be remade by whoever lies.
    let table_end = index_bytes.len() - 32;
    let tokens = small().tokens();
    let first = table_end - 4 * tokens;
    let (a, b) = (first, first + 4);
    for offset in 0..4 {
        index_bytes.swap(a + offset, b + offset);
    }
    let DecodeError::Root { computed, .. } = SuffixIndex::from_bytes(&index_bytes).unwrap_err() else {
        panic!("a swapped table has another root")
    };
    index_bytes[table_end..].copy_from_slice(computed.as_slice());
    assert_eq!(SuffixIndex::from_bytes(&index_bytes).unwrap().first_disorder(), Some(1));
}
