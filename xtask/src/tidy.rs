//! `cargo xtask tidy`: rules about the repository that neither compiler nor linter knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{generate, licences, process};

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 800;
/// Largest crate, in lines of its `src`.
const CRATE_LINES_MAX: usize = 25_000;
/// The only crate in which `unsafe` may stand.
const UNSAFE_CRATE: &str = "crates/kernels/";
/// Marker of work left over; it needs an issue number beside it.
const LEFTOVER: &str = concat!("TO", "DO");

/// Layer of each crate: a crate may depend on crates of lower layers only, or on those of its own layer that
/// stand in [`SIDEWAYS`].
const LAYERS: [(&str, u32); 15] = [
    ("primitives", 0),
    ("contracts", 1),
    ("store", 1),
    ("kernels", 1),
    ("chain", 2),
    ("datanet", 2),
    ("engine", 2),
    ("rollup", 3),
    ("train", 3),
    ("serve", 3),
    ("attribution", 3),
    ("settlement", 3),
    ("sdk", 4),
    ("gateway", 4),
    ("cli", 5),
];

/// Dependencies allowed within a layer: training builds the attribution index at its checkpoints; the gateway
/// reads the chain through the same client as everybody else.
const SIDEWAYS: [(&str, &str); 2] = [("train", "attribution"), ("gateway", "sdk")];

/// The chain side never knows the model side, nor the reverse; they meet in `gateway` and `cli`.
const CHAIN_SIDE: [&str; 2] = ["chain", "rollup"];
const MODEL_SIDE: [&str; 4] = ["engine", "train", "serve", "attribution"];

/// External crates that only one of ours may use.
const ALONE: [(&str, &str); 2] = [("axum", "gateway"), ("clap", "cli")];

/// Runs every rule and reports all that is broken.
pub fn run() -> Result<()> {
    let mut faults = layering()?;
    for file in tracked_files()? {
        faults.extend(file_faults(&file)?);
    }
    faults.extend(crate_faults()?);
    faults.extend(licences::faults()?);
    faults.extend(generate::formats_drift()?);
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    ensure!(faults.is_empty(), "{} rules are broken", faults.len());
    eprintln!("tidy: every rule holds");
    Ok(())
}

fn tracked_files() -> Result<Vec<String>> {
    let listed = process::output("git", &["ls-files", "*.rs", "*.sol", "*.ts", "*.tsx"])?;
    let exists = |file: &&str| process::root().join(file).exists();
    Ok(listed.lines().filter(exists).map(str::to_owned).collect())
}

fn file_faults(file: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(process::root().join(file)).with_context(|| format!("could not read {file}"))?;
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX && !file.contains("/generated/") {
        faults.push(format!("{file} has {lines} lines; at most {FILE_LINES_MAX}"));
    }
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let judged = file.ends_with(".rs") && !file.starts_with("xtask/");
        if judged && is_unsafe(line) && !file.starts_with(UNSAFE_CRATE) {
            faults.push(format!("{place}: unsafe stands outside {UNSAFE_CRATE}"));
        }
        if line.contains(LEFTOVER) && !line.contains(&format!("{LEFTOVER}(#")) && !file.starts_with("xtask/") {
            faults.push(format!("{place}: {LEFTOVER} without an issue number"));
        }
    }
    Ok(faults)
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "allow(unsafe_code)"]
        .iter()
        .any(|word| code.contains(word))
}

fn crate_faults() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(process::root().join("crates")).context("could not list crates/")? {
        let folder = entry.context("could not list crates/")?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !folder.join("README.md").exists() {
            faults.push(format!("crates/{name} has no README.md"));
        }
        let lines = source_lines(&folder.join("src"))?;
        if lines > CRATE_LINES_MAX {
            faults.push(format!("crates/{name} has {lines} lines; at most {CRATE_LINES_MAX}"));
        }
    }
    Ok(faults)
}

fn source_lines(folder: &Path) -> Result<usize> {
    let mut lines = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let path = entry.with_context(|| format!("could not list {}", folder.display()))?.path();
        if path.is_dir() {
            lines += source_lines(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            lines += fs::read_to_string(&path)
                .with_context(|| format!("could not read {}", path.display()))?
                .lines()
                .count();
        }
    }
    Ok(lines)
}

fn layering() -> Result<Vec<String>> {
    let text = process::output("cargo", &["metadata", "--format-version", "1", "--no-deps", "--locked"])?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata wrote something that is not JSON")?;
    let layers: BTreeMap<&str, u32> = LAYERS.into_iter().collect();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(name) = package["name"].as_str().and_then(ours) else { continue };
        if name != "testkit" && !layers.contains_key(name) {
            faults.push(format!("crate {name} has no layer in xtask/src/tidy.rs"));
        }
        let normal = |dependency: &&Value| dependency["kind"].is_null();
        for dependency in package["dependencies"].as_array().into_iter().flatten().filter(normal) {
            let dependency = dependency["name"].as_str().unwrap_or_default();
            faults.extend(dependency_fault(name, dependency, &layers));
        }
    }
    Ok(faults)
}

fn ours(package: &str) -> Option<&str> {
    package.strip_prefix("openledger-")
}

fn dependency_fault(from: &str, to: &str, layers: &BTreeMap<&str, u32>) -> Option<String> {
    if let Some((_, owner)) = ALONE.iter().find(|(external, _)| *external == to) {
        return (from != *owner).then(|| format!("crate {from} uses {to}, which only {owner} may"));
    }
    let to = ours(to)?;
    if to == "testkit" {
        return Some(format!("crate {from} depends on testkit outside its tests"));
    }
    let (Some(lower), Some(upper)) = (layers.get(to), layers.get(from)) else { return None };
    if lower > upper || (lower == upper && !SIDEWAYS.contains(&(from, to))) {
        return Some(format!("crate {from} (layer {upper}) depends on {to} (layer {lower})"));
    }
    let sides_meet = (CHAIN_SIDE.contains(&from) && MODEL_SIDE.contains(&to))
        || (MODEL_SIDE.contains(&from) && CHAIN_SIDE.contains(&to));
    sides_meet.then(|| format!("crate {from} knows {to}: the chain side and the model side meet in gateway and cli"))
}
