//! The unmodified `openai` Python client against a node.
//!
//! It is a pip package; the first run installs it into `$OPENLEDGER_TOOLS` or `~/.cache/openledger/tools`.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::node::{Home, Node};

/// What a machine lacks that fails here.
const MISSING: &str = "this test needs python3 with venv and pip (Debian: python3-venv)";
const PACKAGE: &str = "openai>=1.60,<3";
const SCRIPT: &str = r#"
import sys
from openai import OpenAI, NotFoundError

client = OpenAI(base_url=sys.argv[1], api_key="none")
assert "tiny" in [model.id for model in client.models.list()], "the base model is listed"
assert client.models.retrieve("tiny").id == "tiny"
ask = dict(model="tiny", messages=[{"role": "user", "content": "Who?"}], max_tokens=12, temperature=0, seed=1)
whole = client.chat.completions.create(**ask)
assert whole.object == "chat.completion" and whole.choices[0].message.role == "assistant"
assert whole.choices[0].finish_reason in ("stop", "length")
assert whole.usage.prompt_tokens > 0
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
pieces, usage, finish = [], None, None
for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        finish = choice.finish_reason or finish
assert "".join(pieces) == whole.choices[0].message.content, (pieces, whole)
assert finish == whole.choices[0].finish_reason and usage == whole.usage, (finish, usage, whole)
try:
    client.chat.completions.create(**{**ask, "model": "nobody"})
    raise SystemExit("an unknown model was answered")
except NotFoundError as error:
    assert error.code == "model_not_found", error
try:
    client.models.retrieve("nobody")
    raise SystemExit("an unknown model was shown")
except NotFoundError as error:
    assert error.code == "model_not_found", error
print("done", len(pieces))
"#;

/// The Python of an environment with the package.
fn python() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap();
    let given = std::env::var_os("OPENLEDGER_TOOLS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| home.join(".cache/openledger/tools")).join("openai-venv");
    let python = folder.join("bin/python");
    let works = |python: &PathBuf| Command::new(python).args(["-c", "import openai"]).output();
    if works(&python).is_ok_and(|output| output.status.success()) {
        return python;
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output().expect(MISSING);
    assert!(made.status.success(), "{MISSING}: {}", text(&made));
    let pip = Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]).output().expect(MISSING);
    assert!(pip.status.success(), "{MISSING}: {}", text(&pip));
    python
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn run(node: &Node) -> Output {
    let mut command = Command::new(python());
    // A proxy of the machine has nothing to do with a node on the same machine.
    command.env("NO_PROXY", "127.0.0.1").args(["-c", SCRIPT, &node.url("v1")]);
    command.output().unwrap()
}

#[test]
fn the_unmodified_openai_client_asks_and_streams() {
    let home = Home::new("");
    let node = home.start(&[]);
    let output = run(&node);
    assert!(output.status.success(), "{}\n{}", text(&output), node.stderr());
    assert!(text(&output).starts_with("done"), "{}", text(&output));
}
