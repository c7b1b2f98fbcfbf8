//! Artifacts: every part is named by hash, and what is served is what was trained.

use std::{fs, path::Path};

use openledger_attribution::{
    DecodeError,
    attest::index_root,
    influence::InfluenceIndex,
    suffix::{Answer, SuffixIndex},
};
use openledger_engine::{Chunk, Exec, KvPool, Logits, LoraAdapter, format::peft};
use openledger_primitives::{Address, B256, ModelId, Wei};
use openledger_train::{
    Artifact, ArtifactError, AttributionRef, CheckpointRef, DataReport, EngineVersion, MANIFEST_VERSION, Manifest,
    ManifestError, Measured, Price, RecordFault, RecordOwner, Score, TrainRecord,
};
use tempfile::TempDir;

use crate::support::{model, request, run_job};

fn logits(adapter: &LoraAdapter) -> Vec<f32> {
    let model = model();
    let mut pool = KvPool::new(model.config(), 4);
    let mut kv = pool.alloc();
    let mut chunk = [Chunk { tokens: &[5, 80, 120, 9], kv: &mut kv, adapter: Some(adapter), logits: Logits::Last }];
    let rows = model.forward(&mut Exec::new(1), &mut pool, &mut chunk).unwrap();
    rows.last(0).unwrap().to_vec()
}

#[test]
fn the_same_run_gives_the_same_manifest_and_another_seed_another() {
    let (one, two, other) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut request = request(&model(), 9);
    let (first, _) = run_job(one.path(), &request);
    let (second, _) = run_job(two.path(), &request);
    assert_eq!(first.manifest, second.manifest);
    assert_eq!(first.manifest_hash, second.manifest_hash);
    assert_eq!(first.influence.root(), second.influence.root());
    assert_eq!(first.suffix.root(), second.suffix.root());
    request.recipe.seed = 5;
    let (third, _) = run_job(other.path(), &request);
    assert_ne!(first.manifest.weights_hash, third.manifest.weights_hash);
    assert_ne!(first.manifest.attribution.index_root, third.manifest.attribution.index_root);
}

