//! Faults of a whole file.

use std::io;

use crate::limits::{CONTENT_BYTES_MAX, ROWS_MAX};

/// Why a file gives no records at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// No bytes, or no rows.
    #[error("the file has no rows")]
    Empty,
    /// Too many bytes.
    #[error("the file has {bytes} bytes; the limit is {bytes_max}")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Too many rows.
    #[error("the file has more than {ROWS_MAX} rows; split it")]
    TooManyRows,
    /// The records are too large together.
    #[error("the file's records exceed {CONTENT_BYTES_MAX} bytes together; split it")]
    TooMuchContent,
    /// UTF-16 that is cut short or malformed, or UTF-32.
    #[error("encoding: {reason}")]
    Encoding {
        /// What is wrong.
        reason: String,
    },
    /// Too many columns or a name too long.
    #[error("columns: {reason}")]
    Columns {
        /// What is wrong.
        reason: String,
    },
    /// The mapping names a column that is not there.
    #[error("the mapping's {role} column {column:?} is not in the file; its columns are {}", found.join(", "))]
    MissingColumn {
        /// What the column was to be.
        role: &'static str,
        /// The name that the mapping gives.
        column: String,
        /// Names that the file has.
        found: Vec<String>,
    },
    /// No customary column names.
    #[error("cannot tell which columns hold the records: name them with a mapping; columns are {}", found.join(", "))]
    NoMapping {
        /// Names that the file has.
        found: Vec<String>,
    },
    /// Several columns could play one role.
    #[error("columns {} could each be the {role}: name one with a mapping", candidates.join(", "))]
    AmbiguousMapping {
        /// Which role.
        role: &'static str,
        /// The columns.
        candidates: Vec<String>,
    },
    /// A Parquet column has a type that holds no text.
    #[error("column {column:?} has type {found}; the {role} must be text")]
    ColumnType {
        /// The column.
        column: String,
        /// What it was to be.
        role: &'static str,
        /// Its type.
        found: String,
    },
    /// The Parquet file is damaged, uses what is not supported, or would expand beyond its limits.
    #[error("not a usable Parquet file: {reason}")]
    Parquet {
        /// What is wrong.
        reason: String,
    },
    /// The CSV file's structure is broken.
    #[error("line {line}: {reason}")]
    Csv {
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Reading failed.
    #[error("cannot read the file")]
    Io {
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}
