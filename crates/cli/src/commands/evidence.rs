//! What `chat --save` writes and `receipt verify` reads: a receipt with everything needed to check and replay it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use openledger_settlement::verify::{Disclosure, ReceiptBundle};
use serde::{Deserialize, Serialize};

/// Version of the file.
const VERSION: u32 = 1;
/// Largest file that is read; answers are far smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A receipt, its evidence, and the request and answer that only the payer has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evidence {
    version: u32,
    pub(crate) bundle: ReceiptBundle,
    pub(crate) disclosure: Disclosure,
}

impl Evidence {
    pub(crate) fn new(bundle: ReceiptBundle, disclosure: Disclosure) -> Self {
        Self { version: VERSION, bundle, disclosure }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("the evidence has no JSON form")?;
        std::fs::write(path, text + "\n").with_context(|| format!("could not write {}", path.display()))
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::metadata(path).with_context(|| format!("could not read {shown}"))?.len();
        ensure!(bytes <= FILE_BYTES_MAX, "{shown} has {bytes} bytes; at most {FILE_BYTES_MAX} are read");
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read {shown}"))?;
        let evidence: Self =
            serde_json::from_str(&text).with_context(|| format!("{shown} is not what `chat --save` writes"))?;
        let found = evidence.version;
        ensure!(found == VERSION, "{shown} has version {found}; this program reads version {VERSION}");
        Ok(evidence)
    }
}
