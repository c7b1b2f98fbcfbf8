//! Columns of the ledger's own types.
//!
//! Hashes and addresses are stored as raw bytes, counts and times as integers, and amounts as 16 big-endian bytes, so
//! that SQLite's ordering of blobs is the amounts' ordering.

use openledger_primitives::{Address, B256, Wei};
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::error::StoreError;

/// Reads typed columns by name.
pub trait RowExt {
    /// A column of one of SQLite's own types.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such column or it has another type.
    fn column<T: FromSql>(&self, column: &str) -> Result<T, StoreError>;

    /// A 32-byte hash.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such column or it does not hold 32 bytes.
    fn hash(&self, column: &str) -> Result<B256, StoreError>;

    /// A 32-byte hash, or NULL.
    ///
    /// # Errors
    /// As [`RowExt::hash`].
    fn hash_opt(&self, column: &str) -> Result<Option<B256>, StoreError>;

    /// A 20-byte address.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such column or it does not hold 20 bytes.
    fn address(&self, column: &str) -> Result<Address, StoreError>;

    /// A number that is never negative.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such column or it is negative.
    fn number(&self, column: &str) -> Result<u64, StoreError>;

    /// An amount written by [`wei_bytes`].
    ///
    /// # Errors
    /// [`StoreError`] when there is no such column or it does not hold 16 bytes.
    fn wei(&self, column: &str) -> Result<Wei, StoreError>;
}

impl RowExt for Row<'_> {
    fn column<T: FromSql>(&self, column: &str) -> Result<T, StoreError> {
        Ok(self.get(column)?)
    }

    fn hash(&self, column: &str) -> Result<B256, StoreError> {
        fixed(self, column, "hash").map(B256::new)
    }

    fn hash_opt(&self, column: &str) -> Result<Option<B256>, StoreError> {
        match self.get_ref(column)? {
            rusqlite::types::ValueRef::Null => Ok(None),
            _ => self.hash(column).map(Some),
        }
    }

    fn address(&self, column: &str) -> Result<Address, StoreError> {
        fixed(self, column, "address").map(Address::new)
    }

    fn number(&self, column: &str) -> Result<u64, StoreError> {
        let signed: i64 = self.get(column)?;
        u64::try_from(signed).map_err(|_| malformed(column, "count"))
    }

    fn wei(&self, column: &str) -> Result<Wei, StoreError> {
        fixed(self, column, "amount").map(|bytes| Wei(u128::from_be_bytes(bytes)))
    }
}

fn fixed<const N: usize>(row: &Row<'_>, column: &str, kind: &'static str) -> Result<[u8; N], StoreError> {
    let blob = row.get_ref(column)?.as_blob().map_err(|_| malformed(column, kind))?;
    blob.try_into().map_err(|_| malformed(column, kind))
}

fn malformed(column: &str, kind: &'static str) -> StoreError {
    StoreError::Malformed { column: column.to_owned(), kind }
}

/// An amount as a column value that [`RowExt::wei`] reads back.
#[must_use]
pub fn wei_bytes(amount: Wei) -> [u8; 16] {
    amount.0.to_be_bytes()
}

/// A count, id or time as a column value that [`RowExt::number`] reads back.
///
/// # Errors
/// [`StoreError::OutOfRange`] above 2^63 - 1.
pub fn number_value(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::OutOfRange { what, value })
}
