//! An attribution as a page shows it: spans of the text, records by hash, wei by contributor.

use openledger_attribution::attest::{Attribution, JsonLimits};
use openledger_contracts::Receipt;
use openledger_datanet::SnapshotError;
use openledger_engine::tokenizer::Tokenizer;
use openledger_primitives::{Address, B256, Wei};
use openledger_serve::Completion;
use openledger_settlement::ledger::{DataPool, RecordCredit};
use openledger_settlement::receipt::weights;
use openledger_settlement::split::{Payout, split_pool};
use openledger_train::Artifact;
use serde_json::Value;

use crate::api::chat as view;
use crate::api::scalar::AnyObject;
use crate::shares::{ByContributor, Evidence, Found, Snapshots, divide};

/// What is kept of an attribution: about 2 MiB of the 4 MiB that an answer may have. A recipe decides how much an answer
/// counts, and an answer that could not be kept could not be charged.
const EVIDENCE_LIMITS: JsonLimits =
    JsonLimits { records_max: 4096, spans_max: 2048, hits_max: 8192, credits_max: 1024 };
/// Spans shown.
const SPANS_MAX: usize = 2048;
/// Records named for all spans together.
const SPANS_RECORDS_MAX: usize = 2048;
/// Records named for one span.
const SPAN_RECORDS_MAX: usize = 64;
/// Records named for one contributor in one pool.
const POOL_RECORDS_MAX: usize = 16;

/// Everything about an answer's attribution but the amounts, which the receipt brings.
#[derive(Debug)]
pub(crate) struct Explanation {
    method: B256,
    root: B256,
    spans: Vec<view::Span>,
    influence: Vec<Part>,
    provenance: Vec<Part>,
    evidence: Value,
}

/// A contributor's records in a pool: where each was found, its weight, its score.
#[derive(Debug)]
struct Part {
    contributor: Address,
    records: Vec<(Found, u128, String)>,
}

impl Explanation {
    /// Finds the records that an attribution names by number. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError`] when a snapshot of the model cannot be read.
    pub(crate) fn new(
        attribution: &Attribution,
        completion: &Completion,
        artifact: &Artifact,
        tokenizer: &Tokenizer,
        snapshots: &Snapshots,
    ) -> Result<Self, SnapshotError> {
        let evidence = Evidence::from(attribution);
        let table = artifact.influence.records();
        let text = AnswerText::new(completion, tokenizer);
        let finder = Finder { artifact, snapshots };
        Ok(Self {
            method: attribution.method,
            root: attribution.root(),
            spans: finder.spans(attribution, &text)?,
            influence: finder.parts(evidence.influence(table))?,
            provenance: finder.parts(evidence.provenance(table))?,
            evidence: attribution.to_short_json(EVIDENCE_LIMITS),
        })
    }

    /// The whole view, with the receipt's amounts.
    pub(crate) fn view(&self, receipt: &Receipt) -> view::Attribution {
        let split = &receipt.split;
        let influence = payouts(split.influence, &receipt.influence);
        let provenance = payouts(split.provenance, &receipt.provenance);
        view::Attribution {
            method: self.method.into(),
            attribution_root: self.root.into(),
            spans: self.spans.clone(),
            influence: shares(&receipt.influence, &influence, &self.influence),
            provenance: shares(&receipt.provenance, &provenance, &self.provenance),
            pools: view::Pools {
                influence_wei: split.influence.into(),
                influence_to_reserve: receipt.influence.is_empty(),
                provenance_wei: split.provenance.into(),
                provenance_to_reserve: receipt.provenance.is_empty(),
            },
            payouts: joined(&influence, &provenance),
            evidence: AnyObject(self.evidence.clone()),
        }
    }
}

