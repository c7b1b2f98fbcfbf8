//! Building the suffix array.

use libsais::SuffixArrayConstruction;
use openledger_primitives::B256;

use super::index::{Segment, SuffixIndex, SuffixPolicy};
use super::{SEPARATOR, TEXT_TOKENS_MAX};
use crate::record::RecordTable;

/// Most snapshots one index may span.
pub(crate) const SNAPSHOTS_MAX: usize = 1024;

/// Largest vocabulary an index may name.
pub(crate) const VOCABULARY_MAX: u32 = 1 << 24;

/// Why a suffix index cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildSuffixError {
    /// A segment of a record that is not in the table.
    #[error("segment of record {record}; the table has {records}")]
    UnknownRecord {
        /// The record named.
        record: u32,
        /// Records in the table.
        records: usize,
    },
    /// A token outside the vocabulary.
    #[error("record {record} holds token {token}; the vocabulary has {vocabulary}")]
    UnknownToken {
        /// The record.
        record: u32,
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: u32,
    },
    /// More text than an index may hold.
    #[error("text of {tokens} tokens; an index holds at most {max}")]
    TooLong {
        /// Tokens after this segment.
        tokens: usize,
        /// The limit.
        max: usize,
    },
    /// More snapshots than an index may span.
    #[error("{count} snapshots; an index spans at most {max}")]
    TooManySnapshots {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A vocabulary larger than an index may name.
    #[error("vocabulary of {size} tokens; an index names at most {max}")]
    Vocabulary {
        /// Its size.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// The construction itself failed.
    #[error("suffix array construction failed")]
    Construction(#[source] libsais::LibsaisError),
}

/// Gathers the training text, record by record.
#[derive(Debug)]
pub struct SuffixBuilder {
    policy: SuffixPolicy,
    tokenizer: B256,
    snapshots: Vec<B256>,
    vocabulary: u32,
    records: RecordTable,
    text: Vec<u32>,
    segments: Vec<Segment>,
}

impl SuffixBuilder {
    /// Starts an index for the snapshots with these roots, tokenised by the tokenizer with this hash, whose tokens
    /// are below `vocabulary`.
    pub fn new(
        policy: SuffixPolicy,
        tokenizer: B256,
        snapshots: Vec<B256>,
        vocabulary: u32,
        records: RecordTable,
    ) -> Self {
        Self { policy, tokenizer, snapshots, vocabulary, records, text: Vec::new(), segments: Vec::new() }
    }

    /// Adds a stretch of a record's text: a response, or a prompt, without the template around it. No span ever
    /// crosses from one stretch into the next. Order matters: it is part of the commitment.
    ///
    /// # Errors
    /// [`BuildSuffixError`] for an unknown record or token, and beyond [`TEXT_TOKENS_MAX`].
    pub fn push(&mut self, record: u32, tokens: &[u32]) -> Result<(), BuildSuffixError> {
        if record as usize >= self.records.len() {
            return Err(BuildSuffixError::UnknownRecord { record, records: self.records.len() });
        }
        let vocabulary = self.vocabulary;
        if let Some(&token) = tokens.iter().find(|&&token| token >= vocabulary) {
            return Err(BuildSuffixError::UnknownToken { record, token, vocabulary });
        }
        let length = self.text.len() + tokens.len() + 1;
        if length > TEXT_TOKENS_MAX {
            return Err(BuildSuffixError::TooLong { tokens: length, max: TEXT_TOKENS_MAX });
        }
        self.segments.push(Segment { start: self.text.len() as u32, record });
        self.text.extend_from_slice(tokens);
        self.text.push(SEPARATOR);
        Ok(())
    }

    /// Adds the parts of a tokenised training sequence that carry a loss: where `targets[t]` names the token at
    /// `t + 1`, that token is text. Each unbroken run is one stretch; tokens in `special` end a run.
    ///
    /// # Errors
    /// As [`SuffixBuilder::push`].
    pub fn push_trained(
        &mut self,
        record: u32,
        targets: &[Option<u32>],
        special: &[u32],
    ) -> Result<(), BuildSuffixError> {
        let kept = |target: &Option<u32>| target.is_some_and(|token| !special.contains(&token));
        for run in targets.split(|target| !kept(target)).filter(|run| !run.is_empty()) {
            let tokens: Vec<u32> = run.iter().flatten().copied().collect();
            self.push(record, &tokens)?;
        }
        Ok(())
    }

    /// Sorts the suffixes and commits to them.
    ///
    /// # Errors
    /// [`BuildSuffixError`] for too many snapshots, too large a vocabulary, or where the construction fails for want of memory.
    pub fn finish(self) -> Result<SuffixIndex, BuildSuffixError> {
        if self.snapshots.len() > SNAPSHOTS_MAX {
            return Err(BuildSuffixError::TooManySnapshots { count: self.snapshots.len(), max: SNAPSHOTS_MAX });
        }
        if self.vocabulary > VOCABULARY_MAX {
            return Err(BuildSuffixError::Vocabulary { size: self.vocabulary, max: VOCABULARY_MAX });
        }
        let table = sort_suffixes(&self.text).map_err(BuildSuffixError::Construction)?;
        Ok(SuffixIndex::assemble(super::index::Parts {
            policy: self.policy,
            tokenizer: self.tokenizer,
            snapshots: self.snapshots,
            vocabulary: self.vocabulary,
            records: self.records,
            segments: self.segments,
            text: self.text,
            table,
        }))
    }
}

/// Positions of all suffixes in ascending order: by token value, a proper prefix first, separators last.
fn sort_suffixes(text: &[u32]) -> Result<Vec<u32>, libsais::LibsaisError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let ranks = dense_ranks(text);
    let order = if ranks.distinct <= usize::from(u16::MAX) {
        let narrow: Vec<u16> = ranks.text.iter().map(|&rank| rank as u16).collect();
        SuffixArrayConstruction::for_text(&narrow).in_owned_buffer32().single_threaded().run()?.into_vec()
    } else {
        let mut wide = ranks.text;
        SuffixArrayConstruction::for_text_mut(&mut wide).in_owned_buffer32().single_threaded().run()?.into_vec()
    };
    Ok(order.into_iter().map(|position: i32| position as u32).collect())
}

struct Ranks {
    text: Vec<i32>,
    distinct: usize,
}

/// The text over the smallest alphabet with the same order, as the construction likes it.
fn dense_ranks(text: &[u32]) -> Ranks {
    let mut alphabet = text.to_vec();
    alphabet.sort_unstable();
    alphabet.dedup();
    let rank = |token: &u32| alphabet.partition_point(|known| known < token) as i32;
    Ranks { text: text.iter().map(rank).collect(), distinct: alphabet.len() }
}
