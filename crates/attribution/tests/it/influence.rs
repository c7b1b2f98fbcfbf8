use openledger_attribution::influence::{
    BuildInfluenceError, CheckpointSketch, InfluenceBuilder, InfluenceIndex, InfluencePolicy, Normalise, PolicyError,
    Preconditioner, ScoreError, SiteGradient, SiteSelection, SiteShape,
};
use openledger_attribution::{RecordMeta, RecordTable};
use openledger_primitives::{Address, B256};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub(crate) const RANK: usize = 2;
pub(crate) const SITES: [SiteShape; 2] =
    [SiteShape { id: 3, d_in: 24, d_out: 40 }, SiteShape { id: 9, d_in: 16, d_out: 17 }];

pub(crate) fn policy(preconditioner: Preconditioner, normalise: Normalise) -> InfluencePolicy {
    InfluencePolicy {
        checkpoints: vec![5, 50],
        projection_seed: B256::repeat_byte(4),
        preconditioner,
        normalise,
        // As all policies were before they could name so many last layers.
        sites: SiteSelection { modules: vec![], layer_stride: 1, last_layers: 0 },
        ..InfluencePolicy::default()
    }
}

pub(crate) fn table(count: usize) -> RecordTable {
    let record = |index: u64| RecordMeta {
        snapshot: 0,
        index,
        contributor: Address::left_padding_from(&(index % 7).to_be_bytes()),
        cluster: index,
    };
    RecordTable::new((0..count as u64).map(record).collect()).unwrap()
}

/// One sequence's activations and gradients at one site, T x each width.
#[derive(Clone)]
pub(crate) struct Pass {
    x: Vec<f32>,
    d: Vec<f32>,
    xa: Vec<f32>,
    db: Vec<f32>,
}

impl Pass {
    pub(crate) fn random(rng: &mut StdRng, site: &SiteShape, tokens: usize) -> Self {
        let mut values = |width: usize| (0..tokens * width).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        let (x, d) = (values(site.d_in as usize), values(site.d_out as usize));
        Self { x, d, xa: values(RANK), db: values(RANK) }
    }

    pub(crate) fn gradient(&self) -> SiteGradient<'_> {
        SiteGradient { scale: 2.0, x: &self.x, d: &self.d, xa: &self.xa, db: &self.db }
    }

    /// The full gradients of A and B, as one vector.
    fn full(&self, site: &SiteShape) -> Vec<f64> {
        let product = |left: &[f32], right: &[f32], width: usize| {
            let mut out = vec![0.0; RANK * width];
            for (left, right) in left.chunks(RANK).zip(right.chunks(width)) {
                for (r, c) in (0..RANK).flat_map(|r| (0..width).map(move |c| (r, c))) {
                    out[r * width + c] += 2.0 * f64::from(left[r]) * f64::from(right[c]);
                }
            }
            out
        };
        let mut all = product(&self.db, &self.x, site.d_in as usize);
        all.extend(product(&self.xa, &self.d, site.d_out as usize));
        all
    }
}

pub(crate) fn random_passes(rng: &mut StdRng) -> Vec<Pass> {
    let tokens = rng.random_range(1..9);
    SITES.iter().map(|site| Pass::random(rng, site, tokens)).collect()
}

fn builder(policy: InfluencePolicy, records: usize) -> InfluenceBuilder {
    InfluenceBuilder::from_shapes(policy, &SITES, RANK, table(records)).unwrap()
}

fn sketch_of(builder: &InfluenceBuilder, checkpoint: u8, sequences: &[Vec<Pass>]) -> CheckpointSketch {
    let dims = builder.sketcher().dims();
    let mut sketch = CheckpointSketch::zeros(B256::repeat_byte(checkpoint), dims, sequences.len());
    for (row, passes) in sketch.rows.chunks_mut(dims).zip(sequences) {
        for (site, pass) in passes.iter().enumerate() {
            builder.sketcher().add(row, site, pass.gradient());
        }
    }
    sketch
}

