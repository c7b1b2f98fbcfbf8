//! The sketches of an index under way. Half of the inputs are rows instead of a file, because no mutation guesses a hash.

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use openledger_fuzz::{with_file, with_folder};
use openledger_primitives::B256;
use openledger_train::SketchFile;

/// Values of a whole chunk, and of all rows: one chunk is shorter.
const CHUNK: usize = 4;
const VALUES: usize = 14;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = TAG_BYTES + 32;

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((choice, bytes)) if choice % 2 == 1 => rows(bytes),
        Some((_, bytes)) => with_file("sketches", bytes, |path| file(path, bytes)),
        None => {}
    }
});

/// Opens the file under its own key: what counts of it is its beginning, and it goes on from there.
fn file(path: &Path, bytes: &[u8]) {
    let key = bytes.get(TAG_BYTES..HEAD_BYTES).map_or(B256::ZERO, B256::from_slice);
    let (mut opened, read) = open(path, key);
    let kept = fs::read(path).expect("the file is there");
    assert!(read.is_empty() && kept.len() == HEAD_BYTES || bytes.starts_with(&kept));
    let rest = &[1.0; VALUES][read.len()..];
    rest.chunks(CHUNK).for_each(|rows| opened.append(rows).expect("it takes a chunk"));
    let (_, whole) = open(path, key);
    assert_eq!(whole.len(), VALUES);
    assert_eq!(whole[..read.len()], read);
}

/// Writes rows, cuts the file and damages it where the input says: only whole chunks before that are read again.
fn rows(bytes: &[u8]) {
    let Some(([at, flip], bytes)) = bytes.split_first_chunk::<2>() else { return };
    let values: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().take(VALUES).map(|value| f32::from_le_bytes(*value)).collect();
    with_folder(|folder| {
        let path = folder.join("rows");
        fs::write(&path, []).expect("the folder takes a file");
        let (mut opened, _) = open(&path, B256::ZERO);
        let whole = values.chunks(CHUNK).filter(|rows| rows.len() == CHUNK);
        whole.for_each(|rows| opened.append(rows).expect("it takes a chunk"));
        let mut file = fs::read(&path).expect("the file is there");
        let at = usize::from(*at) % file.len();
        file[at] ^= flip;
        fs::write(&path, &file).expect("the folder takes a file");
        let (_, read) = open(&path, B256::ZERO);
        let expected = match flip {
            0 => values.len() / CHUNK * CHUNK,
            _ => at.saturating_sub(HEAD_BYTES) / (4 * CHUNK + 32) * CHUNK,
        };
        let written: Vec<u32> = values[..expected].iter().map(|value| value.to_bits()).collect();
        assert_eq!(read, written);
    });
}

/// The file, and the values that count as they are stored.
fn open(path: &Path, key: B256) -> (SketchFile, Vec<u32>) {
    let mut rows = [0.0; VALUES];
    let (file, values) = SketchFile::open(path, key, CHUNK, &mut rows).expect("the file can be opened");
    (file, rows[..values].iter().map(|value| value.to_bits()).collect())
}
