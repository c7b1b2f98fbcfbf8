//! A process that is killed while it trains loses nothing that it acknowledged, and the model is the same in the end.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use openledger_train::{Artifact, Happening, JobId, JobRequest, JobState};
use tempfile::TempDir;

use crate::support::{ENDED, factory, model, request, run_job, until};

/// Tells the child process where to work; it goes on with what it finds there.
const FOLDER: &str = "OPENLEDGER_TRAIN_KILL_FOLDER";

/// Set where the child is to run the job with the long index.
const LONG_INDEX: &str = "OPENLEDGER_TRAIN_KILL_LONG_INDEX";

const LONG: [(&str, &str); 1] = [(LONG_INDEX, "1")];

fn work() -> JobRequest {
    let mut request = request(&model(), 12);
    request.recipe.epochs = 4;
    request
}

/// A job whose index takes many passes: two checkpoints of six.
fn long_index() -> JobRequest {
    let mut request = request(&model(), 90);
    request.recipe.batch_size = 30;
    (request.recipe.epochs, request.held_out) = (1, Vec::new());
    request
}

/// Runs the job in `folder` to its end, telling each event on stdout.
fn run_to_the_end(folder: &Path, tell: &mut dyn Write) -> PathBuf {
    let factory = factory(folder);
    let mut events = factory.subscribe();
    let id = match factory.jobs().unwrap().first() {
        Some(job) => job.id,
        None if env::var_os(LONG_INDEX).is_some() => factory.submit(&long_index()).unwrap(),
        None => factory.submit(&work()).unwrap(),
    };
    while !ENDED.contains(&factory.job(id).unwrap().state) {
        let Ok(event) = events.blocking_recv() else { break };
        writeln!(tell, "event {}", serde_json::to_string(&event.happening).unwrap()).unwrap();
        if matches!(event.happening, Happening::State { state, .. } if ENDED.contains(&state)) {
            break;
        }
    }
    assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Done);
    factory.job(id).unwrap().artifact.unwrap()
}

/// The child of the test below; alone it runs the job undisturbed in a folder of its own.
#[test]
fn a_job_runs_to_its_end_and_tells_what_happens() {
    match env::var_os(FOLDER) {
        Some(folder) => drop(run_to_the_end(Path::new(&folder), &mut io::stdout())),
        None => {
            let (dir, mut told) = (TempDir::new().unwrap(), Vec::new());
            let artifact = run_to_the_end(dir.path(), &mut told);
            Artifact::load(&artifact, &model()).unwrap();
            assert!(String::from_utf8(told).unwrap().contains("\"kind\":\"step\""));
        }
    }
}

