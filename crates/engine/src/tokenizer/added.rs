//! Splitting text at added tokens.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::error::TokenizerError;
use super::spec::Added;

/// A stretch of text, or an added token in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Range<usize>),
    Token(u32, Range<usize>),
}

/// Finds added tokens: leftmost first, the longest of those, as the reference implementation does.
#[derive(Debug)]
pub(super) struct AddedTokens {
    matcher: AhoCorasick,
    matched: Vec<Added>,
}

impl AddedTokens {
    pub(super) fn new(added: &[Added]) -> Result<Self, TokenizerError> {
        // Tokens that are matched after normalisation and control nothing are left to the library.
        let matched: Vec<Added> = added.iter().filter(|token| token.raw || token.control).cloned().collect();
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(matched.iter().map(|token| &token.content))
            .map_err(|error| TokenizerError::Build { reason: error.to_string() })?;
        Ok(Self { matcher, matched })
    }

    pub(super) fn controls(&self) -> impl Iterator<Item = &Added> {
        self.matched.iter().filter(|token| token.control)
    }

    pub(super) fn split(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut done = 0;
        for found in self.matcher.find_iter(text) {
            let token = &self.matched[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            if start < done {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            push_text(&mut pieces, done..start);
            pieces.push(Piece::Token(token.id, start..end));
            done = end;
        }
        push_text(&mut pieces, done..text.len());
        pieces
    }

    /// The control tokens in `text`, in order.
    pub(super) fn control_ids(&self, text: &str) -> Vec<u32> {
        let matches = self.matcher.find_iter(text);
        let tokens = matches.map(|found| &self.matched[found.pattern().as_usize()]);
        tokens.filter(|token| token.control).map(|token| token.id).collect()
    }

    /// Where control tokens start in `text`.
    pub(super) fn control_starts(&self, text: &str) -> Vec<usize> {
        let matches = self.matcher.find_iter(text);
        matches.filter(|found| self.matched[found.pattern().as_usize()].control).map(|found| found.start()).collect()
    }
}

fn push_text(pieces: &mut Vec<Piece>, range: Range<usize>) {
    if !range.is_empty() {
        pieces.push(Piece::Text(range));
    }
}
