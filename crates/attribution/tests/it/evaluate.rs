use openledger_attribution::evaluate::{
    Bm25, LinearLane, LoraLane, auc, bootstrap_mean, cosine, lds, linear_lane, lora_lane, ngram_overlap, spearman,
};
use openledger_engine::Exec;

use openledger_testkit::tiny_model;

#[test]
fn spearman_sees_order_and_not_distance() {
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1000.0]), 1.0);
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    assert_eq!(spearman(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]), 0.0);
    // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: covariance 4.5, variances 4.5 and 5.
    let tied = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
    assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12);
}

#[test]
fn auc_counts_ties_as_half() {
    assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], &[false, false, true, true]), 1.0);
    assert_eq!(auc(&[1.0, 1.0], &[false, true]), 0.5);
    assert_eq!(auc(&[3.0, 1.0, 2.0], &[false, true, true]), 0.0);
    assert_eq!(auc(&[3.0, 1.0], &[true, true]), 0.5);
}

#[test]
fn lds_is_one_where_scores_add_up_to_the_gain() {
    let subsets = [[true, true, false], [true, false, true], [false, true, true]].map(Vec::from);
    let scores = vec![vec![1.0, 2.0, 4.0]];
    let gain = vec![vec![3.0], vec![5.0], vec![6.0]];
    assert_eq!(lds(&subsets, &gain, &scores), [1.0]);
    assert_eq!(lds(&subsets, &gain, &[vec![-1.0, -2.0, -4.0]]), [-1.0]);
}

#[test]
fn the_bootstrap_brackets_the_mean() {
    let values: Vec<f64> = (0..50).map(f64::from).collect();
    let interval = bootstrap_mean(&values, 1);
    assert_eq!(interval.mean, 24.5);
    assert!(interval.low < 22.0 && interval.low > 18.0 && interval.high > 27.0 && interval.high < 31.0);
}

#[test]
fn baselines_prefer_the_document_that_shares_rare_words() {
    let documents = [vec![1, 2, 3], vec![1, 1, 9], vec![1, 2, 8]];
    let scores = Bm25::new(&documents).scores(&[1, 9]);
    assert!(scores[1] > scores[0] && scores[1] > scores[2]);
    assert_eq!(Bm25::new(&documents).scores(&[77]), [0.0; 3]);
    assert_eq!(ngram_overlap(&[1, 2, 3], &[0, 1, 2, 3], 3), 1.0);
    assert_eq!(ngram_overlap(&[1, 2, 3], &[3, 2, 1], 2), 0.5);
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
    assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
}

#[test]
fn on_a_linear_head_scores_follow_exact_leave_one_out() {
    let report = linear_lane(&LinearLane::default()).unwrap();
    // Measured 0.71, DataInf 0.59, feature similarity -0.10, AUC 0.80.
    assert!(report.block_fisher.mean > 0.6, "{report:?}");
    assert!(report.block_fisher.low > report.datainf.high, "{report:?}");
    assert!(report.block_fisher.low > report.feature_similarity.high, "{report:?}");
    assert!(report.mislabel_auc > 0.7, "{report:?}");
}

#[test]
fn on_a_lora_scores_follow_retraining() {
    let report = lora_lane(&LoraLane::default(), &tiny_model(), &mut Exec::new(1)).unwrap();
    assert!(report.query_loss[1] < 0.5 * report.query_loss[0], "training must teach the task: {report:?}");
    assert!(report.ceiling.mean > 0.4, "retraining must agree with itself: {report:?}");
    // Measured 0.52 under a ceiling of 0.51 (other seeds); from the final checkpoint alone 0.31, its plain dot product
    // 0.15; BM25 0.42, hidden states 0.18; by contributor 0.61 against BM25's 0.64; mislabelled records 0.76.
    assert!(report.block_fisher.mean > 0.4, "{report:?}");
    assert!(report.block_fisher.mean > report.block_fisher_final.mean + 0.1, "{report:?}");
    assert!(report.block_fisher.mean > report.dot_product_final.mean + 0.2, "{report:?}");
    assert!(report.block_fisher.mean > report.hidden_state.mean + 0.2, "{report:?}");
    assert!(report.contributor_block_fisher.mean > 0.45, "{report:?}");
    assert!(report.mislabel_auc > 0.65, "{report:?}");
}
