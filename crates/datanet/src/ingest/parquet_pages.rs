//! Walks a Parquet file's page headers without decompressing anything.
//!
//! Headers are Thrift structs in the compact protocol. Only the sizes and counts matter here: a decoder reserves what they
//! claim. Fields of `PageHeader` (parquet.thrift): 2 uncompressed size, 3 compressed size, 5 data page, 7 dictionary page,
//! 8 data page version 2; field 1 of each of those three is the number of values. Where a header names something twice, the
//! largest counts, whichever of them a decoder believes.
//!
//! Values written as a prefix of the one before and a rest (DELTA_BYTE_ARRAY) are refused: a page of a few kilobytes makes
//! a decoder copy one long value a million times.

use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

use super::parquet::{damaged, unusable};
use super::{IngestError, Mapping};
use crate::limits::{CONTENT_BYTES_MAX, PARQUET_PAGE_BYTES_MAX, PARQUET_PAGES_MAX, PARQUET_VALUES_MAX};

/// Largest page header: statistics hold two values at most.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of a header.
const HEADER_NESTING_MAX: usize = 8;
/// `Encoding.DELTA_BYTE_ARRAY` of parquet.thrift.
const DELTA_BYTE_ARRAY: u64 = 7;

/// Checks every page of the mapped columns.
pub(super) fn check_pages(
    source: &impl ChunkReader,
    bytes: u64,
    metadata: &ParquetMetaData,
    mapping: &Mapping,
) -> Result<(), IngestError> {
    let mapped = mapping.columns();
    let mut totals = Totals::default();
    let mut chunks = Vec::new();
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let path = column.column_path().parts();
        if mapped.iter().any(|(_, name)| path.first().is_some_and(|first| first == name)) {
            let chunk = chunk_range(bytes, column)?;
            check_chunk(source, chunk.clone(), &mut totals)?;
            chunks.push(chunk);
        }
    }
    check_apart(chunks)
}

/// Where a column's pages are, from where the decoder begins to read.
fn chunk_range(bytes: u64, column: &ColumnChunkMetaData) -> Result<Range<u64>, IngestError> {
    let outside = || unusable("a column reaches beyond the file");
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let start = u64::try_from(start).map_err(|_| outside())?;
    let length = u64::try_from(column.compressed_size()).map_err(|_| outside())?;
    let end = start.checked_add(length).filter(|end| *end <= bytes).ok_or_else(outside)?;
    Ok(start..end)
}

/// No writer lets two columns share bytes; a file that does says the same page over and over.
fn check_apart(mut chunks: Vec<Range<u64>>) -> Result<(), IngestError> {
    chunks.retain(|chunk| !chunk.is_empty());
    chunks.sort_unstable_by_key(|chunk| chunk.start);
    if chunks.windows(2).any(|pair| pair[1].start < pair[0].end) {
        return Err(unusable("two columns share bytes of the file"));
    }
    Ok(())
}

#[derive(Default)]
struct Totals {
    pages: u64,
    uncompressed_bytes: u64,
    values: u64,
}

fn check_chunk(source: &impl ChunkReader, chunk: Range<u64>, totals: &mut Totals) -> Result<(), IngestError> {
    let Range { start: mut at, end } = chunk;
    while at < end {
        let available = usize::try_from(end - at).unwrap_or(HEADER_BYTES_MAX).min(HEADER_BYTES_MAX);
        let head = source.get_bytes(at, available).map_err(|error| damaged(&error))?;
        let header = PageHeader::read(&head).ok_or_else(|| unusable("a malformed page header"))?;
        header.check(totals)?;
        at += header.header_bytes + header.compressed_bytes;
    }
    Ok(())
}

#[derive(Default)]
struct PageHeader {
    header_bytes: u64,
    uncompressed_bytes: u64,
    compressed_bytes: u64,
    values: u64,
    /// Whether its values are prefixes of the ones before.
    prefixed: bool,
}

