use std::collections::{BTreeMap, BTreeSet};

use openledger_attribution::suffix::{
    Answer, AnswerError, BuildSuffixError, CountProofError, SuffixBuilder, SuffixIndex, SuffixPolicy,
};
use openledger_attribution::{RecordMeta, RecordTable};
use openledger_primitives::{Address, B256};
use proptest::prelude::*;

const VOCABULARY: u32 = 40;

pub(crate) fn who(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

/// Record i belongs to `owners[i]` and forms its own cluster.
pub(crate) fn records(owners: &[u64]) -> RecordTable {
    let record = |(index, &owner): (usize, &u64)| RecordMeta {
        snapshot: 0,
        index: index as u64,
        contributor: who(owner),
        cluster: index as u64,
    };
    RecordTable::new(owners.iter().enumerate().map(record).collect()).unwrap()
}

pub(crate) fn index(policy: SuffixPolicy, texts: &[Vec<u32>], records: RecordTable) -> SuffixIndex {
    let mut builder = SuffixBuilder::new(policy, B256::repeat_byte(1), vec![B256::repeat_byte(2)], VOCABULARY, records);
    for (record, text) in texts.iter().enumerate() {
        builder.push(record as u32, text).unwrap();
    }
    builder.finish().unwrap()
}

fn own_index(texts: &[Vec<u32>]) -> SuffixIndex {
    let owners: Vec<u64> = (0..texts.len() as u64).collect();
    index(SuffixPolicy::default(), texts, records(&owners))
}

/// Every token is a word of its own: " a", " b", ...
fn words(tokens: &[u32]) -> Answer {
    let pieces: Vec<String> = tokens.iter().map(|token| format!(" w{token}")).collect();
    Answer::new(tokens, &pieces).unwrap()
}

fn occurrences(texts: &[Vec<u32>], pattern: &[u32]) -> usize {
    texts.iter().flat_map(|text| text.windows(pattern.len())).filter(|window| *window == pattern).count()
}

fn texts() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0u32..6, 1..30), 1..12)
}

#[test]
fn a_match_at_rank_zero_is_found() {
    // The smallest suffix of all is the one an insertion point below rank 0 would miss.
    let index = own_index(&[vec![0, 0, 1], vec![3, 2]]);
    assert_eq!(index.longest_match(&[0, 0, 0]), 2);
    assert_eq!(index.longest_match(&[0, 0, 1]), 3);
    assert_eq!(index.interval(&[0, 0, 1]), (0, 1));
}

#[test]
fn a_match_at_the_last_rank_is_found() {
    let index = own_index(&[vec![1, 2], vec![9, 9, 8]]);
    assert_eq!(index.longest_match(&[9, 9, 9]), 2);
}

#[test]
fn no_span_crosses_from_one_record_into_the_next() {
    let index = own_index(&[vec![1, 2], vec![3, 4]]);
    assert_eq!(index.longest_match(&[1, 2, 3, 4]), 2);
    assert_eq!(index.longest_match(&[1, 2, u32::MAX, 3]), 2);
}

#[test]
fn spans_begin_and_end_at_words() {
    let index = own_index(&[vec![1, 2, 3]]);
    // " Key" "logging" "ish": the match of three ends a word; of two it would cut one.
    let whole = Answer::new(&[1, 2, 3], &[" Key", "logg", "ing"]).unwrap();
    assert_eq!(index.spans(&whole).len(), 1);
    let cut = Answer::new(&[1, 2, 9], &[" Key", "logg", "er"]).unwrap();
    assert!(index.spans(&cut).is_empty());
    let tail = Answer::new(&[9, 2, 3], &["Mon", "logg", "ing"]).unwrap();
    assert!(index.spans(&tail).is_empty(), "a match may not begin inside a word");
}

#[test]
fn spans_stop_with_a_full_stop_or_a_line_break() {
    let index = own_index(&[vec![1, 2, 3, 4, 5]]);
    for stop in [".", "\n", " end."] {
        let answer = Answer::new(&[1, 2, 3, 4, 5], &[" a", " b", stop, " d", " e"]).unwrap();
        let policy = SuffixPolicy { spans_kept_percent: 100, ..SuffixPolicy::default() };
        let index = self::index(policy, &[vec![1, 2, 3, 4, 5]], records(&[0]));
        let ends: Vec<_> = index.spans(&answer).iter().map(|span| (span.token_start, span.token_end)).collect();
        assert_eq!(ends, [(0, 3), (3, 5)], "stop {stop:?}");
    }
    assert_eq!(index.spans(&words(&[1, 2, 3, 4, 5]))[0].token_end, 5);
}

