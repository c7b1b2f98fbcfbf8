//! Keys and values, sampling, adapters, and the model's hash.

use openledger_engine::sample::{SampleError, Sampler, SamplingParams, greedy};
use openledger_engine::{
    Chunk, ConfigError, Exec, KvError, KvPool, Logits, LoraAdapter, LoraConfig, LoraError, Model, ModelConfig, SeqKv,
    SiteKind,
};

use super::decoder::{llama, model, tokens};

fn push(model: &Model, kv: &mut KvPool, seq: &mut SeqKv, tokens: &[u32]) -> Vec<u32> {
    let chunk = Chunk { tokens, kv: seq, adapter: None, logits: Logits::Last };
    let logits = model.forward(&mut Exec::new(1), kv, &mut [chunk]).unwrap();
    logits.last(0).unwrap().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn forks_share_whole_blocks_and_go_their_own_ways() {
    let (config, prompt) = (llama(), tokens(1, 40));
    let model = model(&config, 3, true);
    let mut kv = KvPool::new(&config, 12);
    let (mut whole, mut alone) = (kv.alloc(), kv.alloc());
    push(&model, &mut kv, &mut whole, &prompt);
    let mut fork = kv.fork(&whole, 37).unwrap();
    assert_eq!(kv.free_blocks(), 12 - 3 - 1);
    let forked = push(&model, &mut kv, &mut fork, &[7, 8]);
    let straight = push(&model, &mut kv, &mut alone, &[&prompt[..37], &[7, 8]].concat());
    assert!(forked == straight);
    let on = push(&model, &mut kv, &mut whole, &[9]);
    kv.free(alone);
    let mut again = kv.alloc();
    assert!(on == push(&model, &mut kv, &mut again, &[&prompt[..], &[9]].concat()));
    [whole, fork, again].into_iter().for_each(|seq| kv.free(seq));
    assert_eq!(kv.free_blocks(), 12);
}

#[test]
fn a_shared_block_is_copied_before_it_is_written_again() {
    let (config, prompt) = (llama(), tokens(1, 32));
    let model = model(&config, 3, true);
    let mut kv = KvPool::new(&config, 12);
    let mut whole = kv.alloc();
    push(&model, &mut kv, &mut whole, &prompt);
    let mut fork = kv.fork(&whole, 32).unwrap();
    kv.truncate(&mut fork, 20);
    let forked = push(&model, &mut kv, &mut fork, &[1, 2, 3]);
    let mut alone = kv.alloc();
    assert!(forked == push(&model, &mut kv, &mut alone, &[&prompt[..20], &[1, 2, 3]].concat()));
    let mut straight = kv.alloc();
    let expected = push(&model, &mut kv, &mut straight, &[&prompt[..], &[4]].concat());
    assert!(push(&model, &mut kv, &mut whole, &[4]) == expected, "the original still has its own tokens");
}

#[test]
fn a_pool_says_what_is_missing() {
    let config = llama();
    let model = model(&config, 3, true);
    let mut kv = KvPool::new(&config, 1);
    let mut seq = kv.alloc();
    push(&model, &mut kv, &mut seq, &[1; 10]);
    assert_eq!(KvPool::blocks_needed(&seq, 7), 1);
    assert_eq!(kv.fork(&seq, 11).unwrap_err(), KvError::PrefixTooLong { asked: 11, len: 10 });
    assert_eq!(kv.fork(&seq, 5).unwrap_err(), KvError::Exhausted { needed: 1, free: 0, blocks: 1 });
}

fn draw(params: SamplingParams, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(params).unwrap();
    (0..count).map(|_| sampler.next(logits).unwrap()).collect()
}

#[test]
fn the_most_likely_token_wins_and_equals_rank_by_id() {
    assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0]).unwrap(), 1);
    assert_eq!(draw(SamplingParams::greedy(), &[0.0, -1.0, 5.0, 5.0], 3), [2, 2, 2]);
}

#[test]
fn draws_follow_the_probabilities_and_the_seed() {
    let logits = [0.0f32, 1.0, 2.0, -3.0];
    let params = SamplingParams { temperature: 1.0, top_p: 1.0, top_k: 0, seed: 7 };
    let drawn = draw(params, &logits, 20_000);
    assert_eq!(drawn, draw(params, &logits, 20_000));
    assert_ne!(drawn, draw(SamplingParams { seed: 8, ..params }, &logits, 20_000));
    let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    for (token, logit) in logits.iter().enumerate() {
        let share = drawn.iter().filter(|t| **t as usize == token).count() as f64 / 20_000.0;
        assert!((share - f64::from(*logit).exp() / total).abs() < 0.012, "token {token}: {share}");
    }
}

