//! `cargo xtask gen`: remakes what is generated and committed.

use anyhow::{Result, ensure};

use crate::process;

/// Folders whose content is generated.
const GENERATED: [&str; 1] = ["crates/contracts/artifacts"];

/// Remakes every generated artefact in place.
pub fn run() -> Result<()> {
    process::run("bash", &["contracts/script/gen.sh"])
}

/// Remakes them and fails when a committed file differs from what its sources give.
pub fn check() -> Result<()> {
    run()?;
    let mut arguments = vec!["status", "--porcelain", "--"];
    arguments.extend(GENERATED);
    let drift = process::output("git", &arguments)?;
    ensure!(
        drift.is_empty(),
        "generated files differ from their sources; commit what `cargo xtask gen` makes:\n{drift}"
    );
    Ok(())
}
