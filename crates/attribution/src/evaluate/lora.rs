//! Lane 2: a small frozen base with a LoRA, retrained on random halves of the records.

use openledger_engine::{
    AdamW, AdamWState, BackwardError, Cpu, Exec, GradSink, KernelPath, LoraAdapter, LoraConfig, LoraError, LoraGrad,
    Model, SiteGrad, SiteKind, TrainSequence,
};
use serde::Serialize;

use super::baselines::{Bm25, cosine, ngram_overlap};
use super::lane_records;
use super::random::Random;
use super::stats::{Interval, agreement, auc, bootstrap_mean, lds};
use crate::influence::{
    BuildInfluenceError, InfluenceBuilder, InfluenceIndex, InfluencePolicy, Normalise, Preconditioner, SketchError,
};

/// Size and seed of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoraLane {
    /// Training records.
    pub records: usize,
    /// Records of each contributor.
    pub records_each: usize,
    /// Held-out queries.
    pub queries: usize,
    /// Topics; each has its own prompt words and answer.
    pub topics: usize,
    /// Passes over the records.
    pub epochs: usize,
    /// Random halves that are trained on.
    pub subsets: usize,
    /// Runs of each half, with different initial adapters, whose losses are averaged.
    pub seeds: usize,
    /// Seed of data and runs.
    pub seed: u64,
}

impl Default for LoraLane {
    fn default() -> Self {
        Self { records: 64, records_each: 4, queries: 16, topics: 8, epochs: 6, subsets: 24, seeds: 1, seed: 1 }
    }
}

/// Linear datamodelling scores by method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoraReport {
    /// The method of the design: block Fisher, cosines over an early, a middle and the final checkpoint.
    pub block_fisher: Interval,
    /// The same from the final checkpoint alone.
    pub block_fisher_final: Interval,
    /// Without a Fisher.
    pub cosine: Interval,
    /// DataInf at the final checkpoint, not normalised.
    pub datainf_final: Interval,
    /// Plain dot products at the final checkpoint.
    pub dot_product_final: Interval,
    /// BM25 between question with answer and record.
    pub bm25: Interval,
    /// Overlap of 1- to 3-grams.
    pub ngram: Interval,
    /// Cosine of the mean hidden states before the last feed-forward.
    pub hidden_state: Interval,
    /// Losses of other runs on the same halves: what retraining noise leaves to find.
    pub ceiling: Interval,
    /// Halves drawn over contributors instead of records, block Fisher.
    pub contributor_block_fisher: Interval,
    /// The same by BM25.
    pub contributor_bm25: Interval,
    /// How well self-influence finds the mislabelled records.
    pub mislabel_auc: f64,
    /// Mean loss of the queries before and after training on everything.
    pub query_loss: [f64; 2],
}