#[test]
fn top_k_and_top_p_leave_out_the_unlikely() {
    let logits = [2.0f32, 1.9, 0.0, -1.0];
    let params = SamplingParams { temperature: 1.0, top_p: 1.0, top_k: 2, seed: 1 };
    assert!(draw(params, &logits, 500).iter().all(|token| *token < 2));
    let nucleus = SamplingParams { top_p: 0.5, top_k: 0, ..params };
    let drawn = draw(nucleus, &logits, 500);
    assert!(drawn.iter().all(|token| *token < 2) && drawn.contains(&1));
    assert!(draw(SamplingParams { top_p: 1e-6, ..nucleus }, &logits, 50).iter().all(|token| *token == 0));
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    assert_eq!(greedy(&[]), Err(SampleError::Empty));
    assert!(matches!(greedy(&[0.0, f32::NAN]), Err(SampleError::NotANumber { token: 1, .. })));
    let params = SamplingParams { temperature: -1.0, ..SamplingParams::greedy() };
    assert!(matches!(Sampler::new(params), Err(SampleError::Parameter { name: "temperature", .. })));
    let params = SamplingParams { top_p: 0.0, ..SamplingParams::greedy() };
    assert!(matches!(Sampler::new(params), Err(SampleError::Parameter { name: "top_p", .. })));
}

#[test]
fn a_fresh_adapter_is_seeded_uniform_within_pefts_bound_and_b_is_zero() {
    let config = llama();
    let adapter = LoraAdapter::new(&config, &LoraConfig::all_linear(4), 5).unwrap();
    for site in adapter.sites() {
        let bound = 1.0 / (site.info.d_in as f32).sqrt();
        let top = site.a.iter().fold(0.0f32, |top, x| top.max(x.abs()));
        assert!(top <= bound && top > 0.9 * bound && site.b.iter().all(|b| *b == 0.0), "{}", site.info.path());
    }
    let again = LoraAdapter::new(&config, &LoraConfig::all_linear(4), 5).unwrap();
    assert_eq!(adapter.hash(), again.hash());
    assert_ne!(adapter.hash(), LoraAdapter::new(&config, &LoraConfig::all_linear(4), 6).unwrap().hash());
}

#[test]
fn adapters_out_of_range_are_refused() {
    let config = llama();
    let lora = |rank, alpha, targets| LoraAdapter::new(&config, &LoraConfig { rank, alpha, targets }, 0).unwrap_err();
    assert_eq!(lora(0, 1.0, vec![SiteKind::Q]), LoraError::Rank { rank: 0, limit: 256 });
    assert_eq!(lora(257, 1.0, vec![SiteKind::Q]), LoraError::Rank { rank: 257, limit: 256 });
    assert_eq!(lora(2, 0.0, vec![SiteKind::Q]), LoraError::Alpha { alpha: 0.0 });
    assert_eq!(lora(2, 1.0, vec![]), LoraError::NoTargets);
    let wrong = LoraAdapter::from_params(&config, &LoraConfig::all_linear(2), vec![0.0; 3]).unwrap_err();
    assert!(matches!(wrong, LoraError::Parameters { given: 3, .. }));
}

/// The canonical bytes are a format: they only change with its version.
#[test]
fn an_adapters_canonical_bytes_are_those_of_version_one() {
    let config = ModelConfig::llama(1, 4, 4, 1, 1, 4);
    let lora = LoraConfig { rank: 1, alpha: 2.0, targets: vec![SiteKind::Q, SiteKind::Down] };
    let params = (0..16).map(|i| i as f32).collect();
    let bytes = LoraAdapter::from_params(&config, &lora, params).unwrap().to_bytes();
    assert_eq!(bytes, include_bytes!("../golden/adapter_v1.bin"));
}

/// The same on every machine, whatever its packing.
#[test]
fn a_models_hash_is_that_of_version_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama");
    let hash = Model::open(&folder).unwrap().hash();
    assert_eq!(hash.to_string(), "0xb2a0e2cb270e8146a664399363dab401c807b70b8c7625a6dfaa2cf8ea50efb6");
}

#[test]
fn the_models_hash_tells_configurations_and_weights_apart() {
    let config = llama();
    let hash = model(&config, 3, true).hash();
    assert_eq!(hash, model(&config, 3, true).hash());
    assert_ne!(hash, model(&config, 4, true).hash());
    assert_ne!(hash, model(&config, 3, false).hash());
    assert_ne!(hash, model(&ModelConfig { rope_theta: 1e5, ..config.clone() }, 3, true).hash());
    assert_ne!(hash, model(&ModelConfig { eps: 1e-6, ..config }, 3, true).hash());
}

#[test]
fn impossible_configurations_are_refused_with_the_value() {
    let refused = |config: ModelConfig| config.check().unwrap_err();
    assert_eq!(
        refused(ModelConfig { layers: 0, ..llama() }),
        ConfigError::Size { name: "layers", value: 0, limit: 256 }
    );
    assert_eq!(refused(ModelConfig { kv_heads: 3, ..llama() }), ConfigError::Heads { heads: 4, kv_heads: 3 });
    assert_eq!(refused(ModelConfig { head_dim: 7, ..llama() }), ConfigError::HeadDim { head_dim: 7 });
    assert!(matches!(refused(ModelConfig { eps: 0.0, ..llama() }), ConfigError::Number { name: "eps", .. }));
}
