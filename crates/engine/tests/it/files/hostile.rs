//! Thousands of mutated files: every one is read or refused; none panics or asks for memory out of proportion.

use std::path::Path;

use openledger_engine::format::{DType, gguf_lora, load, load_adapter, peft};
use openledger_engine::{LoraAdapter, LoraConfig, Tokenizer};
use openledger_testkit::TinySpec;

use super::Random;

const GGUF_MUTANTS: usize = 1500;
const SAFETENSORS_MUTANTS: usize = 1500;
const ADAPTER_MUTANTS: usize = 2000;
const TOKENIZER_MUTANTS: usize = 400;

/// Numbers that break arithmetic.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 62, i64::MAX as u64, u64::MAX];

/// Changes a few bytes within the first `header` ones, or cuts or doubles a stretch.
fn mutate(original: &[u8], header: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(header.min(bytes.len()).max(1));
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            2 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = 0xff),
            3 => {
                let end = (at + 8).min(bytes.len());
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                bytes[at..end].copy_from_slice(&edge[..end - at]);
            }
            4 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let stretch = bytes[at..(at + random.below(32)).min(bytes.len())].to_vec();
                bytes.splice(at..at, stretch);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Reads everything that a model refers to.
fn exercise(path: &Path) -> bool {
    let Ok(raw) = load(path) else { return false };
    for tensor in raw.tensors.values() {
        drop(tensor.to_f32());
    }
    drop(raw.tokenizer.encode("a <|im_end|> b"));
    raw.tokenizer.decode(&[0, 1, 5, 300, u32::MAX]);
    true
}

#[test]
fn mutated_gguf_models_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinySpec { layers: 1, ..TinySpec::default() }.write_gguf(&path, DType::Q8_0).unwrap();
    let original = std::fs::read(&path).unwrap();
    let header = original.windows(7).rposition(|window| window == b"weight\x01").unwrap_or(6000) + 64;
    let mut random = Random(1);
    let mut read = 0;
    for _ in 0..GGUF_MUTANTS {
        std::fs::write(&path, mutate(&original, header, &mut random)).unwrap();
        read += usize::from(exercise(&path));
    }
    assert!(read > 0 && read < GGUF_MUTANTS, "{read} mutants were still models");
}

#[test]
fn mutated_safetensors_folders_are_read_or_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("tiny");
    TinySpec { layers: 1, ..TinySpec::default() }.write_folder(&folder).unwrap();
    let files = ["model.safetensors", "config.json", "tokenizer_config.json"];
    let originals = files.map(|name| std::fs::read(folder.join(name)).unwrap());
    let mut random = Random(2);
    let mut read = 0;
    for round in 0..SAFETENSORS_MUTANTS {
        let (name, original) = (files[round % 3], &originals[round % 3]);
        std::fs::write(folder.join(name), mutate(original, 1500, &mut random)).unwrap();
        read += usize::from(exercise(&folder));
        std::fs::write(folder.join(name), original).unwrap();
    }
    assert!(read > 0 && read < SAFETENSORS_MUTANTS, "{read} mutants were still models");
}

#[test]
fn mutated_adapters_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = TinySpec { layers: 1, ..TinySpec::default() }.config();
    let adapter = LoraAdapter::new(&config, &LoraConfig::all_linear(2), 1).unwrap();
    peft::write(folder.path(), &adapter, "tiny").unwrap();
    let gguf = folder.path().join("lora.gguf");
    gguf_lora::write(&gguf, &adapter, &config).unwrap();
    let files = ["adapter_model.safetensors", "adapter_config.json", "lora.gguf"];
    let originals = files.map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let mut random = Random(3);
    let mut read = 0;
    for round in 0..ADAPTER_MUTANTS {
        let (name, original) = (files[round % 3], &originals[round % 3]);
        std::fs::write(folder.path().join(name), mutate(original, 2000, &mut random)).unwrap();
        let path = if name == "lora.gguf" { gguf.clone() } else { folder.path().to_owned() };
        read += usize::from(load_adapter(&path, &config).is_ok());
        std::fs::write(folder.path().join(name), original).unwrap();
    }
    assert!(read > 0 && read < ADAPTER_MUTANTS, "{read} mutants were still adapters");
}

#[test]
fn mutated_tokenizers_are_read_or_refused() {
    let original = openledger_testkit::tiny_model().tokenizer().to_json();
    let mut random = Random(4);
    let mut read = 0;
    for _ in 0..TOKENIZER_MUTANTS {
        let bytes = mutate(&original, original.len(), &mut random);
        let Ok(tokenizer) = Tokenizer::from_json(&bytes, Some("<|im_start|>"), None) else { continue };
        let ids = tokenizer.encode("the 12 <|im_end|> é🎉").unwrap();
        tokenizer.decode(&ids);
        read += 1;
    }
    assert!(read > 0 && read < TOKENIZER_MUTANTS, "{read} mutants were still tokenizers");
}

#[test]
fn a_tiny_file_that_claims_gigabytes_is_refused_without_asking_for_them() {
    // Were any of these believed, reserving the memory would fail the whole test process.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.gguf");
    for count in [1_u64 << 20, 1 << 40, 1 << 62] {
        let mut bytes = b"GGUF\x03\x00\x00\x00".to_vec();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.push(b'k');
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        assert!(load(&path).is_err());
    }
}
