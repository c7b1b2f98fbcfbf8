//! The dependency policy: registries only, licences that go with MIT OR Apache-2.0.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Licences that dependencies may have.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Dependencies that break the policy.
pub fn faults() -> Result<Vec<String>> {
    let text = process::output("cargo", &["metadata", "--format-version", "1", "--locked"])?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata wrote something that is not JSON")?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(packages.iter().filter_map(fault).collect())
}

fn fault(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let source = package["source"].as_str()?;
    if !source.starts_with("registry+") {
        return Some(format!("dependency {name} comes from {source}, not from a registry"));
    }
    let licence = package["license"].as_str().unwrap_or("none");
    (!allowed(licence)).then(|| format!("dependency {name} is licensed {licence:?}, which the policy does not list"))
}

/// True when each part that `AND` joins offers an allowed licence among those that `OR` (or the older `/`) joins.
fn allowed(expression: &str) -> bool {
    let offers =
        |part: &str| part.split(" OR ").flat_map(|offer| offer.split('/')).any(|offer| ALLOWED.contains(&bare(offer)));
    expression.split(" AND ").all(offers)
}

fn bare(offer: &str) -> &str {
    offer.trim().trim_start_matches('(').trim_end_matches(')').trim()
}
