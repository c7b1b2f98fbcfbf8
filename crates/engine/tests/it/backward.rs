//! The backward pass against finite differences of the reference, and its independence of batch, threads and path.

use openledger_engine::{
    BackwardError, Cpu, Exec, GradSink, KernelPath, LoraAdapter, LoraGrad, Model, ModelConfig, ModelOptions, SiteGrad,
    TrainSequence,
};

use super::decoder::{Decoder, adapter, families, llama, model, model_with, start_of, tokens};

struct Example {
    tokens: Vec<u32>,
    targets: Vec<Option<u32>>,
}

/// A sequence whose second half has targets, one of them masked.
fn example(seed: u64, len: usize) -> Example {
    let tokens = tokens(seed, len);
    let target = |i: usize| tokens.get(i + 1).copied().filter(|_| i >= len / 2 && i != len / 2 + 1);
    Example { targets: (0..len).map(target).collect(), tokens }
}

fn gradient(
    model: &Model,
    exec: &mut Exec,
    adapter: &LoraAdapter,
    examples: &[(&Example, f32)],
) -> (Vec<f32>, Vec<f32>) {
    let batch =
        examples.iter().map(|(e, scale)| TrainSequence { tokens: &e.tokens, targets: &e.targets, scale: *scale });
    let mut grad = LoraGrad::new(adapter);
    let losses = model.backward(exec, adapter, &batch.collect::<Vec<_>>(), &mut grad).unwrap();
    (grad.values().to_vec(), losses.iter().map(|loss| loss.loss_sum).collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Some parameters of every site: the first, the last, and those between at even distances, of A and of B.
fn probes(adapter: &LoraAdapter) -> Vec<(String, usize)> {
    let of_site = |site: openledger_engine::LoraSite<'_>| {
        let start = start_of(adapter, site.info.id).unwrap();
        let matrices = [("A", start, site.a.len()), ("B", start + site.a.len(), site.b.len())];
        let some = move |(name, start, len): (&str, usize, usize)| {
            let name = format!("{} {name}", site.info.path());
            (0..6).map(move |i| (name.clone(), start + i * (len - 1) / 5)).collect::<Vec<_>>()
        };
        matrices.into_iter().flat_map(some).collect::<Vec<_>>()
    };
    adapter.sites().flat_map(of_site).collect()
}

fn check_against_finite_differences(config: &ModelConfig) {
    let (model, adapter) = (model(config, 3, false), adapter(config, 3, 4));
    let example = example(1, 13);
    let (got, losses) = gradient(&model, &mut Exec::new(2), &adapter, &[(&example, 1.0)]);
    let reference = Decoder::new(config, 3);
    let mut params: Vec<f64> = adapter.params().iter().map(|value| f64::from(*value)).collect();
    let loss = reference.loss(&example.tokens, &example.targets, (&adapter, &params));
    assert!((f64::from(losses[0]) - loss).abs() < 1e-4 * loss, "{}: loss {} {loss}", config.architecture, losses[0]);
    let largest = got.iter().fold(0.0f64, |top, value| top.max(f64::from(value.abs())));
    for (name, index) in probes(&adapter) {
        let (at, h) = (params[index], 1e-4);
        let mut loss_at = |value: f64| {
            params[index] = value;
            reference.loss(&example.tokens, &example.targets, (&adapter, &params))
        };
        let slope = (loss_at(at + h) - loss_at(at - h)) / (2.0 * h);
        params[index] = at;
        let error = (f64::from(got[index]) - slope).abs();
        let allowed = 1e-3 * slope.abs() + 2e-5 * largest;
        assert!(error < allowed, "{} {name} [{index}]: {} instead of {slope}", config.architecture, got[index]);
    }
}

#[test]
fn gradients_of_every_site_of_every_family_are_the_slopes_of_the_reference() {
    families().iter().for_each(check_against_finite_differences);
}

#[test]
fn quantisation_changes_gradients_by_little() {
    for config in families() {
        let adapter = adapter(&config, 3, 4);
        let example = example(1, 29);
        let of = |quantise| gradient(&model(&config, 3, quantise), &mut Exec::new(1), &adapter, &[(&example, 1.0)]).0;
        let (exact, int8) = (of(false), of(true));
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let away = norm(&mut exact.iter().zip(&int8).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
        assert!(away > 1e-5 && away < 0.1, "{}: {away} of the gradient's norm", config.architecture);
    }
}

/// Cosine of two gradients, and the ratio of their lengths.
fn likeness(exact: &[f32], got: &[f32]) -> (f64, f64) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (exact_length, length) = (dot(exact, exact).sqrt(), dot(got, got).sqrt());
    (dot(exact, got) / (exact_length * length), length / exact_length)
}

#[test]
fn int8_gradients_are_close_to_f32_ones_at_the_same_activations_at_every_site() {
    for config in families() {
        let adapter = adapter(&config, 3, 4);
        let example = example(1, 29);
        let of = |exact_gradients| {
            let model = model_with(&config, 3, ModelOptions { exact_gradients, ..ModelOptions::default() });
            gradient(&model, &mut Exec::new(1), &adapter, &[(&example, 1.0)])
        };
        let ((exact, exact_losses), (int8, losses)) = (of(true), of(false));
        assert_eq!(bits(&exact_losses), bits(&losses), "the forward pass is the same");
        assert_ne!(bits(&exact), bits(&int8), "{}: the backward pass is not int8", config.architecture);
        for site in adapter.sites() {
            let start = start_of(&adapter, site.info.id).unwrap();
            let range = start..start + site.a.len() + site.b.len();
            let (cosine, length) = likeness(&exact[range.clone()], &int8[range]);
            let what = format!("{} {}", config.architecture, site.info.path());
            assert!(cosine > 0.999 && (length - 1.0).abs() < 0.02, "{what}: cosine {cosine}, length {length}");
        }
    }
}

#[test]
fn a_sequence_has_the_same_gradient_bits_among_sequences_of_other_adapters() {
    let config = llama();
    let model = model(&config, 3, true);
    let adapters = [adapter(&config, 3, 4), adapter(&config, 3, 5), adapter(&config, 3, 6)];
    let examples = [example(1, 30), example(2, 11), example(3, 25), example(4, 8)];
    let under = [0, 1, 1, 2];
    let sequences = examples.iter().zip(under).map(|(example, adapter)| {
        let sequence = TrainSequence { tokens: &example.tokens, targets: &example.targets, scale: 0.5 };
        (&adapters[adapter], sequence)
    });
    let mut split = Split { grads: under.iter().map(|at| LoraGrad::new(&adapters[*at])).collect(), lowest: 0 };
    let losses = model.backward_each(&mut Exec::new(2), &sequences.collect::<Vec<_>>(), &mut split).unwrap();
    for (i, example) in examples.iter().enumerate() {
        let (alone, loss) = gradient(&model, &mut Exec::new(1), &adapters[under[i]], &[(example, 0.5)]);
        assert!(bits(split.grads[i].values()) == bits(&alone), "sequence {i}");
        assert_eq!(loss[0].to_bits(), losses[i].loss_sum.to_bits());
    }
}

#[test]
fn a_sequence_has_the_same_gradient_bits_alone_and_in_any_batch() {
    let config = llama();
    let (model, adapter) = (model(&config, 3, true), adapter(&config, 4, 4));
    let examples: Vec<Example> = (0..5).map(|i| example(i, 5 + 9 * i as usize)).collect();
    let mut exec = Exec::new(2);
    let batch: Vec<TrainSequence<'_>> =
        examples.iter().map(|e| TrainSequence { tokens: &e.tokens, targets: &e.targets, scale: 0.5 }).collect();
    let mut split = Split { grads: (0..5).map(|_| LoraGrad::new(&adapter)).collect(), lowest: 0 };
    let losses = model.backward(&mut exec, &adapter, &batch, &mut split).unwrap();
    for (i, example) in examples.iter().enumerate() {
        let (alone, loss) = gradient(&model, &mut exec, &adapter, &[(example, 0.5)]);
        assert!(bits(split.grads[i].values()) == bits(&alone), "sequence {i}");
        assert_eq!(loss[0].to_bits(), losses[i].loss_sum.to_bits());
        assert_eq!(losses[i].tokens as usize, example.targets.iter().flatten().count());
    }
}

/// One gradient a sequence.
struct Split {
    grads: Vec<LoraGrad>,
    lowest: usize,
}

impl GradSink for Split {
    fn lowest_layer(&self) -> usize {
        self.lowest
    }

    fn site(&mut self, cpu: &Cpu, grad: &SiteGrad<'_>) {
        for (seq, rows) in grad.seqs {
            let (x, d) = (grad.x.rows_at(rows.clone()), grad.d.rows_at(rows.clone()));
            let (xa, db) = (grad.xa.rows_at(rows.clone()), grad.db.rows_at(rows.clone()));
            let alone = [(0, 0..rows.len())];
            self.grads[*seq].site(cpu, &SiteGrad { seqs: &alone, x, d, xa, db, ..*grad });
        }
    }
}

/// Adapters that are alike in their first layer go through it as one where nothing is asked of it; others do not.
#[test]
fn layers_below_the_lowest_are_left_out_and_passed_once_without_changing_a_bit() {
    for config in families() {
        let model = model(&config, 3, true);
        let (below, other) = (adapter(&config, 3, 4), adapter(&config, 3, 5));
        let joined = other.above(&below, 1).unwrap();
        let first_of_last = start_of(&below, model.sites().iter().find(|site| site.layer == 1).unwrap().id).unwrap();
        assert_eq!(joined.params()[..first_of_last], below.params()[..first_of_last]);
        assert_eq!(joined.params()[first_of_last..], other.params()[first_of_last..]);
        let example = example(1, 30);
        let sequence = TrainSequence { tokens: &example.tokens, targets: &example.targets, scale: 0.5 };
        for pair in [[&below, &joined], [&joined, &below], [&below, &other]] {
            let mut split = Split { grads: pair.iter().map(|adapter| LoraGrad::new(adapter)).collect(), lowest: 1 };
            let losses = model.backward_each(&mut Exec::new(2), &pair.map(|adapter| (adapter, sequence)), &mut split);
            for ((adapter, grad), loss) in pair.iter().zip(&split.grads).zip(losses.unwrap()) {
                let (alone, loss_alone) = gradient(&model, &mut Exec::new(1), adapter, &[(&example, 0.5)]);
                assert!(grad.values()[..first_of_last].iter().all(|value| *value == 0.0));
                assert!(
                    bits(&grad.values()[first_of_last..]) == bits(&alone[first_of_last..]),
                    "{}",
                    config.architecture
                );
                assert_eq!(loss.loss_sum.to_bits(), loss_alone[0].to_bits());
            }
        }
    }
}

#[test]
fn threads_and_paths_do_not_change_a_bit_of_a_gradient() {
    for config in families() {
        let (model, adapter) = (model(&config, 3, true), adapter(&config, 3, 4));
        let (first, second) = (example(1, 30), example(2, 11));
        let run = |threads, path| {
            gradient(&model, &mut Exec::with_path(threads, path), &adapter, &[(&first, 1.0), (&second, 0.3)])
        };
        let (expected, losses) = run(1, KernelPath::PORTABLE);
        for path in KernelPath::available() {
            let (got, got_losses) = run(3, path);
            assert!(bits(&got) == bits(&expected), "{} on {}", config.architecture, path.name());
            assert_eq!(bits(&got_losses), bits(&losses));
        }
    }
}

#[test]
fn a_batch_larger_than_one_part_has_the_sum_of_its_gradients() {
    let config = llama();
    let (model, adapter) = (model(&config, 3, true), adapter(&config, 2, 4));
    let example = example(1, 60);
    let mut exec = Exec::new(2);
    let (one, _) = gradient(&model, &mut exec, &adapter, &[(&example, 1.0)]);
    let (many, losses) = gradient(&model, &mut exec, &adapter, &[(&example, 1.0); 40]);
    assert!(losses.iter().all(|loss| *loss == losses[0]) && losses.len() == 40);
    let largest = one.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    assert!(one.iter().zip(&many).all(|(one, many)| (40.0 * one - many).abs() < 1e-3 * 40.0 * largest));
}

/// Checks that what the sink is told fits together.
struct Checks<'a> {
    adapter: &'a LoraAdapter,
    calls: Vec<(usize, u32)>,
}

