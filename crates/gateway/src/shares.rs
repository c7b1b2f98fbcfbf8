//! Which records an answer is paid for, and what each of them brought.
//!
//! Payouts go to contributors. A record's part of one is informative: the payout divided by the same prefix rule over
//! the records of that contributor that count for the answer, in the order of the model's index.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use openledger_attribution::RecordTable;
use openledger_attribution::attest::Attribution;
use openledger_datanet::{Datanets, Snapshot, SnapshotError};
use openledger_primitives::{Address, DatanetId, RecordHash, SnapshotId, U256, Wei};
use openledger_train::Artifact;
use serde_json::Value;

/// Snapshots kept in memory.
const SNAPSHOTS_IN_MEMORY_MAX: usize = 8;

/// A record that counts, by its number in the model's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) number: u32,
    /// What its contributor's payout is divided by.
    pub(crate) weight: u128,
    /// For people: the score, or the credit in 2^-32 bits.
    pub(crate) score: String,
}

/// Records that count, by contributor.
pub(crate) type ByContributor = BTreeMap<Address, Vec<Counted>>;

/// What an attribution says of records.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    counted: Vec<(u32, i64, i128)>,
    spans: Vec<(u64, Vec<u32>)>,
}

impl From<&Attribution> for Evidence {
    fn from(attribution: &Attribution) -> Self {
        let counted = &attribution.influence.counted;
        Self {
            counted: counted.iter().map(|item| (item.record, item.score, item.excess_x2)).collect(),
            spans: attribution
                .spans
                .iter()
                .map(|span| (span.surprise_q16, span.hits.iter().map(|hit| hit.record).collect()))
                .collect(),
        }
    }
}

impl Evidence {
    /// Reads it back from a stored answer; `None` when there is nothing of the kind, or some of it was left out: parts of
    /// a payout go by all records that count.
    pub(crate) fn from_stored(answer: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(answer).ok()?;
        let attribution = body.pointer("/openledger/attribution")?;
        let evidence = attribution.get("evidence").unwrap_or(attribution);
        if evidence.get("left_out").is_some() {
            return None;
        }
        let counted = evidence.pointer("/influence/records")?.as_array()?.iter().map(read_counted);
        let spans = evidence.pointer("/provenance/spans")?.as_array()?.iter().map(read_span);
        Some(Self { counted: counted.collect::<Option<_>>()?, spans: spans.collect::<Option<_>>()? })
    }

    /// Records that stand out above the background, by contributor.
    pub(crate) fn influence(&self, table: &RecordTable) -> ByContributor {
        let mut by = ByContributor::new();
        for &(number, score, excess) in self.counted.iter().filter(|(_, _, excess)| *excess > 0) {
            if let Some(record) = table.get(number) {
                let counted = Counted { number, weight: excess.unsigned_abs(), score: score.to_string() };
                by.entry(record.contributor).or_default().push(counted);
            }
        }
        by
    }

    /// The earliest records of the clusters that hold spans, by contributor: a span's surprise is shared over them.
    pub(crate) fn provenance(&self, table: &RecordTable) -> ByContributor {
        let mut credits = BTreeMap::<u32, u128>::new();
        for (surprise_q16, hits) in &self.spans {
            let heads: BTreeSet<u32> = hits.iter().filter_map(|&hit| table.head(hit)).collect();
            for &head in &heads {
                *credits.entry(head).or_default() += (u128::from(*surprise_q16) << 16) / heads.len() as u128;
            }
        }
        let mut by = ByContributor::new();
        for (number, weight) in credits.into_iter().filter(|(_, credit)| *credit > 0) {
            if let Some(record) = table.get(number) {
                let counted = Counted { number, weight, score: weight.to_string() };
                by.entry(record.contributor).or_default().push(counted);
            }
        }
        by
    }
}

fn read_counted(value: &Value) -> Option<(u32, i64, i128)> {
    let text = |name: &str| value.get(name)?.as_str();
    let number = u32::try_from(value.get("record")?.as_u64()?).ok()?;
    Some((number, text("score")?.parse().ok()?, text("excess_x2")?.parse().ok()?))
}

fn read_span(value: &Value) -> Option<(u64, Vec<u32>)> {
    let surprise = value.get("surprise_q16")?.as_str()?.parse().ok()?;
    let hits = value.get("hits")?.as_array()?.iter();
    let hits = hits.map(|hit| u32::try_from(hit.get("record")?.as_u64()?).ok());
    Some((surprise, hits.collect::<Option<_>>()?))
}

/// Divides `amount` by the prefix rule; the parts add up to it exactly. All zero when every weight is.
pub(crate) fn divide(amount: Wei, weights: impl Iterator<Item = u128> + Clone) -> Vec<Wei> {
    let total = weights.clone().fold(U256::ZERO, |sum, weight| sum.saturating_add(U256::from(weight)));
    if total.is_zero() {
        return weights.map(|_| Wei::ZERO).collect();
    }
    let (mut prefix, mut paid) = (U256::ZERO, 0_u128);
    let part = |weight: u128| {
        prefix = prefix.saturating_add(U256::from(weight));
        let cut: u128 = mul_div(U256::from(amount.0), prefix, total).saturating_to();
        let part = Wei(cut.saturating_sub(paid));
        paid = cut;
        part
    };
    weights.map(part).collect()
}

/// `floor(amount * numerator / denominator)` for an amount below 2^128 and `numerator <= denominator`. Weights so large
/// that the product does not fit lose their low bits on both sides.
fn mul_div(amount: U256, mut numerator: U256, mut denominator: U256) -> U256 {
    while numerator.bit_len() > 128 {
        numerator >>= 1_usize;
        denominator >>= 1_usize;
    }
    amount * numerator / denominator
}

/// A record behind an index's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hash: RecordHash,
    pub(crate) contributor: Address,
    pub(crate) datanet: DatanetId,
}

/// Snapshots by name, a few of them in memory.
#[derive(Debug)]
pub(crate) struct Snapshots {
    datanets: Datanets,
    kept: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl Snapshots {
    pub(crate) fn new(datanets: Datanets) -> Self {
        Self { datanets, kept: Mutex::default() }
    }

    /// A snapshot; blocks while it is read.
    pub(crate) fn get(&self, datanet: DatanetId, id: SnapshotId) -> Result<Arc<Snapshot>, SnapshotError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| known.datanet == datanet && known.id == id) {
            return Ok(Arc::clone(known));
        }
        let snapshot = Arc::new(self.datanets.snapshot(datanet, id)?);
        kept.push_front(Arc::clone(&snapshot));
        kept.truncate(SNAPSHOTS_IN_MEMORY_MAX);
        Ok(snapshot)
    }

    /// The record behind `number` in a model's index; `None` when the model's snapshots do not hold it.
    pub(crate) fn find(&self, artifact: &Artifact, number: u32) -> Result<Option<Found>, SnapshotError> {
        let Some(meta) = artifact.influence.records().get(number) else { return Ok(None) };
        let Some(named) = artifact.manifest.snapshots.get(meta.snapshot as usize) else { return Ok(None) };
        let snapshot = self.get(named.datanet, named.snapshot)?;
        let entry = usize::try_from(meta.index).ok().and_then(|index| snapshot.entries.get(index));
        Ok(entry.map(|entry| Found { hash: entry.record_hash, contributor: entry.contributor, datanet: named.datanet }))
    }
}
