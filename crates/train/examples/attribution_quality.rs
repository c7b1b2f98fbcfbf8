//! Measures on a real model how well attribution foretells retraining, and prints one JSON object:
//! `attribution_quality MODEL [--halves N] [--seeds N] [--queries N] [--threads N] [--state FILE]`.
//!
//! Random halves of the demo's records are trained on as the demo does. The linear datamodelling score of a method is how
//! well its scores, summed over what a run saw, rank the runs by their loss on a held-out record; every column stands beside
//! BM25, n-gram overlap, and how well one seed's losses rank those of another. With the defaults that is 100 trainings, some
//! 20 minutes on two cores: `--state` keeps the losses of finished ones, a line each, and goes on from there.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use openledger_attribution::{
    RecordMeta, RecordTable,
    evaluate::{Bm25, Interval, Random, agreement, bootstrap_mean, lds, ngram_overlap},
    influence::{InfluenceBuilder, InfluenceIndex, InfluencePolicy, SiteSelection},
};
use openledger_engine::{Exec, LoraAdapter, Model, TrainSequence};
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId};
use openledger_train::{Encoder, Evaluator, Example, Preset, Recipe, RecordBody, Run, SnapshotRef, TrainRecord};
use serde_json::{Value, json};

/// What the model is told before every question, as in the demo.
const SYSTEM_PROMPT: &str = "Name the ATT&CK technique.";
/// Checkpoints that the columns choose from, in basis points of the steps.
const CHECKPOINTS_BPS: [u64; 3] = [1_000, 5_000, 10_000];
/// The columns: positions of their checkpoints among [`CHECKPOINTS_BPS`], and how many last layers take part (0 for all).
const COLUMNS: [(&[usize], u16); 9] = [
    (&[0, 1], 0),
    (&[0, 1], 10),
    (&[0, 1], 7),
    (&[0, 1], 5),
    (&[0, 1], 1),
    (&[0], 7),
    (&[1], 7),
    (&[2], 7),
    (&[0, 1, 2], 7),
];
/// Seed of the halves and of the bootstrap.
const SEED: u64 = 1;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// `[query][record]` of one method.
type Scores = Vec<Vec<f64>>;

struct Options {
    model: PathBuf,
    halves: usize,
    seeds: u64,
    queries: usize,
    threads: usize,
    state: Option<PathBuf>,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let model = Model::open(&options.model)?;
    let lane = Lane::new(&model, &options)?;
    let started = Instant::now();
    let truth = lane.truth()?;
    let retraining_s = started.elapsed().as_secs_f64();
    let columns = lane.columns(&truth)?;
    let report = json!({
        "bench": "attribution_quality",
        "model": options.model,
        "records": lane.train.len(),
        "queries": lane.queries.len(),
        "halves": options.halves,
        "seeds": options.seeds,
        "lds": columns,
        "wall_s": { "retraining": retraining_s, "attribution": started.elapsed().as_secs_f64() - retraining_s },
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn options() -> Fallible<Options> {
    let mut options = Options { model: PathBuf::new(), halves: 50, seeds: 2, queries: 44, threads: 2, state: None };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().ok_or(format!("{name} needs a value"));
        match argument.as_str() {
            "--halves" => options.halves = value("--halves")?.parse()?,
            "--seeds" => options.seeds = value("--seeds")?.parse()?,
            "--queries" => options.queries = value("--queries")?.parse()?,
            "--threads" => options.threads = value("--threads")?.parse()?,
            "--state" => options.state = Some(value("--state")?.into()),
            path => options.model = path.into(),
        }
    }
    if options.model.as_os_str().is_empty() {
        let usage =
            "usage: attribution_quality MODEL [--halves N] [--seeds N] [--queries N] [--threads N] [--state FILE]";
        return Err(usage.into());
    }
    Ok(options)
}

/// What retraining showed: which records each run saw, and `[seed][run][query]` minus the loss after it.
struct Truth {
    halves: Vec<Vec<bool>>,
    gains: Vec<Vec<Vec<f64>>>,
}

impl Truth {
    fn score(&self, scores: &Scores) -> Interval {
        let mean = |run: usize, query: usize| {
            self.gains.iter().map(|runs| runs[run][query]).sum::<f64>() / self.gains.len() as f64
        };
        let gains: Vec<Vec<f64>> =
            (0..self.halves.len()).map(|run| (0..scores.len()).map(|query| mean(run, query)).collect()).collect();
        bootstrap_mean(&lds(&self.halves, &gains, scores), SEED)
    }

    /// Rank correlation of the first two seeds, query by query.
    fn seeds_agree(&self) -> Option<Interval> {
        let [one, two, ..] = self.gains.as_slice() else { return None };
        Some(bootstrap_mean(&agreement(one, two), SEED))
    }
}

struct Lane<'a> {
    model: &'a Model,
    options: &'a Options,
    recipe: Recipe,
    train: Vec<Example>,
    records: RecordTable,
    queries: Vec<Example>,
}

impl<'a> Lane<'a> {
    fn new(model: &'a Model, options: &'a Options) -> Fallible<Self> {
        let snapshot = SnapshotRef { datanet: DatanetId(1), snapshot: SnapshotId(1), root: B256::ZERO };
        let mut recipe = Recipe::preset(Preset::Quick, "quality", model.hash(), vec![snapshot]);
        recipe.system_prompt = Some(SYSTEM_PROMPT.to_owned());
        let encode = |records: &[TrainRecord]| Encoder::new(model, &recipe).encode_all(records).0;
        let records = read("procedures.jsonl")?;
        let (train, held_out) = (encode(&records), encode(&read("heldout.jsonl")?));
        // Held-out records follow one another by technique: far ones together are of many.
        let stride = held_out.len().div_ceil(options.queries.max(1)).max(1);
        let queries = held_out.into_iter().step_by(stride).collect();
        let meta = |example: &Example| {
            let TrainRecord { snapshot, index, contributor, cluster, .. } = records[example.record];
            RecordMeta { snapshot, index, contributor, cluster }
        };
        let table = RecordTable::new(train.iter().map(meta).collect())?;
        Ok(Self { model, options, recipe, train, records: table, queries })
    }