impl GradSink for Checks<'_> {
    fn site(&mut self, _: &Cpu, grad: &SiteGrad<'_>) {
        let (site, SiteGrad { x, d, xa, db, .. }) = (grad.site, *grad);
        let lora = self.adapter.site(site.id).unwrap();
        assert_eq!((x.cols(), d.cols(), xa.cols(), db.cols()), (site.d_in, site.d_out, lora.rank, lora.rank));
        assert_eq!((x.rows(), grad.lora_scale), (d.rows(), lora.scale));
        for t in 0..x.rows() {
            for r in 0..lora.rank {
                let down: f32 = (0..site.d_in).map(|i| x.row(t)[i] * lora.a[r * site.d_in + i]).sum();
                let up: f32 = (0..site.d_out).map(|o| d.row(t)[o] * lora.b[o * lora.rank + r]).sum();
                assert!((xa.row(t)[r] - down).abs() < 1e-3 * (1.0 + down.abs()), "{} xa", site.path());
                assert!((db.row(t)[r] - up).abs() < 1e-3 * (1.0 + up.abs()), "{} db", site.path());
            }
        }
        let mut next = 0;
        for (seq, rows) in grad.seqs {
            assert_eq!(rows.start, next);
            next = rows.end;
            self.calls.push((*seq, site.id.0));
        }
        assert_eq!(next, x.rows());
    }
}

