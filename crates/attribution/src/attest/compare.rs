//! Replay: the first thing in which a claimed attribution differs from the recomputed one.

use std::collections::BTreeMap;
use std::fmt;

use openledger_primitives::{Address, B256};

use super::Attribution;
use crate::suffix::Span;
use crate::weights::{Background, CountedRecord, Outcome};

/// One of the two pools of the data share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// What shaped the answer.
    Influence,
    /// What the answer quotes.
    Provenance,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Influence => "influence",
            Self::Provenance => "provenance",
        })
    }
}

/// Where a claim and its recomputation part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// One of the hashes that say what was attributed with what.
    #[error("{what}: {claimed} was claimed; replay gives {recomputed}")]
    Hash {
        /// Which hash.
        what: &'static str,
        /// As claimed.
        claimed: B256,
        /// As recomputed.
        recomputed: B256,
    },
    /// Median, MAD or size of the sample.
    #[error("background: {claimed:?} was claimed; replay gives {recomputed:?}")]
    Background {
        /// As claimed.
        claimed: Background,
        /// As recomputed.
        recomputed: Background,
    },
    /// A record's score.
    #[error("score of record {record}: {claimed} was claimed; replay gives {recomputed}")]
    Score {
        /// The record.
        record: u32,
        /// As claimed.
        claimed: i64,
        /// As recomputed.
        recomputed: i64,
    },
    /// How far a record stands out.
    #[error("excess of record {record}: {claimed} was claimed; replay gives {recomputed}")]
    Excess {
        /// The record.
        record: u32,
        /// As claimed.
        claimed: i128,
        /// As recomputed.
        recomputed: i128,
    },
    /// A record that counts and was left out.
    #[error("record {record} with score {score} counts, but was left out")]
    Omitted {
        /// The record.
        record: u32,
        /// Its score.
        score: i64,
    },
    /// A record that does not count and was put in.
    #[error("record {record} was counted with score {score}; it does not stand out")]
    Invented {
        /// The record.
        record: u32,
        /// The score claimed.
        score: i64,
    },
    /// A contributor's weight; `None` where there is none.
    #[error("{pool} weight of {contributor}: {claimed:?} was claimed; replay gives {recomputed:?}")]
    Weight {
        /// Which pool.
        pool: Pool,
        /// Who.
        contributor: Address,
        /// As claimed.
        claimed: Option<u16>,
        /// As recomputed.
        recomputed: Option<u16>,
    },
    /// A span, by its place among those kept.
    #[error("span {number}: {claimed} was claimed; replay gives {recomputed}")]
    Span {
        /// Its number.
        number: usize,
        /// As claimed.
        claimed: SpanText,
        /// As recomputed.
        recomputed: SpanText,
    },
    /// A contributor's credit; `None` where there is none.
    #[error("credit of {contributor}: {claimed:?} was claimed; replay gives {recomputed:?}")]
    Credit {
        /// Who.
        contributor: Address,
        /// As claimed.
        claimed: Option<u128>,
        /// As recomputed.
        recomputed: Option<u128>,
    },
}

/// A span in a few words, or its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanText(pub Option<Box<Span>>);

impl fmt::Display for SpanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = &self.0 else { return f.write_str("no span") };
        let (start, end, times, records) = (span.token_start, span.token_end, span.occurrences(), span.hits.len());
        write!(f, "tokens {start}..{end}, {times} occurrences in {records} records")
    }
}

/// Compares a claim with its recomputation and names the first difference: what was attributed, then scores, then
/// weights, then spans, credits and their weights, and last the root over all scores.
///
/// # Errors
/// The [`Difference`].
pub fn compare(claimed: &Attribution, recomputed: &Attribution) -> Result<(), Difference> {
    hash("method", claimed.method, recomputed.method)?;
    hash("index root", claimed.index_root, recomputed.index_root)?;
    hash("request hash", claimed.request_hash, recomputed.request_hash)?;
    hash("answer hash", claimed.answer_hash, recomputed.answer_hash)?;
    hash("query sketch", claimed.query_hash, recomputed.query_hash)?;
    counted(&claimed.influence.counted, &recomputed.influence.counted)?;
    background(claimed.influence.background, recomputed.influence.background)?;
    outcome(Pool::Influence, &claimed.influence.outcome, &recomputed.influence.outcome)?;
    spans(&claimed.spans, &recomputed.spans)?;
    credits(&claimed.credits, &recomputed.credits)?;
    outcome(Pool::Provenance, &claimed.provenance, &recomputed.provenance)?;
    hash("scores root", claimed.scores_root, recomputed.scores_root)
}

