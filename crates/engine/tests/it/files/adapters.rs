//! Adapters: PEFT's and GGUF's formats give back what was written, read PEFT's own files, and refuse the rest.

use std::path::{Path, PathBuf};

use openledger_engine::format::{FormatError, gguf_lora, load_adapter, peft};
use openledger_engine::{LoraAdapter, LoraConfig, Model, ModelConfig, SiteKind};
use openledger_testkit::TinySpec;
use serde_json::{Value, json};

use super::Random;

fn adapter(config: &ModelConfig, rank: usize, targets: &[SiteKind]) -> LoraAdapter {
    let lora = LoraConfig { rank, alpha: 12.0, targets: targets.to_vec() };
    let mut adapter = LoraAdapter::new(config, &lora, 3).unwrap();
    let mut random = Random(9);
    adapter.params_mut().iter_mut().for_each(|value| *value = random.below(2001) as f32 / 1000.0 - 1.0);
    adapter
}

fn written(folder: &Path) -> (ModelConfig, LoraAdapter) {
    let config = TinySpec::default().config();
    let adapter = adapter(&config, 4, &SiteKind::ALL);
    peft::write(folder, &adapter, "tiny").unwrap();
    (config, adapter)
}

fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("adapter_config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

#[test]
fn both_formats_give_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = TinySpec::default().config();
    for targets in [&SiteKind::ALL[..], &[SiteKind::Q, SiteKind::V], &[SiteKind::Down]] {
        let adapter = adapter(&config, 3, targets);
        peft::write(&folder.path().join("peft"), &adapter, "tiny").unwrap();
        gguf_lora::write(&folder.path().join("lora.gguf"), &adapter, &config).unwrap();
        for name in ["peft", "lora.gguf"] {
            let read = load_adapter(&folder.path().join(name), &config).unwrap();
            assert_eq!(read.hash(), adapter.hash(), "{name} {targets:?}");
        }
    }
}

#[test]
fn pefts_own_files_are_read() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2"] {
        let model = Model::open(&golden.join(name)).unwrap();
        let adapter = load_adapter(&golden.join(name).join("adapter"), model.config()).unwrap();
        assert_eq!((adapter.config().rank, adapter.config().alpha, adapter.sites().count()), (4, 8.0, 14), "{name}");
        assert!(adapter.sites().all(|site| site.b.iter().any(|b| *b != 0.0)), "{name}");
    }
}

#[test]
fn options_that_change_the_function_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(folder.path());
    let refused = [
        ("use_dora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("layers_to_transform", json!([0])),
        ("layers_pattern", json!(["h"])),
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("LOHA")),
        ("layer_replication", json!([[0, 1]])),
        ("trainable_token_indices", json!([1])),
        ("target_modules", json!(["q_proj", "embed_tokens"])),
    ];
    for (option, value) in refused {
        let original = std::fs::read(folder.path().join("adapter_config.json")).unwrap();
        edit(folder.path(), |json| json[option] = value);
        let error = peft::read(folder.path(), &config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{option} = ")) && error.contains("is not supported"), "{error}");
        std::fs::write(folder.path().join("adapter_config.json"), original).unwrap();
    }
}

/// `s B A x` of a site for a fixed x, in double precision.
fn product(adapter: &LoraAdapter, kind: SiteKind) -> Vec<f64> {
    let site = adapter.sites().find(|site| site.info.kind == kind).unwrap();
    let x = |i: usize| (i as f64 * 0.7).sin();
    let ax: Vec<f64> = site
        .a
        .chunks(site.info.d_in)
        .map(|row| row.iter().enumerate().map(|(i, a)| f64::from(*a) * x(i)).sum())
        .collect();
    site.b
        .chunks(site.rank)
        .map(|row| f64::from(site.scale) * row.iter().zip(&ax).map(|(b, a)| f64::from(*b) * a).sum::<f64>())
        .collect()
}

#[test]
fn rank_stabilised_and_patterned_scales_compute_the_same_function() {
    let folder = tempfile::tempdir().unwrap();
    let (config, plain) = written(folder.path());
    edit(folder.path(), |json| json["use_rslora"] = true.into());
    let stabilised = peft::read(folder.path(), &config).unwrap();
    // alpha / sqrt(4) is twice alpha / 4.
    assert!((stabilised.scale() / plain.scale() - 2.0).abs() < 1e-6);
    edit(folder.path(), |json| {
        json["use_rslora"] = false.into();
        json["alpha_pattern"] = json!({"q_proj": 36.0, "layers.0.mlp.up_proj": 6.0});
    });
    let patterned = peft::read(folder.path(), &config).unwrap();
    for (kind, factor) in [(SiteKind::Q, 3.0), (SiteKind::Up, 0.5), (SiteKind::Down, 1.0)] {
        for (ours, plain) in product(&patterned, kind).into_iter().zip(product(&plain, kind)) {
            assert!((ours - factor * plain).abs() <= 1e-5 * (1.0 + plain.abs()), "{kind:?}: {ours} {plain}");
        }
    }
}

