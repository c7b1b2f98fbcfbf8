//! What `chat --save` and the web app write and `receipt verify` reads: a receipt with everything needed to check and
//! replay it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use openledger_settlement::verify::{Disclosure, ReceiptBundle};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// Version of the file.
const VERSION: u32 = 1;
/// Largest file that is read; answers are far smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A place for evidence, taken before there is any: a question is not paid for whose evidence cannot be kept.
pub(crate) struct EvidenceFile {
    path: PathBuf,
    /// Beside the file that it will be, so that a question that fails leaves what was there before.
    partial: NamedTempFile,
}

impl EvidenceFile {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(!path.is_dir(), "{shown} is a folder; the evidence goes into a file");
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let partial = NamedTempFile::new_in(folder).with_context(|| format!("could not write {shown}"))?;
        Ok(Self { path: path.to_owned(), partial })
    }

    /// Writes the evidence; gives where it is.
    pub(crate) fn write(mut self, evidence: &Evidence) -> Result<PathBuf> {
        let text = serde_json::to_string_pretty(evidence).context("the evidence has no JSON form")?;
        let written = self.partial.write_all((text + "\n").as_bytes()).and_then(|()| self.partial.as_file().sync_all());
        written
            .and_then(|()| Ok(self.partial.persist(&self.path)?))
            .with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(self.path)
    }
}

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

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::metadata(path).with_context(|| format!("could not read {shown}"))?.len();
        ensure!(bytes <= FILE_BYTES_MAX, "{shown} has {bytes} bytes; at most {FILE_BYTES_MAX} are read");
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read {shown}"))?;
        let evidence: Self = serde_json::from_str(&text)
            .with_context(|| format!("{shown} is not what `chat --save` or the web app writes"))?;
        let found = evidence.version;
        ensure!(found == VERSION, "{shown} has version {found}; this program reads version {VERSION}");
        Ok(evidence)
    }
}