/// Why the lane cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// The vocabulary is too small for the lane's words.
    #[error("the model's vocabulary of {vocabulary} does not hold the lane's {words} words")]
    Vocabulary {
        /// Its size.
        vocabulary: usize,
        /// Words needed.
        words: usize,
    },
    /// An adapter cannot be made.
    #[error("the adapter cannot be made")]
    Lora(#[from] LoraError),
    /// The backward pass failed.
    #[error("training failed")]
    Backward(#[from] BackwardError),
    /// The index cannot be built.
    #[error("the index cannot be built")]
    Build(#[from] BuildInfluenceError),
    /// The index cannot be queried.
    #[error("the index cannot be queried")]
    Sketch(#[from] SketchError),
}

/// A prompt of six tokens and an answer of two.
#[derive(Clone)]
struct Example {
    tokens: Vec<u32>,
    targets: Vec<Option<u32>>,
    mislabelled: bool,
}

const PROMPT_TOKENS: usize = 6;
const ANSWER_TOKENS: usize = 2;
const FILLERS: usize = 8;
const WORDS_PER_TOPIC: usize = 3;
const BATCH: usize = 8;

impl Example {
    fn draw(lane: &LoraLane, topic: usize, mislabel: bool, random: &mut Random) -> Self {
        let word = |topic: usize, at: usize| (FILLERS + topic * (WORDS_PER_TOPIC + ANSWER_TOKENS) + at) as u32;
        let prompt = |random: &mut Random| match random.below(2) {
            0 => random.below(FILLERS) as u32,
            _ => word(topic, random.below(WORDS_PER_TOPIC)),
        };
        let mut tokens: Vec<u32> = (0..PROMPT_TOKENS - 1).map(|_| prompt(random)).collect();
        tokens.push(word(topic, random.below(WORDS_PER_TOPIC)));
        let answer = if mislabel { (topic + 1 + random.below(lane.topics - 1)) % lane.topics } else { topic };
        tokens.extend((0..ANSWER_TOKENS).map(|at| word(answer, WORDS_PER_TOPIC + at)));
        let target = |at: usize| (at + 1 >= PROMPT_TOKENS).then(|| tokens.get(at + 1).copied()).flatten();
        let targets = (0..tokens.len()).map(target).collect();
        Self { tokens, targets, mislabelled: mislabel }
    }

    fn sequence(&self) -> TrainSequence<'_> {
        TrainSequence { tokens: &self.tokens, targets: &self.targets, scale: 1.0 / ANSWER_TOKENS as f32 }
    }
}

struct Run<'a> {
    lane: &'a LoraLane,
    model: &'a Model,
    exec: &'a mut Exec,
    config: LoraConfig,
    train: Vec<Example>,
    queries: Vec<Example>,
}

/// Runs the lane on a model whose vocabulary holds at least 8 + 5 x topics tokens.
///
/// # Errors
/// [`LaneError`] where the model does not fit.
pub fn lora_lane(lane: &LoraLane, model: &Model, exec: &mut Exec) -> Result<LoraReport, LaneError> {
    let words = FILLERS + lane.topics * (WORDS_PER_TOPIC + ANSWER_TOKENS);
    let vocabulary = model.config().vocab;
    if vocabulary < words {
        return Err(LaneError::Vocabulary { vocabulary, words });
    }
    let mut random = Random::new(lane.seed);
    // A contributor keeps to one topic; about an eighth of all records are mislabelled.
    let topic = |at: usize| at / lane.records_each.max(1) % lane.topics;
    let train = (0..lane.records).map(|at| {
        let mislabel = random.unit() < 0.125;
        Example::draw(lane, topic(at), mislabel, &mut random)
    });
    let train = train.collect();
    let queries = (0..lane.queries).map(|at| Example::draw(lane, at % lane.topics, false, &mut random)).collect();
    let config = LoraConfig { rank: 4, alpha: 8.0, targets: SiteKind::ALL.to_vec() };
    Run { lane, model, exec, config, train, queries }.report(&mut random)
}

impl Run<'_> {
    fn report(&mut self, random: &mut Random) -> Result<LoraReport, LaneError> {
        let lane = *self.lane;
        let halves: Vec<Vec<bool>> = (0..lane.subsets).map(|_| random.half(lane.records)).collect();
        let by_contributor: Vec<Vec<bool>> = (0..lane.subsets).map(|_| self.contributor_half(random)).collect();
        let truth = self.gains(&halves, 0)?;
        let again = self.gains(&halves, 1000)?;
        let contributor_truth = self.gains(&by_contributor, 0)?;
        let adapters = self.train(&vec![true; lane.records], 0)?;
        let before = self.losses(&self.fresh(0)?)?;
        let after = self.losses(&adapters[2])?;
        let methods = self.methods(&adapters)?;
        let column = |scores: &[Vec<f64>]| bootstrap_mean(&lds(&halves, &truth, scores), lane.seed);
        let contributor =
            |scores: &[Vec<f64>]| bootstrap_mean(&lds(&by_contributor, &contributor_truth, scores), lane.seed);
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        Ok(LoraReport {
            block_fisher: column(&methods.block_fisher),
            block_fisher_final: column(&methods.block_fisher_final),
            cosine: column(&methods.cosine),
            datainf_final: column(&methods.datainf_final),
            dot_product_final: column(&methods.dot_product_final),
            bm25: column(&methods.bm25),
            ngram: column(&methods.ngram),
            hidden_state: column(&methods.hidden_state),
            ceiling: bootstrap_mean(&agreement(&truth, &again), lane.seed),
            contributor_block_fisher: contributor(&methods.block_fisher),
            contributor_bm25: contributor(&methods.bm25),
            mislabel_auc: methods.mislabel_auc,
            query_loss: [mean(&before), mean(&after)],
        })
    }

    fn contributor_half(&self, random: &mut Random) -> Vec<bool> {
        let each = self.lane.records_each.max(1);
        let half = random.half(self.lane.records.div_ceil(each));
        (0..self.lane.records).map(|at| half[at / each]).collect()
    }

    fn fresh(&self, seed: u64) -> Result<LoraAdapter, LoraError> {
        LoraAdapter::new(self.model.config(), &self.config, self.lane.seed ^ (seed << 8))
    }

    /// `[run][query]`: minus the loss after training on each half, averaged over the lane's seeds.
    fn gains(&mut self, halves: &[Vec<bool>], first_seed: u64) -> Result<Vec<Vec<f64>>, LaneError> {
        let mut gains = Vec::with_capacity(halves.len());
        for half in halves {
            let mut sum = vec![0.0; self.queries.len()];
            for seed in 0..self.lane.seeds as u64 {
                let adapters = self.train(half, first_seed + seed)?;
                let losses = self.losses(&adapters[2])?;
                sum.iter_mut().zip(losses).for_each(|(sum, loss)| *sum -= loss / self.lane.seeds as f64);
            }
            gains.push(sum);
        }
        Ok(gains)
    }

    /// Adapters after a sixth, a half and all of the steps. Every run has the same schedule; a record left out leaves
    /// its place in the batch empty.
    fn train(&mut self, kept: &[bool], seed: u64) -> Result<[LoraAdapter; 3], LaneError> {
        let mut adapter = self.fresh(seed)?;
        let mut state = AdamWState::new(adapter.params().len());
        let settings = AdamW { lr: 1e-2, ..AdamW::default() };
        let order: Vec<usize> = interleaved(self.train.len());
        let batches: Vec<&[usize]> = order.chunks(BATCH).collect();
        let steps = batches.len() * self.lane.epochs;
        let (mut early, mut middle) = (None, None);
        for step in 0..steps {
            let members = batches[step % batches.len()].iter().filter(|&&at| kept[at]);
            let batch: Vec<TrainSequence<'_>> = members.map(|&at| self.train[at].sequence()).collect();
            let mut gradient = LoraGrad::new(&adapter);
            self.model.backward(self.exec, &adapter, &batch, &mut gradient)?;
            gradient.values_mut().iter_mut().for_each(|value| *value /= BATCH as f32);
            state.step(KernelPath::best(), &settings, adapter.params_mut(), gradient.values());
            if step + 1 == steps.div_ceil(6) {
                early = Some(adapter.clone());
            }
            if step + 1 == steps.div_ceil(2) {
                middle = Some(adapter.clone());
            }
        }
        let (early, middle) = (early.unwrap_or_else(|| adapter.clone()), middle.unwrap_or_else(|| adapter.clone()));
        Ok([early, middle, adapter])
    }

    fn losses(&mut self, adapter: &LoraAdapter) -> Result<Vec<f64>, BackwardError> {
        let batch: Vec<TrainSequence<'_>> = self.queries.iter().map(Example::sequence).collect();
        let losses = self.model.backward(self.exec, adapter, &batch, &mut Nothing)?;
        Ok(losses.iter().map(|loss| f64::from(loss.loss_sum)).collect())
    }

    fn methods(&mut self, adapters: &[LoraAdapter; 3]) -> Result<Methods, LaneError> {
        let (all, last) = (&adapters[..], &adapters[2..]);
        let unit = Normalise::PerCheckpoint;
        let raw = self.index(last, Preconditioner::Identity, Normalise::None)?;
        let own: Vec<f64> = (0..self.train.len() as u32).filter_map(|at| raw.self_influence(at)).collect();
        let flags: Vec<bool> = self.train.iter().map(|example| example.mislabelled).collect();
        let (bm25, ngram) = self.text_scores();
        Ok(Methods {
            block_fisher: self.scores(all, Preconditioner::BlockFisher, unit)?,
            block_fisher_final: self.scores(last, Preconditioner::BlockFisher, unit)?,
            cosine: self.scores(all, Preconditioner::Identity, unit)?,
            datainf_final: self.scores(last, Preconditioner::DataInf, Normalise::None)?,
            dot_product_final: self.scores(last, Preconditioner::Identity, Normalise::None)?,
            hidden_state: self.hidden_scores(&adapters[2])?,
            mislabel_auc: auc(&own, &flags),
            bm25,
            ngram,
        })
    }

    fn index(
        &mut self,
        adapters: &[LoraAdapter],
        preconditioner: Preconditioner,
        normalise: Normalise,
    ) -> Result<InfluenceIndex, LaneError> {
        let policy = InfluencePolicy {
            checkpoints: (0..adapters.len() as u32).collect(),
            preconditioner,
            normalise,
            ..InfluencePolicy::default()
        };
        let records = lane_records(self.train.len(), self.lane.records_each);
        let mut builder = InfluenceBuilder::new(policy, self.model.sites(), &self.config, records)?;
        let sequences: Vec<TrainSequence<'_>> = self.train.iter().map(Example::sequence).collect();
        for adapter in adapters {
            builder.checkpoint(self.model, self.exec, adapter, &sequences, &mut |_, _| ())?;
        }
        Ok(builder.finish()?)
    }

    /// `[query][record]`.
    fn scores(
        &mut self,
        adapters: &[LoraAdapter],
        preconditioner: Preconditioner,
        normalise: Normalise,
    ) -> Result<Vec<Vec<f64>>, LaneError> {
        let index = self.index(adapters, preconditioner, normalise)?;
        let mut all = Vec::with_capacity(self.queries.len());
        for query in &self.queries {
            let answer = PROMPT_TOKENS..PROMPT_TOKENS + ANSWER_TOKENS;
            let sketch = index.sketch(self.model, self.exec, adapters, &query.tokens, answer)?;
            let scores = index.scores(&sketch).map_err(SketchError::from)?;
            all.push(scores.into_iter().map(|score| score as f64).collect());
        }
        Ok(all)
    }

    fn text_scores(&self) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let documents: Vec<&[u32]> = self.train.iter().map(|example| example.tokens.as_slice()).collect();
        let bm25 = Bm25::new(&documents);
        let overlap =
            |query: &Example| documents.iter().map(|document| ngram_overlap(&query.tokens, document, 3)).collect();
        (
            self.queries.iter().map(|query| bm25.scores(&query.tokens)).collect(),
            self.queries.iter().map(overlap).collect(),
        )
    }

    fn hidden_scores(&mut self, adapter: &LoraAdapter) -> Result<Vec<Vec<f64>>, BackwardError> {
        let last = self.model.config().layers - 1;
        let mut states = |examples: &[Example]| {
            let batch: Vec<TrainSequence<'_>> = examples.iter().map(Example::sequence).collect();
            let mut sink = HiddenStates { layer: last, means: vec![Vec::new(); batch.len()] };
            self.model.backward(self.exec, adapter, &batch, &mut sink).map(|_| sink.means)
        };
        let (records, queries) = (states(&self.train)?, states(&self.queries)?);
        Ok(queries.iter().map(|query| records.iter().map(|record| cosine(query, record)).collect()).collect())
    }
}

