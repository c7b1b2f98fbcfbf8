use openledger_attribution::attest::{Question, attribute, compare};
use openledger_attribution::influence::{
    InfluenceBuilder, InfluenceIndex, InfluencePolicy, ScoreError, SiteSelection, SketchError,
};
use openledger_attribution::suffix::{Answer, AnswerError, SuffixBuilder, SuffixPolicy};
use openledger_attribution::weights::{Outcome, WeightsPolicy};
use openledger_engine::{Exec, LoraAdapter, LoraConfig, Model, SiteKind, TrainSequence};
use openledger_primitives::B256;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::influence::table;
use openledger_testkit::tiny_model;

const RECORDS: usize = 30;
const PROMPT: usize = 4;

struct Text {
    tokens: Vec<u32>,
    targets: Vec<Option<u32>>,
}

impl Text {
    fn new(tokens: Vec<u32>) -> Self {
        let target = |at: usize| (at + 1 >= PROMPT).then(|| tokens.get(at + 1).copied()).flatten();
        let targets = (0..tokens.len()).map(target).collect();
        Self { tokens, targets }
    }

    fn sequence(&self) -> TrainSequence<'_> {
        TrainSequence { tokens: &self.tokens, targets: &self.targets, scale: 1.0 }
    }
}

fn texts() -> Vec<Text> {
    let mut rng = StdRng::seed_from_u64(5);
    (0..RECORDS).map(|_| Text::new((0..rng.random_range(6..14)).map(|_| rng.random_range(97..123)).collect())).collect()
}

fn config() -> LoraConfig {
    LoraConfig::all_linear(2)
}

/// Adapters as they might be in mid-training: both factors away from zero.
fn adapters(model: &Model) -> Vec<LoraAdapter> {
    let adapter = |seed| {
        let mut adapter = LoraAdapter::new(model.config(), &config(), seed).unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        adapter.params_mut().iter_mut().for_each(|value| *value += rng.random_range(-0.1f32..0.1));
        adapter
    };
    vec![adapter(1), adapter(2)]
}

fn policy() -> InfluencePolicy {
    InfluencePolicy { checkpoints: vec![1, 2], ..InfluencePolicy::default() }
}

fn build(model: &Model, exec: &mut Exec, texts: &[Text]) -> InfluenceIndex {
    let mut builder = InfluenceBuilder::new(policy(), model.sites(), &config(), table(texts.len())).unwrap();
    let sequences: Vec<TrainSequence<'_>> = texts.iter().map(Text::sequence).collect();
    for adapter in adapters(model) {
        let mut seen = Vec::new();
        builder.checkpoint(model, exec, &adapter, &sequences, &mut |done, all| seen.push((done, all))).unwrap();
        assert_eq!(seen.last(), Some(&(texts.len(), texts.len())));
    }
    builder.finish().unwrap()
}

#[test]
fn an_answer_that_a_record_taught_is_attributed_to_it_and_replays() {
    let (model, mut exec, texts) = (tiny_model(), Exec::new(1), texts());
    let influence = build(&model, &mut exec, &texts);
    let mut suffix =
        SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], model.config().vocab as u32, table(RECORDS));
    (0..).zip(&texts).for_each(|(at, text)| suffix.push_trained(at, &text.targets, &[]).unwrap());
    let suffix = suffix.finish().unwrap();
    let asked = &texts[11].tokens;
    let answer = Answer::from_tokenizer(&asked[PROMPT..], model.tokenizer()).unwrap();
    let replay = |threads| {
        let mut exec = Exec::new(threads);
        let sketch = influence.sketch(&model, &mut exec, &adapters(&model), asked, PROMPT..asked.len()).unwrap();
        let question = Question { request_hash: B256::ZERO, sketch: &sketch, answer: &answer };
        attribute(&WeightsPolicy::default(), &influence, &suffix, question).unwrap()
    };
    let (claimed, replayed) = (replay(1), replay(2));
    assert_eq!(compare(&claimed, &replayed), Ok(()));
    assert_eq!(claimed.root(), replayed.root());
    let owner = table(RECORDS).get(11).unwrap().contributor;
    let best = claimed.influence.counted.iter().max_by_key(|item| item.excess_x2).unwrap();
    assert_eq!(best.record, 11);
    assert!(claimed.influence.outcome.weights().contains(&(owner, 65_535)));
    assert_eq!(claimed.provenance, Outcome::Weights(vec![(owner, 65_535)]), "only record 11 says it");
}

