//! `cargo xtask bench`: measurements, each one JSON object on standard output.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process;

/// Runs the measurement of `subject`; further arguments go to it.
pub fn run(subject: &str, rest: &[&str]) -> Result<()> {
    match subject {
        "serve" => print!("{}", example("openledger-serve", "serve_speed", rest)?),
        "train" => print!("{}", example("openledger-train", "train_speed", rest)?),
        "attribution" => println!("{}", attribution(rest)?),
        "chain" => print!("{}", example("openledger-chain", "transfers", rest)?),
        other => bail!("no benchmark {other:?}; there are serve, train, attribution and chain"),
    }
    Ok(())
}

fn example(package: &str, example: &str, rest: &[&str]) -> Result<String> {
    let mut arguments = vec!["run", "--release", "--quiet", "--package", package, "--example", example, "--"];
    arguments.extend(rest);
    process::output("cargo", &arguments)
}

/// Both indexes, and, where a model is given, attribution beside the answers that it explains.
///
/// `--peer` is for the indexes; everything else, a model's path first, is for the answers.
fn attribution(rest: &[&str]) -> Result<Value> {
    let (peer, answers): (Vec<&str>, Vec<&str>) = rest.iter().partition(|argument| **argument == "--peer");
    let parse = |text: String| serde_json::from_str::<Value>(&text).context("a measurement printed no JSON object");
    let mut report = parse(example("openledger-attribution", "attribution_speed", &peer)?)?;
    report["answer"] = match answers.is_empty() {
        true => json!(null),
        false => parse(example("openledger-gateway", "answer_speed", &answers)?)?,
    };
    Ok(report)
}