/// Index over the given sequences, the same at both checkpoints, and the query's raw sketches.
fn build(policy: InfluencePolicy, sequences: &[Vec<Pass>], query: &[Pass]) -> (InfluenceIndex, Vec<CheckpointSketch>) {
    let mut builder = builder(policy, sequences.len());
    let query = [1, 2].map(|checkpoint| sketch_of(&builder, checkpoint, &[query.to_vec()])).to_vec();
    for checkpoint in [1, 2] {
        builder.add(sketch_of(&builder, checkpoint, sequences)).unwrap();
    }
    (builder.finish().unwrap(), query)
}

fn scores(index: &InfluenceIndex, query: Vec<CheckpointSketch>) -> Vec<i64> {
    index.scores(&index.quantise_query(query).unwrap()).unwrap()
}

/// 60 random sequences and a query.
fn sample(seed: u64) -> (Vec<Vec<Pass>>, Vec<Pass>) {
    let mut rng = StdRng::seed_from_u64(seed);
    ((0..60).map(|_| random_passes(&mut rng)).collect(), random_passes(&mut rng))
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(f).sum::<f64>();
    let (aa, bb) = (sum(&|i| (a[i] - ma).powi(2)), sum(&|i| (b[i] - mb).powi(2)));
    sum(&|i| (a[i] - ma) * (b[i] - mb)) / (aa * bb).sqrt()
}

fn as_f64(scores: &[i64]) -> Vec<f64> {
    scores.iter().map(|&score| score as f64).collect()
}

#[test]
fn plain_scores_estimate_the_dot_product_of_full_gradients() {
    let (sequences, query) = sample(1);
    let wide = InfluencePolicy { projection_dim: 256, ..policy(Preconditioner::Identity, Normalise::None) };
    let (index, raw) = build(wide, &sequences, &query);
    let full =
        |passes: &[Pass]| -> Vec<f64> { passes.iter().zip(&SITES).flat_map(|(pass, site)| pass.full(site)).collect() };
    let exact: Vec<f64> =
        sequences.iter().map(|passes| full(passes).iter().zip(full(&query)).map(|(a, b)| a * b).sum()).collect();
    let found = correlation(&as_f64(&scores(&index, raw)), &exact);
    assert!(found > 0.9, "correlation {found}");
}

#[test]
fn a_record_with_the_querys_own_gradient_stands_out() {
    for preconditioner in
        [Preconditioner::BlockFisher, Preconditioner::DiagonalFisher, Preconditioner::DataInf, Preconditioner::Identity]
    {
        let (mut sequences, query) = sample(2);
        sequences[17] = query.clone();
        let (index, raw) = build(policy(preconditioner, Normalise::PerCheckpoint), &sequences, &query);
        let scores = scores(&index, raw);
        let best = (0..60).max_by_key(|&at| scores[at]).unwrap();
        let next = scores.iter().enumerate().filter(|&(at, _)| at != 17).map(|(_, &score)| score).max().unwrap();
        assert_eq!(best, 17, "{preconditioner:?}");
        assert!(scores[17] > next * 3 / 2, "{preconditioner:?}: {} against {next}", scores[17]);
    }
}

