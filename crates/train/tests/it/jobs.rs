//! Jobs live in the server: they are seen, paused, cancelled, stopped early and continued.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openledger_primitives::B256;
use openledger_store::{Schema, Store};
use openledger_train::{
    Artifact, Clock, FactoryConfig, FactoryError, Happening, HeldOut, INTERRUPTED_MAX, JobId, JobState, ModelFactory,
    Moment, Phase, RecipeError, RunError, TRAIN_SCHEMA, TableError,
};
use tempfile::TempDir;

use crate::support::{ENDED, factory, model, pair, record, request, run_job, until, wait_for};

fn is_step(happening: &Happening, at_least: u64) -> bool {
    matches!(happening, Happening::Step(report) if report.step >= at_least)
}

#[test]
fn a_job_leaves_its_whole_history() {
    let dir = TempDir::new().unwrap();
    let factory = factory(dir.path());
    let mut events = factory.subscribe();
    let id = factory.submit(&request(&model(), 9)).unwrap();
    assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Done);
    let history: Vec<Happening> = factory.events(id, 0, 1_000).unwrap().into_iter().map(|e| e.happening).collect();

    let steps: Vec<u64> = history
        .iter()
        .filter_map(|h| match h {
            Happening::Step(r) => Some(r.step),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    let phases: Vec<Phase> = history
        .iter()
        .filter_map(|h| match h {
            Happening::Phase { phase } => Some(*phase),
            _ => None,
        })
        .collect();
    use Phase::{Encoding, Influence, MeasuringBase, MeasuringTuned, Suffixes, Training, Writing};
    assert_eq!(phases, [Encoding, MeasuringBase, Training, MeasuringTuned, Influence, Suffixes, Writing]);
    let states: Vec<JobState> = history
        .iter()
        .filter_map(|h| match h {
            Happening::State { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [JobState::Queued, JobState::Running, JobState::Done]);
    let moments: Vec<Moment> = history
        .iter()
        .filter_map(|h| match h {
            Happening::Evaluated { moment, .. } => Some(*moment),
            _ => None,
        })
        .collect();
    assert_eq!(moments, [Moment::Base, Moment::Tuned]);
    let job = factory.job(id).unwrap();
    assert_eq!((job.step, job.steps, job.error), (6, 6, None));
}

#[test]
fn events_are_read_page_by_page() {
    let dir = TempDir::new().unwrap();
    let factory = factory(dir.path());
    let mut live = factory.subscribe();
    let id = factory.submit(&request(&model(), 6)).unwrap();
    until(&factory, &mut live, id, ENDED);
    let all = factory.events(id, 0, 1_000).unwrap();
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = factory.events(id, after, 4).unwrap();
        let Some(last) = page.last() else { break };
        after = last.sequence;
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

#[test]
fn a_paused_job_continues_to_the_same_model() {
    let (whole, paused) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut request = request(&model(), 12);
    request.recipe.epochs = 6;
    let (reference, _) = run_job(whole.path(), &request);
    let factory = factory(paused.path());
    let mut events = factory.subscribe();
    let id = factory.submit(&request).unwrap();
    wait_for(&mut events, |e| is_step(&e.happening, 4));
    factory.pause(id).unwrap();
    assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Paused);
    assert!(factory.job(id).unwrap().step < 18);
    factory.resume(id).unwrap();
    assert_eq!(until(&factory, &mut events, id, &[JobState::Done, JobState::Failed]), JobState::Done);
    let continued = Artifact::load(&factory.job(id).unwrap().artifact.unwrap(), &model()).unwrap();
    assert_eq!(continued.manifest_hash, reference.manifest_hash);
}

#[test]
fn a_cancelled_job_leaves_no_records_behind() {
    let dir = TempDir::new().unwrap();
    let factory = factory(dir.path());
    let mut events = factory.subscribe();
    let mut request = request(&model(), 12);
    request.recipe.epochs = 100;
    let (running, waiting) = (factory.submit(&request).unwrap(), factory.submit(&request).unwrap());
    factory.cancel(waiting).unwrap();
    assert_eq!(factory.job(waiting).unwrap().state, JobState::Cancelled);
    wait_for(&mut events, |e| is_step(&e.happening, 1));
    factory.cancel(running).unwrap();
    assert_eq!(until(&factory, &mut events, running, ENDED), JobState::Cancelled);
    for id in [running, waiting] {
        assert!(!dir.path().join(format!("train/job-{id}")).exists(), "job {id}");
        assert!(matches!(factory.cancel(id), Err(FactoryError::Table(TableError::State { .. }))));
    }
}

#[test]
fn a_run_stopped_early_is_saved_as_it_was() {
    let dir = TempDir::new().unwrap();
    let factory = factory(dir.path());
    let mut events = factory.subscribe();
    let mut request = request(&model(), 12);
    request.recipe.epochs = 100;
    let id = factory.submit(&request).unwrap();
    assert!(factory.stop_and_save(JobId(99)).is_err());
    wait_for(&mut events, |e| is_step(&e.happening, 5));
    factory.stop_and_save(id).unwrap();
    assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Done);
    let artifact = Artifact::load(&factory.job(id).unwrap().artifact.unwrap(), &model()).unwrap();
    assert!((5..300).contains(&artifact.manifest.steps), "{}", artifact.manifest.steps);
    let last = artifact.manifest.attribution.checkpoints.last().unwrap();
    assert!(last.step <= artifact.manifest.steps);
}

#[test]
fn a_server_that_stops_and_starts_goes_on_with_its_job() {
    let (whole, restarted) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut request = request(&model(), 12);
    request.recipe.epochs = 6;
    let (reference, _) = run_job(whole.path(), &request);
    let first = factory(restarted.path());
    let mut events = first.subscribe();
    let id = first.submit(&request).unwrap();
    wait_for(&mut events, |e| is_step(&e.happening, 2));
    first.shutdown();
    drop((first, events));
    let second = factory(restarted.path());
    let mut events = second.subscribe();
    assert_eq!(until(&second, &mut events, id, ENDED), JobState::Done);
    let artifact = Artifact::load(&second.job(id).unwrap().artifact.unwrap(), &model()).unwrap();
    assert_eq!(artifact.manifest_hash, reference.manifest_hash);
    let steps = second.events(id, 0, 10_000).unwrap().into_iter().filter(|e| is_step(&e.happening, 0)).count();
    assert_eq!(steps, 18, "every step is in the history once");
}

#[test]
fn a_request_that_cannot_work_is_refused_before_it_is_queued() {
    let dir = TempDir::new().unwrap();
    let factory = factory(dir.path());
    let good = request(&model(), 6);
    let mut other_base = good.clone();
    other_base.recipe.base_model = B256::repeat_byte(1);
    assert!(
        matches!(factory.submit(&other_base), Err(FactoryError::BaseModel { served, .. }) if served == [model().hash()])
    );
    let mut invalid = good.clone();
    invalid.recipe.epochs = 0;
    assert!(matches!(factory.submit(&invalid), Err(FactoryError::Recipe(_))));
    let mut wide = good.clone();
    (wide.recipe.lora.rank, wide.recipe.attribution.policy.influence.projection_dim) = (256, 256);
    assert!(matches!(factory.submit(&wide), Err(FactoryError::Recipe(RecipeError::Index { rank: 256, .. }))));
    let mut nothing = good.clone();
    nothing.records = vec![record(0, pair(&"x".repeat(500), "y"))];
    assert!(matches!(factory.submit(&nothing), Err(FactoryError::Run(RunError::NothingLearnt { .. }))));
    assert_eq!(factory.jobs().unwrap().len(), 0);
    assert!(matches!(factory.job(JobId(1)), Err(FactoryError::Table(TableError::Unknown { .. }))));
}

#[test]
fn a_disk_without_room_refuses_the_run() {
    let dir = TempDir::new().unwrap();
    let store = openledger_store::Store::open(dir.path().join("store"), &[openledger_train::TRAIN_SCHEMA]).unwrap();
    let mut config = openledger_train::FactoryConfig::new(dir.path().join("train"));
    config.disk_reserve_bytes = u64::MAX / 2;
    let factory = openledger_train::ModelFactory::start(vec![model()], store, config).unwrap();
    let refused = factory.submit(&request(&model(), 6)).unwrap_err();
    assert!(matches!(refused, FactoryError::Disk { reserve, .. } if reserve == u64::MAX / 2), "{refused}");
}

/// Sketches and rows of all records are in memory together when the index is finished.
#[test]
fn a_run_that_needs_more_memory_than_there_is_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("store"), &[TRAIN_SCHEMA]).unwrap();
    let mut config = FactoryConfig::new(dir.path().join("train"));
    (config.memory_bytes_max, config.disk_reserve_bytes) = (8 << 20, 0);
    let factory = ModelFactory::start(vec![model()], store, config).unwrap();
    let (few, many) = (request(&model(), 6), request(&model(), 2_000));
    let needed = |request| factory.estimate(request).unwrap().1.memory_bytes;
    let rows = 5 * (2_000 - 6) * few.recipe.index_row_dims(&model()).unwrap() as u64;
    assert!(needed(&many) >= needed(&few) + rows, "{} {}", needed(&many), needed(&few));
    factory.submit(&few).unwrap();
    let refused = factory.submit(&many).unwrap_err();
    assert!(
        matches!(refused, FactoryError::Memory { needed, limit } if needed > limit && limit == 8 << 20),
        "{refused}"
    );
}

