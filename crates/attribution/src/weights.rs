//! From scores to weights (design, section 9): what stands out of the background is netted over each
//! contributor, clipped at zero, cut to the top k and quantised. Integers only.

use std::collections::BTreeMap;

use openledger_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::record::RecordTable;

/// The named constants of the rule; they are part of the attribution policy in a model's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsPolicy {
    /// A record counts when it is further from the median than this many MADs.
    pub mad_factor: u32,
    /// Most contributors that one answer pays.
    pub top_k: u16,
    /// Above this many paid records the background is a sample of this size, drawn by the request's hash.
    pub background_max: u32,
}

impl Default for WeightsPolicy {
    fn default() -> Self {
        Self { mad_factor: 6, top_k: 32, background_max: 65_536 }
    }
}

/// Who one pool of an answer's data share goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Contributors in ascending address order, the largest weight being 65,535.
    Weights(Vec<(Address, u16)>),
    /// Nothing stood out: the pool goes to the Datanet's reserve.
    Reserve,
}

impl Outcome {
    /// The weights; empty for the reserve, which is how a receipt writes it.
    pub fn weights(&self) -> &[(Address, u16)] {
        match self {
            Self::Weights(weights) => weights,
            Self::Reserve => &[],
        }
    }
}

/// What the scores of all records look like together, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Background {
    /// Twice the median; the median of an even number is the mean of the two middle values.
    pub median_x2: i128,
    /// Four times the median absolute deviation from that median.
    pub mad_x4: i128,
    /// How many scores it was taken from.
    pub sampled: u32,
}

/// A record that stands out of the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedRecord {
    /// Position in the record table.
    pub record: u32,
    /// Its score.
    pub score: i64,
    /// Twice its distance above the median; negative below.
    pub excess_x2: i128,
}

/// The influence side of an answer's attribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluenceWeights {
    /// Median and MAD.
    pub background: Background,
    /// The records that count, in table order.
    pub counted: Vec<CountedRecord>,
    /// Who is paid.
    pub outcome: Outcome,
}

/// Why scores cannot be turned into weights.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeighError {
    /// Scores and records do not pair up.
    #[error("{scores} scores for {records} records")]
    Length {
        /// Number of scores.
        scores: usize,
        /// Number of records.
        records: usize,
    },
    /// No record, so no background.
    #[error("no record to weigh")]
    Empty,
    /// A policy that cannot be applied.
    #[error("background_max is 0; it must be at least 1")]
    NoBackground,
}

/// Weighs one answer's scores.
///
/// Only the earliest member of a cluster takes part, in the background as in the net, so a copy changes nothing.
/// What is netted is a record's distance from the median: the part of its score that stands out.
///
/// # Errors
/// [`WeighError`] where scores and records do not pair up or there is none.
pub fn weigh_influence(
    scores: &[i64],
    records: &RecordTable,
    request_hash: B256,
    policy: &WeightsPolicy,
) -> Result<InfluenceWeights, WeighError> {
    if scores.len() != records.len() {
        return Err(WeighError::Length { scores: scores.len(), records: records.len() });
    }
    let paid: Vec<u32> = (0..records.len() as u32).filter(|&at| records.is_head(at)).collect();
    let background = background(scores, &paid, request_hash, policy)?;
    let counted: Vec<CountedRecord> =
        paid.iter().filter_map(|&at| stands_out(at, scores[at as usize], &background, policy)).collect();
    let outcome = quantise(&net(&counted, records), policy.top_k);
    Ok(InfluenceWeights { background, counted, outcome })
}

/// Turns credits per contributor into weights: top k, ties by address, the largest 65,535.
pub fn weigh_credits(credits: &BTreeMap<Address, u128>, top_k: u16) -> Outcome {
    let nets = credits.iter().map(|(&who, &credit)| (who, i128::try_from(credit).unwrap_or(i128::MAX)));
    quantise(&nets.collect(), top_k)
}

