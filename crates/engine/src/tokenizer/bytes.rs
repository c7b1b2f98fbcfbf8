//! Token texts as bytes.

use super::error::TokenizerError;
use super::spec::{Added, Spelling};

/// The bytes of every token, packed.
#[derive(Debug)]
pub(super) struct TokenBytes {
    packed: Vec<u8>,
    ends: Vec<u32>,
}

impl TokenBytes {
    /// `spellings[id]` is the token's text in the vocabulary; added tokens stand for themselves.
    pub(super) fn new(spellings: &[String], added: &[Added], spelling: Spelling) -> Result<Self, TokenizerError> {
        let mut literal = vec![false; spellings.len()];
        for token in added {
            literal[token.id as usize] = true;
        }
        let mut packed = Vec::new();
        let mut ends = Vec::with_capacity(spellings.len());
        for (text, literal) in spellings.iter().zip(literal) {
            match spelling {
                _ if literal => packed.extend_from_slice(text.as_bytes()),
                Spelling::ByteLevel => push_byte_level(text, &mut packed),
                Spelling::Metaspace { .. } => push_metaspace(text, &mut packed),
            }
            let end = u32::try_from(packed.len()).map_err(|_| TokenizerError::Limit {
                field: "bytes of the vocabulary",
                value: packed.len(),
                limit: u32::MAX as usize,
            })?;
            ends.push(end);
        }
        Ok(Self { packed, ends })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        Some(&self.packed[start..end])
    }
}

/// GPT-2 spells bytes as printable characters; a spelling outside that table stands for itself.
fn push_byte_level(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(text.as_bytes());
                return;
            }
        }
    }
}

/// The byte that `character` spells in GPT-2's table: printable Latin-1 stands for itself, the other
/// 68 bytes are U+0100 onwards in ascending order.
fn byte_of(character: char) -> Option<u8> {
    let code = character as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// SentencePiece spells a space as U+2581 and a lone byte as `<0xAB>`.
fn push_metaspace(text: &str, out: &mut Vec<u8>) {
    match byte_escape(text) {
        Some(byte) => out.push(byte),
        None => out.extend_from_slice(text.replace('\u{2581}', " ").as_bytes()),
    }
}

fn byte_escape(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Number of leading bytes of `bytes` that a later byte cannot change: everything but an
/// unfinished UTF-8 sequence at the end.
pub(super) fn settled_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                None => return bytes.len() - rest.len() + error.valid_up_to(),
                Some(bad) => rest = &rest[error.valid_up_to() + bad..],
            },
        }
    }
}
