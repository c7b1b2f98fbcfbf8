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

fn work() -> JobRequest {
    let mut request = request(&model(), 12);
    request.recipe.epochs = 4;
    request
}

/// Runs the job in `folder` to its end, telling each event on stdout.
fn run_to_the_end(folder: &Path, tell: &mut dyn Write) -> PathBuf {
    let factory = factory(folder);
    let mut events = factory.subscribe();
    let id = match factory.jobs().unwrap().first() {
        Some(job) => job.id,
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

fn start(folder: &Path) -> Child {
    let test = "kill::a_job_runs_to_its_end_and_tells_what_happens";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the child at the `nth` event that holds `what`; false if it ended before.
fn kill_at(folder: &Path, what: &str, nth: usize) -> bool {
    let mut child = start(folder);
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
    let kills = moments.iter().filter(|(what, nth)| kill_at(killed.path(), what, *nth)).count();
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
