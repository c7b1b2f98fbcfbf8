//! A tiny model, a toy task, and jobs on them.

use std::path::{Path, PathBuf};

use openledger_engine::Model;
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId, Wei};
use openledger_store::Store;
use openledger_train::{
    Artifact, FactoryConfig, Happening, JobEvent, JobId, JobRequest, JobState, ModelFactory, Preset, Price, Recipe,
    RecordBody, SnapshotRef, TRAIN_SCHEMA, Terms, TrainRecord,
};
use tokio::sync::broadcast::Receiver;

pub(crate) fn model() -> Model {
    openledger_testkit::tiny_model()
}

pub(crate) fn pair(prompt: &str, response: &str) -> RecordBody {
    RecordBody::Pair { prompt: prompt.to_owned(), response: response.to_owned() }
}

pub(crate) fn record(index: u64, body: RecordBody) -> TrainRecord {
    TrainRecord {
        snapshot: 0,
        index,
        hash: RecordHash(B256::with_last_byte(index as u8)),
        contributor: Address::with_last_byte(1 + (index % 5) as u8),
        cluster: index,
        body,
    }
}

/// A task that can be learnt: the answer is named by the question's first letter.
pub(crate) fn records(count: u64) -> Vec<TrainRecord> {
    let (letters, answers) = (["a", "b", "c"], ["up", "down", "left"]);
    let body = |i: u64| pair(&format!("{} {}", letters[(i % 3) as usize], i / 3), answers[(i % 3) as usize]);
    (0..count).map(|i| record(i, body(i))).collect()
}

pub(crate) fn recipe(model: &Model) -> Recipe {
    let root = SnapshotRef { datanet: DatanetId(1), snapshot: SnapshotId(1), root: B256::repeat_byte(3) };
    let mut recipe = Recipe::preset(Preset::Quick, "toy", model.hash(), vec![root]);
    (recipe.batch_size, recipe.epochs, recipe.lora.rank) = (4, 2, 4);
    recipe.learning_rate = 1e-2;
    recipe.max_sequence_tokens = 96;
    recipe.evaluation.max_new_tokens = 6;
    recipe
}

pub(crate) fn request(model: &Model, count: u64) -> JobRequest {
    let price = Price { input_wei: Wei(1), output_wei: Wei(2) };
    let mut held_out = records(count + 6);
    let held_out = held_out.split_off(count as usize);
    JobRequest { recipe: recipe(model), terms: Terms { parents: vec![], price }, records: records(count), held_out }
}

/// A ModelFactory in `folder`, with a checkpoint every three steps.
pub(crate) fn factory(folder: &Path) -> ModelFactory {
    let store = Store::open(folder.join("store"), &[TRAIN_SCHEMA]).unwrap();
    let mut config = FactoryConfig::new(folder.join("train"));
    (config.threads, config.checkpoint_every_steps, config.disk_reserve_bytes) = (1, 3, 0);
    ModelFactory::start(vec![model()], store, config).unwrap()
}

/// Waits until the job comes to one of `states`; the state it is in already counts.
pub(crate) fn until(
    factory: &ModelFactory,
    events: &mut Receiver<JobEvent>,
    id: JobId,
    states: &[JobState],
) -> JobState {
    loop {
        let now = factory.job(id).unwrap().state;
        if states.contains(&now) {
            return now;
        }
        wait_for(events, |event| event.job == id && matches!(event.happening, Happening::State { .. }));
    }
}

/// Waits for an event; those that were missed count as it.
pub(crate) fn wait_for(events: &mut Receiver<JobEvent>, wanted: impl Fn(&JobEvent) -> bool) {
    while let Ok(event) = events.blocking_recv() {
        if wanted(&event) {
            return;
        }
    }
}

pub(crate) const ENDED: &[JobState] = &[JobState::Done, JobState::Failed, JobState::Cancelled, JobState::Paused];

/// Runs one job to its end in a fresh folder.
pub(crate) fn run_job(folder: &Path, request: &JobRequest) -> (Artifact, PathBuf) {
    let factory = factory(folder);
    let mut events = factory.subscribe();
    let id = factory.submit(request).unwrap();
    let state = until(&factory, &mut events, id, ENDED);
    let job = factory.job(id).unwrap();
    assert_eq!(state, JobState::Done, "{:?}", job.error);
    let folder = job.artifact.unwrap();
    (Artifact::load(&folder, &model()).unwrap(), folder)
}
