//! A data directory is a folder like any other: it can be copied and moved.

use openledger_primitives::Wei;

use crate::node::Home;
use crate::people::{MODEL, People, question};
use crate::prepared;

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_data_directory_serves_its_own_models() {
    let (first, _) = prepared::home().await;
    let second = Home::copy_of(first.root());
    drop(first);
    let node = second.start(&[]);
    let people = People::connect(&node).await;
    let answer = people.till().chat(&question("Who was copied?")).await.unwrap();
    assert!(answer.charged.unwrap() > Wei::ZERO);
    let (status, _) = node.interrupt();
    assert!(status.success());
    // It is its own artifact that it reads, not that of the directory which it was copied from.
    std::fs::remove_dir_all(second.data().join("train/job-1/artifact")).unwrap();
    let node = second.start(&[]);
    let people = People::connect(&node).await;
    let models = people.gateway.models().await.unwrap();
    let served = models.iter().any(|model| model["id"] == MODEL);
    let answer = people.till().chat(&question("Who was removed?")).await;
    assert!(!served || answer.is_err(), "answered from an artifact that is not there");
    assert!(node.stderr().contains(MODEL), "{}", node.stderr());
}
