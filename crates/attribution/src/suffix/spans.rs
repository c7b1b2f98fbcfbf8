//! Maximal matching spans of an answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::index::SuffixIndex;

/// A record that holds a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordHit {
    /// Position in the record table.
    pub record: u32,
    /// Position of the span's first occurrence in the indexed text.
    pub position: u32,
    /// How often the record holds it.
    pub times: u32,
}

/// A run of the answer that stands word for word in the training text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First token.
    pub token_start: u32,
    /// One past the last token.
    pub token_end: u32,
    /// First byte of the answer's text.
    pub byte_start: u32,
    /// One past the last byte.
    pub byte_end: u32,
    /// First rank of the suffix table whose suffix begins with the span.
    pub rank_start: u64,
    /// One past the last such rank.
    pub rank_end: u64,
    /// Sum of -log2 p over its tokens, in Q16.
    pub surprise_q16: u64,
    /// The records that hold it, ascending; empty where it occurs too often to pay.
    pub hits: Vec<RecordHit>,
}

impl Span {
    /// How often the span occurs in the indexed text.
    pub fn occurrences(&self) -> u64 {
        self.rank_end - self.rank_start
    }
}

impl SuffixIndex {
    /// The answer's rarest maximal spans, in order of place.
    ///
    /// From each word start the longest match, ending at a word's end and at the latest with the first token that
    /// holds a full stop or line break; kept where it reaches further than all before it and is long enough; of
    /// these the ceil(L x percent / 100) with the largest sum of -log2 p, ties going to the earlier.
    pub fn spans(&self, answer: &Answer) -> Vec<Span> {
        let mut spans = self.maximal(answer);
        spans.sort_by_key(|&(start, end, surprise)| (std::cmp::Reverse(surprise), start, end));
        spans.truncate(self.kept_max(answer.tokens().len()));
        spans.sort_unstable();
        spans.into_iter().map(|(start, end, surprise)| self.describe(answer, start, end, surprise)).collect()
    }

    fn kept_max(&self, tokens: usize) -> usize {
        (tokens * usize::from(self.parts.policy.spans_kept_percent)).div_ceil(100).max(1)
    }

    fn maximal(&self, answer: &Answer) -> Vec<(usize, usize, u64)> {
        let tokens = answer.tokens();
        let length_min = usize::from(self.parts.policy.span_tokens_min).min(tokens.len()).max(1);
        let mut reached = 0;
        let mut found = Vec::new();
        for start in (0..tokens.len()).filter(|&at| answer.is_boundary(at)) {
            let end = self.match_end(answer, start);
            if end <= reached {
                continue;
            }
            reached = end;
            if let Some(surprise) = self.surprise_q16(&tokens[start..end]).filter(|_| end - start >= length_min) {
                found.push((start, end, surprise));
            }
        }
        found
    }

    /// End of the longest match from `start`, drawn back to the end of a word.
    fn match_end(&self, answer: &Answer, start: usize) -> usize {
        let pattern = &answer.tokens()[start..answer.limit(start)];
        let longest = start + self.longest_match(pattern);
        (start + 1..=longest).rev().find(|&end| answer.is_boundary(end)).unwrap_or(start)
    }

    fn describe(&self, answer: &Answer, start: usize, end: usize, surprise_q16: u64) -> Span {
        let (rank_start, rank_end) = self.interval(&answer.tokens()[start..end]);
        let pays = rank_end - rank_start <= u64::from(self.parts.policy.occurrences_max);
        Span {
            token_start: start as u32,
            token_end: end as u32,
            byte_start: answer.byte_offset(start).unwrap_or(0),
            byte_end: answer.byte_offset(end).unwrap_or(0),
            rank_start,
            rank_end,
            surprise_q16,
            hits: if pays { self.hits(rank_start, rank_end) } else { Vec::new() },
        }
    }

    fn hits(&self, rank_start: u64, rank_end: u64) -> Vec<RecordHit> {
        let mut hits: BTreeMap<u32, RecordHit> = BTreeMap::new();
        for &position in &self.parts.table[rank_start as usize..rank_end as usize] {
            let record = self.segment_at(position).record;
            let hit = hits.entry(record).or_insert(RecordHit { record, position, times: 0 });
            hit.position = hit.position.min(position);
            hit.times += 1;
        }
        hits.into_values().collect()
    }
}