#[test]
fn the_sink_sees_every_site_of_every_sequence_with_a_target_once() {
    let config = llama();
    let (model, adapter) = (model(&config, 3, true), adapter(&config, 3, 4));
    let (first, masked, last) =
        (example(1, 9), Example { tokens: tokens(3, 6), targets: vec![None; 6] }, example(2, 12));
    let batch = [&first, &masked, &last].map(|e| TrainSequence { tokens: &e.tokens, targets: &e.targets, scale: 1.0 });
    let mut checks = Checks { adapter: &adapter, calls: Vec::new() };
    let losses = model.backward(&mut Exec::new(2), &adapter, &batch, &mut checks).unwrap();
    assert_eq!((losses[1].loss_sum, losses[1].tokens), (0.0, 0));
    checks.calls.sort_unstable();
    let expected: Vec<(usize, u32)> = [0, 2].into_iter().flat_map(|seq| (0..14).map(move |site| (seq, site))).collect();
    assert_eq!(checks.calls, expected);
}

#[test]
fn descending_the_gradient_lowers_the_loss() {
    let config = llama();
    let model = model(&config, 3, true);
    let mut adapter =
        openledger_engine::LoraAdapter::new(&config, &openledger_engine::LoraConfig::all_linear(4), 1).unwrap();
    let mut state = openledger_engine::AdamWState::new(adapter.params().len());
    let settings = openledger_engine::AdamW { lr: 0.01, ..Default::default() };
    let (example, mut exec) = (example(1, 20), Exec::new(2));
    let mut losses = Vec::new();
    for _ in 0..30 {
        let (grad, loss) = gradient(&model, &mut exec, &adapter, &[(&example, 1.0)]);
        state.step(KernelPath::best(), &settings, adapter.params_mut(), &grad);
        losses.push(loss[0]);
    }
    assert!(losses[29] < 0.2 * losses[0], "{losses:?}");
}