#[test]
fn byte_offsets_point_at_the_quoted_text() {
    let index = own_index(&[vec![4, 5, 6]]);
    let pieces = ["see", " Process", " Injection", " here"];
    let span = index.spans(&Answer::new(&[9, 4, 5, 8], &pieces).unwrap()).remove(0);
    let text = pieces.concat();
    assert_eq!(&text[span.byte_start as usize..span.byte_end as usize], " Process Injection");
}

#[test]
fn a_short_answer_keeps_its_rarest_span() {
    let mut texts = vec![vec![1, 2]; 20];
    texts.push(vec![3, 4]);
    let index = own_index(&texts);
    let spans = index.spans(&words(&[1, 2, 9, 3, 4]));
    assert_eq!(spans.len(), 1);
    assert_eq!((spans[0].token_start, spans[0].token_end, spans[0].occurrences()), (3, 5, 1));
}

#[test]
fn a_one_token_answer_can_quote() {
    let index = own_index(&[vec![7]]);
    assert_eq!(index.spans(&words(&[7])).len(), 1);
    assert!(index.spans(&words(&[7, 9])).is_empty(), "but one token of a longer answer is no quote");
}

#[test]
fn the_answer_must_pair_tokens_with_pieces() {
    let error = Answer::new(&[1, 2], &["a"]).unwrap_err();
    assert_eq!(error, AnswerError::Length { tokens: 2, pieces: 1 });
}

#[test]
fn unknown_records_and_tokens_are_refused() {
    let mut builder = SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], VOCABULARY, records(&[0]));
    assert!(matches!(builder.push(1, &[1]), Err(BuildSuffixError::UnknownRecord { record: 1, records: 1 })));
    assert!(matches!(builder.push(0, &[40]), Err(BuildSuffixError::UnknownToken { token: 40, .. })));
}

#[test]
fn only_trained_tokens_are_indexed_and_special_ones_end_a_stretch() {
    let mut builder = SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], VOCABULARY, records(&[0]));
    let targets = [None, None, Some(1), Some(2), Some(39), Some(3), None, Some(4)];
    builder.push_trained(0, &targets, &[39]).unwrap();
    let index = builder.finish().unwrap();
    assert_eq!(index.tokens(), 4 + 3);
    assert_eq!(index.longest_match(&[1, 2, 3]), 2);
    assert_eq!(index.longest_match(&[4]), 1);
    assert_eq!(index.longest_match(&[39]), 0);
}

#[test]
fn credit_is_shared_over_clusters_and_goes_to_the_earliest_member() {
    let quote = vec![1, 2, 3];
    let mut metas: Vec<RecordMeta> = records(&[10, 11, 12, 13]).as_slice().to_vec();
    metas[2].cluster = metas[0].cluster;
    let texts = vec![quote.clone(), quote.clone(), quote.clone(), [quote.clone(), quote.clone()].concat()];
    let index = index(SuffixPolicy::default(), &texts, RecordTable::new(metas).unwrap());
    let provenance = index.provenance(&words(&quote));
    let total = u128::from(provenance.spans[0].surprise_q16) << 16;
    assert_eq!(provenance.spans[0].occurrences(), 5);
    let expected: BTreeMap<_, _> = [10, 11, 13].map(|owner| (who(owner), total / 3)).into();
    assert_eq!(provenance.credits, expected, "record 12 is a copy; 13 holds the quote twice and counts once");
}

#[test]
fn a_span_that_occurs_too_often_is_shown_and_pays_nobody() {
    let policy = SuffixPolicy { occurrences_max: 10, ..SuffixPolicy::default() };
    for (copies, paid) in [(10, 10), (11, 0)] {
        let texts = vec![vec![1, 2]; copies];
        let owners: Vec<u64> = (0..copies as u64).collect();
        let provenance = index(policy, &texts, records(&owners)).provenance(&words(&[1, 2]));
        assert_eq!(provenance.spans[0].occurrences(), copies as u64);
        assert_eq!(provenance.credits.len(), paid);
    }
}

#[test]
fn every_input_changes_the_root() {
    let base = own_index(&[vec![1, 2], vec![3]]).root();
    let owners = records(&[0, 1]);
    let policy = SuffixPolicy::default();
    let other_policy = SuffixPolicy { occurrences_max: 999, ..policy };
    let roots = BTreeSet::from([
        base,
        index(other_policy, &[vec![1, 2], vec![3]], owners.clone()).root(),
        index(policy, &[vec![1, 3], vec![3]], owners.clone()).root(),
        index(policy, &[vec![3], vec![1, 2]], owners).root(),
        index(policy, &[vec![1, 2], vec![3]], records(&[0, 2])).root(),
    ]);
    assert_eq!(roots.len(), 5);
    assert_eq!(own_index(&[vec![1, 2], vec![3]]).root(), base);
}

