//! An answer as its tokens and the bytes each stands for.

use openledger_engine::Tokenizer;

use super::ANSWER_TOKENS_MAX;

/// Why an answer cannot be traced.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// Tokens and pieces do not pair up.
    #[error("{tokens} tokens with {pieces} byte pieces")]
    Length {
        /// Number of tokens.
        tokens: usize,
        /// Number of pieces.
        pieces: usize,
    },
    /// A token that the tokenizer does not know.
    #[error("token {token} is not in the vocabulary")]
    UnknownToken {
        /// The token.
        token: u32,
    },
    /// Longer than the limit.
    #[error("answer of {tokens} tokens; at most {max} are traced")]
    TooLong {
        /// Number of tokens.
        tokens: usize,
        /// The limit.
        max: usize,
    },
}

/// An answer's tokens, where each begins in the answer's bytes, and where words begin.
#[derive(Clone, Debug)]
pub struct Answer {
    tokens: Vec<u32>,
    starts: Vec<u32>,
    boundary: Vec<bool>,
    stop: Vec<bool>,
}

impl Answer {
    /// Pairs each token with the bytes it decodes to. Leave the end-of-answer token out.
    ///
    /// # Errors
    /// [`AnswerError`] where the two do not pair up or are too many.
    pub fn new<P: AsRef<[u8]>>(tokens: &[u32], pieces: &[P]) -> Result<Self, AnswerError> {
        if tokens.len() != pieces.len() {
            return Err(AnswerError::Length { tokens: tokens.len(), pieces: pieces.len() });
        }
        if tokens.len() > ANSWER_TOKENS_MAX {
            return Err(AnswerError::TooLong { tokens: tokens.len(), max: ANSWER_TOKENS_MAX });
        }
        let mut answer = Self { tokens: tokens.to_vec(), starts: vec![0], boundary: Vec::new(), stop: Vec::new() };
        let mut before = None;
        for piece in pieces {
            answer.push(piece.as_ref(), &mut before);
        }
        answer.boundary.push(true);
        Ok(answer)
    }

    /// The answer with these tokens of a model's tokenizer. Leave the end-of-answer token out.
    ///
    /// # Errors
    /// [`AnswerError`] for a token the tokenizer does not know, and for too many.
    pub fn from_tokenizer(tokens: &[u32], tokenizer: &Tokenizer) -> Result<Self, AnswerError> {
        let bytes = |&token: &u32| tokenizer.token_bytes(token).ok_or(AnswerError::UnknownToken { token });
        Self::new(tokens, &tokens.iter().map(bytes).collect::<Result<Vec<&[u8]>, _>>()?)
    }

    fn push(&mut self, piece: &[u8], before: &mut Option<u8>) {
        let joins = |left: Option<u8>| left.zip(piece.first().copied()).is_some_and(|(a, b)| in_word(a) && in_word(b));
        self.boundary.push(!joins(*before));
        self.stop.push(piece.iter().any(|byte| matches!(byte, b'.' | b'\n')));
        self.starts.push(self.starts.last().map_or(0, |at| at + piece.len() as u32));
        *before = piece.last().copied().or(*before);
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Byte offset at which token `at` begins; `at` = number of tokens gives the length.
    pub fn byte_offset(&self, at: usize) -> Option<u32> {
        self.starts.get(at).copied()
    }

    /// Whether a word may begin or end right before token `at`.
    pub(crate) fn is_boundary(&self, at: usize) -> bool {
        self.boundary.get(at).copied().unwrap_or(false)
    }

    /// How far a span from `start` may reach: to the end of the first token with a full stop or line break.
    pub(crate) fn limit(&self, start: usize) -> usize {
        let stop = self.stop[start..].iter().position(|&stop| stop);
        stop.map_or(self.tokens.len(), |offset| start + offset + 1)
    }
}

/// Bytes that hold a word together: letters, digits, and all of UTF-8 beyond ASCII.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}