fn start(folder: &Path, job: &[(&str, &str)]) -> Child {
    let test = "kill::a_job_runs_to_its_end_and_tells_what_happens";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(FOLDER, folder).envs(job.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the child at the `nth` event that holds `what`; false if it ended before.
fn kill_at(folder: &Path, job: &[(&str, &str)], what: &str, nth: usize) -> bool {
    let mut child = start(folder, job);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let killed = lines.filter(|line| line.contains(what)).nth(nth).is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    killed
}

#[test]
fn killed_anywhere_it_ends_with_the_same_model() {
    let (whole, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (reference, _) = run_job(whole.path(), &work());
    let moments = [
        ("measuring_base", 0),
        ("\"kind\":\"step\"", 0),
        ("\"kind\":\"step\"", 3),
        ("\"kind\":\"checkpoint\"", 0),
        ("\"kind\":\"step\"", 1),
        ("measuring_tuned", 0),
        ("\"kind\":\"indexed\"", 0),
        ("suffixes", 0),
        ("writing", 0),
    ];
    let kills = moments.iter().filter(|(what, nth)| kill_at(killed.path(), &[], what, *nth)).count();
    assert!(kills >= 7, "only {kills} kills hit");
    run_to_the_end(killed.path(), &mut io::sink());
    let artifact = killed.path().join("train/job-1/artifact");
    let artifact = Artifact::load(&artifact, &model()).unwrap();
    assert_eq!(artifact.manifest_hash, reference.manifest_hash);
    let partial = fs::read_dir(killed.path().join("train/job-1")).unwrap();
    let left: Vec<_> =
        partial.map(|e| e.unwrap().file_name()).filter(|n| n.to_string_lossy().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(JobId(1), factory(killed.path()).jobs().unwrap()[0].id);
}

/// Gradients done, as the events of the index say.
fn indexed(folder: &Path) -> Vec<u64> {
    let events = factory(folder).events(JobId(1), 0, 10_000).unwrap();
    let done = |happening| match happening {
        Happening::Indexed { done, .. } => Some(done),
        _ => None,
    };
    events.into_iter().filter_map(|event| done(event.happening)).collect()
}

#[test]
fn killed_while_it_indexes_it_goes_on_where_it_was_and_ends_with_the_same_bytes() {
    let (whole, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (reference, artifact) = run_job(whole.path(), &long_index());
    let passes = indexed(whole.path());
    assert!(passes.len() >= 12, "{passes:?}");
    // Uneven distances, so that kills fall at different places of both checkpoints.
    let kills =
        [0, 1, 2, 0, 1, 3, 0].iter().filter(|&&nth| kill_at(killed.path(), &LONG, "\"kind\":\"indexed\"", nth)).count();
    assert!(kills >= 3, "only {kills} kills hit");
    // Damage at the end of what was written is found, and made good.
    let sketches = killed.path().join("train/job-1/sketches");
    for file in fs::read_dir(&sketches).into_iter().flatten() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len().saturating_sub(7));
        fs::write(&path, bytes).unwrap();
    }
    run_to_the_end(killed.path(), &mut io::sink());
    let done = indexed(killed.path());
    let repeated = done.windows(2).filter(|pair| pair[1] <= pair[0]).count();
    assert!(repeated <= 2, "each damaged file costs one pass again, no kill does: {done:?}");
    assert_eq!(done.last(), passes.last());
    let again = killed.path().join("train/job-1/artifact");
    for file in ["influence.index", "suffix.index", "manifest.json"] {
        assert!(fs::read(again.join(file)).unwrap() == fs::read(artifact.join(file)).unwrap(), "{file}");
    }
    assert_eq!(Artifact::load(&again, &model()).unwrap().manifest_hash, reference.manifest_hash);
    assert!(!sketches.exists());
}

/// A job whose checkpoints are larger than the disk of the test below.
fn large() -> JobRequest {
    let mut request = request(&model(), 6);
    (request.recipe.lora.rank, request.held_out) = (64, Vec::new());
    request
}

/// The kernel's file-size limit stands in for a full disk: the write fails in the middle, as there.
/// The same test runs as parent and, in a shell with the limit set, as child.
#[test]
fn a_full_disk_fails_the_job_by_its_name_and_it_goes_on_when_there_is_room() {
    const FULL: &str = "OPENLEDGER_TRAIN_FULL_FOLDER";
    if let Some(folder) = env::var_os(FULL) {
        let factory = factory(Path::new(&folder));
        let mut events = factory.subscribe();
        let id = factory.submit(&large()).unwrap();
        assert_eq!(until(&factory, &mut events, id, ENDED), JobState::Failed);
        let error = factory.job(id).unwrap().error.unwrap();
        assert!(error.contains("could not write") && error.contains("File too large"), "{error}");
        return;
    }
    let (whole, full) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (reference, artifact) = run_job(whole.path(), &large());
    let checkpoint = whole.path().join("train/job-1/checkpoint.bin");
    assert!(fs::metadata(checkpoint).unwrap().len() > 1 << 20, "the checkpoint must not fit");
    let test = "kill::a_full_disk_fails_the_job_by_its_name_and_it_goes_on_when_there_is_room";
    // Blocks of 512 bytes in a POSIX shell.
    let script = format!(r#"trap '' XFSZ; ulimit -f 2048; exec "$0" --exact {test}"#);
    let mut child = Command::new("sh");
    child.args(["-c", &script]).arg(env::current_exe().unwrap()).env(FULL, full.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let factory = factory(full.path());
    let mut events = factory.subscribe();
    factory.resume(JobId(1)).unwrap();
    assert_eq!(until(&factory, &mut events, JobId(1), &[JobState::Done, JobState::Failed]), JobState::Done);
    let again = factory.job(JobId(1)).unwrap().artifact.unwrap();
    assert_eq!(Artifact::load(&again, &model()).unwrap().manifest_hash, reference.manifest_hash);
    assert!(fs::read(again.join("manifest.json")).unwrap() == fs::read(artifact.join("manifest.json")).unwrap());
}