/// Solves `matrix y = g` by elimination: the slow, independent way.
fn solve(matrix: &[f64], g: &[f64]) -> Vec<f64> {
    let n = g.len();
    let mut rows: Vec<Vec<f64>> =
        (0..n).map(|i| matrix[i * n..(i + 1) * n].iter().copied().chain([g[i]]).collect()).collect();
    for i in 0..n {
        let pivot = rows[i].clone();
        for (other, row) in rows.iter_mut().enumerate().filter(|&(other, _)| other != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(a, b)| *a -= factor * b);
            debug_assert!(other < n);
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

fn damped(n: usize, weight: f64, lambda: f64, gradients: &[Vec<f64>]) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    (0..n).for_each(|i| matrix[i * n + i] = lambda);
    for g in gradients {
        (0..n * n).for_each(|at| matrix[at] += weight * g[at / n] * g[at % n]);
    }
    matrix
}

/// The preconditioned query of one block, from the formulas in f64.
fn brute_precondition(kind: Preconditioner, gradients: &[Vec<f64>], query: &[f64], damping: f64) -> Vec<f64> {
    let (n, count) = (query.len(), gradients.len() as f64);
    let trace: f64 = gradients.iter().flatten().map(|v| v * v).sum::<f64>() / count;
    let lambda = damping * trace / n as f64;
    match kind {
        Preconditioner::BlockFisher => solve(&damped(n, 1.0 / count, lambda, gradients), query),
        Preconditioner::DiagonalFisher => {
            let square = |i: usize| gradients.iter().map(|g| g[i] * g[i]).sum::<f64>() / count;
            (0..n).map(|i| query[i] / (square(i) + lambda)).collect()
        }
        Preconditioner::DataInf => {
            let mut sum = vec![0.0; n];
            for g in gradients {
                let one = solve(&damped(n, 1.0, lambda, std::slice::from_ref(g)), query);
                sum.iter_mut().zip(one).for_each(|(sum, value)| *sum += value / count);
            }
            sum
        }
        _ => query.to_vec(),
    }
}

#[test]
fn preconditioned_scores_agree_with_the_formulas() {
    for kind in [Preconditioner::BlockFisher, Preconditioner::DiagonalFisher, Preconditioner::DataInf] {
        let (sequences, query) = sample(3);
        let policy = InfluencePolicy { damping_milli: 300, ..policy(kind, Normalise::None) };
        let (index, raw) = build(policy.clone(), &sequences, &query);
        let sketch = sketch_of(&builder(policy, 60), 1, &sequences);
        let (dims, block) = (sketch.dims, RANK * 8);
        let mut exact = vec![0.0; 60];
        for first in (0..dims).step_by(block) {
            let part = |row: &[f32]| row[first..first + block].iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
            let gradients: Vec<Vec<f64>> = sketch.rows.chunks(dims).map(part).collect();
            let conditioned = brute_precondition(kind, &gradients, &part(&raw[0].rows), 0.3);
            for (sum, g) in exact.iter_mut().zip(&gradients) {
                *sum += g.iter().zip(&conditioned).map(|(a, b)| a * b).sum::<f64>();
            }
        }
        let found = correlation(&as_f64(&scores(&index, raw)), &exact);
        assert!(found > 0.9995, "{kind:?}: correlation {found} between integer and exact scores");
    }
}

#[test]
fn a_record_with_a_huge_loss_does_not_dominate_once_rows_are_normalised() {
    let (mut sequences, query) = sample(4);
    for pass in &mut sequences[5] {
        pass.db.iter_mut().chain(&mut pass.xa).for_each(|value| *value *= 1000.0);
    }
    sequences[30] = query.clone();
    let best = |normalise| {
        let (index, raw) = build(policy(Preconditioner::Identity, normalise), &sequences, &query);
        let scores = scores(&index, raw);
        (0..60).max_by_key(|&at| scores[at].abs()).unwrap()
    };
    assert_eq!(best(Normalise::PerCheckpoint), 30);
    assert_eq!(best(Normalise::None), 5);
}

#[test]
fn a_query_without_gradient_scores_zero_everywhere() {
    let (sequences, query) = sample(5);
    let (index, mut raw) = build(policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint), &sequences, &query);
    raw.iter_mut().for_each(|sketch| sketch.rows.fill(0.0));
    assert_eq!(scores(&index, raw), vec![0; 60]);
}

#[test]
fn each_choice_of_the_policy_changes_the_root() {
    let (sequences, query) = sample(6);
    let base = policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint);
    let variants = [
        base.clone(),
        InfluencePolicy { projection_seed: B256::repeat_byte(5), ..base.clone() },
        InfluencePolicy { damping_milli: 999, ..base.clone() },
        InfluencePolicy { checkpoints: vec![5, 51], ..base.clone() },
        InfluencePolicy { quantise_bits: 7, ..base.clone() },
        InfluencePolicy { normalise: Normalise::None, ..base.clone() },
        InfluencePolicy { preconditioner: Preconditioner::DataInf, ..base },
    ];
    let roots: std::collections::BTreeSet<B256> =
        variants.map(|policy| build(policy, &sequences, &query).0.root()).into();
    assert_eq!(roots.len(), 7);
}