impl Explanation {
    /// The records that the receipt pays for, each with its part of its contributor's payout.
    pub(crate) fn credits(&self, receipt: &Receipt) -> Vec<RecordCredit> {
        let split = &receipt.split;
        let influence = payouts(split.influence, &receipt.influence);
        let provenance = payouts(split.provenance, &receipt.provenance);
        let pools =
            [(DataPool::Influence, influence, &self.influence), (DataPool::Provenance, provenance, &self.provenance)];
        let mut credits = Vec::new();
        for (pool, payouts, parts) in pools {
            for payout in &payouts {
                let part = parts.iter().find(|part| part.contributor == payout.account);
                credits.extend(part.into_iter().flat_map(|part| part.credits(pool, payout.amount)));
            }
        }
        credits
    }
}

/// What a pool pays by weight; nobody where it goes to the reserve. A receipt's shares are checked when it is made.
fn payouts(pool: u128, shares: &[openledger_contracts::Share]) -> Vec<Payout> {
    if shares.is_empty() { Vec::new() } else { split_pool(Wei(pool), &weights(shares)).unwrap_or_default() }
}

fn shares(shares: &[openledger_contracts::Share], payouts: &[Payout], parts: &[Part]) -> Vec<view::PoolShare> {
    let share = |share: &openledger_contracts::Share| {
        let paid = payouts.iter().find(|payout| payout.account == share.contributor);
        let part = parts.iter().find(|part| part.contributor == share.contributor);
        let records = part.map(|part| part.scored(paid.map_or(Wei::ZERO, |payout| payout.amount)));
        view::PoolShare {
            contributor: share.contributor.into(),
            weight: share.weight,
            records: records.unwrap_or_default(),
        }
    };
    shares.iter().map(share).collect()
}

impl Part {
    /// Each record's part of `paid`, in the order of the model's index.
    fn credits(&self, pool: DataPool, paid: Wei) -> Vec<RecordCredit> {
        let earned = divide(paid, self.records.iter().map(|(_, weight, _)| *weight));
        let contributor = self.contributor;
        let credit = |((found, _, _), amount): (&(Found, u128, String), Wei)| RecordCredit {
            pool,
            record: found.hash,
            datanet: found.datanet,
            contributor,
            amount,
        };
        self.records.iter().zip(earned).map(credit).collect()
    }

    /// The strongest records first, each with its part of `paid`.
    fn scored(&self, paid: Wei) -> Vec<view::ScoredRecord> {
        let earned = divide(paid, self.records.iter().map(|(_, weight, _)| *weight));
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.records[at].1));
        let scored = |at: usize| {
            let (found, _, score) = &self.records[at];
            view::ScoredRecord {
                hash: found.hash.into(),
                datanet: found.datanet.0,
                score: score.clone(),
                earned_wei: earned[at].into(),
            }
        };
        order.into_iter().take(POOL_RECORDS_MAX).map(scored).collect()
    }
}

/// Both pools by contributor, addresses ascending.
fn joined(influence: &[Payout], provenance: &[Payout]) -> Vec<view::DataPayout> {
    let mut by = std::collections::BTreeMap::<Address, [Wei; 2]>::new();
    for (at, pool) in [influence, provenance].into_iter().enumerate() {
        for payout in pool {
            by.entry(payout.account).or_default()[at] = payout.amount;
        }
    }
    by.into_iter()
        .map(|(contributor, [influence, provenance])| view::DataPayout {
            contributor: contributor.into(),
            influence_wei: influence.into(),
            provenance_wei: provenance.into(),
            // Both are parts of one fee, which fits.
            total_wei: Wei(influence.0.saturating_add(provenance.0)).into(),
        })
        .collect()
}

struct Finder<'a> {
    artifact: &'a Artifact,
    snapshots: &'a Snapshots,
}

