//! The forward pass against the reference, and its independence of batch, threads, path and chunking.

use openledger_engine::{Chunk, Exec, ForwardError, KernelPath, KvPool, Logits, LoraAdapter, LoraConfig, Model, SeqKv};
use proptest::prelude::*;

use super::decoder::{Decoder, adapter, families, llama, model, tokens};

/// Bits of all logits of one sequence, run alone, cut at these lengths.
fn alone(model: &Model, exec: &mut Exec, tokens: &[u32], adapter: Option<&LoraAdapter>, cuts: &[usize]) -> Vec<u32> {
    let mut kv = KvPool::new(model.config(), 8);
    let mut seq = SeqKv::default();
    let mut out = Vec::new();
    let mut rest = tokens;
    for cut in cuts.iter().chain([&tokens.len()]) {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        rest = later;
        if now.is_empty() {
            continue;
        }
        let chunk = Chunk { tokens: now, kv: &mut seq, adapter, logits: Logits::All };
        let logits = model.forward(exec, &mut kv, &mut [chunk]).unwrap();
        out.extend(logits.chunk(0).data().iter().map(|value| value.to_bits()));
    }
    assert_eq!(seq.len(), tokens.len());
    out
}

fn floats(bits: &[u32]) -> Vec<f64> {
    bits.iter().map(|bits| f64::from(f32::from_bits(*bits))).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_family_computes_what_the_reference_does() {
    for config in families() {
        let (exact, int8) = (model(&config, 3, false), model(&config, 3, true));
        let (tokens, adapter) = (tokens(1, 23), adapter(&config, 3, 4));
        let wide: Vec<f64> = adapter.params().iter().map(|value| f64::from(*value)).collect();
        for lora in [None, Some(&adapter)] {
            let reference = Decoder::new(&config, 3).logits(&tokens, lora.map(|lora| (lora, wide.as_slice()))).concat();
            let spread = reference.iter().fold(0.0f64, |top, x| top.max(x.abs()));
            let got = floats(&alone(&exact, &mut Exec::new(2), &tokens, lora, &[]));
            let error = largest_difference(&got, &reference) / spread;
            assert!(error < 2e-5, "{}: {error} of the largest logit", config.architecture);
            let quantised = floats(&alone(&int8, &mut Exec::new(2), &tokens, lora, &[]));
            let error = largest_difference(&quantised, &reference) / spread;
            assert!(error > 1e-6 && error < 0.1, "{}: int8 is {error} of the largest logit away", config.architecture);
        }
    }
}

#[test]
fn threads_and_paths_do_not_change_a_bit() {
    for config in families() {
        let (model, adapter, tokens) = (model(&config, 3, true), adapter(&config, 5, 4), tokens(1, 40));
        let expected = alone(&model, &mut Exec::with_path(1, KernelPath::PORTABLE), &tokens, Some(&adapter), &[]);
        for path in KernelPath::available() {
            for threads in [1, 2, 3] {
                let got = alone(&model, &mut Exec::with_path(threads, path), &tokens, Some(&adapter), &[]);
                assert!(got == expected, "{} on {} with {threads} threads", config.architecture, path.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn cutting_a_prompt_does_not_change_a_bit(cuts in prop::collection::vec(1usize..30, 0..6), family in 0usize..6) {
        let config = &families()[family];
        let (model, tokens) = (model(config, 3, true), tokens(2, 50));
        let adapter = adapter(config, 4, 9);
        let mut exec = Exec::new(2);
        let whole = alone(&model, &mut exec, &tokens, Some(&adapter), &[]);
        prop_assert!(alone(&model, &mut exec, &tokens, Some(&adapter), &cuts) == whole);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_a_mixed_batch() {
    let config = llama();
    let model = model(&config, 3, true);
    let mut exec = Exec::new(2);
    let adapters: Vec<LoraAdapter> = (0..3).map(|i| adapter(&config, 2 + 3 * i, i as u64)).collect();
    let lora = |i: usize| if i % 4 == 3 { None } else { Some(&adapters[i % 4]) };
    let prompts: Vec<Vec<u32>> = (0..7).map(|i| tokens(i, 3 + 5 * i as usize)).collect();
    let mut kv = KvPool::new(&config, 40);
    let mut seqs: Vec<SeqKv> = prompts.iter().map(|_| SeqKv::default()).collect();
    // The even sequences are ahead: their prompt's last token is decoded while the odd ones prefill.
    for (i, seq) in seqs.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0) {
        let tokens = &prompts[i][..prompts[i].len() - 1];
        model
            .forward(&mut exec, &mut kv, &mut [Chunk { tokens, kv: seq, adapter: lora(i), logits: Logits::None }])
            .unwrap();
    }
    let mut chunks: Vec<Chunk<'_>> = seqs
        .iter_mut()
        .enumerate()
        .map(|(i, kv)| Chunk { tokens: &prompts[i][kv.len()..], kv, adapter: lora(i), logits: Logits::Last })
        .collect();
    let logits = model.forward(&mut exec, &mut kv, &mut chunks).unwrap();
    for (i, prompt) in prompts.iter().enumerate() {
        let expected = alone(&model, &mut exec, prompt, lora(i), &[]);
        let got: Vec<u32> = logits.last(i).unwrap().iter().map(|value| value.to_bits()).collect();
        assert!(got == expected[expected.len() - config.vocab..], "sequence {i}");
    }
}

#[test]
fn an_adapter_with_b_zero_changes_nothing_and_one_with_fewer_targets_only_those() {
    let config = llama();
    let model = model(&config, 3, true);
    let mut exec = Exec::new(1);
    let base = alone(&model, &mut exec, &tokens(1, 9), None, &[]);
    let fresh = LoraAdapter::new(&config, &LoraConfig::all_linear(4), 1).unwrap();
    assert!(alone(&model, &mut exec, &tokens(1, 9), Some(&fresh), &[]) == base);
    let some = LoraConfig { rank: 2, alpha: 4.0, targets: vec![openledger_engine::SiteKind::V] };
    let mut some = LoraAdapter::new(&config, &some, 1).unwrap();
    some.params_mut().fill(0.1);
    assert!(alone(&model, &mut exec, &tokens(1, 9), Some(&some), &[]) != base);
}

#[test]
fn what_cannot_run_is_refused_and_changes_nothing() {
    let config = llama();
    let model = model(&config, 3, true);
    let mut exec = Exec::new(1);
    let mut kv = KvPool::new(&config, 2);
    let mut seq = SeqKv::default();
    let run = |tokens: &[u32], kv: &mut KvPool, seq: &mut SeqKv, exec: &mut Exec| {
        model.forward(exec, kv, &mut [Chunk { tokens, kv: seq, adapter: None, logits: Logits::Last }]).map(|_| ())
    };
    assert!(matches!(run(&[], &mut kv, &mut seq, &mut exec), Err(ForwardError::Empty { chunk: 0 })));
    assert!(matches!(run(&[1, 50], &mut kv, &mut seq, &mut exec), Err(ForwardError::Token { token: 50, vocab: 50 })));
    assert!(matches!(run(&[1; 65], &mut kv, &mut seq, &mut exec), Err(ForwardError::Context { len: 65, limit: 64 })));
    assert!(matches!(run(&[1; 33], &mut kv, &mut seq, &mut exec), Err(ForwardError::Kv(_))));
    assert_eq!((seq.len(), kv.free_blocks()), (0, 2));
    let other = openledger_engine::ModelConfig::llama(1, 48, 56, 4, 2, 50);
    let foreign = adapter(&other, 2, 1);
    let chunk = Chunk { tokens: &[1], kv: &mut seq, adapter: Some(&foreign), logits: Logits::Last };
    assert!(matches!(model.forward(&mut exec, &mut kv, &mut [chunk]), Err(ForwardError::Adapter { chunk: 0 })));
    let mut wrong = KvPool::new(&other, 2);
    assert!(matches!(run(&[1], &mut wrong, &mut seq, &mut exec), Err(ForwardError::Pool)));
}