#[test]
fn threads_and_batch_mates_do_not_change_the_index() {
    let (model, texts) = (tiny_model(), texts());
    let one = build(&model, &mut Exec::new(1), &texts);
    let two = build(&model, &mut Exec::new(2), &texts);
    assert_eq!(one.root(), two.root());
    // The same record among others, in another place: the raw sketch is the same to the bit.
    let builder = |count| InfluenceBuilder::new(policy(), model.sites(), &config(), table(count)).unwrap();
    let sketch = |chosen: &[usize]| {
        let mut builder = builder(chosen.len());
        let sequences: Vec<TrainSequence<'_>> = chosen.iter().map(|&at| texts[at].sequence()).collect();
        builder.checkpoint(&model, &mut Exec::new(1), &adapters(&model)[0], &sequences, &mut |_, _| ()).unwrap();
        builder.sketch_at(0).unwrap().clone()
    };
    let (alone, among) = (sketch(&[7]), sketch(&[1, 2, 3, 7, 4]));
    assert_eq!(alone.rows, among.rows[3 * among.dims..4 * among.dims]);
}

#[test]
fn a_pass_that_ends_at_the_lowest_layer_gives_the_same_bits() {
    let (model, texts) = (tiny_model(), texts());
    let sequences: Vec<TrainSequence<'_>> = texts.iter().take(3).map(Text::sequence).collect();
    let sketch = |last_layers| {
        let sites = SiteSelection { modules: vec![], layer_stride: 1, last_layers };
        let policy = InfluencePolicy { sites, ..policy() };
        let mut builder = InfluenceBuilder::new(policy, model.sites(), &config(), table(3)).unwrap();
        builder.checkpoint(&model, &mut Exec::new(1), &adapters(&model)[0], &sequences, &mut |_, _| ()).unwrap();
        builder.sketch_at(0).unwrap().clone()
    };
    let (all, last) = (sketch(0), sketch(1));
    assert_eq!(all.dims, 2 * last.dims);
    for (all, last) in all.rows.chunks(all.dims).zip(last.rows.chunks(last.dims)) {
        assert!(last.iter().any(|value| *value != 0.0));
        assert_eq!(&all[last.len()..], last);
    }
}

#[test]
fn site_selection_follows_modules_targets_and_stride() {
    let model = tiny_model();
    let all = SiteSelection { modules: vec![], layer_stride: 1, last_layers: 0 };
    assert_eq!(all.of(model.sites(), &config()).len(), 14);
    let last = SiteSelection { modules: vec![], layer_stride: 2, last_layers: 0 };
    assert_eq!(
        last.of(model.sites(), &config()).iter().map(|site| site.id).collect::<Vec<_>>(),
        [7, 8, 9, 10, 11, 12, 13]
    );
    let near = SiteSelection { modules: vec![], layer_stride: 1, last_layers: 1 };
    assert_eq!(near.of(model.sites(), &config()), last.of(model.sites(), &config()), "two layers: the last one");
    let beyond = SiteSelection { modules: vec![], layer_stride: 1, last_layers: 9 };
    assert_eq!(beyond.of(model.sites(), &config()).len(), 14);
    let down = SiteSelection { modules: vec!["down_proj".into()], layer_stride: 1, last_layers: 0 };
    assert_eq!(down.of(model.sites(), &config()).len(), 2);
    let lora = LoraConfig { rank: 2, alpha: 4.0, targets: vec![SiteKind::Q] };
    assert_eq!(down.of(model.sites(), &lora), []);
}

#[test]
fn queries_that_do_not_fit_are_refused() {
    let (model, mut exec, texts) = (tiny_model(), Exec::new(1), texts());
    let index = build(&model, &mut exec, &texts);
    let adapters = adapters(&model);
    let tokens = &texts[0].tokens;
    let mut sketch = |adapters: &[LoraAdapter], answer| index.sketch(&model, &mut exec, adapters, tokens, answer);
    assert!(matches!(sketch(&adapters, 0..2), Err(SketchError::Answer { start: 0, .. })));
    assert!(matches!(sketch(&adapters, 2..2), Err(SketchError::Answer { .. })));
    assert!(matches!(sketch(&adapters, 2..99), Err(SketchError::Answer { end: 99, .. })));
    assert!(matches!(sketch(&adapters[..1], 2..4), Err(SketchError::Score(ScoreError::Checkpoints { given: 1, .. }))));
    let swapped = [adapters[1].clone(), adapters[0].clone()];
    assert!(matches!(sketch(&swapped, 2..4), Err(SketchError::Score(ScoreError::Adapter { checkpoint: 0, .. }))));
    let unknown = Answer::from_tokenizer(&[1, 9999], model.tokenizer()).unwrap_err();
    assert_eq!(unknown, AnswerError::UnknownToken { token: 9999 });
}