/// Makes the job look as if the process had ended while it ran, after so many such ends before.
fn interrupt(folder: &Path, times_before: u32) {
    let store = Store::open(folder.join("store"), &[TRAIN_SCHEMA]).unwrap();
    let sql = "UPDATE train_job SET state = 'running', interrupted = ?1";
    store.with_tx(|tx| tx.execute(sql, [times_before])).unwrap();
}

#[test]
fn a_job_that_ends_the_process_again_and_again_fails() {
    let dir = TempDir::new().unwrap();
    run_job(dir.path(), &request(&model(), 6));
    interrupt(dir.path(), INTERRUPTED_MAX - 2);
    {
        let factory = factory(dir.path());
        let mut events = factory.subscribe();
        assert_eq!(until(&factory, &mut events, JobId(1), ENDED), JobState::Done);
    }
    interrupt(dir.path(), INTERRUPTED_MAX - 1);
    let factory = factory(dir.path());
    let job = factory.job(JobId(1)).unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.unwrap().starts_with("the process ended 5 times while this job ran and came no further"));
    let last = factory.events(JobId(1), 0, 1_000).unwrap().pop().unwrap();
    assert!(matches!(last.happening, Happening::State { state: JobState::Failed, reason: Some(_) }));
    let mut events = factory.subscribe();
    factory.resume(JobId(1)).unwrap();
    assert_eq!(until(&factory, &mut events, JobId(1), &[JobState::Done]), JobState::Done);
}

