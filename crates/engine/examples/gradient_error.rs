//! What int8 products in the backward pass change, on a real model; prints one JSON object.
//!
//! `cargo run --release -p openledger-engine --example gradient_error -- <model> [threads]`
//!
//! Gradients of a few sequences with int8 products are compared, site by site, with those of f32 products with the same
//! weights at the same activations.

#![allow(clippy::print_stdout, reason = "the result of a measurement goes to stdout")]

use std::path::Path;

use openledger_engine::{Exec, LoraAdapter, LoraConfig, LoraGrad, Model, ModelOptions, TrainSequence};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const TEXTS: [&str; 4] = [
    "The mitochondrion is the part of the cell in which sugar and oxygen are turned into energy that the cell can use.",
    "To move laterally, the intruder reused a service account's password hash and opened a remote session on the server.",
    "fn main() { let sum: u64 = (1..=10).filter(|n| n % 2 == 0).sum(); println!(\"{sum}\"); }",
    "In 1815 the eruption of Mount Tambora cooled the whole northern hemisphere, and the harvest of the next year failed.",
];

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: gradient_error <model> [threads]")?;
    let threads = args.next().map_or(Ok(2), |threads| threads.parse())?;
    let gradient = |exact_gradients| {
        let model = Model::open_with(Path::new(&path), ModelOptions { exact_gradients, ..ModelOptions::default() })?;
        gradient(&model, threads)
    };
    let ((adapter, exact), (_, int8)) = (gradient(true)?, gradient(false)?);
    let mut sites = sites(&adapter, &exact, &int8);
    sites.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (cosine, length) = likeness(&exact, &int8);
    let farthest = sites.iter().map(|(_, length)| (length - 1.0).abs()).fold(0.0, f64::max);
    println!(
        "{{\"sites\":{},\"cosine_least\":{:.6},\"cosine_median\":{:.6},\"cosine_whole\":{cosine:.6},\"length_ratio_whole\":{length:.5},\"length_ratio_off_by_at_most\":{farthest:.5}}}",
        sites.len(),
        sites[0].0,
        sites[sites.len() / 2].0,
    );
    Ok(())
}

/// An adapter as it might be in mid-training, and its gradient over all texts.
fn gradient(model: &Model, threads: usize) -> Outcome<(LoraAdapter, Vec<f32>)> {
    let mut adapter = LoraAdapter::new(model.config(), &LoraConfig::all_linear(8), 1)?;
    let small = |i: usize| ((i * 7919 % 2001) as f32 / 1000.0 - 1.0) * 1e-3;
    adapter.params_mut().iter_mut().enumerate().for_each(|(i, value)| *value += small(i));
    let texts = TEXTS.iter().map(|text| model.tokenizer().encode_untrusted(text)).collect::<Result<Vec<_>, _>>()?;
    let targets = texts.iter().map(|tokens| targets(tokens)).collect::<Vec<_>>();
    let batch = texts.iter().zip(&targets).map(|(tokens, targets)| TrainSequence { tokens, targets, scale: 1.0 });
    let mut grad = LoraGrad::new(&adapter);
    model.backward(&mut Exec::new(threads), &adapter, &batch.collect::<Vec<_>>(), &mut grad)?;
    let values = grad.values().to_vec();
    Ok((adapter, values))
}

fn targets(tokens: &[u32]) -> Vec<Option<u32>> {
    (0..tokens.len()).map(|i| tokens.get(i + 1).copied()).collect()
}

/// Cosine and ratio of lengths at each site.
fn sites(adapter: &LoraAdapter, exact: &[f32], int8: &[f32]) -> Vec<(f64, f64)> {
    let mut start = 0;
    let of_site = |site: openledger_engine::LoraSite<'_>| {
        let range = start..start + site.a.len() + site.b.len();
        start = range.end;
        likeness(&exact[range.clone()], &int8[range])
    };
    adapter.sites().map(of_site).collect()
}

fn likeness(exact: &[f32], got: &[f32]) -> (f64, f64) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (exact_length, length) = (dot(exact, exact).sqrt(), dot(got, got).sqrt());
    (dot(exact, got) / (exact_length * length), length / exact_length)
}