fn background(
    scores: &[i64],
    paid: &[u32],
    request_hash: B256,
    policy: &WeightsPolicy,
) -> Result<Background, WeighError> {
    if policy.background_max == 0 {
        return Err(WeighError::NoBackground);
    }
    if paid.is_empty() {
        return Err(WeighError::Empty);
    }
    let mut sample: Vec<i128> = if paid.len() as u64 <= u64::from(policy.background_max) {
        paid.iter().map(|&at| i128::from(scores[at as usize])).collect()
    } else {
        draw(paid.len() as u64, request_hash, policy.background_max)
            .map(|at| i128::from(scores[paid[at as usize] as usize]))
            .collect()
    };
    let median_x2 = median_x2(&mut sample);
    let mut distances: Vec<i128> = sample.iter().map(|score| (2 * score - median_x2).abs()).collect();
    Ok(Background { median_x2, mad_x4: self::median_x2(&mut distances), sampled: sample.len() as u32 })
}

/// Twice the median: the sum of the two middle values, which coincide for an odd number.
fn median_x2(values: &mut [i128]) -> i128 {
    values.sort_unstable();
    values[(values.len() - 1) / 2] + values[values.len() / 2]
}

/// `count` positions below `length`, with replacement: word j of keccak256(request hash ‖ u64 j / 4), four
/// 64-bit words a hash, mapped by multiplying and taking the high half.
fn draw(length: u64, request_hash: B256, count: u32) -> impl Iterator<Item = u64> {
    let words = (0u64..).flat_map(move |block| {
        let mut preimage = [0; 40];
        preimage[..32].copy_from_slice(request_hash.as_slice());
        preimage[32..].copy_from_slice(&block.to_be_bytes());
        let hash = keccak256(preimage);
        (0..4).map(move |word| u64::from_be_bytes(hash[8 * word..8 * word + 8].try_into().expect("eight bytes")))
    });
    words.take(count as usize).map(move |word| ((u128::from(word) * u128::from(length)) >> 64) as u64)
}

/// |score - median| > factor x MAD, in units of a quarter: 2 |2 score - median_x2| > factor x mad_x4.
fn stands_out(record: u32, score: i64, background: &Background, policy: &WeightsPolicy) -> Option<CountedRecord> {
    let excess_x2 = 2 * i128::from(score) - background.median_x2;
    let counts = 2 * excess_x2.abs() > i128::from(policy.mad_factor) * background.mad_x4;
    counts.then_some(CountedRecord { record, score, excess_x2 })
}

fn net(counted: &[CountedRecord], records: &RecordTable) -> BTreeMap<Address, i128> {
    let mut nets = BTreeMap::new();
    for item in counted {
        if let Some(record) = records.get(item.record) {
            *nets.entry(record.contributor).or_insert(0) += item.excess_x2;
        }
    }
    nets
}

/// Clips at zero, keeps the `top_k` largest (ties: lower address), and scales so that the largest is 65,535,
/// rounding down; who rounds to zero is left out.
fn quantise(nets: &BTreeMap<Address, i128>, top_k: u16) -> Outcome {
    let mut positive: Vec<(Address, u128)> =
        nets.iter().filter(|&(_, &net)| net > 0).map(|(&who, &net)| (who, net.unsigned_abs())).collect();
    positive.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    positive.truncate(usize::from(top_k));
    let Some(largest) = positive.first().map(|first| first.1) else {
        return Outcome::Reserve;
    };
    let mut weights: Vec<(Address, u16)> =
        positive.iter().map(|&(who, net)| (who, scale(net, largest))).filter(|&(_, weight)| weight > 0).collect();
    weights.sort_unstable();
    Outcome::Weights(weights)
}

/// floor(net x 65535 / largest), shifting both down first where the product would not fit.
fn scale(net: u128, largest: u128) -> u16 {
    let shift = 16u32.saturating_sub(largest.leading_zeros());
    (((net >> shift) * u128::from(u16::MAX)) / (largest >> shift)) as u16
}
