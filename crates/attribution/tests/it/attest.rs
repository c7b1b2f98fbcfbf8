use std::collections::BTreeSet;

use openledger_attribution::DecodeError;
use openledger_attribution::attest::{
    AttributeError, Attribution, AttributionPolicy, Difference, JsonLimits, Pool, Question, attribute, compare,
    index_root, scores_tree,
};
use openledger_attribution::influence::{InfluenceBuilder, InfluenceIndex, Normalise, Preconditioner, QuerySketch};
use openledger_attribution::suffix::{Answer, SuffixIndex, SuffixPolicy};
use openledger_attribution::weights::{Outcome, WeightsPolicy};
use openledger_primitives::merkle::leaf_hash;
use openledger_primitives::{B256, keccak256};

use crate::golden::check_golden;
use crate::influence::{RANK, SITES, policy, table};
use crate::mutate::mutations;
use crate::suffix::index;

const REQUEST: B256 = B256::repeat_byte(9);
const RECORDS: usize = 40;

/// Rows of small pseudo-random values; record 23 is the query's own row, so it stands out.
fn influence() -> (InfluenceIndex, QuerySketch) {
    let policy = policy(Preconditioner::Identity, Normalise::PerCheckpoint);
    let mut builder = InfluenceBuilder::from_shapes(policy, &SITES, RANK, table(RECORDS)).unwrap();
    for checkpoint in [1u8, 2] {
        let mut sketch = builder.empty_sketch(B256::repeat_byte(checkpoint));
        let mut state = u32::from(checkpoint);
        for value in &mut sketch.rows {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        }
        builder.add(sketch).unwrap();
    }
    let index = builder.finish().unwrap();
    let query = QuerySketch { values: index.row(23).unwrap().0.to_vec() };
    (index, query)
}

/// Record i says "i 30 31"; the answer quotes what all say and record 7's own token.
fn quotes() -> (SuffixIndex, Answer) {
    let texts: Vec<Vec<u32>> = (0..RECORDS as u32).map(|at| vec![at % 30, 30, 31]).collect();
    let index = index(SuffixPolicy::default(), &texts, table(RECORDS));
    let answer = Answer::new(&[32, 7, 30, 31], &["The", " a", " b", " c"]).unwrap();
    (index, answer)
}

fn attributed() -> Attribution {
    let (influence, sketch) = influence();
    let (suffix, answer) = quotes();
    let question = Question { request_hash: REQUEST, sketch: &sketch, answer: &answer };
    attribute(&WeightsPolicy::default(), &influence, &suffix, question).unwrap()
}

#[test]
fn the_record_that_shaped_the_answer_and_those_quoted_are_paid() {
    let attribution = attributed();
    let owner = |record: u32| table(RECORDS).get(record).unwrap().contributor;
    assert_eq!(attribution.influence.outcome, Outcome::Weights(vec![(owner(23), 65_535)]));
    // "7 30 31" stands in records 7 and 37, whose owners are 0 and 2.
    let expected = BTreeSet::from([owner(7), owner(37)]);
    let paid: BTreeSet<_> = attribution.provenance.weights().iter().map(|share| share.0).collect();
    assert_eq!(paid, expected);
    assert_eq!(attribution.index_root, index_root(influence().0.root(), quotes().0.root()));
}

#[test]
fn the_golden_file_is_what_is_written_today() {
    check_golden("attribution-v1.bin", &attributed().to_bytes());
}

#[test]
fn reading_gives_back_the_same_attribution() {
    let attribution = attributed();
    let read = Attribution::from_bytes(&attribution.to_bytes()).unwrap();
    assert_eq!(read, attribution);
    assert_eq!(read.root(), attribution.root());
    assert_eq!(compare(&read, &attribution), Ok(()));
}

#[test]
fn damaged_bytes_never_read_as_the_same_attribution_and_never_panic() {
    let attribution = attributed();
    let bytes = attribution.to_bytes();
    for damaged in mutations(&bytes, 3, 3000).filter(|damaged| *damaged != bytes) {
        if let Ok(read) = Attribution::from_bytes(&damaged) {
            assert_eq!(read.to_bytes(), damaged, "one attribution, one encoding");
            assert_ne!(read.root(), attribution.root(), "accepted {}", keccak256(&damaged));
            assert!(compare(&read, &attribution).is_err());
        }
    }
    assert!(matches!(Attribution::from_bytes(b"OLAT\x02").unwrap_err(), DecodeError::Version { found: 2, .. }));
}

