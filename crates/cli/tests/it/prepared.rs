//! A stopped node with a published model and an open channel, made once and copied by the tests that need one.

use std::path::{Path, PathBuf};

use openledger_train::SnapshotRef;
use tokio::sync::OnceCell;

use crate::node::{FAST_EPOCHS, Home};
use crate::people::{People, question};

/// Begins the names of prepared homes, which end in the number of the process that made them.
const PREFIX: &str = "prepared-home-";

static PREPARED: OnceCell<Prepared> = OnceCell::const_new();

struct Prepared {
    home: Home,
    snapshot: SnapshotRef,
}

/// A copy of the prepared home, and the snapshot that its model was trained on.
pub async fn home() -> (Home, SnapshotRef) {
    let prepared = PREPARED.get_or_init(prepare).await;
    (Home::copy_of(prepared.home.root()), prepared.snapshot)
}

async fn prepare() -> Prepared {
    let home = Home::at(own_folder(), FAST_EPOCHS);
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let snapshot = people.build(1).await;
    people.till().chat(&question("Who opened the channel?")).await.unwrap();
    let (status, _) = node.interrupt();
    assert!(status.success());
    Prepared { home, snapshot }
}

/// A folder in the build's own temporary folder. Nothing runs when a test process ends, so each one removes the homes
/// of those that have ended.
fn own_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(process) = name.strip_prefix(PREFIX) else { continue };
        if !Path::new("/proc").join(process).exists() {
            // Another process that has just begun may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    folder.join(format!("{PREFIX}{}", std::process::id()))
}
