//! Provenance: what the answer quotes.
//!
//! A suffix array over the tokens of the training text finds, for each word of an answer, the longest run of
//! tokens that also stands in the training data, as OLMoTrace defines it; the rarest runs are kept and credited.

mod answer;
mod build;
mod commit;
mod credit;
mod file;
mod index;
mod spans;

pub use answer::{Answer, AnswerError};
pub use build::{BuildSuffixError, SuffixBuilder};
pub use commit::{CountProof, CountProofError, TABLE_CHUNK};
pub use credit::Provenance;
pub use index::{IndexedText, SuffixIndex, SuffixPolicy};
pub use spans::{RecordHit, Span};

/// Most tokens an index may hold, separators included.
pub const TEXT_TOKENS_MAX: usize = 1 << 30;

/// Most tokens an answer may have.
pub const ANSWER_TOKENS_MAX: usize = 1 << 17;

/// Ends each stretch of text; greater than every token.
pub(crate) const SEPARATOR: u32 = u32::MAX;
