//! Fixtures against the engine that reads them.

use openledger_engine::Model;
use openledger_engine::format::DType;
use openledger_testkit::{TinySpec, tiny_model};

#[test]
fn tiny_model_is_the_same_in_memory_in_gguf_and_in_safetensors() {
    let spec = TinySpec { seed: 7, layers: 2 };
    let folder = tempfile::tempdir().unwrap();
    let gguf = folder.path().join("tiny.gguf");
    spec.write_gguf(&gguf, DType::F32).unwrap();
    let safetensors = folder.path().join("tiny");
    spec.write_folder(&safetensors).unwrap();
    let expected = spec.model().hash();
    assert_eq!(Model::open(&gguf).unwrap().hash(), expected);
    assert_eq!(Model::open(&safetensors).unwrap().hash(), expected);
}

#[test]
fn tiny_model_depends_on_its_seed_and_on_nothing_else() {
    assert_eq!(tiny_model().hash(), TinySpec::default().model().hash());
    assert_ne!(tiny_model().hash(), TinySpec { seed: 2, ..TinySpec::default() }.model().hash());
}

#[test]
fn tiny_model_in_q8_0_opens_with_the_same_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinySpec::default().write_gguf(&path, DType::Q8_0).unwrap();
    assert_eq!(Model::open(&path).unwrap().config(), tiny_model().config());
}

#[test]
fn tiny_tokenizer_round_trips_any_text_from_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinySpec::default().write_gguf(&path, DType::F32).unwrap();
    let (memory, disk) = (tiny_model(), Model::open(&path).unwrap());
    for text in ["the actor and the sting", "12 345\n\té漢🎉", "", "   ", "<|im_end|>"] {
        let ids = memory.tokenizer().encode_untrusted(text).unwrap();
        assert_eq!(memory.tokenizer().decode(&ids), text);
        assert_eq!(disk.tokenizer().encode_untrusted(text).unwrap(), ids);
    }
}
