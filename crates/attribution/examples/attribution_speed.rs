//! Measures the speed of both indexes and prints one JSON object: `attribution_speed [--peer]`.
//!
//! With `--peer`, the Python package infini-gram attributes the same answers to the same text, in the same run.

#![allow(clippy::print_stdout, reason = "the JSON object is this program's result")]

use std::{error::Error, fs, path::Path, process::Command, time::Instant};

use openledger_attribution::influence::{
    InfluenceBuilder, InfluencePolicy, Preconditioner, QuerySketch, SiteGradient, SiteShape,
};
use openledger_attribution::suffix::{Answer, SuffixBuilder, SuffixIndex, SuffixPolicy};
use openledger_attribution::{RecordMeta, RecordTable};
use openledger_primitives::{Address, B256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const VOCABULARY: u32 = 49_152;
const RECORD_TOKENS: usize = 60;
const ANSWER_TOKENS: usize = 500;
const ANSWERS: usize = 50;

/// Separates records in the peer's text; above every token.
const SEPARATOR: u16 = u16::MAX;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let peer = std::env::args().any(|argument| argument == "--peer");
    let report = json!({
        "suffix": suffix(1_000_000, peer)?,
        "demo_index": demo_index(850)?,
        "scores_1000_rows": scores(1_000, 26_880)?,
        "scores_100000_rows": scores(100_000, 1_024)?,
    });
    println!("{report}");
    Ok(())
}

fn table(count: usize) -> Fallible<RecordTable> {
    let record = |index: u64| RecordMeta {
        snapshot: 0,
        index,
        contributor: Address::left_padding_from(&(index % 97).to_be_bytes()),
        cluster: index,
    };
    Ok(RecordTable::new((0..count as u64).map(record).collect())?)
}

/// A token with roughly Zipf's frequencies.
fn word(rng: &mut StdRng) -> u32 {
    let uniform: f64 = rng.random_range(0.0..1.0);
    (f64::from(VOCABULARY).powf(uniform) as u32).min(VOCABULARY - 1)
}

fn suffix(tokens: usize, with_peer: bool) -> Fallible<Value> {
    let mut rng = StdRng::seed_from_u64(1);
    let count = tokens / RECORD_TOKENS;
    let texts: Vec<Vec<u32>> = (0..count).map(|_| (0..RECORD_TOKENS).map(|_| word(&mut rng)).collect()).collect();
    let mut builder = SuffixBuilder::new(SuffixPolicy::default(), B256::ZERO, vec![], VOCABULARY, table(count)?);
    for (at, text) in texts.iter().enumerate() {
        builder.push(at as u32, text)?;
    }
    let start = Instant::now();
    let index = builder.finish()?;
    let build_s = start.elapsed().as_secs_f64();
    let bytes = index.to_bytes();
    let start = Instant::now();
    SuffixIndex::from_bytes(&bytes)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let answers: Vec<Vec<u32>> = (0..ANSWERS).map(|_| answer(&texts, &mut rng)).collect();
    let mut times = answers.iter().map(|tokens| query_ms(&index, tokens)).collect::<Fallible<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    let median = times[ANSWERS / 2];
    let peer = if with_peer { peer(&texts, &answers)? } else { Value::Null };
    Ok(json!({
        "tokens": index.tokens(),
        "build_tokens_per_s": index.tokens() as f64 / build_s,
        "load_checked_ms": load_ms,
        "bytes_per_token": bytes.len() as f64 / index.tokens() as f64,
        "answer_tokens": ANSWER_TOKENS,
        "span_query_ms_median": median,
        "span_query_ms_max": times[ANSWERS - 1],
        "peer_infini_gram": peer,
        "peer_span_query_ratio": peer["span_query_ms_median"].as_f64().map(|theirs| theirs / median),
    }))
}

/// 500 tokens: stretches of records between fresh words.
fn answer(texts: &[Vec<u32>], rng: &mut StdRng) -> Vec<u32> {
    let mut tokens = Vec::new();
    while tokens.len() < ANSWER_TOKENS {
        let text = &texts[rng.random_range(0..texts.len())];
        let start = rng.random_range(0..RECORD_TOKENS - 20);
        tokens.extend(&text[start..start + rng.random_range(3..20)]);
        (0..rng.random_range(0..10)).for_each(|_| tokens.push(word(rng)));
    }
    tokens.truncate(ANSWER_TOKENS);
    tokens
}

fn query_ms(index: &SuffixIndex, tokens: &[u32]) -> Fallible<f64> {
    let pieces: Vec<String> = tokens.iter().map(|token| format!(" w{token}")).collect();
    let answer = Answer::new(tokens, &pieces)?;
    let start = Instant::now();
    let provenance = index.provenance(&answer);
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    assert!(!provenance.spans.is_empty(), "the answer quotes the text");
    Ok(elapsed)
}

