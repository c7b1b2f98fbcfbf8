//! Every command against a node, its whole output compared with `tests/golden/commands.txt`, for people and with `--json`.
//!
//! OPENLEDGER_BLESS=1 writes the golden files instead; read what changed before it is committed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use openledger_settlement::ledger::EpochState;
use serde_json::Value;

use crate::node::{Home, Node, eventually};
use crate::people::{MODEL, People};
use crate::prepared;

/// The program's own variables would change what it does.
const PREFIX: &str = "OPENLEDGER_";
/// Whoever receives what is sent.
const FRIEND: &str = "0x5151515151515151515151515151515151515151";
/// Numbers of this many digits or more are amounts, times or gas, which differ from run to run.
const LONG_DIGITS: usize = 4;
/// Hexadecimal words of this many digits are made by chance.
const ID_DIGITS: usize = 16;
/// Numbers after these words differ from run to run, however short they are.
const COUNTED: [&str; 6] = ["block", "epoch", "time", "speed", "training", "calls_left"];

/// A session at a terminal.
struct Terminal<'a> {
    home: &'a Home,
    node: &'a Node,
    /// What was typed and answered, without what differs from run to run.
    seen: String,
}

impl Terminal<'_> {
    /// Runs a command that must succeed, and shows it.
    fn run(&mut self, arguments: &[&str]) -> String {
        let output = program(self.home.root(), &self.node.rpc, &self.node.gateway, arguments);
        let (text, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {error}\n{text}\n{}", self.node.stderr());
        let shown = text.replace(&*self.home.root().to_string_lossy(), "<home>");
        self.seen += &format!("$ openledger {}\n{}\n", normal(&arguments.join(" ")), normal(&shown));
        text
    }

    /// As people see it, then as programs do.
    fn both(&mut self, arguments: &[&str]) {
        self.run(arguments);
        self.json(arguments);
    }

    fn json(&mut self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }
}

/// Runs the program in a folder.
pub fn program(folder: &Path, rpc: &str, gateway: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openledger"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX)) {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", folder.join("cache")).args(["--rpc", rpc, "--gateway", gateway]);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Text without hashes, addresses, long numbers and padding.
fn normal(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(normal_line).collect();
    lines.push(String::new());
    lines.join("\n")
}

