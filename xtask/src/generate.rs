//! `cargo xtask gen`: remakes what is generated and committed.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::process;

/// What is generated.
const GENERATED: [&str; 3] = ["crates/contracts/artifacts", FORMATS, "crates/gateway/openapi.json"];
/// The page of all formats, made of the crates' own pages.
const FORMATS: &str = "docs/formats.md";
/// The crates that define formats, in reading order.
const FORMAT_CRATES: [&str; 10] =
    ["primitives", "contracts", "datanet", "engine", "train", "attribution", "settlement", "store", "chain", "cli"];

const FORMATS_HEAD: &str = "\
# Formats

Every serialised format, to the byte. Each has a version and a golden file in its crate's `tests/golden`. This page is
made by `cargo xtask gen` from the crates' `FORMATS.md`; change those.
";

/// Remakes every generated artefact in place.
pub fn run() -> Result<()> {
    process::run("bash", &["contracts/script/gen.sh"])?;
    let golden = ["OPENLEDGER_WRITE_GOLDEN=1", "cargo", "test", "--locked", "-p", "openledger-gateway", "--test", "it"];
    process::run("env", &[&golden[..], &["openapi::"]].concat())?;
    let page = formats_page()?;
    fs::write(process::root().join(FORMATS), page).with_context(|| format!("could not write {FORMATS}"))
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

/// The formats page must follow from its parts; cheap enough for every tidy.
pub fn formats_drift() -> Result<Option<String>> {
    let committed = fs::read_to_string(process::root().join(FORMATS)).unwrap_or_default();
    let stale = committed != formats_page()?;
    Ok(stale.then(|| format!("{FORMATS} differs from the crates' FORMATS.md; run `cargo xtask gen`")))
}

fn formats_page() -> Result<String> {
    let mut page = FORMATS_HEAD.to_owned();
    for name in FORMAT_CRATES {
        let path = format!("crates/{name}/FORMATS.md");
        let part = fs::read_to_string(process::root().join(&path)).with_context(|| format!("could not read {path}"))?;
        page.push('\n');
        page.push_str(part.trim());
        page.push('\n');
    }
    Ok(page)
}
