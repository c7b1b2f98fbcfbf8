//! Rank statistics.

use super::random::Random;

/// A mean with the 2.5 % and 97.5 % quantiles of its bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Ranks from 0, ties sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let first = order.iter().position(|at| at == &tied[0]).unwrap_or(0);
        let mean = first as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|&at| ranks[at] = mean);
    }
    ranks
}

/// Spearman's rank correlation; 0 where one side is constant or there are fewer than two values.
pub fn spearman(left: &[f64], right: &[f64]) -> f64 {
    pearson(&ranks(left), &ranks(right))
}

fn pearson(left: &[f64], right: &[f64]) -> f64 {
    let count = left.len().min(right.len()) as f64;
    let (mean_l, mean_r) = (left.iter().sum::<f64>() / count, right.iter().sum::<f64>() / count);
    let (mut lr, mut ll, mut rr) = (0.0, 0.0, 0.0);
    for (l, r) in left.iter().zip(right) {
        lr += (l - mean_l) * (r - mean_r);
        ll += (l - mean_l) * (l - mean_l);
        rr += (r - mean_r) * (r - mean_r);
    }
    if ll > 0.0 && rr > 0.0 { lr / (ll * rr).sqrt() } else { 0.0 }
}

/// Linear datamodelling score (Park et al., TRAK, 2023) of each query.
///
/// `subsets[m][i]` says whether record i was in training run m, `gain[m][q]` is minus the loss of query q after it, and
/// `scores[q][i]` the attribution. The score of a query is Spearman's correlation over runs between the sum of the
/// scores of what the run saw and the gain.
pub fn lds(subsets: &[Vec<bool>], gain: &[Vec<f64>], scores: &[Vec<f64>]) -> Vec<f64> {
    let predicted = |scores: &[f64], subset: &[bool]| -> f64 {
        scores.iter().zip(subset).filter(|(_, seen)| **seen).map(|(score, _)| score).sum()
    };
    let one = |(query, scores): (usize, &Vec<f64>)| {
        let predictions: Vec<f64> = subsets.iter().map(|subset| predicted(scores, subset)).collect();
        let truth: Vec<f64> = gain.iter().map(|run| run[query]).collect();
        spearman(&predictions, &truth)
    };
    scores.iter().enumerate().map(one).collect()
}

/// How well one set of runs ranks another, query by query: Spearman's correlation over runs of two `gain[run][query]`.
/// Between seeds it is what retraining noise leaves to find.
pub fn agreement(truth: &[Vec<f64>], again: &[Vec<f64>]) -> Vec<f64> {
    let column = |runs: &[Vec<f64>], query: usize| runs.iter().map(|run| run[query]).collect::<Vec<f64>>();
    let queries = truth.first().map_or(0, Vec::len);
    (0..queries).map(|query| spearman(&column(truth, query), &column(again, query))).collect()
}

/// Area under the ROC curve: how likely a positive is above a negative, ties counting half. 0.5 without both kinds.
pub fn auc(values: &[f64], positive: &[bool]) -> f64 {
    let positives = positive.iter().filter(|&&is| is).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    let sum: f64 = ranks(values).iter().zip(positive).filter(|(_, is)| **is).map(|(rank, _)| rank).sum();
    (sum - positives * (positives - 1.0) / 2.0) / (positives * negatives)
}

/// The mean of `values` with its bootstrap interval over 1,000 seeded resamples.
pub fn bootstrap_mean(values: &[f64], seed: u64) -> Interval {
    const RESAMPLES: usize = 1000;
    let count = values.len().max(1);
    let mut random = Random::new(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| values[random.below(count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / count as f64;
    Interval { mean, low: means[RESAMPLES / 40], high: means[RESAMPLES - 1 - RESAMPLES / 40] }
}
