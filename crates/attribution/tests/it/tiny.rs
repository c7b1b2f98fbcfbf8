//! A small random decoder made on the spot: two layers, 32 wide, one token a byte.

use std::collections::BTreeMap;

use openledger_engine::format::{RawModel, RawTensor};
use openledger_engine::{Model, ModelConfig, ModelOptions, SiteInfo, Tokenizer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const VOCABULARY: usize = 256;

/// The same model for the same seed.
pub(crate) fn tiny_model(seed: u64) -> Model {
    let mut config = ModelConfig::llama(2, 32, 64, 4, 2, VOCABULARY);
    config.tied = false;
    let tensors = tensors(&config, &mut StdRng::seed_from_u64(seed));
    let tokenizer = Tokenizer::from_json(byte_tokenizer().as_bytes(), None, None).unwrap();
    let raw = RawModel { config, tensors, tokenizer, chat_template: None };
    Model::from_raw(&raw, ModelOptions::default()).unwrap()
}

fn tensors(config: &ModelConfig, rng: &mut StdRng) -> BTreeMap<String, RawTensor> {
    let mut tensors = BTreeMap::new();
    let mut put = |name: String, shape: Vec<usize>, values: Vec<f32>| {
        tensors.insert(name.clone(), RawTensor::from_f32(&name, shape, values).unwrap());
    };
    let mut matrix = |rows: usize, cols: usize, bound: f32| -> Vec<f32> {
        (0..rows * cols).map(|_| rng.random_range(-bound..bound)).collect()
    };
    let spread = |inputs: usize| (3.0 / inputs as f32).sqrt();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let bound = if name.starts_with("lm") { spread(config.hidden) } else { 1.0 };
        put(name.into(), vec![VOCABULARY, config.hidden], matrix(VOCABULARY, config.hidden, bound));
    }
    for site in SiteInfo::all(config) {
        let values = matrix(site.d_out, site.d_in, spread(site.d_in));
        put(format!("{}.weight", site.path()), vec![site.d_out, site.d_in], values);
    }
    let norms = (0..config.layers)
        .flat_map(|layer| {
            ["input_layernorm", "post_attention_layernorm"].map(|norm| format!("model.layers.{layer}.{norm}"))
        })
        .chain(["model.norm".into()]);
    for norm in norms {
        put(format!("{norm}.weight"), vec![config.hidden], vec![1.0; config.hidden]);
    }
    tensors
}

/// Byte-level BPE without merges.
fn byte_tokenizer() -> String {
    let plain = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut shifted = 256..;
    let spelling = |byte: u32| if plain(&byte) { byte } else { shifted.next().unwrap() };
    let letters: Vec<char> = (0..256).map(spelling).map(|point| char::from_u32(point).unwrap()).collect();
    let vocab: serde_json::Map<String, serde_json::Value> =
        letters.iter().enumerate().map(|(id, letter)| (letter.to_string(), id.into())).collect();
    serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []
        }
    })
    .to_string()
}
