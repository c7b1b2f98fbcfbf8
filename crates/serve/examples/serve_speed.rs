//! Measures serving on a real model and prints one JSON object: `speed MODEL [--peer] [--threads N] [--adapters N]`.
//!
//! The workload is that of the published comparison: prompts of 74 tokens, 64 generated, 8 slots, adapters of rank 8 on every linear
//! layer. With `--peer`, llama.cpp runs the same through the Python package `xllamacpp`, in the same run.

use std::{env, error::Error, fs, path::Path, path::PathBuf, process::Command, time::Instant};

use openledger_engine::{LoraAdapter, LoraConfig, Model, format::gguf_lora, format::peft};
use openledger_serve::{AdapterId, AdapterSpec, Request, ServeConfig, Server};
use serde_json::{Value, json};

const PROMPT_TOKENS: usize = 74;
const NEW_TOKENS: u32 = 64;
const STREAMS: usize = 8;
const RANK: usize = 8;

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    model: PathBuf,
    threads: usize,
    peer: bool,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let folder = tempfile::TempDir::new()?;
    let model = Model::open(&options.model)?;
    let mut config = ServeConfig::default();
    (config.threads, config.max_context) = (options.threads, 512);
    let server = Server::start(model.clone(), config)?;
    for n in 0..STREAMS {
        register(&server, folder.path(), n)?;
    }
    run(&server, 1, &|_| None)?;
    let one = run(&server, 1, &|_| None)?;
    let base = run(&server, STREAMS, &|_| None)?;
    run(&server, STREAMS, &|n| Some(n))?;
    let eight = run(&server, STREAMS, &|n| Some(n))?;
    let peer = options.peer.then(|| peer(&options, folder.path())).transpose()?;
    let report = json!({
        "bench": "serve",
        "model": options.model,
        "threads": options.threads,
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": NEW_TOKENS,
        "streams_1_base_tps": one,
        "streams_8_base_tps": base,
        "streams_8_adapters_8_tps": eight,
        "peer": peer.as_ref().map(|peer| with_ratios(peer, one, base, eight)),
    });
    print(&report)
}

fn options() -> Fallible<Options> {
    let mut options = Options { model: PathBuf::new(), threads: 2, peer: false };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--peer" => options.peer = true,
            "--threads" => options.threads = arguments.next().ok_or("--threads needs a number")?.parse()?,
            path => options.model = path.into(),
        }
    }
    if options.model.as_os_str().is_empty() {
        return Err("usage: speed MODEL [--peer] [--threads N]".into());
    }
    Ok(options)
}

fn id(n: usize) -> Fallible<AdapterId> {
    Ok(format!("bench-{n}").parse()?)
}

/// Writes a random adapter in both formats and registers it.
fn register(server: &Server, folder: &Path, n: usize) -> Fallible<()> {
    let model = server.model();
    let mut adapter = LoraAdapter::new(model.config(), &LoraConfig::all_linear(RANK), n as u64)?;
    adapter.params_mut().iter_mut().enumerate().for_each(|(i, p)| *p += ((i % 13) as f32 - 6.0) * 1e-4);
    let path = folder.join(format!("bench-{n}"));
    fs::create_dir_all(&path)?;
    peft::write(&path, &adapter, "bench")?;
    gguf_lora::write(&folder.join(format!("bench-{n}.gguf")), &adapter, model.config())?;
    server.register(AdapterSpec { id: id(n)?, path, base_model: None, weights_hash: None, replace: false })?;
    Ok(())
}

/// Tokens a second of that many streams at once, over the whole of prompt and answer, as the peer counts: generated tokens only.
fn run(server: &Server, streams: usize, adapter: &dyn Fn(usize) -> Option<usize>) -> Fallible<f64> {
    let vocab = server.model().config().vocab;
    let started = Instant::now();
    let mut running = Vec::new();
    for n in 0..streams {
        let prompt = (0..PROMPT_TOKENS).map(|t| ((n * 131 + t * 17 + 100) % vocab.min(40_000)) as u32).collect();
        let mut request = Request::new(prompt, NEW_TOKENS);
        (request.ignore_eos, request.adapter) = (true, adapter(n).map(id).transpose()?);
        running.push(server.submit(request)?);
    }
    for generation in running {
        generation.finish_blocking()?;
    }
    Ok((streams * NEW_TOKENS as usize) as f64 / started.elapsed().as_secs_f64())
}

/// Runs the peer's script; its last line is a JSON object, or null where the package is not installed.
fn peer(options: &Options, folder: &Path) -> Fallible<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer_llamacpp.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(&options.model)
        .arg(folder)
        .arg(options.threads.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null))
}

fn with_ratios(peer: &Value, one: f64, base: f64, eight: f64) -> Value {
    let ratio = |ours: f64, key: &str| peer[key].as_f64().map(|theirs| ours / theirs);
    json!({
        "llama.cpp": peer,
        "ratio_streams_1_base": ratio(one, "streams_1_base_tps"),
        "ratio_streams_8_base": ratio(base, "streams_8_base_tps"),
        "ratio_streams_8_adapters_8": ratio(eight, "streams_8_adapters_8_tps"),
    })
}

fn print(report: &Value) -> Fallible<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
