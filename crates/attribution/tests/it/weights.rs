use std::collections::BTreeMap;

use openledger_attribution::weights::{Outcome, WeighError, WeightsPolicy, weigh_credits, weigh_influence};
use openledger_attribution::{RecordMeta, RecordTable};
use openledger_primitives::{Address, B256};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const REQUEST: B256 = B256::repeat_byte(7);

fn who(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn table(contributors: &[u64]) -> RecordTable {
    let record = |(index, &contributor): (usize, &u64)| RecordMeta {
        snapshot: 0,
        index: index as u64,
        contributor: who(contributor),
        cluster: index as u64,
    };
    RecordTable::new(contributors.iter().enumerate().map(record).collect()).unwrap()
}

fn weigh(scores: &[i64], contributors: &[u64]) -> Outcome {
    weigh_influence(scores, &table(contributors), REQUEST, &WeightsPolicy::default()).unwrap().outcome
}

/// Scores -50..=50 in a fixed shuffled order. With one large score added, the median is 0.5 and the MAD 25.5, so a
/// record counts above 153.5.
fn noise() -> Vec<i64> {
    let mut scores: Vec<i64> = (-50..=50).collect();
    scores.shuffle(&mut StdRng::seed_from_u64(1));
    scores
}

#[test]
fn a_contributor_of_one_record_can_earn() {
    let mut scores = noise();
    scores.push(154);
    let contributors: Vec<u64> = (0..102).collect();
    assert_eq!(weigh(&scores, &contributors), Outcome::Weights(vec![(who(101), 65_535)]));
}

#[test]
fn a_record_just_below_the_threshold_does_not_count() {
    let mut scores = noise();
    scores.push(153);
    let contributors: Vec<u64> = (0..102).collect();
    assert_eq!(weigh(&scores, &contributors), Outcome::Reserve);
}

#[test]
fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
    let result = weigh_influence(&[1, 2, 5, 100], &table(&[0, 1, 2, 3]), REQUEST, &WeightsPolicy::default()).unwrap();
    // Median 3.5; distances 2.5, 1.5, 1.5, 96.5; MAD 2; 96.5 > 12.
    assert_eq!(result.background.median_x2, 7);
    assert_eq!(result.background.mad_x4, 8);
    assert_eq!(result.counted.len(), 1);
    assert_eq!(result.counted[0].excess_x2, 193);
}

#[test]
fn harm_is_netted_against_help_within_a_contributor() {
    let mut scores = noise();
    scores.extend([1000, -900, 400]);
    let mut contributors: Vec<u64> = (0..101).collect();
    contributors.extend([500, 500, 600]);
    let Outcome::Weights(weights) = weigh(&scores, &contributors) else { panic!("something stands out") };
    // Nets over the median 0.5: 500 has 999.5 - 900.5 = 99, 600 has 399.5; 99 / 399.5 of 65,535 is 16,240.
    let median_x2 = 1;
    let net_500 = (2 * 1000 - median_x2) + (2 * -900 - median_x2);
    let net_600 = 2 * 400 - median_x2;
    let expected = (net_500 * 65_535 / net_600) as u16;
    assert_eq!(weights, vec![(who(500), expected), (who(600), 65_535)]);
}

#[test]
fn a_contributor_whose_net_is_negative_earns_nothing() {
    let mut scores = noise();
    scores.extend([1000, -1200]);
    let mut contributors: Vec<u64> = (0..101).collect();
    contributors.extend([500, 500]);
    assert_eq!(weigh(&scores, &contributors), Outcome::Reserve);
}

#[test]
fn only_the_top_k_are_paid_and_ties_go_to_the_lower_address() {
    let mut scores = noise();
    scores.extend([5000; 40]);
    let contributors: Vec<u64> = (0..141).collect();
    let Outcome::Weights(weights) = weigh(&scores, &contributors) else { panic!("something stands out") };
    let expected: Vec<_> = (101..133).map(|number| (who(number), 65_535)).collect();
    assert_eq!(weights, expected);
}

