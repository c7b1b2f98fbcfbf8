//! A tiny model, adapters for it, and requests.

use std::path::{Path, PathBuf};

use openledger_engine::{LoraAdapter, LoraConfig, Model, format::peft};
use openledger_serve::{AdapterId, AdapterSpec, Request, Sampling, ServeConfig, Server};
use tempfile::TempDir;

pub(crate) fn model() -> Model {
    openledger_testkit::tiny_model()
}

pub(crate) fn config() -> ServeConfig {
    let mut config = ServeConfig::default();
    config.threads = 1;
    config.max_context = 128;
    config.kv_bytes = 8 << 20;
    config
}

pub(crate) fn id(name: &str) -> AdapterId {
    name.parse().unwrap()
}

/// An adapter whose B is not zero, so that it changes answers.
pub(crate) fn adapter(model: &Model, rank: usize, seed: u64) -> LoraAdapter {
    let config = LoraConfig::all_linear(rank);
    let mut adapter = LoraAdapter::new(model.config(), &config, seed).unwrap();
    let noise = LoraAdapter::new(model.config(), &config, seed + 1_000).unwrap();
    let wave = |i: usize| ((i as u64 ^ seed).wrapping_mul(2_654_435_761) % 1_000) as f32 / 1_000.0 - 0.5;
    let other: Vec<f32> = noise.params().iter().enumerate().map(|(i, p)| p + wave(i)).collect();
    adapter.params_mut().iter_mut().zip(other).for_each(|(p, o)| *p += o);
    adapter
}

/// Writes an adapter to a fresh folder in PEFT's format.
pub(crate) fn export(dir: &TempDir, name: &str, adapter: &LoraAdapter, model: &Model) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::create_dir_all(&path).unwrap();
    peft::write(&path, adapter, &model.hash().to_string()).unwrap();
    path
}

pub(crate) fn spec(name: &str, path: &Path) -> AdapterSpec {
    AdapterSpec { id: id(name), path: path.to_owned(), base_model: None, weights_hash: None, replace: false }
}

/// A server with adapters `lora-0`, ... of the given ranks, and those adapters.
pub(crate) fn server_with(config: ServeConfig, ranks: &[usize]) -> (Server, Vec<LoraAdapter>, TempDir) {
    let (model, dir) = (model(), TempDir::new().unwrap());
    let server = Server::start(model.clone(), config).unwrap();
    let mut adapters = Vec::new();
    for (n, &rank) in ranks.iter().enumerate() {
        let name = format!("lora-{n}");
        let weights = adapter(&model, rank, n as u64 + 1);
        let path = export(&dir, &name, &weights, &model);
        server.register(spec(&name, &path)).unwrap();
        adapters.push(weights);
    }
    (server, adapters, dir)
}

/// Requests that differ in prompt, length, adapter and sampling; `adapters` of them are used in turn, with the base between.
pub(crate) fn requests(count: usize, adapters: usize) -> Vec<Request> {
    (0..count).map(|n| request(n, adapters)).collect()
}

fn request(n: usize, adapters: usize) -> Request {
    let prompt = (0..1 + (n * 7) % 40).map(|t| 3 + ((t * 31 + n * 17) % 90) as u32).collect();
    let mut request = Request::new(prompt, 1 + (n as u32 * 5) % 30);
    let turn = n % (adapters + 1);
    request.adapter = (turn < adapters).then(|| id(&format!("lora-{turn}")));
    request.tenant = format!("tenant-{}", n % 3);
    request.seed = n as u64;
    request.ignore_eos = n.is_multiple_of(4);
    if n % 2 == 1 {
        request.sampling = Sampling { temperature: 0.9, top_p: 0.95, top_k: 20 };
    }
    request
}
