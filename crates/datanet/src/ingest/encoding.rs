//! Byte-order marks: UTF-8 passes without its mark, UTF-16 is decoded, UTF-32 is refused by name.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::IngestError;

const UTF8_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// A reader of what should be UTF-8; whether it is, each row decides for itself.
pub(super) fn utf8_reader<'a>(mut source: impl Read + 'a) -> Result<Box<dyn BufRead + 'a>, IngestError> {
    let head = head(&mut source).map_err(|source| IngestError::Io { source })?;
    match head.as_slice() {
        [0xFF, 0xFE, 0, 0] | [0, 0, 0xFE, 0xFF] => {
            Err(IngestError::Encoding { reason: "the file is UTF-32; save it as UTF-8".to_owned() })
        }
        [0xFF, 0xFE, ..] => decode_utf16(&head[2..], source, u16::from_le_bytes),
        [0xFE, 0xFF, ..] => decode_utf16(&head[2..], source, u16::from_be_bytes),
        [first, 0, second, 0] | [0, first, 0, second] if *first != 0 && *second != 0 => Err(IngestError::Encoding {
            reason: "the file looks like UTF-16 without a byte-order mark; save it as UTF-8".to_owned(),
        }),
        _ => {
            let start = if head.starts_with(&UTF8_MARK) { UTF8_MARK.len() } else { 0 };
            Ok(Box::new(BufReader::new(Cursor::new(head[start..].to_vec()).chain(source))))
        }
    }
}

fn head(source: &mut impl Read) -> io::Result<Vec<u8>> {
    const HEAD_BYTES: u64 = 4;
    let mut head = Vec::new();
    source.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

fn decode_utf16<'a>(
    head: &[u8],
    mut source: impl Read,
    unit: fn([u8; 2]) -> u16,
) -> Result<Box<dyn BufRead + 'a>, IngestError> {
    let mut bytes = head.to_vec();
    source.read_to_end(&mut bytes).map_err(|source| IngestError::Io { source })?;
    if !bytes.len().is_multiple_of(2) {
        return Err(IngestError::Encoding { reason: "UTF-16 with half a code unit at its end".to_owned() });
    }
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len() / 2);
    for (position, character) in char::decode_utf16(units).enumerate() {
        text.push(character.map_err(|error| IngestError::Encoding {
            reason: format!(
                "unpaired UTF-16 surrogate {:#06x} at character {}",
                error.unpaired_surrogate(),
                position + 1
            ),
        })?);
    }
    Ok(Box::new(Cursor::new(text.into_bytes())))
}
