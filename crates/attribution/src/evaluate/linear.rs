//! Lane 1: a softmax head on frozen features, where leaving one record out is solved exactly.

use openledger_primitives::B256;
use serde::Serialize;

use super::random::Random;
use super::stats::{Interval, auc, bootstrap_mean, spearman};
use super::{baselines::cosine, lane_records};
use crate::influence::{
    BuildInfluenceError, CheckpointSketch, InfluenceBuilder, InfluenceIndex, InfluencePolicy, Normalise,
    Preconditioner, SiteGradient, SiteShape,
};

/// Size and seed of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearLane {
    /// Training records.
    pub records: usize,
    /// Held-out queries.
    pub queries: usize,
    /// Features.
    pub features: usize,
    /// Classes.
    pub classes: usize,
    /// Full-batch steps to the optimum.
    pub steps: usize,
    /// Seed of the data.
    pub seed: u64,
}

impl Default for LinearLane {
    fn default() -> Self {
        Self { records: 96, queries: 24, features: 16, classes: 4, steps: 400, seed: 1 }
    }
}

/// Rank correlation with exact leave-one-out, by method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinearReport {
    /// Block Fisher, not normalised.
    pub block_fisher: Interval,
    /// DataInf.
    pub datainf: Interval,
    /// The plain dot product of gradients.
    pub dot_product: Interval,
    /// Cosine of the features.
    pub feature_similarity: Interval,
    /// How well self-influence finds the mislabelled tenth.
    pub mislabel_auc: f64,
}

/// Weight decay that makes the optimum unique.
const DECAY: f64 = 1e-2;

struct Data {
    features: Vec<Vec<f64>>,
    labels: Vec<usize>,
    flipped: Vec<bool>,
}

/// Runs the lane.
///
/// # Errors
/// [`BuildInfluenceError`] where the sizes do not fit an index.
pub fn linear_lane(lane: &LinearLane) -> Result<LinearReport, BuildInfluenceError> {
    let mut random = Random::new(lane.seed);
    let centres: Vec<Vec<f64>> =
        (0..lane.classes).map(|_| (0..lane.features).map(|_| random.normal()).collect()).collect();
    let train = draw(lane, &centres, lane.records, 0.1, &mut random);
    let queries = draw(lane, &centres, lane.queries, 0.0, &mut random);
    let everything = vec![true; lane.records];
    let start = vec![0.0; lane.classes * lane.features];
    let optimum = fit(lane, &train, &everything, start, lane.steps);
    let truth = leave_one_out(lane, &train, &queries, &optimum);
    let column = |scores: Vec<Vec<f64>>| {
        let each: Vec<f64> = scores.iter().zip(&truth).map(|(scores, truth)| spearman(scores, truth)).collect();
        bootstrap_mean(&each, lane.seed)
    };
    let method = |kind| index(lane, &train, &optimum, kind).map(|index| scores(lane, &index, &queries, &optimum));
    let self_index = index(lane, &train, &optimum, Preconditioner::BlockFisher)?;
    let own: Vec<f64> = (0..lane.records as u32).filter_map(|at| self_index.self_influence(at)).collect();
    let similar = |query: &Vec<f64>| train.features.iter().map(|record| cosine(query, record)).collect();
    Ok(LinearReport {
        block_fisher: column(method(Preconditioner::BlockFisher)?),
        datainf: column(method(Preconditioner::DataInf)?),
        dot_product: column(method(Preconditioner::Identity)?),
        feature_similarity: column(queries.features.iter().map(similar).collect()),
        mislabel_auc: auc(&own, &train.flipped),
    })
}

fn draw(lane: &LinearLane, centres: &[Vec<f64>], count: usize, noise: f64, random: &mut Random) -> Data {
    let mut data = Data { features: Vec::new(), labels: Vec::new(), flipped: Vec::new() };
    for at in 0..count {
        let class = at % lane.classes;
        data.features.push(centres[class].iter().map(|centre| 0.5 * centre + random.normal()).collect());
        let flip = random.unit() < noise;
        data.labels.push(if flip { (class + 1 + random.below(lane.classes - 1)) % lane.classes } else { class });
        data.flipped.push(flip);
    }
    data
}

/// Softmax probabilities less the one-hot label.
fn residual(lane: &LinearLane, weights: &[f64], features: &[f64], label: usize) -> Vec<f64> {
    let mut out = probabilities(lane, weights, features);
    out[label] -= 1.0;
    out
}

