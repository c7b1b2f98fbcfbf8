//! Records: the four kinds, their canonical bytes and their hashes.
//!
//! **Normalisation.** Every text is brought to Unicode NFC, CR LF and CR become LF, white space at both ends goes,
//! and at the start byte-order marks with it. Nothing else changes: case, spacing inside and punctuation are the contributor's. Control
//! characters other than line feed and tab are refused.

use openledger_primitives::canonical_json::{self, CanonicalJsonError};
use openledger_primitives::{B256, RecordHash, keccak256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits::{MESSAGES_MAX, RECORD_BYTES_MAX};

/// Roles that a conversation may name.
pub const ROLES: [&str; 3] = ["system", "user", "assistant"];

/// U+FEFF, which editors put at the start of files.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// One contribution: what a model learns from at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Record {
    /// `{"prompt","response"}`: learn to answer.
    Prompt {
        /// The question.
        prompt: String,
        /// The answer.
        response: String,
    },
    /// `{"messages"}`: a conversation.
    Messages {
        /// Its turns, in order.
        messages: Vec<Message>,
    },
    /// `{"media","text"}`: a description of a file in the blob store.
    Media {
        /// Hash of the file, as 0x and 64 hexadecimal digits.
        media: String,
        /// Its description.
        text: String,
    },
    /// `{"text"}`: learn to continue.
    Text {
        /// The text.
        text: String,
    },
}

/// Which kind a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// `{"text"}`.
    Text,
    /// `{"prompt","response"}`.
    Prompt,
    /// `{"messages"}`.
    Messages,
    /// `{"media","text"}`.
    Media,
}

/// Why something is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A field is empty or white space.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// A field has a control character.
    #[error("{field} has the control character U+{:04X} at character {at}", *character as u32)]
    Control {
        /// Which field.
        field: &'static str,
        /// The character.
        character: char,
        /// Its position, from 1.
        at: usize,
    },
    /// The canonical bytes are too many.
    #[error("record has {bytes} bytes; the limit is {RECORD_BYTES_MAX}")]
    TooLong {
        /// Bytes of the canonical form.
        bytes: usize,
    },
    /// A conversation has no answer to learn from, or too many turns.
    #[error("messages: {reason}")]
    Messages {
        /// What is wrong.
        reason: String,
    },
    /// The media field is no hash.
    #[error("media {value:?} is not a blob hash (0x and 64 hexadecimal digits)")]
    Media {
        /// The value given, shortened.
        value: String,
    },
    /// Bytes that are not the canonical form of a record.
    #[error("not the canonical form of a record")]
    NotCanonical,
}

impl Record {
    /// Brings every text to its normal form and checks the record.
    ///
    /// # Errors
    /// [`RecordError`] naming the field.
    pub fn normalised(self) -> Result<Self, RecordError> {
        let record = match self {
            Self::Text { text } => Self::Text { text: normal_text("text", &text)? },
            Self::Prompt { prompt, response } => {
                Self::Prompt { prompt: normal_text("prompt", &prompt)?, response: normal_text("response", &response)? }
            }
            Self::Media { media, text } => {
                Self::Media { media: normal_media(&media)?, text: normal_text("text", &text)? }
            }
            Self::Messages { messages } => Self::Messages { messages: normal_messages(messages)? },
        };
        let bytes = record.canonical_bytes().len();
        if bytes > RECORD_BYTES_MAX { Err(RecordError::TooLong { bytes }) } else { Ok(record) }
    }

