//! Speed of decoding, prefill and training; prints one JSON object.
//!
//! `cargo run --release -p openledger-engine --example engine_speed -- <model> [threads]`

#![allow(clippy::print_stdout, reason = "the result of a measurement goes to stdout")]

use std::path::Path;
use std::time::Instant;

use openledger_engine::{
    AdamW, AdamWState, Chunk, Exec, KernelPath, KvPool, Logits, LoraAdapter, LoraConfig, LoraGrad, MatRef, Model,
    SeqKv, TrainSequence, sample,
};

use openledger_kernels::MatMut;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PROMPT: usize = 74;
const GENERATED: usize = 64;
const SLOTS: usize = 8;
const TRAIN_TOKENS: usize = 59;
const COMPLETION: usize = 8;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().ok_or("usage: speed <model> [threads]")?;
    let threads = args.next().map_or(Ok(2), |threads| threads.parse())?;
    let start = Instant::now();
    let model = Model::open(Path::new(&model))?;
    let open_s = start.elapsed().as_secs_f64();
    let mut exec = Exec::new(threads);
    let one = decode(&model, &mut exec, &[None])?;
    let one_lora = adapters(&model, 1)?;
    let lora = decode(&model, &mut exec, &[Some(&one_lora[0])])?;
    let eight = adapters(&model, SLOTS)?;
    let eight = decode(&model, &mut exec, &eight.iter().map(Some).collect::<Vec<_>>())?;
    let base = decode(&model, &mut exec, &[None; SLOTS])?;
    let training = train(&model, &mut exec)?;
    println!(
        "{{\"path\":\"{}\",\"threads\":{threads},\"open_s\":{open_s:.2},\"prefill_tok_s\":{:.0},\"decode_1_tok_s\":{:.1},\"decode_1_lora_tok_s\":{:.1},\"decode_8_base_tok_s\":{:.1},\"decode_8_adapters_tok_s\":{:.1},\"train_tok_s\":{:.1},\"train_tok_cpu_s\":{:.1},\"fma_gflops_cpu\":{:.1}}}",
        exec.path().name(),
        one.0,
        one.1,
        lora.1,
        base.1,
        eight.1,
        training.per_second,
        training.per_cpu_second,
        training.fma_gflops,
    );
    Ok(())
}

fn adapters(model: &Model, count: usize) -> Outcome<Vec<LoraAdapter>> {
    let config = LoraConfig::all_linear(8);
    let make = |seed| {
        let mut adapter = LoraAdapter::new(model.config(), &config, seed)?;
        adapter.params_mut().iter_mut().for_each(|value| *value += 1e-4);
        Ok(adapter)
    };
    (0..count as u64).map(make).collect()
}

fn tokens(seed: usize, count: usize) -> Vec<u32> {
    (0..count).map(|i| ((seed * 7919 + i * 104_729) % 40_000 + 100) as u32).collect()
}

/// Prefill and decode speeds of as many sequences as there are adapters.
fn decode(model: &Model, exec: &mut Exec, adapters: &[Option<&LoraAdapter>]) -> Outcome<(f64, f64)> {
    let mut kv = KvPool::new(model.config(), 1 + adapters.len() * (PROMPT + GENERATED).div_ceil(16));
    let mut seqs = adapters.iter().map(|_| SeqKv::default()).collect::<Vec<_>>();
    let mut next = (0..adapters.len()).map(|seed| tokens(seed, PROMPT)).collect::<Vec<_>>();
    let mut times = Vec::new();
    for _ in 0..=GENERATED {
        let start = Instant::now();
        let parts = seqs.iter_mut().zip(&next).zip(adapters);
        let mut chunks = parts
            .map(|((kv, tokens), adapter)| Chunk { tokens, kv, adapter: *adapter, logits: Logits::Last })
            .collect::<Vec<_>>();
        let logits = model.forward(exec, &mut kv, &mut chunks)?;
        drop(chunks);
        times.push(start.elapsed().as_secs_f64());
        for (i, next) in next.iter_mut().enumerate() {
            *next = vec![sample::greedy(logits.last(i).ok_or("no logits")?)?];
        }
    }
    let decode = times.split_off(1);
    let rows = adapters.len() as f64;
    Ok((rows * PROMPT as f64 / times[0], rows * decode.len() as f64 / decode.iter().sum::<f64>()))
}

/// Speeds of whole training steps.
struct Training {
    /// Tokens a second.
    per_second: f64,
    /// Tokens a second of processor time, all threads together: what a busy machine leaves comparable.
    per_cpu_second: f64,
    /// Multiply-adds in the first-level cache, between the steps, in GFLOP a second of processor time.
    fma_gflops: f64,
}

fn train(model: &Model, exec: &mut Exec) -> Outcome<Training> {
    const STEPS: usize = 4;
    let mut adapter = adapters(model, 1)?.remove(0);
    let mut state = AdamWState::new(adapter.params().len());
    let sequences = (0..SLOTS).map(|seed| tokens(seed, TRAIN_TOKENS)).collect::<Vec<_>>();
    let targets = sequences.iter().map(|tokens| targets(tokens)).collect::<Vec<_>>();
    let (mut seconds, mut cpu, mut roof) = (0.0, 0.0, Vec::new());
    for step in 0..=STEPS {
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        let mut grad = LoraGrad::new(&adapter);
        let batch = sequences.iter().zip(&targets).map(|(tokens, targets)| TrainSequence {
            tokens,
            targets,
            scale: 1.0 / 64.0,
        });
        model.backward(exec, &adapter, &batch.collect::<Vec<_>>(), &mut grad)?;
        state.step(KernelPath::best(), &AdamW::default(), adapter.params_mut(), grad.values());
        if step > 0 {
            seconds += start.elapsed().as_secs_f64();
            cpu += cpu_seconds() - cpu_start;
            roof.push(fma_gflops());
        }
    }
    let tokens = (STEPS * SLOTS * TRAIN_TOKENS) as f64;
    let fma_gflops = roof.iter().sum::<f64>() / roof.len() as f64;
    Ok(Training { per_second: tokens / seconds, per_cpu_second: tokens / cpu, fma_gflops })
}

/// Processor time of this process, to a hundredth of a second; zero where the system does not tell.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split(' ').collect::<Vec<_>>();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(12) + ticks(13)) / 100.0
}

fn fma_gflops() -> f64 {
    let (m, n, k) = (12, 16, 240);
    let (a, b, mut c) = (vec![0.5; m * k], vec![0.5; k * n], vec![0.0; m * n]);
    let (start, mut products) = (cpu_seconds(), 0.0);
    while cpu_seconds() - start < 0.2 {
        for _ in 0..1000 {
            KernelPath::best().gemm(MatRef::new(&a, m, k), MatRef::new(&b, k, n), &mut MatMut::new(&mut c, m, n));
        }
        products += 1000.0;
    }
    2.0 * (m * n * k) as f64 * products / (cpu_seconds() - start) / 1e9
}

fn targets(tokens: &[u32]) -> Vec<Option<u32>> {
    let first = tokens.len() - 1 - COMPLETION;
    (0..tokens.len()).map(|i| tokens.get(i + 1).copied().filter(|_| i >= first)).collect()
}
