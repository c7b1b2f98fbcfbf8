//! A stopped node with a published model and an open channel, made once and copied by the tests that need one.

use openledger_train::SnapshotRef;
use tokio::sync::OnceCell;

use crate::node::{FAST_EPOCHS, Home};
use crate::people::{People, question};

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
    let home = Home::new(FAST_EPOCHS);
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let snapshot = people.build(1).await;
    people.till().chat(&question("Who opened the channel?")).await.unwrap();
    let (status, _) = node.interrupt();
    assert!(status.success());
    Prepared { home, snapshot }
}