    /// Canonical JSON (RFC 8785).
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let written: Result<_, CanonicalJsonError> = canonical_json::to_vec(&self.to_value());
        written.expect("records hold strings nested three deep")
    }

    /// Reads canonical bytes back; anything else, however similar, is refused.
    ///
    /// # Errors
    /// [`RecordError::NotCanonical`], or what [`Record::normalised`] finds wrong.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|_| RecordError::NotCanonical)?;
        let normal = record.normalised()?;
        if normal.canonical_bytes() == bytes { Ok(normal) } else { Err(RecordError::NotCanonical) }
    }

    /// The record's kind.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Text { .. } => RecordKind::Text,
            Self::Prompt { .. } => RecordKind::Prompt,
            Self::Messages { .. } => RecordKind::Messages,
            Self::Media { .. } => RecordKind::Media,
        }
    }

    /// All its texts in order, one a line: what duplicates are compared by and the suffix index covers.
    #[must_use]
    pub fn full_text(&self) -> String {
        match self {
            Self::Text { text } => text.clone(),
            Self::Prompt { prompt, response } => format!("{prompt}\n{response}"),
            Self::Media { media, text } => format!("{media}\n{text}"),
            Self::Messages { messages } => {
                messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// What a classifier is to say: the response, or the last assistant turn.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Prompt { response, .. } => Some(response),
            Self::Messages { messages } => messages
                .iter()
                .rev()
                .find(|message| message.role == "assistant")
                .map(|message| message.content.as_str()),
            _ => None,
        }
    }

    fn to_value(&self) -> Value {
        let object = |fields: Vec<(&str, Value)>| {
            Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
        };
        let text = |text: &String| Value::String(text.clone());
        match self {
            Self::Text { text: content } => object(vec![("text", text(content))]),
            Self::Prompt { prompt, response } => object(vec![("prompt", text(prompt)), ("response", text(response))]),
            Self::Media { media, text: content } => object(vec![("media", text(media)), ("text", text(content))]),
            Self::Messages { messages } => {
                let turn = |message: &Message| {
                    object(vec![("role", text(&message.role)), ("content", text(&message.content))])
                };
                object(vec![("messages", Value::Array(messages.iter().map(turn).collect()))])
            }
        }
    }
}

/// `H(salt ‖ canonical bytes)`: with the salt forgotten, the hash says nothing about the record.
#[must_use]
pub fn record_hash(salt: B256, canonical: &[u8]) -> RecordHash {
    RecordHash(keccak256([salt.as_slice(), canonical].concat()))
}

fn normal_text(field: &'static str, text: &str) -> Result<String, RecordError> {
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
    let text = if is_nfc(&text) { text } else { text.nfc().collect() };
    // A byte-order mark may stand behind white space, and white space behind a mark.
    let trimmed = text.trim_start_matches(|first: char| first.is_whitespace() || first == BYTE_ORDER_MARK).trim_end();
    if trimmed.is_empty() {
        return Err(RecordError::Empty { field });
    }
    let forbidden = |character: char| character.is_control() && character != '\n' && character != '\t';
    match trimmed.chars().enumerate().find(|(_, character)| forbidden(*character)) {
        Some((at, character)) => Err(RecordError::Control { field, character, at: at + 1 }),
        None => Ok(trimmed.to_owned()),
    }
}

fn normal_media(media: &str) -> Result<String, RecordError> {
    let hash: Option<B256> = media.trim().parse().ok().filter(|_| media.trim().starts_with("0x"));
    hash.map(|hash| hash.to_string()).ok_or_else(|| RecordError::Media { value: crate::ingest::quote(media) })
}

fn normal_messages(messages: Vec<Message>) -> Result<Vec<Message>, RecordError> {
    let wrong = |reason: String| Err(RecordError::Messages { reason });
    if messages.len() > MESSAGES_MAX {
        return wrong(format!("{} turns; the limit is {MESSAGES_MAX}", messages.len()));
    }
    let mut normal = Vec::with_capacity(messages.len());
    for (position, message) in messages.into_iter().enumerate() {
        if !ROLES.contains(&message.role.as_str()) {
            let role = crate::ingest::quote(&message.role);
            return wrong(format!("turn {} has role {role:?}; known are system, user and assistant", position + 1));
        }
        if message.role == "system" && position > 0 {
            return wrong(format!("turn {} is a system turn; only the first may be", position + 1));
        }
        normal.push(Message { content: normal_text("content", &message.content)?, role: message.role });
    }
    if !normal.iter().any(|message| message.role == "assistant") {
        return wrong("no assistant turn".to_owned());
    }
    Ok(normal)
}
