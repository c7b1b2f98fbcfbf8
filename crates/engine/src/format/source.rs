//! Positioned reads from a file whose size was checked first.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FormatError;

/// An open file and its size when it was opened; every read is checked against that size before
/// anything is allocated for it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: Arc<PathBuf>,
    size: u64,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, FormatError> {
        let read = |source| FormatError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), size })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Refuses a range that is not wholly inside the file.
    pub(crate) fn check_range(&self, field: &str, offset: u64, len: u64) -> Result<(), FormatError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(FormatError::Truncated { field: field.to_owned(), offset, needed: len, size: self.size }),
        }
    }

    /// Fills `out` from `offset`.
    pub(crate) fn read_into(&self, field: &str, offset: u64, out: &mut [u8]) -> Result<(), FormatError> {
        self.check_range(field, offset, out.len() as u64)?;
        self.file
            .read_exact_at(out, offset)
            .map_err(|source| FormatError::Read { path: self.path.to_path_buf(), source })
    }

    /// Reads `len` bytes from `offset`; allocates only after the range is known to be in the file.
    pub(crate) fn read(&self, field: &str, offset: u64, len: u64) -> Result<Vec<u8>, FormatError> {
        self.check_range(field, offset, len)?;
        let mut out = vec![0; len as usize];
        self.read_into(field, offset, &mut out)?;
        Ok(out)
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FormatError> {
    let source = Source::open(path)?;
    super::error::at_most(&format!("size of {}", path.display()), source.size(), limit)?;
    source.read("file", 0, source.size())
}