#[test]
fn a_job_that_comes_further_is_interrupted_as_often_as_it_likes() {
    let dir = TempDir::new().unwrap();
    let mut request = request(&model(), 12);
    request.recipe.epochs = 1_000;
    let mut before = 0;
    for _ in 0..2 * INTERRUPTED_MAX {
        let factory = factory(dir.path());
        let mut events = factory.subscribe();
        if factory.jobs().unwrap().is_empty() {
            factory.submit(&request).unwrap();
        }
        wait_for(&mut events, |event| matches!(event.happening, Happening::Checkpoint { step } if step > before));
        drop(factory);
        before = checkpoint_of(dir.path());
        let store = Store::open(dir.path().join("store"), &[TRAIN_SCHEMA]).unwrap();
        store.with_tx(|tx| tx.execute("UPDATE train_job SET state = 'running'", [])).unwrap();
    }
    assert_ne!(factory(dir.path()).job(JobId(1)).unwrap().state, JobState::Failed);
}

/// The step of the last checkpoint that the history has.
fn checkpoint_of(folder: &Path) -> u64 {
    let sql = "SELECT max(step) FROM train_event WHERE json_extract(happening, '$.kind') = 'checkpoint'";
    let store = Store::open(folder.join("store"), &[TRAIN_SCHEMA]).unwrap();
    store.read(|tx| tx.count(sql, [])).unwrap()
}

/// Whoever is told that a job is cancelled or paused finds it so, also when its artifact was being written.
#[test]
fn what_is_asked_while_the_artifact_is_written_is_done() {
    for (wanted, ask) in [
        (JobState::Cancelled, ModelFactory::cancel as fn(&ModelFactory, JobId) -> Result<(), FactoryError>),
        (JobState::Paused, ModelFactory::pause),
    ] {
        let dir = TempDir::new().unwrap();
        let factory = factory(dir.path());
        let mut events = factory.subscribe();
        let id = factory.submit(&request(&model(), 6)).unwrap();
        wait_for(&mut events, |event| matches!(event.happening, Happening::Phase { phase: Phase::Writing }));
        let expected = if ask(&factory, id).is_ok() { wanted } else { JobState::Done };
        assert_eq!(until(&factory, &mut events, id, ENDED), expected);
        assert_eq!(dir.path().join("train/job-1").exists(), expected != JobState::Cancelled);
    }
}