#[test]
fn an_artifact_holds_what_its_manifest_names() {
    let dir = TempDir::new().unwrap();
    let request = request(&model(), 9);
    let (artifact, _) = run_job(dir.path(), &request);
    let manifest = &artifact.manifest;
    assert_eq!((manifest.base_model, &manifest.recipe), (model().hash(), &request.recipe));
    assert_eq!(manifest.price, request.terms.price);
    assert_eq!((manifest.data.used, manifest.steps), (9, 6));
    let attribution = &manifest.attribution;
    assert_eq!(attribution.index_root, index_root(artifact.influence.root(), artifact.suffix.root()));
    assert_eq!(attribution.checkpoints.iter().map(|c| c.step).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(artifact.influence.adapters(), artifact.checkpoints.iter().map(LoraAdapter::hash).collect::<Vec<_>>());
    assert_eq!(artifact.influence.records(), artifact.suffix.records());
    assert_eq!(artifact.influence.records().len(), 9);
    let (base, tuned) = (manifest.evaluation.base.unwrap(), manifest.evaluation.tuned.unwrap());
    assert_eq!((base.records, tuned.answers), (6, 6));
    assert!(tuned.loss < base.loss, "{base:?} {tuned:?}");
}

#[test]
fn below_the_last_layers_every_checkpoint_is_the_trained_adapter() {
    let dir = TempDir::new().unwrap();
    let mut request = request(&model(), 9);
    request.recipe.attribution.policy.influence.sites.last_layers = 1;
    let (artifact, _) = run_job(dir.path(), &request);
    let (trained, half) = (artifact.adapter.params(), artifact.adapter.params().len() / 2);
    assert_eq!(artifact.checkpoints.len(), 2);
    for checkpoint in &artifact.checkpoints {
        assert_eq!(checkpoint.params()[..half], trained[..half], "the first of two layers");
        assert_ne!(checkpoint.params()[half..], trained[half..], "the last of two layers");
    }
    assert_eq!(artifact.influence.sketcher().sites().len(), 7, "sites of one layer");
}

#[test]
fn the_suffix_index_finds_the_records_that_an_answer_quotes() {
    let dir = TempDir::new().unwrap();
    let (artifact, _) = run_job(dir.path(), &request(&model(), 9));
    let model = model();
    let tokens = model.tokenizer().encode("down").unwrap();
    let pieces: Vec<&[u8]> = tokens.iter().map(|&t| model.tokenizer().token_bytes(t).unwrap()).collect();
    let provenance = artifact.suffix.provenance(&Answer::new(&tokens, &pieces).unwrap());
    assert_eq!(provenance.spans.len(), 1, "{provenance:?}");
    assert_eq!(provenance.spans[0].occurrences(), 3, "three of nine records answer down");
}

#[test]
fn the_exported_adapter_computes_what_was_trained() {
    let dir = TempDir::new().unwrap();
    let (artifact, _) = run_job(dir.path(), &request(&model(), 6));
    let exported = peft::read(&artifact.adapter_folder(), model().config()).unwrap();
    assert_eq!(exported.hash(), artifact.manifest.weights_hash);
    assert_eq!(logits(&exported), logits(&artifact.adapter));
    let untrained = LoraAdapter::zeros(model().config(), exported.config()).unwrap();
    assert_ne!(logits(&exported), logits(&untrained));
}

#[test]
fn a_part_that_was_changed_is_named() {
    let dir = TempDir::new().unwrap();
    let (artifact, folder) = run_job(dir.path(), &request(&model(), 6));
    let step = artifact.manifest.attribution.checkpoints[0].step;
    let parts = [
        "adapter/adapter_model.safetensors".to_owned(),
        format!("checkpoints/{step}/adapter_model.safetensors"),
        "influence.index".to_owned(),
        "suffix.index".to_owned(),
    ];
    for part in parts {
        let path = folder.join(&part);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let at = whole.len() - 3;
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        let error = Artifact::load(&folder, &model()).map(|_| part.clone()).unwrap_err();
        let is_named = match &error {
            ArtifactError::Hash { part: named, .. } => part.contains("adapter") && named.contains("adapter"),
            ArtifactError::Index { path, .. } => path.ends_with(&part),
            other => panic!("{other:?}"),
        };
        assert!(is_named, "{part}: {error:?}");
        fs::write(&path, whole).unwrap();
    }
    Artifact::load(&folder, &model()).unwrap();
    fs::remove_file(folder.join("suffix.index")).unwrap();
    assert!(matches!(Artifact::load(&folder, &model()), Err(ArtifactError::Io { .. })));
}

/// What the snapshot says of the records of [`request`].
fn owners(count: u64) -> Vec<Vec<RecordOwner>> {
    let owner = |record: &TrainRecord| RecordOwner { contributor: record.contributor, cluster: record.cluster };
    vec![crate::support::records(count).iter().map(owner).collect()]
}

/// Puts `to` in the place of the first `from` of an index, and remakes the root that the file carries.
fn rewrite<T>(path: &Path, from: &[u8], to: &[u8], parse: impl Fn(&[u8]) -> Result<T, DecodeError>) -> B256 {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    let Err(DecodeError::Root { computed, .. }) = parse(&bytes) else { panic!("another root") };
    let root = bytes.len() - 32;
    bytes[root..].copy_from_slice(computed.as_slice());
    fs::write(path, bytes).unwrap();
    computed
}

/// An operator that pays itself: the index names it as the contributor, and every hash is made again.
#[test]
fn a_contributor_that_the_snapshot_does_not_name_is_found() {
    let dir = TempDir::new().unwrap();
    let (honest, folder) = run_job(dir.path(), &request(&model(), 9));
    honest.check_records(&owners(9)).unwrap();
    let record = honest.influence.records().as_slice()[0];
    let operator = Address::repeat_byte(0xee);
    let (from, to) = (record.contributor, operator);
    let mut manifest = honest.manifest.clone();
    let save = |manifest: &Manifest| fs::write(folder.join("manifest.json"), manifest.to_bytes()).unwrap();
    let load = || Artifact::load(&folder, &model());

    let path = folder.join("influence.index");
    let influence = rewrite(&path, from.as_slice(), to.as_slice(), InfluenceIndex::from_bytes);
    manifest.attribution.influence_root = influence;
    save(&manifest);
    assert!(matches!(load().unwrap_err(), ArtifactError::Hash { part: "the pair of indexes", .. }));
    manifest.attribution.index_root = index_root(influence, manifest.attribution.suffix_root);
    save(&manifest);
    assert_eq!(
        load().unwrap_err().to_string(),
        "the list of records of the suffix index is not what the manifest names"
    );

    let suffix = rewrite(&folder.join("suffix.index"), from.as_slice(), to.as_slice(), SuffixIndex::from_bytes);
    (manifest.attribution.suffix_root, manifest.attribution.index_root) = (suffix, index_root(influence, suffix));
    save(&manifest);
    let error = load().unwrap().check_records(&owners(9)).unwrap_err();
    let expected =
        format!("record 0 of the indexes is record 0 of snapshot 0: it was contributed by {from}, not by {to}");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn records_must_be_those_of_the_snapshots() {
    let dir = TempDir::new().unwrap();
    let (artifact, _) = run_job(dir.path(), &request(&model(), 9));
    let fault = |owners: &[Vec<RecordOwner>]| match artifact.check_records(owners) {
        Err(ArtifactError::Record { record, fault, .. }) => (record, fault),
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&owners(8)), (8, RecordFault::Missing));
    let mut other = owners(9);
    other[0][4].cluster = 99;
    assert_eq!(fault(&other), (4, RecordFault::Cluster { found: 4, expected: 99 }));
    assert!(matches!(artifact.check_records(&[]), Err(ArtifactError::Snapshots { given: 0, expected: 1 })));
}

/// Indexes built under another policy than the one that is published.
#[test]
fn an_index_of_another_policy_is_refused() {
    let dir = TempDir::new().unwrap();
    let (artifact, folder) = run_job(dir.path(), &request(&model(), 6));
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = artifact.manifest.clone();
        change(&mut manifest);
        fs::write(folder.join("manifest.json"), manifest.to_bytes()).unwrap();
        Artifact::load(&folder, &model()).unwrap_err().to_string()
    };
    let differs = |what: &str, index: &str| format!("{what} of the {index} index is not what the manifest names");
    let found = refused(&|manifest| manifest.attribution.policy.influence.damping_milli += 1);
    assert_eq!(found, differs("the policy", "influence"));
    let found = refused(&|manifest| manifest.attribution.policy.provenance.occurrences_max += 1);
    assert_eq!(found, differs("the policy", "suffix"));
    let found = refused(&|manifest| manifest.snapshots[0].root = B256::ZERO);
    assert_eq!(found, differs("the list of snapshots", "suffix"));
    let found = refused(&|manifest| manifest.lora.rank += 1);
    assert_eq!(found, differs("the adapter's shape", "influence"));
}

