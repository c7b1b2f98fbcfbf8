use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use openledger_primitives::{B256, BlobHash, keccak256};
use openledger_store::{BlobError, Store, StoreOptions};

use crate::LINES;

/// Set in the child process of the test that fills up the disk.
const CHILD_DIR: &str = "OPENLEDGER_STORE_TEST_FULL_DIR";

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_blob_reads_back_by_its_keccak_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let hash = store.blobs().put(b"bytes").unwrap();
    assert_eq!(hash.0, keccak256(b"bytes"));
    assert_eq!(store.blobs().get(hash).unwrap().unwrap(), b"bytes");
    assert_eq!(store.blobs().get_range(hash, 1, 3).unwrap().unwrap(), b"yte");
    assert!(matches!(store.blobs().get_range(hash, 3, 3), Err(BlobError::OutOfRange { end: 6, .. })));
    assert_eq!(fs::read(store.blobs().verified_path(hash).unwrap().unwrap()).unwrap(), b"bytes");
    assert_eq!(store.blobs().get(BlobHash(B256::ZERO)).unwrap(), None);
}

#[test]
fn parts_and_whole_give_one_blob() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let mut writer = store.blobs().writer().unwrap();
    writer.append(b"one").unwrap();
    writer.append(b"two").unwrap();
    let parts = writer.finish().unwrap();
    assert_eq!(parts, store.blobs().put(b"onetwo").unwrap());
    assert_eq!(parts, store.blobs().put_reader(&mut b"onetwo".as_slice()).unwrap());
    assert_eq!(files(&dir.path().join("blobs")).len(), 1);
}

#[test]
fn damage_on_disk_is_found_and_mended_by_writing_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let hash = store.blobs().put(b"bytes").unwrap();
    let [file] = files(&dir.path().join("blobs")).try_into().unwrap();
    fs::write(file, b"bytez").unwrap();
    assert!(matches!(store.blobs().get(hash), Err(BlobError::Damaged { .. })));
    assert!(matches!(store.blobs().verified_path(hash), Err(BlobError::Damaged { .. })));
    store.blobs().put(b"bytes").unwrap();
    assert_eq!(store.blobs().get(hash).unwrap().unwrap(), b"bytes");
}

#[test]
fn a_blob_above_the_limit_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { blob_bytes_max: 8, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &[LINES], options).unwrap();
    store.blobs().put(b"12345678").unwrap();
    assert!(matches!(store.blobs().put(b"123456789"), Err(BlobError::TooLarge { bytes_max: 8 })));
    let mut writer = store.blobs().writer().unwrap();
    writer.append(b"12345").unwrap();
    assert!(matches!(writer.append(b"6789"), Err(BlobError::TooLarge { bytes_max: 8 })));
    drop(writer);
    assert_eq!(files(&dir.path().join("blobs")).len(), 1);
}

#[test]
fn a_removed_blob_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let hash = store.blobs().put(b"bytes").unwrap();
    assert!(store.blobs().remove(hash).unwrap());
    assert!(!store.blobs().remove(hash).unwrap());
    assert_eq!(store.blobs().get(hash).unwrap(), None);
}

#[test]
fn what_a_crash_left_unfinished_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let mut writer = store.blobs().writer().unwrap();
    writer.append(b"half of it").unwrap();
    // A crash runs no destructor.
    std::mem::forget(writer);
    drop(store);
    assert_eq!(files(&dir.path().join("blobs")).len(), 1);
    // The forgotten writer keeps nothing but its folder's handle: the lock is free.
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    assert_eq!(files(&dir.path().join("blobs")).len(), 0);
    store.blobs().put(b"half of it").unwrap();
}

/// The kernel's file-size limit stands in for a full disk: the write fails in the middle, as there.
/// The same test runs as parent and, in a shell with the limit set, as child.
#[test]
fn a_full_disk_says_so_and_leaves_nothing() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return fill_up(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &[LINES]).unwrap());
    // Blocks of 512 bytes in a POSIX shell, of 1,024 in bash: 2 to 4 MiB.
    let script = r#"trap '' XFSZ; ulimit -f 4096; exec "$0" --exact blobs::a_full_disk_says_so_and_leaves_nothing"#;
    let mut child = Command::new("sh");
    child.args(["-c", script]).arg(std::env::current_exe().unwrap()).env(CHILD_DIR, dir.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let names: Vec<_> = files(&dir.path().join("blobs"));
    assert_eq!(names.len(), 1, "{names:?}");
}

fn fill_up(dir: &Path) {
    let store = Store::open(dir, &[LINES]).unwrap();
    let small = store.blobs().put(b"fits").unwrap();
    let error = store.blobs().put(&vec![7; 8 << 20]).unwrap_err();
    assert!(matches!(error, BlobError::DiskFull { .. }), "{error:?}");
    assert_eq!(store.blobs().get(small).unwrap().unwrap(), b"fits");
}
