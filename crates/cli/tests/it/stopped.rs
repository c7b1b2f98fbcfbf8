//! Ctrl-C.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::node::{Home, send_interrupt, wait_for_end};
use crate::people::{People, question};
use crate::prepared;

#[tokio::test(flavor = "multi_thread")]
async fn up_stops_cleanly_on_sigint() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let receipt = people.till().chat(&question("Who will stop?")).await.unwrap().receipt.unwrap();
    let blocks = people.payer.block_number().await.unwrap();
    let log = node.stderr();
    let (status, last) = node.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(last, "stopped; everything acknowledged is on disk");

    let node = home.start(&[]);
    let people = People::connect(&node).await;
    assert!(people.payer.block_number().await.unwrap() >= blocks);
    assert_eq!(people.gateway.receipt(receipt).await.unwrap().receipt.hash(), receipt);
    people.till().chat(&question("Who goes on?")).await.unwrap();
}

#[test]
fn a_demonstration_that_is_stopped_leaves_no_folder() {
    let home = Home::new("");
    let temporary = home.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_openledger"));
    command.args(["demo", "--model", "tiny.gguf"]).current_dir(home.root()).env("TMPDIR", &temporary);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("node is up")));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
    send_interrupt(&child);
    let said: Vec<String> = lines.collect();
    assert_eq!(wait_for_end(&mut child).code(), Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("was stopped")), "{said:?}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}
