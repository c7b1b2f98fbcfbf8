//! Logits, losses and gradients against transformers and peft in double precision (`tests/golden/make_goldens.py`).

use std::path::PathBuf;

use openledger_engine::format::{load_adapter, safetensors};
use openledger_engine::{
    Chunk, Exec, KvPool, Logits, LoraAdapter, LoraGrad, Model, ModelOptions, SeqKv, TrainSequence,
};
use serde_json::Value;

use super::decoder::start_of;

const FAMILIES: [&str; 7] = ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2"];

struct Golden {
    folder: PathBuf,
    tokens: Vec<u32>,
    targets: Vec<Option<u32>>,
    loss_sum: f64,
}

impl Golden {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let json: Value = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let id = |value: &Value| value.as_u64().map(|id| id as u32);
        let list = |field: &str| json[field].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
        let tokens = list("tokens").into_iter().flatten().collect();
        Self { tokens, targets: list("targets"), loss_sum: json["loss_sum"].as_f64().unwrap(), folder }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        safetensors::open(&self.folder.join("golden.safetensors")).unwrap()[name].to_f32().unwrap()
    }

    fn model(&self, quantise: bool) -> Model {
        Model::open_with(&self.folder, ModelOptions { quantise, ..ModelOptions::default() }).unwrap()
    }

    fn logits(&self, model: &Model, adapter: Option<&LoraAdapter>) -> Vec<f32> {
        let mut kv = KvPool::new(model.config(), 4);
        let mut seq = SeqKv::default();
        let chunk = Chunk { tokens: &self.tokens, kv: &mut seq, adapter, logits: Logits::All };
        model.forward(&mut Exec::new(2), &mut kv, &mut [chunk]).unwrap().chunk(0).data().to_vec()
    }
}

/// Largest difference, in units of the largest golden value.
fn error(got: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(got.len(), golden.len());
    let top = golden.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    got.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / top
}

#[test]
fn logits_are_those_of_transformers_and_peft() {
    for name in FAMILIES {
        let golden = Golden::new(name);
        let model = golden.model(false);
        let adapter = load_adapter(&golden.folder.join("adapter"), model.config()).unwrap();
        let base = error(&golden.logits(&model, None), &golden.values("logits"));
        let lora = error(&golden.logits(&model, Some(&adapter)), &golden.values("logits_lora"));
        assert!(base < 1e-5 && lora < 1e-5, "{name}: {base} {lora}");
        let int8 = error(&golden.logits(&golden.model(true), Some(&adapter)), &golden.values("logits_lora"));
        assert!(int8 < 0.1, "{name}: int8 is {int8} of the largest logit away");
    }
}

#[test]
fn losses_and_gradients_are_those_of_peft() {
    for name in FAMILIES {
        let golden = Golden::new(name);
        let model = golden.model(false);
        let adapter = load_adapter(&golden.folder.join("adapter"), model.config()).unwrap();
        let count = golden.targets.iter().flatten().count();
        let batch = [TrainSequence { tokens: &golden.tokens, targets: &golden.targets, scale: 1.0 / count as f32 }];
        let mut grad = LoraGrad::new(&adapter);
        let losses = model.backward(&mut Exec::new(2), &adapter, &batch, &mut grad).unwrap();
        assert_eq!(losses[0].tokens as usize, count);
        assert!((f64::from(losses[0].loss_sum) / golden.loss_sum - 1.0).abs() < 1e-5, "{name}: {losses:?}");
        for site in adapter.sites() {
            let start = start_of(&adapter, site.info.id).unwrap();
            let (a, b) = grad.values()[start..].split_at(site.a.len());
            for (side, got) in [("A", a), ("B", &b[..site.b.len()])] {
                let key = format!("grad.{}.lora_{side}", site.info.path());
                let away = error(got, &golden.values(&key));
                assert!(away < 1e-4, "{name} {key}: {away}");
            }
        }
    }
}
