//! The training loop: it learns, and its state is all in its checkpoint.

use openledger_engine::{Exec, Model};
use openledger_train::{Checkpoint, Encoder, Evaluation, Evaluator, Example, Recipe, Run, RunError, TrainRecord};

use crate::support::{model, pair, recipe, record, records};

fn examples(model: &Model, recipe: &Recipe, records: &[TrainRecord]) -> Vec<Example> {
    Encoder::new(model, recipe).encode_all(records).0
}

fn run(model: &Model, recipe: &Recipe, count: u64, threads: usize) -> Run {
    Run::new(model, recipe, examples(model, recipe, &records(count)), threads).unwrap()
}

fn finish(run: &mut Run) -> Vec<f64> {
    let mut losses = Vec::new();
    while !run.is_done() {
        losses.push(run.advance().unwrap().loss);
    }
    losses
}

fn evaluate(model: &Model, recipe: &Recipe, run: Option<&Run>, records: &[TrainRecord]) -> Evaluation {
    let mut exec = Exec::new(1);
    let adapter = run.map(Run::adapter);
    let mut evaluator = Evaluator { model, adapter, exec: &mut exec, max_new_tokens: 8, stop: &|| false };
    evaluator.run(&examples(model, recipe, records), records).unwrap()
}

#[test]
fn a_task_that_can_be_learnt_is_learnt() {
    let (model, mut recipe) = (model(), recipe(&model()));
    (recipe.epochs, recipe.lora.rank) = (20, 8);
    let records = records(12);
    let before = evaluate(&model, &recipe, None, &records);
    let mut run = run(&model, &recipe, 12, 1);
    let losses = finish(&mut run);
    let after = evaluate(&model, &recipe, Some(&run), &records);
    assert_eq!(losses.len(), 60);
    assert!(losses[59] < 0.2 * losses[0], "{losses:?}");
    assert!(after.loss < 0.2 * before.loss, "{} to {}", before.loss, after.loss);
    assert_eq!(before.exact, 0);
    assert!(after.exact >= 8, "{after:?}");
}

#[test]
fn a_run_continues_exactly_from_any_step() {
    let (model, recipe) = (model(), recipe(&model()));
    let mut whole = run(&model, &recipe, 10, 1);
    let mut kept = vec![whole.checkpoint()];
    while !whole.is_done() {
        whole.advance().unwrap();
        kept.push(whole.checkpoint());
    }
    assert_eq!(kept.len(), 7, "two epochs of ten records in batches of four");
    for checkpoint in kept {
        let mut resumed = run(&model, &recipe, 10, 1);
        resumed.restore(Checkpoint::from_bytes(&checkpoint.to_bytes()).unwrap()).unwrap();
        finish(&mut resumed);
        assert_eq!(resumed.checkpoint(), whole.checkpoint(), "from step {}", checkpoint.step);
        assert_eq!(resumed.adapter().hash(), whole.adapter().hash());
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let (model, recipe) = (model(), recipe(&model()));
    let [mut one, mut three] = [1, 3].map(|threads| run(&model, &recipe, 8, threads));
    assert_eq!(finish(&mut one), finish(&mut three));
    assert_eq!(one.adapter().hash(), three.adapter().hash());
}

#[test]
fn another_seed_gives_another_adapter() {
    let (model, mut recipe) = (model(), recipe(&model()));
    let mut one = run(&model, &recipe, 8, 1);
    recipe.seed = 1;
    let mut two = run(&model, &recipe, 8, 1);
    finish(&mut one);
    finish(&mut two);
    assert_ne!(one.adapter().hash(), two.adapter().hash());
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let (model, recipe) = (model(), recipe(&model()));
    let foreign = run(&model, &recipe, 8, 1).checkpoint();
    let mut other_recipe = recipe.clone();
    other_recipe.learning_rate *= 2.0;
    let refused = run(&model, &other_recipe, 8, 1).restore(foreign.clone()).unwrap_err();
    assert!(matches!(refused, RunError::Foreign { what: "recipe", .. }));
    let refused = run(&model, &recipe, 9, 1).restore(foreign).unwrap_err();
    assert!(matches!(refused, RunError::Foreign { what: "data", .. }));
}

#[test]
fn a_run_in_which_nothing_is_learnt_is_refused() {
    let (model, recipe) = (model(), recipe(&model()));
    let long = [record(0, pair(&"x".repeat(300), "y"))];
    let refused = Run::new(&model, &recipe, examples(&model, &recipe, &long), 1).unwrap_err();
    assert!(matches!(refused, RunError::NothingLearnt { .. }));
}

#[test]
fn a_diverging_run_stops_before_it_spoils_the_adapter() {
    let (model, mut recipe) = (model(), recipe(&model()));
    (recipe.learning_rate, recipe.max_grad_norm, recipe.epochs, recipe.warmup_steps) = (1.0, 0.0, 200, 0);
    recipe.lora.alpha = 1e4;
    let mut run = run(&model, &recipe, 8, 1);
    let ended = loop {
        if run.is_done() {
            break None;
        }
        let before = run.adapter().hash();
        if let Err(error) = run.advance() {
            assert_eq!(run.adapter().hash(), before);
            break Some(error);
        }
    };
    // Whether it overflows is the model's affair; if it does, it is said.
    if let Some(error) = ended {
        assert!(matches!(error, RunError::Diverged { .. }), "{error}");
    }
    assert!(run.adapter().params().iter().all(|p| p.is_finite()));
}
