//! `cargo xtask test`: every test there is.

use anyhow::{Result, bail};

use crate::process;

/// Runs the named lanes, or all but the one that needs a browser.
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
            "browser" => browser()?,
            other => bail!("no test lane {other:?}; there are rust, contracts, web and browser"),
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

/// The web app: format, types, units, size, drift of what is generated.
fn web() -> Result<()> {
    process::run("bash", &["web/script/test.sh"])
}

/// The web app in a browser against a running node.
fn browser() -> Result<()> {
    process::run("bash", &["web/script/browser.sh"])
}