#[test]
fn held_out_records_are_taken_from_every_answer_and_do_not_train() {
    let dir = TempDir::new().unwrap();
    let mut request = request(&model(), 12);
    request.held_out.clear();
    request.recipe.evaluation.held_out = HeldOut::PerResponse(1);
    let (artifact, _) = run_job(dir.path(), &request);
    assert_eq!(artifact.manifest.data.used, 9);
    assert_eq!(artifact.manifest.evaluation.tuned.unwrap().records, 3);
    let (report, estimate) = factory(TempDir::new().unwrap().path()).estimate(&request).unwrap();
    assert_eq!((report.used, estimate.steps), (9, 6));
    assert!(estimate.memory_bytes > 0 && estimate.train_s > 0.0);
}

#[test]
fn a_folder_that_was_moved_keeps_its_artifacts() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (artifact, _) = run_job(first.path(), &request(&model(), 6));
    let moved = second.path().join("elsewhere");
    std::fs::rename(first.path(), &moved).unwrap();
    let found = factory(&moved).job(JobId(1)).unwrap().artifact.unwrap();
    assert!(found.starts_with(&moved), "{}", found.display());
    assert_eq!(Artifact::load(&found, &model()).unwrap().manifest_hash, artifact.manifest_hash);
}

#[test]
fn artifacts_that_were_noted_by_their_whole_path_are_found_after_a_move() {
    const BEFORE: Schema = Schema { name: "train", migrations: TRAIN_SCHEMA.migrations.split_at(2).0 };
    let (first, moved) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let request = request(&model(), 6);
    run_job(first.path(), &request);
    std::fs::rename(first.path().join("train"), moved.path().join("train")).unwrap();
    let store = Store::open(moved.path().join("store"), &[BEFORE]).unwrap();
    let (recipe, terms) = (request.recipe.to_json().to_string(), serde_json::to_string(&request.terms).unwrap());
    let sql = "INSERT INTO train_job (state, created_at_ms, changed_at_ms, artifact, recipe, terms)
        VALUES ('done', 1, 1, '/where/it/was/train/job-1/artifact', ?1, ?2)";
    store.with_tx(|tx| tx.execute(sql, [recipe, terms])).unwrap();
    drop(store);
    let found = factory(moved.path()).job(JobId(1)).unwrap().artifact.unwrap();
    Artifact::load(&found, &model()).unwrap();
}

/// A factory whose clock goes on by a second at each look, so that each step and each pass takes one second.
fn clocked(folder: &Path) -> ModelFactory {
    let store = Store::open(folder.join("store"), &[TRAIN_SCHEMA]).unwrap();
    let looks = AtomicU64::new(0);
    let mut config = FactoryConfig::new(folder.join("train"));
    config.clock = Clock::new(move || Duration::from_secs(looks.fetch_add(1, Ordering::SeqCst)));
    (config.threads, config.disk_reserve_bytes) = (1, 0);
    ModelFactory::start(vec![model()], store, config).unwrap()
}

#[test]
fn an_estimate_says_what_it_was_measured_on_and_agrees_with_the_job_that_ended() {
    let dir = TempDir::new().unwrap();
    let request = request(&model(), 12);
    {
        let factory = clocked(dir.path());
        let before = factory.estimate(&request).unwrap().1.speed.unwrap();
        assert_eq!(before.jobs, 0);
        assert_eq!(before.train_tokens_per_s, before.index_tokens_per_s);
        let mut events = factory.subscribe();
        let id = factory.submit(&request).unwrap();
        assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Done);
    }
    // What was measured outlives the process. Six steps of a second; at each checkpoint one pass over the twelve records.
    let (_, after) = clocked(dir.path()).estimate(&request).unwrap();
    assert_eq!(after.speed.unwrap().jobs, 1);
    let checkpoints = request.recipe.attribution.checkpoints_bps.len() as f64;
    assert!((after.train_s - 6.0).abs() < 1e-6, "{after:?}");
    assert!((after.index_s - checkpoints).abs() < 1e-6, "{after:?}");
    assert_eq!(after.steps, 6);
    // Twice the epochs take twice as long.
    let mut longer = request;
    longer.recipe.epochs *= 2;
    let (_, twice) = clocked(dir.path()).estimate(&longer).unwrap();
    assert!((twice.train_s - 12.0).abs() < 1e-6, "{twice:?}");
}
