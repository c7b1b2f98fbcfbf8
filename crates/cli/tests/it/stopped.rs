//! Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::commands::program;
use crate::node::{Home, send_interrupt, wait_for_end};
use crate::people::{MODEL, People, question};
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

/// Far below the time that a node gives to requests under way.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_ends_a_node_at_once_while_a_client_holds_half_a_request() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let mut half = TcpStream::connect(node.gateway.trim_start_matches("http://")).unwrap();
    half.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
    assert!(half.read(&mut [0; 16]).unwrap() > 0, "the connection was taken");
    let started = Instant::now();
    let status = node.interrupt_twice();
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert_eq!(status.code(), Some(130));
    let node = home.start(&[]);
    People::connect(&node).await.till().chat(&question("Who goes on?")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_stands_on_chain_is_served_by_publishing_it_again() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let publish = ["--account", "3", "train", "publish", "1", "--name", MODEL];
    let output = program(home.root(), &node.rpc, &node.gateway, &publish);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("it stood on chain already; now it is served"), "{said}");
}