/// Runs the peer's script on the same text and answers; its last line is a JSON object, or null where the package is not
/// installed.
fn peer(texts: &[Vec<u32>], answers: &[Vec<u32>]) -> Fallible<Value> {
    let folder = tempfile::TempDir::new()?;
    let words = texts.iter().flat_map(|text| {
        let words = text.iter().map(|&token| u16::try_from(token).expect("the vocabulary has fewer than 65,535 words"));
        std::iter::once(SEPARATOR).chain(words)
    });
    fs::write(folder.path().join("tokens.u16"), words.flat_map(u16::to_le_bytes).collect::<Vec<u8>>())?;
    fs::write(folder.path().join("answers.json"), serde_json::to_vec(answers)?)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer_infinigram.py");
    let policy = SuffixPolicy::default();
    let (least, most) = (policy.span_tokens_min.to_string(), policy.occurrences_max.to_string());
    let output = Command::new("python3").arg(script).arg(folder.path()).args([least, most]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null))
}

/// The sites of SmolLM2-135M.
fn smollm2_sites() -> Vec<SiteShape> {
    let sides = [(576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576)];
    let site = |id: u32| SiteShape { id, d_in: sides[id as usize % 7].0, d_out: sides[id as usize % 7].1 };
    (0..210).map(site).collect()
}

/// What the demo's index costs beside the gradient passes: projection, Fisher, rows, scores.
fn demo_index(records: usize) -> Fallible<Value> {
    let mut rng = StdRng::seed_from_u64(2);
    let policy = InfluencePolicy { checkpoints: vec![10, 100], ..InfluencePolicy::default() };
    let sites = smollm2_sites();
    let mut builder = InfluenceBuilder::from_shapes(policy, &sites, 8, table(records)?)?;
    let mut values = |count: usize| (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<f32>>();
    let wide = values(RECORD_TOKENS * 1536);
    let narrow = values(RECORD_TOKENS * 8);
    let mut row = vec![0.0; builder.sketcher().dims()];
    let start = Instant::now();
    for (at, site) in sites.iter().enumerate() {
        let (x, d) = (&wide[..RECORD_TOKENS * site.d_in as usize], &wide[..RECORD_TOKENS * site.d_out as usize]);
        builder.sketcher().add(&mut row, at, SiteGradient { scale: 2.0, x, d, xa: &narrow, db: &narrow });
    }
    let sketch_ms = start.elapsed().as_secs_f64() * 1e3;
    for checkpoint in [1, 2] {
        let mut sketch = builder.empty_sketch(B256::repeat_byte(checkpoint));
        sketch.rows.iter_mut().for_each(|value| *value = rng.random_range(-1.0..1.0));
        builder.add(sketch)?;
    }
    let start = Instant::now();
    let index = builder.finish()?;
    let finish_s = start.elapsed().as_secs_f64();
    let query = QuerySketch { values: index.row(0).map(|row| row.0.to_vec()).unwrap_or_default() };
    let start = Instant::now();
    index.scores(&query)?;
    Ok(json!({
        "records": records,
        "row_bytes": index.row_dims(),
        "sketch_ms_per_record_and_checkpoint": sketch_ms,
        "finish_s": finish_s,
        "scores_ms": start.elapsed().as_secs_f64() * 1e3,
        "file_bytes": index.to_bytes().len(),
    }))
}

fn scores(records: usize, dims: usize) -> Fallible<Value> {
    let policy = InfluencePolicy {
        checkpoints: vec![1],
        preconditioner: Preconditioner::Identity,
        ..InfluencePolicy::default()
    };
    let sites: Vec<SiteShape> = (0..dims as u32 / 128).map(|id| SiteShape { id, d_in: 8, d_out: 8 }).collect();
    let mut builder = InfluenceBuilder::from_shapes(policy, &sites, 8, table(records)?)?;
    let mut sketch = builder.empty_sketch(B256::ZERO);
    let mut state = 1u32;
    for value in &mut sketch.rows {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / 8_388_608.0 - 1.0;
    }
    builder.add(sketch)?;
    let index = builder.finish()?;
    let query = QuerySketch { values: index.row(0).map(|row| row.0.to_vec()).unwrap_or_default() };
    index.scores(&query)?;
    let start = Instant::now();
    let scores = index.scores(&query)?;
    let elapsed = start.elapsed().as_secs_f64();
    assert_eq!(scores.len(), records);
    Ok(json!({
        "row_bytes": index.row_dims(),
        "ms": elapsed * 1e3,
        "products_per_s": (records * index.row_dims()) as f64 / elapsed,
    }))
}