/// As many as Gemma's, and more: the gradient by the logits of one token does not fit the cache.
#[test]
fn a_large_vocabulary_has_gradients() {
    let config = ModelConfig { vocab: 200_000, layers: 1, ..llama() };
    let (model, adapter) = (model(&config, 3, true), adapter(&config, 3, 4));
    let example = example(1, 13);
    let (one, _) = gradient(&model, &mut Exec::new(1), &adapter, &[(&example, 1.0)]);
    let (several, losses) = gradient(&model, &mut Exec::new(3), &adapter, &[(&example, 1.0)]);
    assert!(losses[0].is_finite() && one.iter().any(|value| *value != 0.0));
    assert_eq!(bits(&one), bits(&several));
}

#[test]
fn batches_that_make_no_sense_are_refused() {
    let config = llama();
    let (model, adapter) = (model(&config, 3, true), adapter(&config, 3, 4));
    let run = |tokens: &[u32], targets: &[Option<u32>]| {
        let batch = [TrainSequence { tokens, targets, scale: 1.0 }];
        model.backward(&mut Exec::new(1), &adapter, &batch, &mut LoraGrad::new(&adapter)).map(|_| ())
    };
    let other = openledger_engine::LoraAdapter::new(&config, &openledger_engine::LoraConfig::all_linear(2), 1).unwrap();
    let sequence = TrainSequence { tokens: &[1], targets: &[Some(2)], scale: 1.0 };
    let mixed = [(&adapter, sequence), (&other, sequence)];
    let refused = model.backward_each(&mut Exec::new(1), &mixed, &mut LoraGrad::new(&adapter));
    assert!(matches!(refused, Err(BackwardError::Adapter)));
    assert!(matches!(run(&[1, 2], &[None]), Err(BackwardError::Targets { seq: 0, tokens: 2, targets: 1 })));
    assert!(matches!(run(&[1], &[Some(50)]), Err(BackwardError::Token { token: 50, vocab: 50 })));
    assert!(matches!(run(&[1; 65], &[None; 65]), Err(BackwardError::Length { seq: 0, len: 65, limit: 64 })));
}
