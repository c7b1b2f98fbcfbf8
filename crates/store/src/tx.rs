//! Statements inside a transaction.

use std::ops::Deref;

use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::error::StoreError;

/// A consistent view of the database: every read in it sees the same state.
#[derive(Debug)]
pub struct ReadTx<'a> {
    connection: &'a Connection,
}

impl<'a> ReadTx<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    /// The first row of the query through `map`, or `None`.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails, or what `map` returns.
    pub fn query_opt<T, E: From<StoreError>>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params).map_err(StoreError::from)?;
        rows.next().map_err(StoreError::from)?.map(map).transpose()
    }

    /// Every row of the query through `map`. Bound the query with LIMIT: all rows are held at once.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails, or what `map` returns.
    pub fn query_all<T, E: From<StoreError>>(
        &self,
        sql: &str,
        params: impl Params,
        mut map: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params).map_err(StoreError::from)?;
        let mut mapped = Vec::new();
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            mapped.push(map(row)?);
        }
        Ok(mapped)
    }

    /// Gives every row of the query to `each`, one at a time, without holding them.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails, or what `each` returns.
    pub fn for_each<E: From<StoreError>>(
        &self,
        sql: &str,
        params: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            each(row)?;
        }
        Ok(())
    }

    /// The single number that a counting query returns, zero for no row or NULL.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub fn count(&self, sql: &str, params: impl Params) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let count: Option<Option<i64>> = statement.query_row(params, |row| row.get(0)).optional()?;
        Ok(count.flatten().unwrap_or(0).unsigned_abs())
    }
}

/// A write transaction: all of it or nothing.
#[derive(Debug)]
pub struct Tx<'a> {
    read: ReadTx<'a>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { read: ReadTx::new(connection) }
    }

    /// Runs one statement and returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError`] when it fails.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        let mut statement = self.read.connection.prepare_cached(sql)?;
        Ok(statement.execute(params)?)
    }

    /// Runs one INSERT and returns the new row's number.
    ///
    /// # Errors
    /// [`StoreError`] when it fails.
    pub fn insert(&self, sql: &str, params: impl Params) -> Result<i64, StoreError> {
        let mut statement = self.read.connection.prepare_cached(sql)?;
        Ok(statement.insert(params)?)
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &Self::Target {
        &self.read
    }
}
