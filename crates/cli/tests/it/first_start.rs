//! What the first start leaves behind, and what `doctor` says before it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::commands::program;
use crate::node::{FAST_EPOCHS, Home};

#[test]
fn a_disk_that_was_full_at_the_first_start_has_room_at_the_next() {
    let home = Home::new("");
    assert!(!home.start_without_room().success());
    drop(home.start(&[]));
}

#[test]
fn the_data_directory_is_its_owners_alone() {
    let home = Home::new("");
    std::fs::remove_dir_all(home.data()).unwrap();
    drop(home.start(&[]));
    assert_eq!(std::fs::metadata(home.data()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_window_that_a_node_tells_is_the_one_that_its_hub_has() {
    let home = Home::new(FAST_EPOCHS);
    let node = home.start(&[]);
    assert!(!node.stderr().contains("challenge_window_s"), "{}", node.stderr());
    node.interrupt();
    std::fs::write(home.data().join("openledger.toml"), FAST_EPOCHS.replace("window_s = 1", "window_s = 50")).unwrap();
    let node = home.start(&[]);
    let status: Value = reqwest::get(node.url("v1/status")).await.unwrap().json().await.unwrap();
    assert_eq!(status["chain"]["challenge_window_s"], 1, "{status}");
    assert!(node.stderr().contains("challenge_window_s = 50 has no effect"), "{}", node.stderr());
}

/// What `doctor` finds.
fn doctor(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let nowhere = "http://127.0.0.1:1";
    let arguments = [&["doctor", "--data-dir", "node", "--json"], arguments].concat();
    let output = program(home.root(), nowhere, nowhere, &arguments);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["findings"].as_array().unwrap().clone()
}

fn finding(findings: &[Value], check: &str) -> (String, String) {
    let found = findings.iter().find(|finding| finding["check"] == check).unwrap();
    let [verdict, detail] = ["verdict", "detail"].map(|field| found[field].as_str().unwrap().to_owned());
    (verdict, detail)
}

#[test]
fn doctor_looks_at_the_model_and_the_ports_that_up_would_take() {
    let home = Home::new("");
    let cache = home.path("cache/openledger/models");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join("another.gguf"), "no model, and not the default one").unwrap();
    let (verdict, detail) = finding(&doctor(&home, &[]), "model");
    assert_eq!((verdict.as_str(), detail.contains("none yet")), ("warn", true), "{detail}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let findings = doctor(&home, &["--model", "tiny.gguf", "--http-listen", &address]);
    let (verdict, detail) = finding(&findings, "model");
    assert_eq!((verdict.as_str(), detail.starts_with("tiny.gguf: ")), ("ok", true), "{detail}");
    let (verdict, detail) = finding(&findings, "gateway port");
    assert_eq!((verdict.as_str(), detail.starts_with(&address)), ("fail", true), "{detail}");

    std::fs::write(cache.join("SmolLM2-135M-Instruct.Q4_1.gguf"), "half of it").unwrap();
    let (verdict, detail) = finding(&doctor(&home, &[]), "model");
    assert_eq!(verdict, "fail", "{detail}");
}
