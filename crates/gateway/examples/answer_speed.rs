//! Measures attribution beside the answer that it explains and prints one JSON object:
//! `answer_speed MODEL [--threads N] [--records N]`.
//!
//! An adapter is trained on that many of the demo's records, which builds its indexes. Then answers of several lengths are
//! generated and attributed with all threads, one at a time: attribution is in time when it takes no longer than its answer.

use std::{env, error::Error, fs, io::Write as _, path::Path, path::PathBuf, time::Duration, time::Instant};

use openledger_engine::{Exec, Model};
use openledger_gateway::answer;
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId, Wei};
use openledger_serve::{AdapterSpec, Completion, Request, ServeConfig, Server};
use openledger_store::Store;
use openledger_train::{
    Artifact, FactoryConfig, JobRequest, JobState, ModelFactory, Preset, Price, Recipe, RecordBody, SnapshotRef,
    TRAIN_SCHEMA, Terms, TrainRecord,
};
use serde_json::{Value, json};

/// Tokens of each question, as in the other measurements.
const PROMPT_TOKENS: usize = 74;
/// Lengths of the answers.
const ANSWER_TOKENS: [u32; 4] = [4, 16, 64, 256];
/// Answers of each length; the median counts.
const REPEATS: usize = 5;
/// Pause between two looks at the job.
const POLL: Duration = Duration::from_millis(200);

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    model: PathBuf,
    threads: usize,
    records: usize,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let folder = tempfile::TempDir::new()?;
    let model = Model::open(&options.model)?;
    let artifact = train(&model, &options, folder.path())?;
    let mut config = ServeConfig::default();
    (config.threads, config.max_context) = (options.threads, 512);
    let server = Server::start(model.clone(), config)?;
    let spec = AdapterSpec {
        id: "bench".parse()?,
        path: artifact.adapter_folder(),
        base_model: None,
        weights_hash: None,
        replace: false,
    };
    server.register(spec)?;
    let mut exec = Exec::new(options.threads);
    let mut answers = Vec::new();
    for tokens in ANSWER_TOKENS {
        answers.push(measure(&server, &mut exec, &artifact, tokens)?);
    }
    let report = json!({
        "bench": "answer",
        "model": options.model,
        "threads": options.threads,
        "indexed_records": artifact.influence.records().len(),
        "checkpoints": artifact.checkpoints.len(),
        "prompt_tokens": PROMPT_TOKENS,
        "answers": answers,
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn options() -> Fallible<Options> {
    let mut options = Options { model: PathBuf::new(), threads: 2, records: 64 };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().ok_or(format!("{name} needs a number"));
        match argument.as_str() {
            "--threads" => options.threads = value("--threads")?.parse()?,
            "--records" => options.records = value("--records")?.parse()?,
            path => options.model = path.into(),
        }
    }
    if options.model.as_os_str().is_empty() {
        return Err("usage: answer_speed MODEL [--threads N] [--records N]".into());
    }
    Ok(options)
}

/// Trains on the demo's first records and waits for the indexes.
fn train(model: &Model, options: &Options, folder: &Path) -> Fallible<Artifact> {
    let store = Store::open(folder.join("store"), &[TRAIN_SCHEMA])?;
    let config = FactoryConfig { threads: options.threads, ..FactoryConfig::new(folder.join("train")) };
    let factory = ModelFactory::start(vec![model.clone()], store, config)?;
    let snapshot = SnapshotRef { datanet: DatanetId(1), snapshot: SnapshotId(1), root: B256::ZERO };
    let recipe = Recipe::preset(Preset::Quick, "bench", model.hash(), vec![snapshot]);
    let terms = Terms { parents: vec![], price: Price { input_wei: Wei(1), output_wei: Wei(1) } };
    let job = factory.submit(&JobRequest { recipe, terms, records: records(options.records)?, held_out: vec![] })?;
    loop {
        let now = factory.job(job)?;
        match now.state {
            JobState::Done => break Ok(Artifact::load(&now.artifact.ok_or("the job left no artifact")?, model)?),
            JobState::Failed => break Err(now.error.unwrap_or_default().into()),
            _ => std::thread::sleep(POLL),
        }
    }
}

fn records(count: usize) -> Fallible<Vec<TrainRecord>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/attack/procedures.jsonl");
    let text = fs::read_to_string(path)?;
    (0_u64..).zip(text.lines().take(count)).map(|(index, line)| record(index, line)).collect()
}

fn record(index: u64, line: &str) -> Fallible<TrainRecord> {
    let row: Value = serde_json::from_str(line)?;
    let field = |name: &str| row[name].as_str().map(str::to_owned).ok_or(format!("a record without {name}"));
    Ok(TrainRecord {
        snapshot: 0,
        index,
        hash: RecordHash(B256::left_padding_from(&index.to_be_bytes())),
        contributor: Address::left_padding_from(&(1 + index % 59).to_be_bytes()),
        cluster: index,
        body: RecordBody::Pair { prompt: field("procedure")?, response: field("technique")? },
    })
}

fn measure(server: &Server, exec: &mut Exec, artifact: &Artifact, tokens: u32) -> Fallible<Value> {
    let (mut answered, mut attributed) = (Vec::new(), Vec::new());
    let (mut answered_cpu_s, mut attributed_cpu_s) = (0.0, 0.0);
    for n in 0..=REPEATS {
        let prompt: Vec<u32> = (0..PROMPT_TOKENS).map(|t| ((n * 131 + t * 17 + 100) % 40_000) as u32).collect();
        let (start, cpu) = (Instant::now(), cpu_s());
        let completion = ask(server, prompt.clone(), tokens)?;
        answered.push(start.elapsed());
        let (between, between_cpu) = (Instant::now(), cpu_s());
        answer::attribute(server.model(), exec, artifact, &prompt, &completion, B256::ZERO)?;
        attributed.push(between.elapsed());
        // The first warms up.
        if n > 0 {
            answered_cpu_s += between_cpu - cpu;
            attributed_cpu_s += cpu_s() - between_cpu;
        }
    }
    let (answer_s, attribution_s) = (median(&mut answered), median(&mut attributed));
    Ok(json!({
        "answer_tokens": tokens,
        "answer_s": answer_s,
        "attribution_s": attribution_s,
        "attribution_per_answer": attribution_s / answer_s,
        "attribution_per_answer_cpu": attributed_cpu_s / answered_cpu_s,
    }))
}

/// Processor time of this process, all threads: what a busy machine leaves comparable. To a hundredth of a second; not a
/// number where the system does not tell.
fn cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(12) + ticks(13)) / 100.0
}

fn ask(server: &Server, prompt: Vec<u32>, tokens: u32) -> Fallible<Completion> {
    let mut request = Request::new(prompt, tokens);
    (request.ignore_eos, request.adapter) = (true, Some("bench".parse()?));
    Ok(server.submit(request)?.finish_blocking()?)
}

/// The median of all but the first, which warms up.
fn median(times: &mut Vec<Duration>) -> f64 {
    times.remove(0);
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
