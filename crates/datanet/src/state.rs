//! States of batches and records, as stored.

use std::fmt;

use openledger_store::{Row, RowExt, StoreError};
use serde::{Deserialize, Serialize};

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Salted and stored, nothing on chain.
    Prepared,
    /// Its commitment is on chain and has a priority.
    Committed,
    /// Root and consent are on chain.
    Revealed,
    /// Its records have been decided on.
    Accepted,
}

impl BatchState {
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        match row.column("state")? {
            0 => Ok(Self::Prepared),
            1 => Ok(Self::Committed),
            2 => Ok(Self::Revealed),
            3 => Ok(Self::Accepted),
            _ => Err(StoreError::Malformed { column: "state".to_owned(), kind: "batch state" }),
        }
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Committed => "committed",
            Self::Revealed => "revealed",
            Self::Accepted => "accepted",
        })
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// Its batch is not accepted yet.
    Pending,
    /// Trains and earns.
    Accepted,
    /// An earlier record says the same.
    Duplicate,
    /// Taken back by its contributor: not in later snapshots.
    Revoked,
}

impl RecordStatus {
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        match row.column("status")? {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Accepted),
            2 => Ok(Self::Duplicate),
            3 => Ok(Self::Revoked),
            _ => Err(StoreError::Malformed { column: "status".to_owned(), kind: "record status" }),
        }
    }
}