#[test]
fn a_manifest_in_other_bytes_is_refused() {
    let dir = TempDir::new().unwrap();
    let (artifact, _) = run_job(dir.path(), &request(&model(), 6));
    let bytes = artifact.manifest.to_bytes();
    assert_eq!(Manifest::from_bytes(&bytes).unwrap().hash(), artifact.manifest_hash);
    let spaced = [&bytes[..1], b" ", &bytes[1..]].concat();
    assert!(matches!(Manifest::from_bytes(&spaced), Err(ManifestError::NotCanonical)));
    let text = String::from_utf8(bytes).unwrap();
    let newer = text.replace(r#""version":1,"#, r#""version":2,"#);
    assert_ne!(text, newer);
    assert!(matches!(Manifest::from_bytes(newer.as_bytes()), Err(ManifestError::Version { found: 2 })));
    assert!(matches!(Manifest::from_bytes(b"{}"), Err(ManifestError::Malformed(_))));
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifest-v1.json");

/// A manifest whose every number is fixed here.
fn manifest() -> Manifest {
    let mut recipe = crate::support::recipe(&model());
    recipe.base_model = B256::repeat_byte(0xb0);
    (recipe.seed, recipe.system_prompt) = (u64::MAX, Some("Be brief.".into()));
    let mut policy = recipe.attribution.policy.clone();
    policy.influence.checkpoints = vec![1, 3];
    let score = |loss, exact| Score { records: 10, loss, answers: 10, exact };
    Manifest {
        version: MANIFEST_VERSION,
        name: "toy".into(),
        base_model: recipe.base_model,
        lora: recipe.lora.clone(),
        snapshots: recipe.snapshots.clone(),
        steps: 6,
        engine: EngineVersion {
            name: "openledger-engine".into(),
            version: "0.1.0".into(),
            arithmetic: "q8-32/f32-fma".into(),
        },
        weights_hash: B256::repeat_byte(0x11),
        data: DataReport { used: 9, truncated: 1, refused: 2, tokens: 900, targets: 90 },
        evaluation: Measured { base: Some(score(2.5, 0)), tuned: Some(score(0.125, 8)) },
        parents: vec![ModelId(B256::repeat_byte(0x22))],
        price: Price { input_wei: Wei(10), output_wei: Wei(20) },
        attribution: AttributionRef {
            policy,
            checkpoints: vec![CheckpointRef { step: 1, weights_hash: B256::repeat_byte(0x33) }],
            influence_root: B256::repeat_byte(0x44),
            suffix_root: B256::repeat_byte(0x55),
            index_root: B256::repeat_byte(0x66),
        },
        recipe,
    }
}

#[test]
fn a_manifest_with_numbers_beyond_canonical_json_is_refused() {
    let mut value = serde_json::to_value(manifest()).unwrap();
    value["data"]["tokens"] = u64::MAX.into();
    let bytes = serde_json::to_vec(&value).unwrap();
    assert!(matches!(Manifest::from_bytes(&bytes), Err(ManifestError::NotCanonical)));
}

#[test]
fn the_manifest_format_is_that_of_the_golden_file() {
    if std::env::var_os("OPENLEDGER_BLESS").is_some() {
        fs::write(GOLDEN, manifest().to_bytes()).unwrap();
    }
    let golden = fs::read(GOLDEN).unwrap();
    assert_eq!(String::from_utf8_lossy(&manifest().to_bytes()), String::from_utf8_lossy(&golden));
    assert_eq!(Manifest::from_bytes(&golden).unwrap(), manifest());
}