    fn truth(&self) -> Fallible<Truth> {
        let mut random = Random::new(SEED);
        let halves: Vec<Vec<bool>> = (0..self.options.halves).map(|_| random.half(self.train.len())).collect();
        let mut done = self.restored()?;
        let mut gains = Vec::new();
        for seed in 0..self.options.seeds {
            let mut runs = Vec::new();
            for (at, half) in halves.iter().enumerate() {
                runs.push(match done.remove(&(seed, at)) {
                    Some(run) => run,
                    None => self.retrain(seed, at, half)?,
                });
            }
            gains.push(runs);
        }
        Ok(Truth { halves, gains })
    }

    fn restored(&self) -> Fallible<BTreeMap<(u64, usize), Vec<f64>>> {
        let Some(path) = self.options.state.as_ref().filter(|path| path.exists()) else { return Ok(BTreeMap::new()) };
        fs::read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn retrain(&self, seed: u64, at: usize, half: &[bool]) -> Fallible<Vec<f64>> {
        let started = Instant::now();
        let kept = self.train.iter().zip(half).filter(|(_, kept)| **kept).map(|(example, _)| example.clone());
        let recipe = Recipe { seed, ..self.recipe.clone() };
        let mut run = Run::new(self.model, &recipe, kept.collect(), self.options.threads)?;
        while !run.is_done() {
            run.advance()?;
        }
        let adapter = run.adapter().clone();
        let gains = self.gains(run.exec(), &adapter)?;
        let (loss, took_s) = (-gains.iter().sum::<f64>() / gains.len() as f64, started.elapsed().as_secs_f64());
        writeln!(std::io::stderr(), "seed {seed}, half {at}: held-out loss {loss:.3}, {took_s:.1} s")?;
        if let Some(path) = &self.options.state {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", json!([[seed, at], gains]))?;
        }
        Ok(gains)
    }

    /// Minus the mean loss of each query.
    fn gains(&self, exec: &mut Exec, adapter: &LoraAdapter) -> Fallible<Vec<f64>> {
        let mut evaluator =
            Evaluator { model: self.model, adapter: Some(adapter), exec, max_new_tokens: 1, stop: &|| false };
        let mut gain = |query: &Example| {
            // Text without a response: only the loss is wanted, no answer.
            let query = Example { record: 0, ..query.clone() };
            let record = record(0, Address::ZERO, RecordBody::Text { text: String::new() });
            Ok(-evaluator.run(&[query], &[record])?.loss)
        };
        self.queries.iter().map(&mut gain).collect()
    }

    fn columns(&self, truth: &Truth) -> Fallible<BTreeMap<String, Interval>> {
        let documents: Vec<&[u32]> = self.train.iter().map(|example| example.tokens.as_slice()).collect();
        let bm25 = Bm25::new(&documents);
        let ngram = |query: &Example| documents.iter().map(|other| ngram_overlap(&query.tokens, other, 3)).collect();
        let mut columns = BTreeMap::from([
            ("bm25".to_owned(), truth.score(&self.queries.iter().map(|query| bm25.scores(&query.tokens)).collect())),
            ("ngram".to_owned(), truth.score(&self.queries.iter().map(ngram).collect())),
        ]);
        columns.extend(truth.seeds_agree().map(|agreement| ("seeds_agree".to_owned(), agreement)));
        let (mut exec, checkpoints, trained) = self.checkpoints()?;
        for (chosen, last_layers) in COLUMNS {
            let steps: Vec<String> = chosen.iter().map(|&at| (CHECKPOINTS_BPS[at] / 100).to_string()).collect();
            let layers = if last_layers == 0 { "all layers".to_owned() } else { format!("last {last_layers} layers") };
            let name = format!("{layers}, checkpoints at {} %", steps.join(" + "));
            let adapters = chosen.iter().map(|&at| match last_layers {
                0 => Ok(checkpoints[at].clone()),
                layers => checkpoints[at].above(&trained, layers.into()),
            });
            let score = truth.score(&self.scores(&mut exec, &adapters.collect::<Result<Vec<_>, _>>()?, last_layers)?);
            writeln!(std::io::stderr(), "{name}: {:.3} ({:.3} to {:.3})", score.mean, score.low, score.high)?;
            columns.insert(name, score);
        }
        Ok(columns)
    }

    /// A run on all records: its threads, its adapters on the way, and the trained one.
    fn checkpoints(&self) -> Fallible<(Exec, Vec<LoraAdapter>, LoraAdapter)> {
        let mut run = Run::new(self.model, &self.recipe, self.train.clone(), self.options.threads)?;
        let mut checkpoints = Vec::new();
        while !run.is_done() {
            run.advance()?;
            if CHECKPOINTS_BPS.iter().any(|bps| run.step_count() == (bps * run.steps()).div_ceil(10_000)) {
                checkpoints.push(run.adapter().clone());
            }
        }
        Ok((Exec::new(self.options.threads), checkpoints, run.adapter().clone()))
    }

    fn scores(&self, exec: &mut Exec, adapters: &[LoraAdapter], last_layers: u16) -> Fallible<Scores> {
        let index = self.index(exec, adapters, last_layers)?;
        let mut scores = |query: &Example| {
            let (tokens, answer) = (&query.tokens, query.last_prompt().len()..query.tokens.len());
            let sketch = index.sketch(self.model, exec, adapters, tokens, answer)?;
            Ok(index.scores(&sketch)?.into_iter().map(|score| score as f64).collect())
        };
        self.queries.iter().map(&mut scores).collect()
    }

    fn index(&self, exec: &mut Exec, adapters: &[LoraAdapter], last_layers: u16) -> Fallible<InfluenceIndex> {
        let policy = InfluencePolicy {
            checkpoints: (0..adapters.len() as u32).collect(),
            sites: SiteSelection { modules: Vec::new(), layer_stride: 1, last_layers },
            ..InfluencePolicy::default()
        };
        let targets: Vec<_> = self.train.iter().map(Example::targets).collect();
        let pairs = self.train.iter().zip(&targets);
        let sequences: Vec<TrainSequence<'_>> =
            pairs.map(|(example, targets)| TrainSequence { tokens: example.input(), targets, scale: 1.0 }).collect();
        let lora = adapters[0].config();
        let mut builder = InfluenceBuilder::new(policy, self.model.sites(), lora, self.records.clone())?;
        for adapter in adapters {
            builder.checkpoint(self.model, exec, adapter, &sequences, &mut |_, _| ())?;
        }
        Ok(builder.finish()?)
    }
}

fn read(file: &str) -> Fallible<Vec<TrainRecord>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/attack").join(file);
    let text = fs::read_to_string(path)?;
    let mut contributors: BTreeMap<String, u64> = BTreeMap::new();
    let parse = |(index, line): (u64, &str)| {
        let row: Value = serde_json::from_str(line)?;
        let field = |name: &str| row[name].as_str().map(str::to_owned).ok_or(format!("a record without {name}"));
        let next = contributors.len() as u64 + 1;
        let contributor = *contributors.entry(field("contributor")?).or_insert(next);
        let body = RecordBody::Pair { prompt: field("procedure")?, response: field("technique")? };
        Ok(record(index, Address::left_padding_from(&contributor.to_be_bytes()), body))
    };
    (0_u64..).zip(text.lines()).map(parse).collect()
}

fn record(index: u64, contributor: Address, body: RecordBody) -> TrainRecord {
    let hash = RecordHash(B256::left_padding_from(&index.to_be_bytes()));
    TrainRecord { snapshot: 0, index, hash, contributor, cluster: index, body }
}