#[test]
fn a_count_proof_for_another_count_does_not_verify() {
    let texts = vec![vec![1, 2, 3], vec![1, 2, 4], vec![5, 1, 2]];
    let index = own_index(&texts);
    let honest = index.prove_count(&[1, 2]).unwrap();
    assert_eq!(honest.rank_end - honest.rank_start, 3);
    honest.verify(index.root(), &[1, 2]).unwrap();
    for (start, end) in [(honest.rank_start + 1, honest.rank_end), (honest.rank_start, honest.rank_end - 1)] {
        let mut lie = honest.clone();
        (lie.rank_start, lie.rank_end) = (start, end);
        assert!(matches!(lie.verify(index.root(), &[1, 2]), Err(CountProofError::Edge { .. })));
    }
    let mut lie = honest.clone();
    lie.table[0].values[0] ^= 1;
    assert!(matches!(lie.verify(index.root(), &[1, 2]), Err(CountProofError::Chunk { part: "table", .. })));
    assert!(matches!(honest.verify(B256::ZERO, &[1, 2]), Err(CountProofError::Root { .. })));
    let mut lie = honest.clone();
    lie.text.clear();
    assert!(matches!(lie.verify(index.root(), &[1, 2]), Err(CountProofError::Missing { part: "text", .. })));
}

/// Maximal spans by trying every start and end against every text.
fn brute_spans(texts: &[Vec<u32>], answer: &[u32]) -> Vec<(u32, u32, u64)> {
    let mut reached = 0;
    let mut spans = Vec::new();
    for start in 0..answer.len() {
        let end = (start..=answer.len()).rev().find(|&end| end == start || occurrences(texts, &answer[start..end]) > 0);
        let end = end.unwrap();
        if end > reached {
            reached = end;
            if end - start >= 2.min(answer.len()) {
                spans.push((start as u32, end as u32, occurrences(texts, &answer[start..end]) as u64));
            }
        }
    }
    spans
}

proptest! {
    #[test]
    fn intervals_count_what_brute_force_counts(texts in texts(), pattern in prop::collection::vec(0u32..6, 1..5)) {
        let (lo, hi) = own_index(&texts).interval(&pattern);
        prop_assert_eq!((hi - lo) as usize, occurrences(&texts, &pattern));
    }

    #[test]
    fn the_longest_match_is_what_brute_force_finds(texts in texts(), pattern in prop::collection::vec(0u32..6, 1..12)) {
        let brute = (0..=pattern.len()).rev().find(|&end| end == 0 || occurrences(&texts, &pattern[..end]) > 0);
        prop_assert_eq!(Some(own_index(&texts).longest_match(&pattern)), brute);
    }

    #[test]
    fn spans_are_what_brute_force_finds(texts in texts(), answer in prop::collection::vec(0u32..6, 1..25)) {
        let policy = SuffixPolicy { spans_kept_percent: 100, ..SuffixPolicy::default() };
        let owners: Vec<u64> = (0..texts.len() as u64).collect();
        let index = index(policy, &texts, records(&owners));
        let spans = index.spans(&words(&answer));
        let found: Vec<_> = spans.iter().map(|span| (span.token_start, span.token_end, span.occurrences())).collect();
        prop_assert_eq!(found, brute_spans(&texts, &answer));
        for span in &spans {
            let pattern = &answer[span.token_start as usize..span.token_end as usize];
            let holders: Vec<u32> = (0u32..).zip(&texts).filter(|(_, text)| occurrences(std::slice::from_ref(text), pattern) > 0)
                .map(|(record, _)| record).collect();
            prop_assert_eq!(span.hits.iter().map(|hit| hit.record).collect::<Vec<_>>(), holders);
            prop_assert_eq!(span.hits.iter().map(|hit| u64::from(hit.times)).sum::<u64>(), span.occurrences());
        }
    }

    #[test]
    fn the_table_is_in_order_and_counts_can_be_proved(texts in texts(), pattern in prop::collection::vec(0u32..6, 1..5)) {
        let index = own_index(&texts);
        prop_assert_eq!(index.first_disorder(), None);
        let proof = index.prove_count(&pattern).unwrap();
        prop_assert_eq!((proof.rank_end - proof.rank_start) as usize, occurrences(&texts, &pattern));
        prop_assert_eq!(proof.verify(index.root(), &pattern), Ok(()));
    }
}
