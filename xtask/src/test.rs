//! `cargo xtask test`: every test there is.

use anyhow::{Result, bail};

use crate::process;

/// Runs the named lanes, or all of them.
pub fn run(lanes: &[&str]) -> Result<()> {
    if lanes.is_empty() {
        contracts()?;
        return rust();
    }
    for lane in lanes {
        match *lane {
            "rust" => rust()?,
            "contracts" => contracts()?,
            other => bail!("no test lane {other:?}; there are rust and contracts"),
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