impl Finder<'_> {
    fn parts(&self, by: ByContributor) -> Result<Vec<Part>, SnapshotError> {
        let mut parts = Vec::with_capacity(by.len());
        for (contributor, counted) in by {
            let mut records = Vec::with_capacity(counted.len());
            for item in counted {
                let found = self.snapshots.find(self.artifact, item.number)?;
                records.extend(found.map(|found| (found, item.weight, item.score)));
            }
            parts.push(Part { contributor, records });
        }
        Ok(parts)
    }

    fn spans(&self, attribution: &Attribution, text: &AnswerText) -> Result<Vec<view::Span>, SnapshotError> {
        let mut spans = Vec::new();
        let mut records_left = SPANS_RECORDS_MAX;
        for span in attribution.spans.iter().take(SPANS_MAX) {
            let Some((start_utf16, end_utf16, text)) = text.range(span.byte_start, span.byte_end) else { continue };
            let mut records = Vec::new();
            let named = span.hits.len().min(SPAN_RECORDS_MAX).min(records_left);
            records_left -= named;
            for hit in &span.hits[..named] {
                let found = self.snapshots.find(self.artifact, hit.record)?;
                records.extend(found.map(|found| view::SpanRecord {
                    hash: found.hash.into(),
                    contributor: found.contributor.into(),
                    datanet: found.datanet.0,
                }));
            }
            spans.push(view::Span { start_utf16, end_utf16, text, records, occurrences: span.occurrences() });
        }
        Ok(spans)
    }
}

/// The answer's text, and where the bytes of its tokens stand in it. The two differ where a stop text was cut off, where
/// tokens are no UTF-8, and where the tokenizer drops a leading space.
struct AnswerText {
    bytes: Vec<u8>,
    text: String,
    skipped: usize,
    fits: bool,
}

impl AnswerText {
    fn new(completion: &Completion, tokenizer: &Tokenizer) -> Self {
        let visible = completion.tokens.iter().filter(|&&token| !tokenizer.is_control(token));
        let bytes: Vec<u8> =
            visible.flat_map(|&token| tokenizer.token_bytes(token).unwrap_or_default()).copied().collect();
        let text = completion.text.clone();
        let decoded = String::from_utf8_lossy(&bytes);
        let dropped = decoded.len() - decoded.trim_start_matches(' ').len();
        let skipped = (0..=dropped).find(|&skipped| decoded[skipped..].starts_with(text.as_str()));
        Self { skipped: skipped.unwrap_or(0), fits: skipped.is_some(), bytes, text }
    }

    /// UTF-16 offsets and text of a range of the tokens' bytes; `None` when nothing of it is in the text.
    fn range(&self, start: u32, end: u32) -> Option<(u32, u32, String)> {
        let (start, end) = (self.place(start)?, self.place(end)?);
        let text = self.text.get(start..end).filter(|text| !text.is_empty())?;
        let before = self.text.get(..start)?.encode_utf16().count();
        let length = text.encode_utf16().count();
        Some((u32::try_from(before).ok()?, u32::try_from(before + length).ok()?, text.to_owned()))
    }

    /// Where a byte of the tokens stands in the text, at a character's beginning.
    fn place(&self, byte: u32) -> Option<usize> {
        if !self.fits {
            return None;
        }
        let head = self.bytes.get(..byte as usize)?;
        let whole = complete(head);
        let decoded = String::from_utf8_lossy(&head[..whole]).len();
        let mut place = decoded.saturating_sub(self.skipped).min(self.text.len());
        while !self.text.is_char_boundary(place) {
            place -= 1;
        }
        Some(place)
    }
}

/// Length without the unfinished character at the end.
fn complete(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Ok(_) => bytes.len(),
        Err(_) => {
            let lead = bytes.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(bytes.len());
            let wanted = match bytes.get(lead) {
                Some(byte) if byte & 0xE0 == 0xC0 => 2,
                Some(byte) if byte & 0xF0 == 0xE0 => 3,
                Some(byte) if byte & 0xF8 == 0xF0 => 4,
                _ => 1,
            };
            if bytes.len() - lead < wanted { lead } else { bytes.len() }
        }
    }
}
