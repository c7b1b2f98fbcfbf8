use openledger_attribution::DecodeError;
use openledger_attribution::influence::{
    CheckpointSketch, InfluenceBuilder, InfluenceIndex, InfluencePolicy, Normalise, Preconditioner, QuerySketch,
};
use openledger_primitives::{B256, keccak256};

use crate::golden::check_golden;
use crate::influence::{RANK, SITES, policy, table};
use crate::mutate::mutations;

/// Values from a multiplicative generator: the same f32 on every machine, no library in between.
fn values(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn sketches(builder: &InfluenceBuilder) -> [CheckpointSketch; 2] {
    [1u8, 2].map(|checkpoint| {
        let mut sketch = builder.empty_sketch(B256::repeat_byte(checkpoint));
        sketch.rows = values(checkpoint.into(), sketch.rows.len());
        sketch
    })
}

fn builder() -> InfluenceBuilder {
    let policy = policy(Preconditioner::BlockFisher, Normalise::PerCheckpoint);
    InfluenceBuilder::from_shapes(policy, &SITES, RANK, table(5)).unwrap()
}

fn small() -> InfluenceIndex {
    let mut builder = builder();
    for sketch in sketches(&builder) {
        builder.add(sketch).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn the_golden_files_are_what_is_written_today() {
    check_golden("influence-v1.bin", &small().to_bytes());
    check_golden("sketch-v1.bin", &sketches(&builder())[0].to_bytes());
}

#[test]
fn reading_gives_back_the_same_index() {
    let index = small();
    let read = InfluenceIndex::from_bytes(&index.to_bytes()).unwrap();
    assert_eq!(read.root(), index.root());
    assert_eq!(read.to_bytes(), index.to_bytes());
    let query = QuerySketch { values: index.row(3).unwrap().0.to_vec() };
    assert_eq!(read.scores(&query).unwrap(), index.scores(&query).unwrap());
}

#[test]
fn a_build_resumed_from_saved_sketches_is_the_same_build() {
    let mut resumed = builder();
    for sketch in sketches(&builder()) {
        resumed.add(CheckpointSketch::from_bytes(&sketch.to_bytes()).unwrap()).unwrap();
    }
    assert_eq!(resumed.finish().unwrap().root(), small().root());
}

#[test]
fn a_row_can_be_opened_and_rescored_and_no_other_passes_for_it() {
    let index = small();
    let query = QuerySketch { values: index.row(0).unwrap().0.to_vec() };
    let scores = index.scores(&query).unwrap();
    for record in 0..5 {
        let proof = index.prove(record).unwrap();
        assert!(proof.verify(index.root()));
        assert_eq!(proof.score(&query), Some(scores[record as usize]));
        let mut lie = proof.clone();
        lie.values[3] ^= 1;
        assert!(!lie.verify(index.root()));
        let mut lie = proof.clone();
        lie.scale += 1;
        assert!(!lie.verify(index.root()));
        let mut lie = proof.clone();
        lie.proof.index = (lie.proof.index + 1) % 5;
        assert!(!lie.verify(index.root()));
        assert!(!proof.verify(B256::ZERO));
    }
    assert_eq!(index.prove(5), None);
}

#[test]
fn damage_is_always_an_error_and_never_a_panic() {
    let bytes = small().to_bytes();
    for damaged in mutations(&bytes, 5, 2000).filter(|damaged| *damaged != bytes) {
        assert!(InfluenceIndex::from_bytes(&damaged).is_err(), "accepted {}", keccak256(&damaged));
    }
    let bytes = sketches(&builder())[0].to_bytes();
    for damaged in mutations(&bytes, 6, 2000) {
        // Sketches carry no root, so a flipped bit may read; it must only never panic or change the shape unseen.
        if let Ok(read) = CheckpointSketch::from_bytes(&damaged) {
            assert_eq!(read.to_bytes(), damaged);
        }
    }
}

#[test]
fn headers_that_would_allocate_the_world_are_refused() {
    let honest = small().to_bytes();
    let length = u32::from_be_bytes(honest[5..9].try_into().unwrap()) as usize;
    let header = String::from_utf8(honest[9..9 + length].to_vec()).unwrap();
    for (from, to) in [
        (r#""d_in":24"#, r#""d_in":4294967295"#),
        (r#""rank":2"#, r#""rank":4294967295"#),
        (r#""rank":2"#, r#""rank":0"#),
        (r#""projection_dim":8"#, r#""projection_dim":256"#),
        (r#""rank":2"#, r#""rank":2,"extra":1"#),
    ] {
        assert!(header.contains(from));
        let lie = header.replace(from, to);
        let mut bytes = honest[..5].to_vec();
        bytes.extend((lie.len() as u32).to_be_bytes());
        bytes.extend(lie.as_bytes());
        bytes.extend(&honest[9 + length..]);
        let error = InfluenceIndex::from_bytes(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Header { .. } | DecodeError::Truncated { .. }), "{to}: {error}");
    }
}

#[test]
fn the_policy_reads_back_from_json_and_unknown_keys_fail() {
    let policy: InfluencePolicy = policy(Preconditioner::DataInf, Normalise::None);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<InfluencePolicy>(&json).unwrap(), policy);
    let extra = json.replacen('{', r#"{"checkpoint":1,"#, 1);
    assert!(serde_json::from_str::<InfluencePolicy>(&extra).is_err());
}
