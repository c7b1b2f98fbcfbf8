//! Sketches of an index under way: what a file of them holds, and how much of a damaged one counts.

use std::fs;
use std::path::{Path, PathBuf};

use openledger_primitives::B256;
use openledger_train::SketchFile;

/// Written once, read for ever.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sketches-v1.bin");
const KEY: B256 = B256::repeat_byte(7);
/// Values of a whole chunk.
const CHUNK: usize = 4;
/// Two whole chunks and what is left.
const ROWS: [f32; 10] = [0.0, -0.0, 1.0, -1.5, f32::MIN_POSITIVE, f32::MAX, 1e-45, 0.1, -3.25, 65_504.0];
const HEAD_BYTES: usize = 48;
const CHUNK_BYTES: usize = 4 * CHUNK + 32;

fn in_folder(check: impl FnOnce(PathBuf)) {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path().join("sketches").join("0.bin"));
}

/// The rows that count, and the file to go on with.
fn open(path: &Path, key: B256) -> (SketchFile, Vec<u32>) {
    let mut rows = ROWS.map(|_| f32::NAN);
    let (file, values) = SketchFile::open(path, key, CHUNK, &mut rows).unwrap();
    (file, bits(&rows[..values]))
}

/// As they are stored: minus zero is not zero.
fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_format_is_that_of_the_golden_file() {
    in_folder(|path| {
        let (mut file, none) = open(&path, KEY);
        assert!(none.is_empty());
        ROWS.chunks(CHUNK).for_each(|rows| file.append(rows).unwrap());
        let written = fs::read(&path).unwrap();
        if std::env::var_os("OPENLEDGER_WRITE_GOLDEN").is_some() {
            fs::write(GOLDEN, &written).unwrap();
        }
        assert_eq!(written, fs::read(GOLDEN).unwrap());
        assert_eq!(open(&path, KEY).1, bits(&ROWS));
        assert_eq!(fs::read(&path).unwrap(), written, "reading changes nothing");
    });
}

#[test]
fn what_was_cut_short_goes_on_behind_its_last_whole_chunk_to_the_same_bytes() {
    let golden = fs::read(GOLDEN).unwrap();
    for length in 0..golden.len() {
        in_folder(|path| {
            write(&path, &golden[..length]);
            let (mut file, read) = open(&path, KEY);
            let whole = length.saturating_sub(HEAD_BYTES) / CHUNK_BYTES * CHUNK;
            assert_eq!(read, bits(&ROWS[..whole]), "{length} bytes");
            ROWS[whole..].chunks(CHUNK).for_each(|rows| file.append(rows).unwrap());
            assert_eq!(fs::read(&path).unwrap(), golden, "{length} bytes");
        });
    }
}

#[test]
fn a_damaged_chunk_and_all_behind_it_do_not_count() {
    let golden = fs::read(GOLDEN).unwrap();
    for at in 0..golden.len() {
        in_folder(|path| {
            let mut damaged = golden.clone();
            damaged[at] ^= 1;
            write(&path, &damaged);
            let whole = at.saturating_sub(HEAD_BYTES) / CHUNK_BYTES * CHUNK;
            assert_eq!(open(&path, KEY).1, bits(&ROWS[..whole]), "byte {at}");
        });
    }
}

#[test]
fn a_file_of_another_key_or_version_is_begun_anew() {
    let golden = fs::read(GOLDEN).unwrap();
    let other_key = B256::repeat_byte(8);
    in_folder(|path| {
        write(&path, &golden);
        assert!(open(&path, other_key).1.is_empty());
        assert_eq!(fs::read(&path).unwrap(), [&golden[..16], other_key.as_slice()].concat());
    });
    in_folder(|path| {
        write(&path, &[&golden[..15], &[2], &golden[16..]].concat());
        assert!(open(&path, KEY).1.is_empty());
        assert_eq!(fs::read(&path).unwrap(), golden[..HEAD_BYTES]);
    });
}

#[test]
fn chunks_cannot_change_places() {
    let golden = fs::read(GOLDEN).unwrap();
    let (first, second) =
        (HEAD_BYTES..HEAD_BYTES + CHUNK_BYTES, HEAD_BYTES + CHUNK_BYTES..HEAD_BYTES + 2 * CHUNK_BYTES);
    in_folder(|path| {
        write(&path, &[&golden[..HEAD_BYTES], &golden[second], &golden[first]].concat());
        assert!(open(&path, KEY).1.is_empty());
    });
}