#[test]
fn replay_names_what_was_tampered_with() {
    let truth = attributed();
    let tampered = |change: &dyn Fn(&mut Attribution)| {
        let mut claim = truth.clone();
        change(&mut claim);
        assert_ne!(claim.root(), truth.root());
        compare(&claim, &truth).unwrap_err()
    };
    let score = truth.influence.counted[0].score;
    let who = truth.influence.outcome.weights()[0].0;
    assert_eq!(
        tampered(&|claim| claim.influence.counted[0].score += 1),
        Difference::Score { record: 23, claimed: score + 1, recomputed: score }
    );
    assert_eq!(tampered(&|claim| claim.influence.counted.clear()), Difference::Omitted { record: 23, score });
    let double = |claim: &mut Attribution| claim.influence.counted.push(truth.influence.counted[0]);
    assert_eq!(tampered(&double), Difference::Invented { record: 23, score });
    assert_eq!(
        tampered(&|claim| claim.influence.outcome = Outcome::Weights(vec![(who, 65_534)])),
        Difference::Weight { pool: Pool::Influence, contributor: who, claimed: Some(65_534), recomputed: Some(65_535) }
    );
    assert_eq!(
        tampered(&|claim| claim.influence.outcome = Outcome::Reserve),
        Difference::Weight { pool: Pool::Influence, contributor: who, claimed: None, recomputed: Some(65_535) }
    );
    assert!(matches!(tampered(&|claim| claim.spans[0].token_end += 1), Difference::Span { number: 0, .. }));
    assert!(matches!(tampered(&|claim| claim.spans.clear()), Difference::Span { number: 0, .. }));
    let quoted = *truth.credits.keys().next().unwrap();
    assert!(matches!(
        tampered(&|claim| *claim.credits.get_mut(&quoted).unwrap() += 1),
        Difference::Credit { contributor, .. } if contributor == quoted
    ));
    assert!(matches!(
        tampered(&|claim| claim.provenance = Outcome::Reserve),
        Difference::Weight { pool: Pool::Provenance, .. }
    ));
    assert!(matches!(tampered(&|claim| claim.influence.background.mad_x4 += 1), Difference::Background { .. }));
    for (what, change) in [
        ("method", (|claim| claim.method = B256::ZERO) as fn(&mut Attribution)),
        ("index root", |claim| claim.index_root = B256::ZERO),
        ("request hash", |claim| claim.request_hash = B256::ZERO),
        ("answer hash", |claim| claim.answer_hash = B256::ZERO),
        ("query sketch", |claim| claim.query_hash = B256::ZERO),
        ("scores root", |claim| claim.scores_root = B256::ZERO),
    ] {
        assert!(matches!(tampered(&change), Difference::Hash { what: named, .. } if named == what));
    }
}

#[test]
fn messages_name_the_record_and_both_values() {
    let difference = Difference::Score { record: 17, claimed: 5, recomputed: -3 };
    assert_eq!(difference.to_string(), "score of record 17: 5 was claimed; replay gives -3");
}

#[test]
fn one_score_can_be_opened_under_the_scores_root() {
    let (influence, sketch) = influence();
    let scores = influence.scores(&sketch).unwrap();
    let tree = scores_tree(&scores);
    assert_eq!(tree.root(), attributed().scores_root);
    let mut leaf = 23u32.to_be_bytes().to_vec();
    leaf.extend(scores[23].to_be_bytes());
    assert!(tree.prove(23).unwrap().verify(tree.root(), leaf_hash(&leaf)));
}

#[test]
fn indexes_over_different_records_do_not_go_together() {
    let (influence, sketch) = influence();
    let answer = Answer::new(&[1], &["a"]).unwrap();
    let suffix = index(SuffixPolicy::default(), &[vec![1]], table(1));
    let question = Question { request_hash: REQUEST, sketch: &sketch, answer: &answer };
    let error = attribute(&WeightsPolicy::default(), &influence, &suffix, question).unwrap_err();
    assert!(matches!(error, AttributeError::Records { influence: 40, suffix: 1 }));
}

#[test]
fn the_method_id_covers_every_constant() {
    let base = AttributionPolicy {
        influence: policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint),
        provenance: SuffixPolicy::default(),
        weights: WeightsPolicy::default(),
    };
    let mut ids = BTreeSet::from([base.method_id()]);
    for change in [
        (|policy| policy.influence.damping_milli = 1) as fn(&mut AttributionPolicy),
        |policy| policy.provenance.span_tokens_min = 3,
        |policy| policy.weights.mad_factor = 5,
        |policy| policy.weights.top_k = 31,
    ] {
        let mut changed = base.clone();
        change(&mut changed);
        ids.insert(changed.method_id());
    }
    assert_eq!(ids.len(), 5);
}

#[test]
fn json_shows_weights_spans_and_root() {
    let attribution = attributed();
    let json = attribution.to_json();
    assert_eq!(json["attribution_root"], serde_json::json!(attribution.root()));
    assert_eq!(json["influence"]["weights"][0][1], 65_535);
    assert_eq!(json["provenance"]["spans"][0]["byte_start"], 3);
}

#[test]
fn a_short_json_says_what_it_leaves_out_and_keeps_the_root() {
    let mut attribution = attributed();
    let counted = attribution.influence.counted[0];
    attribution.influence.counted = vec![counted; 40_000];
    let hit = attribution.spans[0].hits[0];
    attribution.spans[0].hits = vec![hit; 70_000];
    attribution.spans = vec![attribution.spans[0].clone(), attribution.spans[0].clone()];
    assert!(attribution.to_json().to_string().len() > 5 << 20);
    let limits = JsonLimits { records_max: 100, spans_max: 1, hits_max: 200, credits_max: 0 };
    let short = attribution.to_short_json(limits);
    assert!(short.to_string().len() < 40_000);
    assert_eq!(short["attribution_root"], serde_json::json!(attribution.root()));
    assert_eq!(short["influence"]["records"].as_array().unwrap().len(), 100);
    assert_eq!(short["provenance"]["spans"][0]["hits"].as_array().unwrap().len(), 200);
    let left_out =
        serde_json::json!({"records": 39_900, "spans": 1, "hits": 139_800, "credits": attribution.credits.len()});
    assert_eq!(short["left_out"], left_out);
    assert_eq!(attributed().to_json().get("left_out"), None);
}
