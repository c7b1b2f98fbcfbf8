//! Errors of the database and of opening it.

use std::io;
use std::path::PathBuf;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// A folder or file could not be made or read.
    #[error("cannot use data directory {}", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process has the data directory open.
    #[error("data directory {} is in use by another process{}", path.display(), holder.map(|id| format!(" (id {id})")).unwrap_or_default())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The other process, where it left its id.
        holder: Option<u32>,
    },
    /// The directory was written by a newer version of this program.
    #[error(
        "{} holds version {found} of the {schema} tables; this program knows up to version {supported}: use a newer program",
        path.display()
    )]
    Newer {
        /// The data directory.
        path: PathBuf,
        /// Which tables.
        schema: String,
        /// Version in the database.
        found: u32,
        /// Latest version that this program knows.
        supported: u32,
    },
    /// A migration that was applied before now has a different text.
    #[error("migration {version} ({name}) of the {schema} tables differs from the one that was applied")]
    MigrationChanged {
        /// Which tables.
        schema: String,
        /// The migration's number.
        version: u32,
        /// The migration's name.
        name: String,
    },
    /// The schemas given are not usable: a mistake in this program.
    #[error("schema {schema}: {reason}")]
    BadSchema {
        /// Which tables.
        schema: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A migration failed; the database is as before.
    #[error("migration {version} ({name}) of the {schema} tables failed")]
    Migrate {
        /// Which tables.
        schema: String,
        /// The migration's number.
        version: u32,
        /// The migration's name.
        name: String,
        /// The database's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The database could not be opened or read.
    #[error("cannot open database {}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// The database's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk is full.
    #[error("disk full while opening {}", path.display())]
    DiskFull {
        /// The database file.
        path: PathBuf,
    },
}

/// Why a statement or transaction failed. The transaction it belonged to has no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space for the write; nothing of it remains.
    #[error("disk full: the database cannot grow")]
    DiskFull,
    /// The database answers with a fault.
    #[error("database error")]
    Sqlite(#[source] rusqlite::Error),
    /// A value does not fit its column.
    #[error("{what} {value} does not fit the database's signed 64-bit integers")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// The value given.
        value: u64,
    },
    /// A column holds bytes that its type forbids.
    #[error("column {column} holds a malformed {kind}")]
    Malformed {
        /// The column.
        column: String,
        /// The type expected.
        kind: &'static str,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if is_disk_full(&error) { Self::DiskFull } else { Self::Sqlite(error) }
    }
}

pub(crate) fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