#[test]
fn policies_that_cannot_be_followed_are_refused_by_name() {
    let base = policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint);
    let error = |policy: InfluencePolicy| policy.checkpoint_dims(2, RANK).unwrap_err();
    let with = |change: fn(&mut InfluencePolicy)| {
        let mut policy = base.clone();
        change(&mut policy);
        error(policy)
    };
    assert!(matches!(with(|p| p.checkpoints.clear()), PolicyError::Checkpoints { count: 0, .. }));
    assert!(matches!(with(|p| p.checkpoints = vec![2, 1]), PolicyError::Checkpoints { .. }));
    assert!(matches!(with(|p| p.projection_dim = 12), PolicyError::ProjectionDim { given: 12, .. }));
    assert_eq!(with(|p| p.damping_milli = 0), PolicyError::NoDamping);
    assert_eq!(with(|p| p.quantise_bits = 9), PolicyError::QuantiseBits { given: 9 });
    assert!(matches!(base.checkpoint_dims(4096, 256), Err(PolicyError::RowDims { .. })));
    assert!(matches!(base.checkpoint_dims(0, 1), Err(PolicyError::Sites { count: 0, .. })));
}

#[test]
fn unfinished_ill_shaped_and_infinite_builds_are_refused() {
    let (sequences, _) = sample(7);
    let mut builder = builder(policy(Preconditioner::Identity, Normalise::None), 60);
    let good = sketch_of(&builder, 1, &sequences);
    let short = sketch_of(&builder, 1, &sequences[1..]);
    assert!(matches!(builder.add(short), Err(BuildInfluenceError::Shape { checkpoint: 0, .. })));
    let mut infinite = good.clone();
    infinite.rows[good.dims * 7 + 1] = f32::INFINITY;
    let error = builder.add(infinite).unwrap_err();
    assert!(matches!(error, BuildInfluenceError::NotFinite { record: 7, checkpoint: 0 }));
    builder.add(good).unwrap();
    assert_eq!(builder.checkpoints_done(), 1);
    let error = builder.finish().unwrap_err();
    assert!(matches!(error, BuildInfluenceError::MissingCheckpoints { given: 1, expected: 2 }));
}

#[test]
fn a_query_sketched_with_another_adapter_is_refused() {
    let (sequences, query) = sample(8);
    let (index, mut raw) = build(policy(Preconditioner::Identity, Normalise::None), &sequences, &query);
    raw[1].adapter = B256::repeat_byte(77);
    assert!(matches!(index.quantise_query(raw), Err(ScoreError::Adapter { checkpoint: 1, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_are_the_exact_integer_dot_products(seed: u64) {
        let (sequences, query) = sample(seed);
        let (index, raw) = build(policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint), &sequences, &query);
        let query = index.quantise_query(raw).unwrap();
        for (record, score) in index.scores(&query).unwrap().into_iter().enumerate() {
            let (row, scale) = index.row(record as u32).unwrap();
            let dot: i128 = row.iter().zip(&query.values).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum();
            prop_assert_eq!(i128::from(score), dot * i128::from(scale));
        }
    }

    #[test]
    fn other_records_do_not_disturb_unpreconditioned_rows(seed: u64, kept in 1usize..60) {
        // Without a Fisher, a record's row is its own affair; only the common scale may move.
        let (sequences, query) = sample(seed);
        let policy = policy(Preconditioner::Identity, Normalise::PerCheckpoint);
        let all = build(policy.clone(), &sequences, &query).0;
        let some = build(policy, &sequences[..kept], &query).0;
        for record in 0..kept as u32 {
            prop_assert_eq!(all.row(record).unwrap().0, some.row(record).unwrap().0);
        }
    }
}