fn hash(what: &'static str, claimed: B256, recomputed: B256) -> Result<(), Difference> {
    if claimed == recomputed { Ok(()) } else { Err(Difference::Hash { what, claimed, recomputed }) }
}

fn background(claimed: Background, recomputed: Background) -> Result<(), Difference> {
    if claimed == recomputed { Ok(()) } else { Err(Difference::Background { claimed, recomputed }) }
}

fn counted(claimed: &[CountedRecord], recomputed: &[CountedRecord]) -> Result<(), Difference> {
    let known = |list: &[CountedRecord]| -> BTreeMap<u32, CountedRecord> {
        list.iter().map(|item| (item.record, *item)).collect()
    };
    let (claims, truths) = (known(claimed), known(recomputed));
    for (&record, truth) in &truths {
        let Some(claim) = claims.get(&record) else {
            return Err(Difference::Omitted { record, score: truth.score });
        };
        if claim.score != truth.score {
            return Err(Difference::Score { record, claimed: claim.score, recomputed: truth.score });
        }
        if claim.excess_x2 != truth.excess_x2 {
            return Err(Difference::Excess { record, claimed: claim.excess_x2, recomputed: truth.excess_x2 });
        }
    }
    // A record named twice, or out of order, is an entry that the recomputed list does not have.
    match claimed.iter().zip(recomputed).find(|(claim, truth)| claim != truth) {
        Some((claim, _)) => Err(Difference::Invented { record: claim.record, score: claim.score }),
        None => claimed
            .get(recomputed.len())
            .map_or(Ok(()), |claim| Err(Difference::Invented { record: claim.record, score: claim.score })),
    }
}

fn outcome(pool: Pool, claimed: &Outcome, recomputed: &Outcome) -> Result<(), Difference> {
    let found = first_entry(claimed.weights(), recomputed.weights());
    found.map_or(Ok(()), |(contributor, claimed, recomputed)| {
        Err(Difference::Weight { pool, contributor, claimed, recomputed })
    })
}

fn credits(claimed: &BTreeMap<Address, u128>, recomputed: &BTreeMap<Address, u128>) -> Result<(), Difference> {
    let list = |map: &BTreeMap<Address, u128>| -> Vec<(Address, u128)> { map.iter().map(|(&a, &c)| (a, c)).collect() };
    let found = first_entry(&list(claimed), &list(recomputed));
    found.map_or(Ok(()), |(contributor, claimed, recomputed)| {
        Err(Difference::Credit { contributor, claimed, recomputed })
    })
}

/// The first contributor, in address order, whose value differs.
fn first_entry<T: Copy + PartialEq>(
    claimed: &[(Address, T)],
    recomputed: &[(Address, T)],
) -> Option<(Address, Option<T>, Option<T>)> {
    let value = |list: &[(Address, T)], who: Address| list.iter().find(|entry| entry.0 == who).map(|entry| entry.1);
    let everyone: std::collections::BTreeSet<Address> = claimed.iter().chain(recomputed).map(|entry| entry.0).collect();
    everyone
        .into_iter()
        .map(|who| (who, value(claimed, who), value(recomputed, who)))
        .find(|(_, claim, truth)| claim != truth)
}

fn spans(claimed: &[Span], recomputed: &[Span]) -> Result<(), Difference> {
    for number in 0..claimed.len().max(recomputed.len()) {
        let (claim, truth) = (claimed.get(number), recomputed.get(number));
        if claim != truth {
            let text = |span: Option<&Span>| SpanText(span.cloned().map(Box::new));
            return Err(Difference::Span { number, claimed: text(claim), recomputed: text(truth) });
        }
    }
    Ok(())
}
