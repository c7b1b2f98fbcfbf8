//! The index in memory and the searches over it.

use std::cmp::Ordering;

use openledger_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{SEPARATOR, commit};
use crate::fixed::surprise_q16;
use crate::record::RecordTable;

/// Which part of a record the index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexedText {
    /// What the model was trained to produce: responses, and all of a plain-text record.
    Completions,
    /// Prompts as well, as stretches of their own.
    All,
}

/// The named constants of the provenance channel; part of the attribution policy in a model's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuffixPolicy {
    /// What was indexed.
    pub indexed: IndexedText,
    /// Shortest span in tokens, unless the whole answer is shorter.
    pub span_tokens_min: u16,
    /// Of an answer of L tokens, ceil(L x this / 100) spans are kept, at least one.
    pub spans_kept_percent: u16,
    /// A span that occurs more often pays nobody.
    pub occurrences_max: u32,
}

impl Default for SuffixPolicy {
    fn default() -> Self {
        Self { indexed: IndexedText::Completions, span_tokens_min: 2, spans_kept_percent: 5, occurrences_max: 1000 }
    }
}

/// A stretch of text: where it begins, and the record it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: u32,
    pub(crate) record: u32,
}

/// Everything but what is derived.
pub(crate) struct Parts {
    pub(crate) policy: SuffixPolicy,
    pub(crate) tokenizer: B256,
    pub(crate) snapshots: Vec<B256>,
    pub(crate) vocabulary: u32,
    pub(crate) records: RecordTable,
    pub(crate) segments: Vec<Segment>,
    pub(crate) text: Vec<u32>,
    pub(crate) table: Vec<u32>,
}

/// Suffix index of a model's training text, committed to by [`SuffixIndex::root`].
pub struct SuffixIndex {
    pub(crate) parts: Parts,
    surprise: Vec<u32>,
    root: B256,
}

impl std::fmt::Debug for SuffixIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tokens, records) = (self.parts.text.len(), self.parts.records.len());
        write!(f, "SuffixIndex {{ tokens: {tokens}, records: {records}, root: {} }}", self.root)
    }
}

impl SuffixIndex {
    pub(crate) fn assemble(parts: Parts) -> Self {
        let surprise = surprises(&parts.text, parts.vocabulary);
        let root = commit::root(&parts);
        Self { parts, surprise, root }
    }

    /// Commitment to policy, tokenizer, snapshots, records, text and table.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// The policy it was built with.
    pub fn policy(&self) -> &SuffixPolicy {
        &self.parts.policy
    }

    /// Hash of the tokenizer that made the tokens.
    pub fn tokenizer(&self) -> B256 {
        self.parts.tokenizer
    }

    /// Roots of the snapshots it covers.
    pub fn snapshots(&self) -> &[B256] {
        &self.parts.snapshots
    }

    /// The records whose text it holds.
    pub fn records(&self) -> &RecordTable {
        &self.parts.records
    }

    /// Tokens of text, separators included.
    pub fn tokens(&self) -> usize {
        self.parts.text.len()
    }

    /// First rank at which the table is out of order: none if each suffix is greater than the one before it, and
    /// only then. Takes time in proportion to the text, however often the text repeats itself.
    ///
    /// Two neighbours are in order if their first tokens are, or, where those are the same, if the suffixes behind them are
    /// by the table itself; if that holds of all neighbours, the table is the one order (Burkhardt and Kärkkäinen 2003, section 8).
    pub fn first_disorder(&self) -> Option<u64> {
        let Parts { text, table, .. } = &self.parts;
        let mut ranks = vec![0u32; text.len()];
        (0u32..).zip(table).for_each(|(rank, &position)| ranks[position as usize] = rank);
        // The empty suffix behind the last token is the least.
        let key = |position: u32| (text[position as usize], ranks.get(position as usize + 1));
        table.windows(2).position(|pair| key(pair[0]) >= key(pair[1])).map(|at| at as u64 + 1)
    }

    /// Ranks `lo..hi` of the suffixes that begin with `pattern`.
    pub fn interval(&self, pattern: &[u32]) -> (u64, u64) {
        let table = &self.parts.table;
        let lo = table.partition_point(|&at| self.compare(at, pattern) == Ordering::Less);
        let equal = table[lo..].partition_point(|&at| self.compare(at, pattern) == Ordering::Equal);
        (lo as u64, (lo + equal) as u64)
    }

    /// Length of the longest prefix of `pattern` that stands in the text.
    ///
    /// Its best matches are the neighbours of the place where the pattern would be inserted; at rank 0 there is
    /// only the one above.
    pub fn longest_match(&self, pattern: &[u32]) -> usize {
        let table = &self.parts.table;
        let place = table.partition_point(|&at| self.compare(at, pattern) == Ordering::Less);
        let below = place.checked_sub(1).map(|rank| table[rank]);
        let above = table.get(place).copied();
        below.into_iter().chain(above).map(|at| self.common(at, pattern)).max().unwrap_or(0)
    }

    /// Sum of -log2 p of the tokens in Q16, p being their share of the indexed text. `None` for a token never seen.
    pub fn surprise_q16(&self, tokens: &[u32]) -> Option<u64> {
        tokens.iter().try_fold(0u64, |sum, &token| {
            let bits = self.surprise.get(token as usize).copied().filter(|&bits| bits != UNSEEN)?;
            sum.checked_add(u64::from(bits))
        })
    }

    /// The stretch that holds a position of the text.
    pub(crate) fn segment_at(&self, position: u32) -> Segment {
        let after = self.parts.segments.partition_point(|segment| segment.start <= position);
        self.parts.segments[after - 1]
    }

    /// Compares the first `pattern.len()` tokens of the suffix with the pattern.
    fn compare(&self, position: u32, pattern: &[u32]) -> Ordering {
        let suffix = &self.parts.text[position as usize..];
        suffix[..suffix.len().min(pattern.len())].cmp(pattern)
    }

    fn common(&self, position: u32, pattern: &[u32]) -> usize {
        let suffix = &self.parts.text[position as usize..];
        suffix.iter().zip(pattern).take_while(|(a, b)| a == b && **a != SEPARATOR).count()
    }
}

/// Marks a token that the text never holds.
const UNSEEN: u32 = u32::MAX;

fn surprises(text: &[u32], vocabulary: u32) -> Vec<u32> {
    let mut counts = vec![0u64; vocabulary as usize];
    let mut total = 0;
    for &token in text.iter().filter(|&&token| token != SEPARATOR) {
        counts[token as usize] += 1;
        total += 1;
    }
    counts.into_iter().map(|count| surprise_q16(count, total).unwrap_or(UNSEEN)).collect()
}
