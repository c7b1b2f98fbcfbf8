//! Measures training on a real model and prints one JSON object: `speed MODEL [--peer] [--threads N] [--steps N] [--peer-model FOLDER]`.
//!
//! The workload is that of the published comparison: records of 59 tokens, batch 8, adapters of rank 8 on every linear layer. With
//! `--peer`, transformers and peft run the same in float32, in the same run, on the folder given (they read no GGUF).

use std::{env, error::Error, io::Write, path::Path, path::PathBuf, process::Command, time::Instant};

use openledger_engine::Model;
use openledger_primitives::{B256, DatanetId, SnapshotId};
use openledger_train::{Example, Preset, Recipe, Run, SnapshotRef};
use serde_json::{Value, json};

const RECORD_TOKENS: usize = 59;
const BATCH: usize = 8;
const LEARNT_TOKENS: usize = 12;

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    model: PathBuf,
    threads: usize,
    steps: usize,
    peer: bool,
    peer_model: Option<String>,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let model = Model::open(&options.model)?;
    let root = SnapshotRef { datanet: DatanetId(1), snapshot: SnapshotId(1), root: B256::ZERO };
    let mut recipe = Recipe::preset(Preset::Quick, "bench", model.hash(), vec![root]);
    recipe.batch_size = BATCH as u32;
    let examples = (0..(options.steps + 1) * BATCH).map(|n| example(n, model.config().vocab)).collect();
    let mut run = Run::new(&model, &recipe, examples, options.threads)?;
    run.advance()?;
    let started = Instant::now();
    let mut tokens = 0;
    while !run.is_done() {
        tokens += run.advance()?.tokens;
    }
    let ours = tokens as f64 / started.elapsed().as_secs_f64();
    let peer = if options.peer { peer(&options)? } else { Value::Null };
    let ratio = peer["tps"].as_f64().map(|theirs| ours / theirs);
    let report = json!({
        "bench": "train",
        "model": options.model,
        "threads": options.threads,
        "record_tokens": RECORD_TOKENS,
        "batch": BATCH,
        "rank": recipe.lora.rank,
        "tps": ours,
        "peer_peft_f32": peer,
        "ratio": ratio,
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn options() -> Fallible<Options> {
    let mut options = Options { model: PathBuf::new(), threads: 2, steps: 5, peer: false, peer_model: None };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().ok_or(format!("{name} needs a value"));
        match argument.as_str() {
            "--peer" => options.peer = true,
            "--threads" => options.threads = value("--threads")?.parse()?,
            "--steps" => options.steps = value("--steps")?.parse()?,
            "--peer-model" => options.peer_model = Some(value("--peer-model")?),
            path => options.model = path.into(),
        }
    }
    if options.model.as_os_str().is_empty() {
        return Err("usage: speed MODEL [--peer] [--threads N] [--steps N] [--peer-model FOLDER]".into());
    }
    Ok(options)
}

/// A record of 60 tokens, of which 59 are fed and the last 12 are learnt.
fn example(n: usize, vocab: usize) -> Example {
    let tokens: Vec<u32> = (0..=RECORD_TOKENS).map(|t| ((n * 7_919 + t * 104_729 + 11) % vocab) as u32).collect();
    let learnt = (0..=RECORD_TOKENS).map(|t| t > RECORD_TOKENS - LEARNT_TOKENS).collect();
    Example { record: n, tokens, learnt }
}

/// Runs the peer's script; its last line is a JSON object, or null where the packages are not installed.
fn peer(options: &Options) -> Fallible<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer_peft.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(options.threads.to_string()).arg(options.steps.to_string()).args(&options.peer_model);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null))
}
