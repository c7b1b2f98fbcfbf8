//! The suffix index as bytes.

use openledger_primitives::B256;

use super::build::{SNAPSHOTS_MAX, VOCABULARY_MAX};
use super::commit::SUFFIX_VERSION;
use super::index::{IndexedText, Parts, Segment, SuffixIndex, SuffixPolicy};
use super::{SEPARATOR, TEXT_TOKENS_MAX};
use crate::codec::{DecodeError, Reader, Writer};
use crate::record::RecordTable;

const MAGIC: [u8; 4] = *b"OLSX";

/// Vocabularies up to here are stored in two bytes a token.
const NARROW_MAX: u32 = u16::MAX as u32;

impl SuffixIndex {
    /// The index as bytes; see docs/formats.md.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = &self.parts;
        let mut out = Writer::with_capacity(parts.text.len() * 8 + parts.records.len() * 48);
        out.bytes(&MAGIC);
        out.u8(SUFFIX_VERSION);
        write_header(parts, &mut out);
        out.u32(parts.text.len() as u32);
        parts.text.iter().for_each(|&token| write_token(token, parts.vocabulary, &mut out));
        parts.table.iter().for_each(|&position| out.u32(position));
        out.bytes(self.root().as_slice());
        out.into_vec()
    }

    /// Reads an index and checks it against the root it carries.
    ///
    /// Whether that root is the one a model's manifest names, and whether the table is in order
    /// ([`SuffixIndex::first_disorder`]), is the caller's to check.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not a whole, consistent index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.magic("suffix index", MAGIC)?;
        input.version("suffix index", SUFFIX_VERSION)?;
        let parts = read_parts(&mut input)?;
        let stated = input.b256("root")?;
        input.finish()?;
        let index = Self::assemble(parts);
        match index.root() {
            computed if computed == stated => Ok(index),
            computed => Err(DecodeError::Root { stated, computed }),
        }
    }
}

/// Policy, tokenizer, snapshots, records and segments: what the commitment hashes besides text and table.
pub(crate) fn write_header(parts: &Parts, out: &mut Writer) {
    out.u8(match parts.policy.indexed {
        IndexedText::Completions => 0,
        IndexedText::All => 1,
    });
    out.u16(parts.policy.span_tokens_min);
    out.u16(parts.policy.spans_kept_percent);
    out.u32(parts.policy.occurrences_max);
    out.bytes(parts.tokenizer.as_slice());
    out.u32(parts.vocabulary);
    out.u32(parts.snapshots.len() as u32);
    parts.snapshots.iter().for_each(|root| out.bytes(root.as_slice()));
    parts.records.write(out);
    out.u32(parts.segments.len() as u32);
    for segment in &parts.segments {
        out.u32(segment.start);
        out.u32(segment.record);
    }
}

fn read_parts(input: &mut Reader<'_>) -> Result<Parts, DecodeError> {
    let policy = read_policy(input)?;
    let tokenizer = input.b256("tokenizer")?;
    let vocabulary = input.u32("vocabulary")?;
    if vocabulary > VOCABULARY_MAX {
        return Err(input.too_large("vocabulary", vocabulary.into(), VOCABULARY_MAX.into()));
    }
    let count = input.count("snapshots", SNAPSHOTS_MAX, 32)?;
    let snapshots = (0..count).map(|_| input.b256("snapshot root")).collect::<Result<Vec<B256>, _>>()?;
    let records = RecordTable::read(input)?;
    let segments = read_segments(input, &records)?;
    let width = if vocabulary <= NARROW_MAX { 2 } else { 4 };
    let tokens = input.count("text tokens", TEXT_TOKENS_MAX, width + 4)?;
    check_segments(&segments, tokens)?;
    let text = (0..tokens).map(|_| read_token(input, vocabulary)).collect::<Result<Vec<u32>, _>>()?;
    let table = read_table(input, tokens)?;
    Ok(Parts { policy, tokenizer, snapshots, vocabulary, records, segments, text, table })
}

fn read_policy(input: &mut Reader<'_>) -> Result<SuffixPolicy, DecodeError> {
    let indexed = match input.u8("indexed text")? {
        0 => IndexedText::Completions,
        1 => IndexedText::All,
        value => return Err(DecodeError::Meaningless { what: "indexed text", value: value.into() }),
    };
    Ok(SuffixPolicy {
        indexed,
        span_tokens_min: input.u16("shortest span")?,
        spans_kept_percent: input.u16("spans kept")?,
        occurrences_max: input.u32("most occurrences")?,
    })
}

fn read_segments(input: &mut Reader<'_>, records: &RecordTable) -> Result<Vec<Segment>, DecodeError> {
    let count = input.count("segments", TEXT_TOKENS_MAX, 8)?;
    let mut segments = Vec::with_capacity(count);
    for _ in 0..count {
        let segment = Segment { start: input.u32("segment start")?, record: input.u32("segment record")? };
        if segment.record as usize >= records.len() {
            return Err(DecodeError::Meaningless { what: "segment record", value: segment.record.into() });
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Segments begin at 0 and ascend within the text, so that every position has one.
fn check_segments(segments: &[Segment], tokens: usize) -> Result<(), DecodeError> {
    let meaningless =
        |segment: &Segment| DecodeError::Meaningless { what: "segment start", value: segment.start.into() };
    match segments.first() {
        Some(first) if first.start != 0 => return Err(meaningless(first)),
        None if tokens > 0 => return Err(DecodeError::Meaningless { what: "segments", value: 0 }),
        _ => {}
    }
    if let Some(pair) = segments.windows(2).find(|pair| pair[0].start >= pair[1].start) {
        return Err(meaningless(&pair[1]));
    }
    segments.last().filter(|last| last.start as usize >= tokens).map_or(Ok(()), |last| Err(meaningless(last)))
}

fn read_table(input: &mut Reader<'_>, tokens: usize) -> Result<Vec<u32>, DecodeError> {
    let mut seen = vec![false; tokens];
    let mut table = Vec::with_capacity(tokens);
    for _ in 0..tokens {
        let position = input.u32("table entry")?;
        match seen.get_mut(position as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(DecodeError::Meaningless { what: "table entry", value: position.into() }),
        }
        table.push(position);
    }
    Ok(table)
}

/// Two bytes a token where the vocabulary allows, all ones for the separator.
fn write_token(token: u32, vocabulary: u32, out: &mut Writer) {
    if vocabulary <= NARROW_MAX { out.u16(token as u16) } else { out.u32(token) }
}

fn read_token(input: &mut Reader<'_>, vocabulary: u32) -> Result<u32, DecodeError> {
    let token = if vocabulary <= NARROW_MAX {
        match input.u16("token")? {
            u16::MAX => SEPARATOR,
            token => token.into(),
        }
    } else {
        input.u32("token")?
    };
    if token == SEPARATOR || token < vocabulary {
        Ok(token)
    } else {
        Err(DecodeError::Meaningless { what: "token", value: token.into() })
    }
}
