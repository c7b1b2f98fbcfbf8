//! Baselines that need no gradients. They are strong, so every figure stands beside them.

use std::collections::{BTreeMap, BTreeSet};

/// BM25 (Robertson and Zaragoza, 2009) over tokens, k1 = 1.2, b = 0.75.
#[derive(Clone, Debug)]
pub struct Bm25 {
    counts: Vec<BTreeMap<u32, f64>>,
    lengths: Vec<f64>,
    mean_length: f64,
    weight: BTreeMap<u32, f64>,
}

impl Bm25 {
    const K1: f64 = 1.2;
    const B: f64 = 0.75;

    /// Indexes documents given as tokens.
    pub fn new<D: AsRef<[u32]>>(documents: &[D]) -> Self {
        let counts: Vec<BTreeMap<u32, f64>> = documents.iter().map(|document| count(document.as_ref())).collect();
        let lengths: Vec<f64> = documents.iter().map(|document| document.as_ref().len() as f64).collect();
        let mut holding: BTreeMap<u32, f64> = BTreeMap::new();
        counts.iter().flat_map(BTreeMap::keys).for_each(|&token| *holding.entry(token).or_default() += 1.0);
        let total = documents.len() as f64;
        let idf = |holding: f64| libm::log(1.0 + (total - holding + 0.5) / (holding + 0.5));
        let weight = holding.into_iter().map(|(token, holding)| (token, idf(holding))).collect();
        let mean_length = lengths.iter().sum::<f64>() / total.max(1.0);
        Self { counts, lengths, mean_length, weight }
    }

    /// The score of every document for a query.
    pub fn scores(&self, query: &[u32]) -> Vec<f64> {
        let terms: BTreeSet<u32> = query.iter().copied().collect();
        self.counts.iter().zip(&self.lengths).map(|(counts, &length)| self.score(&terms, counts, length)).collect()
    }

    fn score(&self, terms: &BTreeSet<u32>, counts: &BTreeMap<u32, f64>, length: f64) -> f64 {
        let norm = Self::K1 * (1.0 - Self::B + Self::B * length / self.mean_length.max(1.0));
        let term = |token: &u32| {
            let count = counts.get(token)?;
            Some(self.weight.get(token)? * count * (Self::K1 + 1.0) / (count + norm))
        };
        terms.iter().filter_map(term).sum()
    }
}

fn count(tokens: &[u32]) -> BTreeMap<u32, f64> {
    let mut counts = BTreeMap::new();
    tokens.iter().for_each(|&token| *counts.entry(token).or_default() += 1.0);
    counts
}

/// Share of the query's distinct n-grams that the document holds, for n = 1 to `n_max`, averaged over n.
pub fn ngram_overlap(query: &[u32], document: &[u32], n_max: usize) -> f64 {
    let share = |n: usize| {
        let wanted: BTreeSet<&[u32]> = query.windows(n).collect();
        let held: BTreeSet<&[u32]> = document.windows(n).collect();
        wanted.intersection(&held).count() as f64 / wanted.len().max(1) as f64
    };
    (1..=n_max).map(share).sum::<f64>() / n_max.max(1) as f64
}

/// Cosine of two vectors; 0 where one has no length.
pub fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    if lengths > 0.0 { dot(left, right) / lengths } else { 0.0 }
}