#[test]
fn a_copy_in_the_same_cluster_changes_nothing() {
    let mut scores = noise();
    scores.extend([3000, 2000]);
    let records: Vec<RecordMeta> = table(&(0..103).collect::<Vec<_>>()).as_slice().to_vec();
    let alone = RecordTable::new(records.clone()).unwrap();
    let mut copied = records.clone();
    for copy in 0..50 {
        copied.push(RecordMeta { index: 103 + copy, contributor: who(999), ..records[101] });
    }
    let mut scores_copied = scores.clone();
    scores_copied.extend([3000; 50]);
    let policy = WeightsPolicy::default();
    let before = weigh_influence(&scores, &alone, REQUEST, &policy).unwrap();
    let after = weigh_influence(&scores_copied, &RecordTable::new(copied).unwrap(), REQUEST, &policy).unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_large_index_takes_its_background_from_a_sample_that_the_request_draws() {
    let mut rng = StdRng::seed_from_u64(3);
    let scores: Vec<i64> = (0..5000).map(|_| rng.random_range(-1000..=1000)).collect();
    let records = table(&(0..5000).collect::<Vec<_>>());
    let policy = WeightsPolicy { background_max: 500, ..WeightsPolicy::default() };
    let run = |request| weigh_influence(&scores, &records, request, &policy).unwrap().background;
    assert_eq!(run(REQUEST).sampled, 500);
    assert_eq!(run(REQUEST), run(REQUEST));
    assert_ne!(run(REQUEST), run(B256::repeat_byte(8)));
    assert!((run(REQUEST).mad_x4 / 4 - 500).abs() < 100, "the sample's MAD is near the true 500");
}

#[test]
fn mismatched_or_missing_records_are_refused() {
    let policy = WeightsPolicy::default();
    let short = weigh_influence(&[1], &table(&[0, 1]), REQUEST, &policy);
    assert_eq!(short.unwrap_err(), WeighError::Length { scores: 1, records: 2 });
    assert_eq!(weigh_influence(&[], &table(&[]), REQUEST, &policy).unwrap_err(), WeighError::Empty);
}

#[test]
fn extreme_scores_do_not_overflow() {
    let mut scores = noise();
    scores.extend([i64::MAX, i64::MAX, i64::MIN]);
    let mut contributors: Vec<u64> = (0..101).collect();
    contributors.extend([500, 500, 500]);
    assert_eq!(weigh(&scores, &contributors), Outcome::Weights(vec![(who(500), 65_535)]));
    let credits = BTreeMap::from([(who(1), u128::MAX), (who(2), 1)]);
    assert_eq!(weigh_credits(&credits, 32), Outcome::Weights(vec![(who(1), 65_535)]));
}

#[test]
fn no_credit_goes_to_the_reserve() {
    assert_eq!(weigh_credits(&BTreeMap::new(), 32), Outcome::Reserve);
    assert_eq!(weigh_credits(&BTreeMap::from([(who(1), 0)]), 32), Outcome::Reserve);
}

fn scored() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let score = prop_oneof![8 => -1000i64..1000, 1 => -1_000_000i64..1_000_000];
    prop::collection::vec((score, 0u64..12), 1..150)
}

fn unzip(pairs: &[(i64, u64)]) -> (Vec<i64>, Vec<u64>) {
    pairs.iter().copied().unzip()
}

proptest! {
    #[test]
    fn order_of_records_does_not_matter(pairs in scored(), seed: u64) {
        let (scores, contributors) = unzip(&pairs);
        let mut shuffled = pairs.clone();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        let (scores_2, contributors_2) = unzip(&shuffled);
        prop_assert_eq!(weigh(&scores, &contributors), weigh(&scores_2, &contributors_2));
    }

    #[test]
    fn shifting_and_stretching_all_scores_does_not_matter(pairs in scored(), shift in -1_000_000i64..1_000_000, factor in 1i64..1000) {
        let (scores, contributors) = unzip(&pairs);
        let moved: Vec<i64> = scores.iter().map(|score| score * factor + shift).collect();
        prop_assert_eq!(weigh(&scores, &contributors), weigh(&moved, &contributors));
    }

    #[test]
    fn evenly_spread_noise_is_never_paid(scores in prop::collection::vec(-1000i64..=1000, 60..400)) {
        let contributors: Vec<u64> = (0..scores.len() as u64).map(|at| at % 40).collect();
        prop_assert_eq!(weigh(&scores, &contributors), Outcome::Reserve);
    }

    #[test]
    fn padding_with_background_records_earns_nothing(extra in prop::collection::vec(-50i64..=50, 0..40)) {
        let mut scores = noise();
        scores.push(2000);
        scores.extend(&extra);
        let mut contributors: Vec<u64> = (0..102).collect();
        contributors.extend(vec![777; extra.len()]);
        let Outcome::Weights(weights) = weigh(&scores, &contributors) else { panic!("2000 stands out") };
        prop_assert_eq!(weights, vec![(who(101), 65_535)]);
    }

    #[test]
    fn splitting_one_helpful_identity_in_two_leaves_the_others_alone(gains in prop::collection::vec(1000i64..5000, 4..10)) {
        let mut scores = noise();
        scores.extend(&gains);
        scores.push(9000);
        let others: Vec<u64> = (0..101).collect();
        let owner = |split: bool| {
            let mut contributors = others.clone();
            contributors.extend((0..gains.len() as u64).map(|at| if split { 500 + at % 2 } else { 500 }));
            contributors.push(600);
            contributors
        };
        let policy = WeightsPolicy::default();
        let run = |split| weigh_influence(&scores, &table(&owner(split)), REQUEST, &policy).unwrap().counted;
        prop_assert_eq!(run(false), run(true), "what counts does not depend on names");
    }

    #[test]
    fn weights_are_sorted_positive_and_topped_by_65535(pairs in scored()) {
        let (scores, contributors) = unzip(&pairs);
        if let Outcome::Weights(weights) = weigh(&scores, &contributors) {
            prop_assert!(weights.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(weights.iter().all(|&(_, weight)| weight > 0));
            prop_assert_eq!(weights.iter().map(|&(_, weight)| weight).max(), Some(65_535));
        }
    }
}