fn probabilities(lane: &LinearLane, weights: &[f64], features: &[f64]) -> Vec<f64> {
    let logit = |row: &[f64]| row.iter().zip(features).map(|(w, x)| w * x).sum::<f64>();
    let logits: Vec<f64> = weights.chunks(lane.features).map(logit).collect();
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = logits.iter().map(|logit| libm::exp(logit - most)).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|exp| exp / sum).collect()
}

/// Gradient descent with momentum on the mean loss of the records kept, plus decay.
fn fit(lane: &LinearLane, data: &Data, kept: &[bool], mut weights: Vec<f64>, steps: usize) -> Vec<f64> {
    let count = kept.iter().filter(|&&kept| kept).count() as f64;
    let mut velocity = vec![0.0; weights.len()];
    for _ in 0..steps {
        let mut gradient: Vec<f64> = weights.iter().map(|weight| DECAY * weight).collect();
        for at in (0..data.labels.len()).filter(|&at| kept[at]) {
            let residual = residual(lane, &weights, &data.features[at], data.labels[at]);
            for (row, residual) in gradient.chunks_mut(lane.features).zip(&residual) {
                row.iter_mut().zip(&data.features[at]).for_each(|(sum, x)| *sum += residual * x / count);
            }
        }
        for ((weight, velocity), gradient) in weights.iter_mut().zip(&mut velocity).zip(&gradient) {
            *velocity = 0.9 * *velocity - 0.05 * gradient;
            *weight += *velocity;
        }
    }
    weights
}

/// `[query][record]`: how much the query's loss grows when the record is left out.
fn leave_one_out(lane: &LinearLane, train: &Data, queries: &Data, optimum: &[f64]) -> Vec<Vec<f64>> {
    let loss = |weights: &[f64], at: usize| {
        -libm::log(probabilities(lane, weights, &queries.features[at])[queries.labels[at]].max(1e-300))
    };
    let mut truth = vec![vec![0.0; lane.records]; lane.queries];
    for record in 0..lane.records {
        let mut kept = vec![true; lane.records];
        kept[record] = false;
        let weights = fit(lane, train, &kept, optimum.to_vec(), lane.steps / 2);
        for (query, row) in truth.iter_mut().enumerate() {
            row[record] = loss(&weights, query) - loss(optimum, query);
        }
    }
    truth
}

/// The head as an adapter's factor A of rank `classes` whose B is the identity: x are the features, d B the residual.
fn sketch(lane: &LinearLane, builder: &crate::influence::Sketcher, data: &Data, weights: &[f64]) -> CheckpointSketch {
    let mut sketch = CheckpointSketch::zeros(B256::ZERO, builder.dims(), data.labels.len());
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    let zeros = vec![0.0; lane.classes];
    for (at, row) in sketch.rows.chunks_mut(builder.dims()).enumerate() {
        let (x, db) = (narrow(&data.features[at]), residual(lane, weights, &data.features[at], data.labels[at]));
        builder.add(row, 0, SiteGradient { scale: 1.0, x: &x, d: &zeros, xa: &zeros, db: &narrow(&db) });
    }
    sketch
}

fn index(
    lane: &LinearLane,
    train: &Data,
    weights: &[f64],
    preconditioner: Preconditioner,
) -> Result<InfluenceIndex, BuildInfluenceError> {
    let policy = InfluencePolicy {
        checkpoints: vec![lane.steps as u32],
        projection_dim: 32,
        preconditioner,
        damping_milli: 100,
        normalise: Normalise::None,
        ..InfluencePolicy::default()
    };
    let site = SiteShape { id: 0, d_in: lane.features as u32, d_out: lane.classes as u32 };
    let mut builder = InfluenceBuilder::from_shapes(policy, &[site], lane.classes, lane_records(lane.records, 1))?;
    builder.add(sketch(lane, builder.sketcher(), train, weights))?;
    builder.finish()
}

fn scores(lane: &LinearLane, index: &InfluenceIndex, queries: &Data, weights: &[f64]) -> Vec<Vec<f64>> {
    let all = sketch(lane, index.sketcher(), queries, weights);
    let one = |row: &[f32]| {
        let raw = CheckpointSketch { adapter: B256::ZERO, dims: all.dims, rows: row.to_vec() };
        let query = index.quantise_query(vec![raw]).expect("a sketch by the index's own sketcher fits it");
        let scores = index.scores(&query).expect("a query of the index's own length");
        scores.into_iter().map(|score| score as f64).collect()
    };
    all.rows.chunks(all.dims).map(one).collect()
}
