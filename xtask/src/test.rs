//! `cargo xtask test`: every test there is.

use anyhow::{Context, Result, bail};

use crate::process;

/// Runs the named lanes, or all of them.
pub fn run(lanes: &[&str]) -> Result<()> {
    if lanes.is_empty() {
        contracts()?;
        rust()?;
        web()?;
        return browser_with_built();
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

/// The web app in a browser against a running node, which the script builds where no program is named.
fn browser() -> Result<()> {
    process::run("bash", &["web/script/browser.sh"])
}

/// Layers of the model whose answers are stopped in the middle, as in `web/e2e/node.ts`.
const DEEP_LAYERS: &str = "128";

/// The same with what the Rust tests have just built, which lies beside this program: built alone, the node would have other
/// features of its dependencies and so be compiled anew. Programs that the environment names are taken all the same.
fn browser_with_built() -> Result<()> {
    let folder = std::env::current_exe().context("where xtask lies")?;
    let built = folder.with_file_name("openledger");
    let tiny_model = folder.with_file_name("examples").join("tiny_model");
    let named = std::env::var_os("OPENLEDGER_BIN").is_some();
    if named || !built.exists() || !tiny_model.exists() {
        return browser();
    }
    let (tiny, deep) = (folder.with_file_name("tiny.gguf"), folder.with_file_name("deep.gguf"));
    process::run(&tiny_model.to_string_lossy(), &[tiny.to_string_lossy().as_ref()])?;
    process::run(&tiny_model.to_string_lossy(), &[deep.to_string_lossy().as_ref(), DEEP_LAYERS])?;
    let variables = [
        ("OPENLEDGER_BIN", built.as_os_str()),
        ("OPENLEDGER_TINY_MODEL", tiny.as_os_str()),
        ("OPENLEDGER_DEEP_MODEL", deep.as_os_str()),
    ];
    process::run_with("bash", &["web/script/browser.sh"], &variables)
}
