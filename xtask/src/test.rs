//! `cargo xtask test`: every test there is.

use anyhow::{Result, bail};

use crate::process;

/// Runs the named lanes, or all of them.
pub fn run(lanes: &[&str]) -> Result<()> {
    if lanes.is_empty() {
        contracts()?;
        rust()?;
        return web();
    }
    for lane in lanes {
        match *lane {
            "rust" => rust()?,
            "contracts" => contracts()?,
            "web" => web()?,
            other => bail!("no test lane {other:?}; there are rust, contracts and web"),
        }
    }
    Ok(())
}

/// Solidity: format, unit, fuzz and invariant tests, snapshots.
fn contracts() -> Result<()> {
    process::run("bash", &["contracts/script/test.sh"])
}

/// Rust: unit, property, crash, command-line and whole-system tests.
fn rust() -> Result<()> {
    process::run("cargo", &["test", "--workspace", "--locked"])
}

/// The web app: format, types, units, drift of what is generated, and a browser against a running node.
fn web() -> Result<()> {
    process::run("bash", &["web/script/test.sh"])
}
