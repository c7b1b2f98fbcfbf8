//! Checkpoints on disk.

use std::{fs, path::Path};

use openledger_primitives::B256;
use openledger_train::{Checkpoint, CheckpointError};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/checkpoint-v2.bin");

fn checkpoint() -> Checkpoint {
    Checkpoint {
        recipe: B256::repeat_byte(0x11),
        data: B256::repeat_byte(0x22),
        step: 258,
        parameters: vec![1.0, -0.5, f32::MIN_POSITIVE],
        first: vec![0.25, 0.0, -0.0],
        second: vec![3.5, 1e-30, 0.0],
    }
}

#[test]
fn the_format_is_that_of_the_golden_file() {
    if std::env::var_os("OPENLEDGER_BLESS").is_some() {
        fs::write(GOLDEN, checkpoint().to_bytes()).unwrap();
    }
    let golden = fs::read(GOLDEN).unwrap();
    assert_eq!(checkpoint().to_bytes(), golden);
    assert_eq!(Checkpoint::from_bytes(&golden).unwrap(), checkpoint());
}

#[test]
fn a_checkpoint_of_the_arithmetic_before_is_refused_by_its_version() {
    let mut bytes = checkpoint().to_bytes();
    bytes[15] = 1;
    assert!(matches!(Checkpoint::from_bytes(&bytes), Err(CheckpointError::Malformed { what: "tag", .. })));
}

#[test]
fn a_written_checkpoint_is_read_again_and_none_is_none() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("checkpoint.bin");
    assert_eq!(Checkpoint::read(&path).unwrap(), None);
    checkpoint().write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), Some(checkpoint()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn any_damage_is_noticed() {
    let bytes = checkpoint().to_bytes();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(matches!(Checkpoint::from_bytes(&damaged), Err(CheckpointError::Malformed { .. })), "byte {at}");
        assert!(Checkpoint::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_checkpoint_that_claims_absurd_sizes_is_refused_before_memory_is_taken() {
    let mut bytes = checkpoint().to_bytes();
    bytes[88..96].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(Checkpoint::from_bytes(&bytes), Err(CheckpointError::Malformed { what: "parameters", .. })));
}

#[test]
fn a_checkpoint_that_cannot_be_written_says_where() {
    let error = checkpoint().write(Path::new("/nonexistent/checkpoint.bin")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/checkpoint.partial"), "{error}");
}
