//! `cargo xtask bench`: measurements, each one JSON object on standard output.

use anyhow::{Result, bail};

use crate::process;

/// Runs the measurement of `subject`; further arguments go to it.
pub fn run(subject: &str, rest: &[&str]) -> Result<()> {
    let (package, example) = match subject {
        "serve" => ("openledger-serve", "serve_speed"),
        "train" => ("openledger-train", "train_speed"),
        "attribution" => ("openledger-attribution", "attribution_speed"),
        "chain" => ("openledger-chain", "transfers"),
        other => bail!("no benchmark {other:?}; there are serve, train, attribution and chain"),
    };
    let mut arguments = vec!["run", "--release", "--quiet", "--package", package, "--example", example, "--"];
    arguments.extend(rest);
    print!("{}", process::output("cargo", &arguments)?);
    Ok(())
}
