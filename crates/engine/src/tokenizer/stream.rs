//! Text from tokens as they come.

use super::Tokenizer;
use super::bytes::settled_len;

/// Turns tokens into text one by one, without ever showing half a character.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return, joined, equals
/// [`Tokenizer::decode`] of all the tokens.
#[derive(Debug, Clone)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
    at_start: bool,
}

impl<'a> DecodeStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), at_start: true }
    }

    /// Takes the next token; returns the text that it completes, possibly none.
    pub fn push(&mut self, id: u32) -> String {
        let mut bytes = self.tokenizer.text_bytes(id);
        if self.at_start && !bytes.is_empty() {
            self.at_start = false;
            if self.tokenizer.strips_first_space() {
                bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            }
        }
        self.pending.extend_from_slice(bytes);
        let settled = settled_len(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..settled]).into_owned();
        self.pending.drain(..settled);
        text
    }

    /// Ends the stream; an unfinished character becomes U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
