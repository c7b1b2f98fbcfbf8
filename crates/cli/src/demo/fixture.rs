//! The demo's data: ATT&CK procedures by actor (MITRE's; see `fixtures/attack/NOTICE`).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

const PROCEDURES: &str = include_str!("../../../../fixtures/attack/procedures.jsonl");
const HELD_OUT: &str = include_str!("../../../../fixtures/attack/heldout.jsonl");
const COPIES: &str = include_str!("../../../../fixtures/attack/copies.jsonl");

/// One procedure and the technique that it is an instance of.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Procedure {
    pub(super) contributor: String,
    pub(super) technique: String,
    pub(super) procedure: String,
}

/// Everything that the demo contributes and asks.
pub(super) struct Fixture {
    /// By contributor, in the order in which they contribute: the honest ones first, the copycats last.
    pub(super) contributions: Vec<(String, Vec<Procedure>)>,
    /// How many contributors are honest; the rest submit copies.
    pub(super) honest: usize,
    /// Never contributed: measured with and asked about.
    pub(super) held_out: Vec<Procedure>,
}

impl Fixture {
    pub(super) fn load() -> Result<Self> {
        let honest = by_contributor(read(PROCEDURES, "procedures.jsonl")?);
        let copies = by_contributor(read(COPIES, "copies.jsonl")?);
        let count = honest.len();
        let contributions = honest.into_iter().chain(copies).collect();
        Ok(Self { contributions, honest: count, held_out: read(HELD_OUT, "heldout.jsonl")? })
    }
}

fn read(text: &str, file: &str) -> Result<Vec<Procedure>> {
    let parse = |(number, line)| serde_json::from_str(line).with_context(|| format!("{file}, line {}", number + 1));
    text.lines().enumerate().map(parse).collect()
}

fn by_contributor(procedures: Vec<Procedure>) -> BTreeMap<String, Vec<Procedure>> {
    let mut grouped: BTreeMap<String, Vec<Procedure>> = BTreeMap::new();
    for procedure in procedures {
        grouped.entry(procedure.contributor.clone()).or_default().push(procedure);
    }
    grouped
}

/// The file that a contributor uploads.
pub(super) fn upload(procedures: &[Procedure]) -> Vec<u8> {
    let line =
        |p: &Procedure| serde_json::json!({"procedure": p.procedure, "technique": p.technique}).to_string() + "\n";
    procedures.iter().map(line).collect::<String>().into_bytes()
}