impl PageHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Compact { bytes, at: 0 };
        let mut header = Self::default();
        reader.fields(0, &mut |reader, field, kind| match (field, kind) {
            (2, Compact::I32) => reader.raise(&mut header.uncompressed_bytes),
            (3, Compact::I32) => reader.raise(&mut header.compressed_bytes),
            (5 | 7, Compact::STRUCT) => header.read_page(reader, 2),
            (8, Compact::STRUCT) => header.read_page(reader, 4),
            _ => reader.skip(kind, 1),
        })?;
        header.header_bytes = reader.at as u64;
        Some(header)
    }

    /// The number of values and how they are written, which each kind of page has in another field.
    fn read_page(&mut self, reader: &mut Compact<'_>, encoding_field: i64) -> Option<()> {
        reader.fields(1, &mut |reader, field, kind| match (field, kind) {
            (1, Compact::I32) => reader.raise(&mut self.values),
            (found, Compact::I32) if found == encoding_field => {
                reader.unsigned().map(|encoding| self.prefixed |= encoding == DELTA_BYTE_ARRAY)
            }
            _ => reader.skip(kind, 2),
        })
    }

    fn check(&self, totals: &mut Totals) -> Result<(), IngestError> {
        if self.prefixed {
            return Err(unusable("encoding DELTA_BYTE_ARRAY is not supported; use PLAIN or a dictionary"));
        }
        let page = self.uncompressed_bytes.max(self.compressed_bytes);
        if page > PARQUET_PAGE_BYTES_MAX {
            let reason = format!("a page of {page} bytes after decompression; the limit is {PARQUET_PAGE_BYTES_MAX}");
            return Err(unusable(&reason));
        }
        totals.pages += 1;
        if totals.pages > PARQUET_PAGES_MAX {
            return Err(unusable(&format!("more than {PARQUET_PAGES_MAX} pages in the mapped columns")));
        }
        totals.uncompressed_bytes += self.uncompressed_bytes;
        totals.values += self.values;
        if totals.uncompressed_bytes > CONTENT_BYTES_MAX as u64 {
            return Err(IngestError::TooMuchContent);
        }
        if totals.values > PARQUET_VALUES_MAX {
            return Err(unusable(&format!("more than {PARQUET_VALUES_MAX} values in the mapped columns")));
        }
        Ok(())
    }
}

/// A reader of Thrift's compact protocol that knows as much as skipping needs.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

type OnField<'f, 'a> = dyn FnMut(&mut Compact<'a>, i64, u8) -> Option<()> + 'f;

impl<'a> Compact<'a> {
    const I32: u8 = 5;
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that must not be negative.
    fn unsigned(&mut self) -> Option<u64> {
        u64::try_from(self.zigzag()?).ok()
    }

    fn fields(&mut self, depth: usize, on_field: &mut OnField<'_, 'a>) -> Option<()> {
        if depth > HEADER_NESTING_MAX {
            return None;
        }
        let mut field = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => self.zigzag()?,
                delta => field.checked_add(i64::from(delta))?,
            };
            on_field(self, field, head & 0x0f)?;
        }
    }

    /// Takes a number over where it is larger than `value`.
    fn raise(&mut self, value: &mut u64) -> Option<()> {
        self.unsigned().map(|number| *value = number.max(*value))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.forward(8),
            8 => {
                let length = self.varint()?;
                self.forward(usize::try_from(length).ok()?)
            }
            9 | 10 => self.skip_list(depth),
            Self::STRUCT => self.fields(depth, &mut |reader, _, kind| reader.skip(kind, depth + 1)),
            // Maps do not occur in page headers.
            _ => None,
        }
    }

    fn skip_list(&mut self, depth: usize) -> Option<()> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if depth > HEADER_NESTING_MAX || count > self.bytes.len() as u64 {
            return None;
        }
        for _ in 0..count {
            match head & 0x0f {
                // Booleans in lists take a byte each.
                1 | 2 => self.byte().map(drop)?,
                kind => self.skip(kind, depth + 1)?,
            }
        }
        Some(())
    }

    fn forward(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count)?;
        (at <= self.bytes.len()).then(|| self.at = at)
    }
}