#[test]
fn the_first_key_of_a_pattern_that_matches_counts_as_in_peft() {
    let folder = tempfile::tempdir().unwrap();
    let (config, plain) = written(folder.path());
    let patterns = [
        (json!({"q_proj": 36.0, "layers.0.self_attn.q_proj": 6.0}), 3.0),
        (json!({"layers.0.self_attn.q_proj": 6.0, "q_proj": 36.0}), 0.5),
        (json!({"^model.layers.0.self_attn.q_proj$": 36.0}), 3.0),
        (json!({"^layers.0.self_attn.q_proj": 36.0, "proj": 36.0, ".q_proj": 36.0, "q_proj.": 36.0}), 1.0),
        (json!({"layers...self_attn.q_proj$": 36}), 3.0),
        (json!(null), 1.0),
    ];
    for (pattern, factor) in patterns {
        edit(folder.path(), |json| json["alpha_pattern"] = pattern.clone());
        let patterned = peft::read(folder.path(), &config).unwrap();
        for (ours, plain) in product(&patterned, SiteKind::Q).into_iter().zip(product(&plain, SiteKind::Q)) {
            assert!((ours - factor * plain).abs() <= 1e-5 * (1.0 + plain.abs()), "{pattern}: {ours} {plain}");
        }
    }
}

#[test]
fn patterns_that_cannot_be_followed_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(folder.path());
    for name in ["alpha_pattern", "rank_pattern"] {
        for key in [".*q_proj", "layers.[0-9].mlp.up_proj", "q_proj|v_proj", "model\\.layers", "(q)_proj"] {
            edit(folder.path(), |json| json[name] = json!({"v_proj": 4, key: 4}));
            let error = peft::read(folder.path(), &config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} = {key} is not supported")), "{error}");
        }
        for wrong in [json!({"q_proj": "many"}), json!({"q_proj": null}), json!(["q_proj"])] {
            edit(folder.path(), |json| json[name] = wrong);
            let error = peft::read(folder.path(), &config).unwrap_err();
            assert!(matches!(error, FormatError::Malformed { .. }) && error.to_string().starts_with(name), "{error}");
        }
        edit(folder.path(), |json| json[name] = json!({}));
    }
}

#[test]
fn sites_of_smaller_rank_are_filled_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = TinySpec::default().config();
    let (large, small) = (adapter(&config, 4, &[SiteKind::Q]), adapter(&config, 2, &[SiteKind::V]));
    peft::write(&folder.path().join("large"), &large, "tiny").unwrap();
    peft::write(&folder.path().join("small"), &small, "tiny").unwrap();
    let both = join(&folder.path().join("large"), &folder.path().join("small"));
    let merged = folder.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    std::fs::copy(folder.path().join("large/adapter_config.json"), merged.join("adapter_config.json")).unwrap();
    std::fs::write(merged.join("adapter_model.safetensors"), both).unwrap();
    edit(&merged, |json| json["target_modules"] = json!(["q_proj", "v_proj"]));
    let error = peft::read(&merged, &config).unwrap_err().to_string();
    assert!(error.contains("is 2 in adapter_model.safetensors but 4 in adapter_config.json"), "{error}");
    edit(&merged, |json| json["rank_pattern"] = json!({"v_proj": 2}));
    let read = peft::read(&merged, &config).unwrap();
    assert_eq!(read.config().rank, 4);
    for (ours, original) in product(&read, SiteKind::V).into_iter().zip(product(&small, SiteKind::V)) {
        assert!((ours - original).abs() < 1e-5 * (1.0 + original.abs()), "{ours} {original}");
    }
}

/// The tensors of two adapters in one safetensors file.
fn join(first: &Path, second: &Path) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for folder in [first, second] {
        let bytes = std::fs::read(folder.join("adapter_model.safetensors")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let entries: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        for (name, mut entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
            let moved = |offset: &Value| offset.as_u64().unwrap() + data.len() as u64;
            entry["data_offsets"] = json!([moved(&entry["data_offsets"][0]), moved(&entry["data_offsets"][1])]);
            header.insert(name, entry);
        }
        data.extend_from_slice(&bytes[8 + length..]);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

#[test]
fn an_adapter_for_another_model_is_refused_with_site_and_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let (config, adapter) = written(folder.path());
    gguf_lora::write(&folder.path().join("lora.gguf"), &adapter, &config).unwrap();
    let wider = ModelConfig { ffn: 256, ..config.clone() };
    let shallower = ModelConfig { layers: 1, ..config.clone() };
    let narrower = ModelConfig { heads: 2, kv_heads: 1, ..config };
    for path in [folder.path().to_owned(), folder.path().join("lora.gguf")] {
        match load_adapter(&path, &wider).unwrap_err() {
            FormatError::Shape { tensor, found, expected } => {
                assert!(tensor.contains("model.layers.0.mlp.gate_proj"), "{tensor}");
                assert_eq!((found, expected), (vec![128, 4], vec![256, 4]));
            }
            other => panic!("{other}"),
        }
        let error = load_adapter(&path, &shallower).unwrap_err();
        assert!(matches!(error, FormatError::Limit { value: 1, limit: 0, .. }), "{error}");
        let error = load_adapter(&path, &narrower).unwrap_err().to_string();
        assert!(error.contains("model.layers.0.self_attn.q_proj") && error.contains("another base model"), "{error}");
    }
}

#[test]
fn pickled_adapters_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(folder.path());
    std::fs::rename(folder.path().join("adapter_model.safetensors"), folder.path().join("adapter_model.bin")).unwrap();
    assert!(matches!(load_adapter(folder.path(), &config), Err(FormatError::Pickle { .. })));
    std::fs::write(folder.path().join("x.bin"), b"\x80\x04\x95").unwrap();
    assert!(matches!(load_adapter(&folder.path().join("x.bin"), &config), Err(FormatError::Pickle { .. })));
}