fn normal_line(line: &str) -> String {
    let (mut out, mut rest, mut word) = (String::new(), line, "");
    while let Some(first) = rest.chars().next() {
        let whole = |wanted: fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let length = match first {
            '0' if rest.starts_with("0x") => {
                let digits = rest[2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - 2);
                out += match digits {
                    64 => "<hash>",
                    40 => "<address>",
                    _ => "<data>",
                };
                digits + 2
            }
            _ if id_length(rest) >= ID_DIGITS => {
                out += "<id>";
                id_length(rest)
            }
            '0'..='9' => {
                let length = whole(|c| c.is_ascii_digit() || c == '.');
                let differs = length >= LONG_DIGITS || COUNTED.iter().any(|counted| word.contains(counted));
                out += if differs { "<number>" } else { &rest[..length] };
                length
            }
            'A'..='Z' | 'a'..='z' => {
                let length = whole(|c| c.is_ascii_alphanumeric() || c == '_');
                word = &rest[..length];
                out += word;
                length
            }
            ' ' if !out.trim().is_empty() => {
                let length = whole(|c| c == ' ');
                out += if length > 1 { "  " } else { " " };
                length
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out.trim_end().to_owned()
}

/// Length of the hexadecimal word that text begins with; decimal numbers are none.
fn id_length(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let goes_on = text[end..].starts_with(|c: char| c.is_ascii_alphanumeric());
    let decimal = text[..end].bytes().all(|byte| byte.is_ascii_digit());
    if goes_on || decimal { 0 } else { end }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn blessing() -> bool {
    std::env::var_os("OPENLEDGER_BLESS").is_some()
}

/// Names the first line that differs.
fn compare(name: &str, seen: &str) {
    if blessing() {
        std::fs::write(golden(name), seen).unwrap();
    }
    let expected = std::fs::read_to_string(golden(name)).unwrap();
    for (at, (expected, seen)) in expected.lines().zip(seen.lines()).enumerate() {
        assert_eq!(expected, seen, "{name}, line {}", at + 1);
    }
    assert_eq!(expected.lines().count(), seen.lines().count(), "{name} is longer or shorter");
}

/// The names of all fields, however deep.
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| fields(value, &format!("{path}.{name}"), found)),
        Value::Array(list) => list.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        _ if found.iter().any(|known| known == path) => {}
        _ => found.push(path.to_owned()),
    }
}

/// The fields of an evidence file; whether its epoch has closed is a matter of time.
fn evidence_fields(path: &Path) -> Vec<String> {
    let mut file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["bundle"].as_object_mut().unwrap().remove("inclusion");
    let mut found = Vec::new();
    fields(&file, "", &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_it_did_to_people_and_to_programs() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    eventually("the first epoch", async || {
        let epochs = people.gateway.epochs(0).await.unwrap();
        epochs.iter().any(|epoch| epoch.state == EpochState::Final).then_some(())
    })
    .await;
    // Its epoch is final; what the terminal asks now is settled whenever the clock says so.
    let receipts: Value = people.gateway.get("v1/receipts").await.unwrap();
    let settled = receipts["data"][0]["hash"].as_str().unwrap();
    let mut terminal = Terminal { home: &home, node: &node, seen: String::new() };
    let seen = tokio::task::block_in_place(|| {
        chain(&mut terminal);
        accounts(&mut terminal);
        models(&mut terminal);
        datanets(&mut terminal);
        training(&mut terminal);
        answers(&mut terminal, settled);
        terminal.seen
    });
    compare("commands.txt", &seen);
}

fn chain(terminal: &mut Terminal<'_>) {
    terminal.both(&["chain", "status"]);
    terminal.run(&["chain", "rpc", "eth_getBalance", FRIEND, "latest"]);
    terminal.both(&["chain", "send", FRIEND, "1.5", "--dry-run"]);
    terminal.both(&["chain", "send", FRIEND, "1.5"]);
}

fn accounts(terminal: &mut Terminal<'_>) {
    terminal.both(&["account", "list"]);
    terminal.both(&["--account", "1", "account", "earnings"]);
    terminal.both(&["--account", "1", "account", "claim", "--dry-run"]);
    terminal.run(&["--account", "1", "account", "claim"]);
    terminal.json(&["--account", "3", "account", "claim"]);
    terminal.both(&["--account", "9", "account", "claim"]);
}

fn models(terminal: &mut Terminal<'_>) {
    terminal.both(&["model", "list"]);
    terminal.both(&["model", "show", "tiny.gguf"]);
    terminal.both(&["model", "pull", "--file", "tiny.gguf"]);
}

fn datanets(terminal: &mut Terminal<'_>) {
    let file = terminal.home.path("deeds.jsonl");
    let deeds = ["It opens the door at night.", "Someone counted every coin twice."];
    let lines = deeds.map(|deed| serde_json::json!({"deed": deed, "kind": "theft"}).to_string() + "\n");
    std::fs::write(file, lines.concat() + "{\"deed\": 7}\n").unwrap();
    terminal.both(&["--account", "3", "datanet", "create", "deeds", "--dry-run"]);
    terminal.run(&["--account", "3", "datanet", "create", "deeds"]);
    terminal.json(&["--account", "3", "datanet", "create", "more deeds"]);
    terminal.both(&["datanet", "list"]);
    let file = ["deeds.jsonl", "--prompt", "deed", "--response", "kind"];
    terminal.both(&[&["datanet", "contribute", "2"], &file[..], &["--dry-run"]].concat());
    terminal.run(&[&["--account", "5", "datanet", "contribute", "2"], &file[..]].concat());
    terminal.json(&[&["--account", "6", "datanet", "contribute", "3"], &file[..]].concat());
    terminal.both(&["datanet", "snapshot", "2", "--dry-run"]);
    terminal.run(&["--account", "3", "datanet", "snapshot", "2"]);
    terminal.json(&["--account", "3", "datanet", "snapshot", "3"]);
}

fn training(terminal: &mut Terminal<'_>) {
    let recipe = terminal.run(&["train", "recipe", "again", "--datanet", "1"]);
    std::fs::write(terminal.home.path("recipe.json"), recipe).unwrap();
    terminal.both(&["train", "start", "recipe.json", "--dry-run"]);
    terminal.both(&["train", "status", "1"]);
    terminal.both(&["train", "status"]);
    terminal.both(&["--account", "8", "train", "publish", "1", "--name", "again", "--dry-run"]);
}

fn answers(terminal: &mut Terminal<'_>, settled: &str) {
    let ask = ["chat", "Who came?", "--model", MODEL, "--max-tokens", "6"];
    terminal.both(&[&ask[..], &["--dry-run"]].concat());
    let answer = terminal.run(&ask);
    let whole = terminal.json(&[&ask[..], &["--save", "evidence.json"]].concat());
    assert_eq!(
        answer,
        whole["answer"].as_str().unwrap().to_owned() + "\n",
        "in pieces or whole, the answer is the same"
    );
    terminal.run(&["chat", "Who came?", "--model", "tiny", "--max-tokens", "6"]);
    terminal.both(&["channel", "show", "--model", MODEL]);
    terminal.both(&["channel", "refund", "--model", MODEL, "--amount", "0.0001", "--dry-run"]);
    terminal.run(&["channel", "refund", "--model", MODEL, "--amount", "0.0001"]);
    terminal.json(&["channel", "refund", "--model", MODEL]);
    saves_before_it_pays(terminal, &ask);
    let saved = terminal.home.path("evidence.json");
    if blessing() {
        std::fs::copy(&saved, golden("evidence-v1.json")).unwrap();
    }
    assert_eq!(evidence_fields(&saved), evidence_fields(&golden("evidence-v1.json")), "the file's format has changed");
    assert!(whole["receipt"].is_string(), "{whole}");
    terminal.both(&["receipt", "show", settled]);
}

/// A question whose evidence cannot be kept is not asked; one that is free has none.
fn saves_before_it_pays(terminal: &Terminal<'_>, ask: &[&str]) {
    let run = |arguments: &[&str]| program(terminal.home.root(), &terminal.node.rpc, &terminal.node.gateway, arguments);
    let charged = || text(&run(&["channel", "show", "--model", MODEL, "--json"]).stdout);
    let before = charged();
    for (file, words) in [("nowhere/evidence.json", "could not write"), ("cache", "is a folder")] {
        let refused = run(&[ask, &["--save", file]].concat());
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
    assert_eq!(charged(), before, "nothing was paid");
    let free = run(&["chat", "Who came?", "--model", "tiny", "--save", "free.json"]);
    assert!(text(&free.stderr).contains("tiny is free"), "{}", text(&free.stderr));
}

#[test]
fn a_saved_answer_is_checked_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = golden("evidence-v1.json");
    let nowhere = "http://127.0.0.1:1";
    let verify = |path: &Path| program(folder.path(), nowhere, nowhere, &["receipt", "verify", path.to_str().unwrap()]);
    let output = verify(&file);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    compare("verify.txt", &normal(&text(&output.stdout)));

    let text_of = std::fs::read_to_string(&file).unwrap();
    let edited = folder.path().join("edited.json");
    std::fs::write(&edited, text_of.replacen("\"answer\": \"", "\"answer\": \"Not I. ", 1)).unwrap();
    let found = verify(&edited);
    assert_eq!(found.status.code(), Some(3));
    assert!(text(&found.stdout).contains("first fault: response-hash (answer)"), "{}", text(&found.stdout));

    let newer = folder.path().join("newer.json");
    std::fs::write(&newer, text_of.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
    let refused = verify(&newer);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("version 2; this program reads version 1"), "{}", text(&refused.stderr));
}

/// The web app saves the same file; a browser writes whole numbers without their point.
#[test]
fn an_answer_saved_by_the_web_app_is_checked_as_one_saved_here() {
    let folder = tempfile::tempdir().unwrap();
    let (file, nowhere) = (golden("evidence-v1-web.json"), "http://127.0.0.1:1");
    let output = program(folder.path(), nowhere, nowhere, &["receipt", "verify", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expected = std::fs::read_to_string(golden("verify.txt")).unwrap();
    assert_eq!(normal(&text(&output.stdout)), expected);
}

#[test]
fn a_replay_that_cannot_run_says_first_what_was_checked_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, nowhere) = (golden("evidence-v1.json"), "http://127.0.0.1:1");
    let arguments = ["receipt", "--json", "verify", file.to_str().unwrap(), "--replay"];
    let output = program(folder.path(), nowhere, nowhere, &arguments);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("is not the data directory of a node"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["checks"][0]["passed"], true, "{report}");
    let missing = report["missing"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(missing.starts_with("replay: openledger-data is not"), "{report}");
}

#[test]
fn completions_and_doctor_need_no_node() {
    let home = Home::new("");
    let nowhere = "http://127.0.0.1:1";
    let completions = program(home.root(), nowhere, nowhere, &["completions", "bash"]);
    assert!(text(&completions.stdout).starts_with("_openledger()"));
    let arguments = ["doctor", "--data-dir", "node", "--json"];
    let doctor: Value = serde_json::from_slice(&program(home.root(), nowhere, nowhere, &arguments).stdout).unwrap();
    let checks: Vec<&str> =
        doctor["findings"].as_array().unwrap().iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    let expected =
        ["processor", "memory", "disk", "data directory", "data lock", "RPC port", "gateway port", "model", "pip"];
    assert_eq!(checks, expected);
    let shown = text(&program(home.root(), nowhere, nowhere, &arguments[..3]).stdout);
    assert!(expected.iter().all(|check| shown.lines().any(|line| line.starts_with(check))), "{shown}");
}