/// `[query][record]` of each method.
struct Methods {
    block_fisher: Vec<Vec<f64>>,
    block_fisher_final: Vec<Vec<f64>>,
    cosine: Vec<Vec<f64>>,
    datainf_final: Vec<Vec<f64>>,
    dot_product_final: Vec<Vec<f64>>,
    bm25: Vec<Vec<f64>>,
    ngram: Vec<Vec<f64>>,
    hidden_state: Vec<Vec<f64>>,
    mislabel_auc: f64,
}

/// All positions, far ones together, so that a batch mixes contributors.
fn interleaved(count: usize) -> Vec<usize> {
    let stride = count.div_ceil(BATCH).max(1);
    (0..stride).flat_map(|first| (first..count).step_by(stride)).collect()
}

struct Nothing;

impl GradSink for Nothing {
    fn site(&mut self, _: &Cpu, _: &SiteGrad<'_>) {}
}

/// Mean input of the last layer's feed-forward over the positions of the answer: the engine has no others there.
struct HiddenStates {
    layer: usize,
    means: Vec<Vec<f64>>,
}

impl GradSink for HiddenStates {
    fn site(&mut self, _: &Cpu, grad: &SiteGrad<'_>) {
        if grad.site.layer != self.layer || grad.site.kind != SiteKind::Up {
            return;
        }
        for (seq, rows) in grad.seqs {
            let mut mean = vec![0.0; grad.x.cols()];
            for row in rows.clone() {
                let values = grad.x.row(row);
                mean.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value) / rows.len() as f64);
            }
            self.means[*seq] = mean;
        }
    }
}
