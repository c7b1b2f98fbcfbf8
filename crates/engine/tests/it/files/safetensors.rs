//! Folders of safetensors: what is wrong is named; the goldens of every family load.

use std::path::{Path, PathBuf};

use openledger_engine::Model;
use openledger_engine::format::{FormatError, load, safetensors};
use openledger_testkit::TinySpec;
use serde_json::{Value, json};

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn open(bytes: &[u8]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    safetensors::open(&path).map(|tensors| tensors.len()).map_err(|error| error.to_string())
}

fn tiny(folder: &Path) -> PathBuf {
    let path = folder.join("tiny");
    TinySpec::default().write_folder(&path).unwrap();
    path
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

#[test]
fn lying_headers_are_refused_before_they_are_believed() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let cases = [
        (vec![1, 2, 3], "header length needs 8 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "header length is 18446744073709551615; at most 16777216"),
        ((1_u64 << 20).to_le_bytes().to_vec(), "header needs 1048576 bytes"),
        (file("{", &[]), ""),
        (
            file(&entry("F64", "[2]", "[0,16]"), &[0; 16]),
            "dtype of t = F64 is not supported; supported: F32, F16, BF16",
        ),
        (file(&entry("F32", "[2]", "[0,9]"), &[0; 9]), "data_offsets of t: [0, 9] is not the 8 bytes"),
        (file(&entry("F32", "[2]", "[8,0]"), &[0; 8]), "data_offsets of t"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 4]), "t needs 8 bytes"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 12]), "data_offsets: tensors end at 8, the file's data at 12"),
        (
            file(&entry("F32", "[2]", "[4,12]"), &[0; 12]),
            "data_offsets: a tensor starts at 4, the one before ends at 0",
        ),
        (file(&entry("F32", "[4294967295,4294967295,4294967295]", "[0,8]"), &[0; 8]), "t: shape"),
        (file(&entry("F32", "[1,1,1,1,1]", "[0,4]"), &[0; 4]), "dimension count of t is 5; at most 4"),
        (file(&entry("F32", "[-1]", "[0,4]"), &[0; 4]), "t: invalid value"),
        (file(r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"code":"x"}}"#, &[0; 4]), "t: unknown field"),
    ];
    for (bytes, expected) in cases {
        let error = open(&bytes).unwrap_err();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    assert_eq!(open(&file(&entry("F32", "[2]", "[0,8]"), &[0; 8])), Ok(1));
}

#[test]
fn every_familys_golden_model_opens() {
    for name in ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2"] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let model = Model::open(&folder).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((model.config().layers, model.config().vocab), (2, 259), "{name}");
        assert_eq!(model.config().architecture.name(), if name == "llama3" { "llama" } else { name });
    }
}

#[test]
fn shards_are_joined_and_must_lie_in_the_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = tiny(temporary.path());
    std::fs::rename(folder.join("model.safetensors"), folder.join("model-00001-of-00001.safetensors")).unwrap();
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, json!({"weight_map": {"x": "model-00001-of-00001.safetensors"}}).to_string()).unwrap();
    assert_eq!(Model::open(&folder).unwrap().hash(), TinySpec::default().model().hash());
    for outside in ["../tiny/model-00001-of-00001.safetensors", "/etc/passwd", "a/b", ".."] {
        edit(&index, |json| json["weight_map"]["x"] = outside.into());
        let error = load(&folder).unwrap_err().to_string();
        assert_eq!(error, format!("weight_map: {outside:?} is no plain file name"));
    }
}

#[test]
fn configurations_that_are_not_run_are_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = tiny(temporary.path());
    let said = |key: &str, value: Value| {
        let original = std::fs::read(folder.join("config.json")).unwrap();
        edit(&folder.join("config.json"), |json| json[key] = value);
        let error = load(&folder).unwrap_err();
        std::fs::write(folder.join("config.json"), original).unwrap();
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    };
    assert!(said("model_type", "rwkv".into()).starts_with("model_type = rwkv is not supported"));
    assert!(said("hidden_act", "relu".into()).starts_with("hidden_act = relu is not supported"));
    assert!(said("mlp_bias", true.into()).starts_with("mlp_bias = true is not supported"));
    assert!(said("rope_scaling", json!({"rope_type": "yarn"})).starts_with("rope_type = yarn is not supported"));
    assert!(said("num_hidden_layers", 100_000.into()).contains("layers is 100000; it must be between 1 and"));
    assert!(said("num_hidden_layers", json!(-1)).contains("num_hidden_layers in config.json: -1 is of the wrong kind"));
    assert!(said("hidden_size", Value::Null).contains("hidden_size in config.json is missing"));
}

#[test]
fn a_folder_of_pickles_or_of_nothing_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = tiny(temporary.path());
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    assert!(matches!(load(&folder), Err(FormatError::NotAModel { .. })));
    std::fs::write(folder.join("pytorch_model.bin"), b"\x80\x02").unwrap();
    assert!(matches!(load(&folder), Err(FormatError::Pickle { .. })));
}
