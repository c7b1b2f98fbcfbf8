//! Held-out records: which ones a model is not trained on, so that it can be measured on them.

use std::collections::{BTreeMap, BTreeSet};

use openledger_primitives::{B256, RecordHash, keccak256};
use serde::{Deserialize, Serialize};

/// Which records are held out. A rule and the same records give the same split everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum HeldOutRule {
    /// None.
    None,
    /// These.
    Explicit {
        /// Hashes of the records.
        records: BTreeSet<RecordHash>,
    },
    /// Of each label, `count` records in the order of `H(seed ‖ record hash)`, but never more than half of a label's. Records
    /// without a label are one group.
    PerLabel {
        /// Records a label.
        count: u32,
        /// Chooses among equals.
        seed: B256,
    },
    /// `per_mille` thousandths of all, by `H(seed ‖ record hash)`.
    Share {
        /// Thousandths, at most 1,000.
        per_mille: u16,
        /// Chooses among equals.
        seed: B256,
    },
}

/// Positions of the records given, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOutSplit {
    /// To train on.
    pub train: Vec<usize>,
    /// To measure on.
    pub held_out: Vec<usize>,
}

/// Splits records, given as hash and label, by a rule.
#[must_use]
pub fn split_held_out(records: &[(RecordHash, Option<&str>)], rule: &HeldOutRule) -> HeldOutSplit {
    let chosen = match rule {
        HeldOutRule::None => BTreeSet::new(),
        HeldOutRule::Explicit { records: listed } => {
            (0..records.len()).filter(|position| listed.contains(&records[*position].0)).collect()
        }
        HeldOutRule::PerLabel { count, seed } => per_label(records, *count as usize, *seed),
        HeldOutRule::Share { per_mille, seed } => {
            let take = records.len() * usize::from((*per_mille).min(1_000)) / 1_000;
            first(records, (0..records.len()).collect(), take, *seed).collect()
        }
    };
    let (held_out, train) = (0..records.len()).partition(|position| chosen.contains(position));
    HeldOutSplit { train, held_out }
}

fn per_label(records: &[(RecordHash, Option<&str>)], count: usize, seed: B256) -> BTreeSet<usize> {
    let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (position, (_, label)) in records.iter().enumerate() {
        groups.entry(*label).or_default().push(position);
    }
    groups
        .into_values()
        .flat_map(|group| {
            let take = count.min(group.len() / 2);
            first(records, group, take, seed)
        })
        .collect()
}

/// The first `take` positions in the order of the seeded hash.
fn first(
    records: &[(RecordHash, Option<&str>)],
    mut positions: Vec<usize>,
    take: usize,
    seed: B256,
) -> impl Iterator<Item = usize> {
    let key = |position: &usize| keccak256([seed.as_slice(), records[*position].0.0.as_slice()].concat());
    positions.sort_by_cached_key(key);
    positions.into_iter().take(take)
}
