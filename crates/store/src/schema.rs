//! Which tables exist, and how they came to be.

use std::path::Path;

use openledger_primitives::keccak256;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::{OpenStoreError, is_disk_full};

/// One step in the life of a crate's tables. Never changed after release: a change is a new migration.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Position, from 1 without gaps.
    pub version: u32,
    /// What it does, for messages.
    pub name: &'static str,
    /// SQL statements, run in one transaction.
    pub sql: &'static str,
}

/// The tables of one crate, versioned apart from all others.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Unique name, customarily the crate's; its tables begin with it.
    pub name: &'static str,
    /// Migrations in order.
    pub migrations: &'static [Migration],
}

impl Schema {
    /// Version after all migrations.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

const BOOKKEEPING: &str = "CREATE TABLE IF NOT EXISTS store_migrations (
    schema TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, sql_hash BLOB NOT NULL,
    PRIMARY KEY (schema, version)
) WITHOUT ROWID, STRICT";

pub(crate) fn migrate(connection: &mut Connection, dir: &Path, schemas: &[Schema]) -> Result<(), OpenStoreError> {
    check_schemas(schemas)?;
    connection.execute_batch(BOOKKEEPING).map_err(|source| database(dir, source))?;
    for schema in schemas {
        check_applied(connection, dir, schema)?;
    }
    for schema in schemas {
        apply_missing(connection, dir, schema)?;
    }
    Ok(())
}

fn check_schemas(schemas: &[Schema]) -> Result<(), OpenStoreError> {
    for (position, schema) in schemas.iter().enumerate() {
        let bad = |reason| Err(OpenStoreError::BadSchema { schema: schema.name.to_owned(), reason });
        if schemas[..position].iter().any(|other| other.name == schema.name) {
            return bad("its name is taken by another schema");
        }
        if schema.migrations.iter().zip(1..).any(|(migration, version)| migration.version != version) {
            return bad("its migrations are not numbered 1, 2, 3, …");
        }
    }
    Ok(())
}

/// Refuses a database of a newer version and one whose history differs from the program's.
fn check_applied(connection: &Connection, dir: &Path, schema: &Schema) -> Result<(), OpenStoreError> {
    let found = applied_version(connection, schema.name).map_err(|source| database(dir, source))?;
    if found > schema.version() {
        return Err(OpenStoreError::Newer {
            path: dir.to_owned(),
            schema: schema.name.to_owned(),
            found,
            supported: schema.version(),
        });
    }
    for migration in &schema.migrations[..found as usize] {
        let hash = applied_hash(connection, schema.name, migration.version).map_err(|source| database(dir, source))?;
        if hash.as_deref() != Some(keccak256(migration.sql).as_slice()) {
            return Err(OpenStoreError::MigrationChanged {
                schema: schema.name.to_owned(),
                version: migration.version,
                name: migration.name.to_owned(),
            });
        }
    }
    Ok(())
}

pub(crate) fn applied_version(connection: &Connection, schema: &str) -> rusqlite::Result<u32> {
    let sql = "SELECT coalesce(max(version), 0) FROM store_migrations WHERE schema = ?1";
    connection.query_row(sql, [schema], |row| row.get(0))
}

fn applied_hash(connection: &Connection, schema: &str, version: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT sql_hash FROM store_migrations WHERE schema = ?1 AND version = ?2";
    connection.query_row(sql, params![schema, version], |row| row.get(0)).optional()
}

fn apply_missing(connection: &mut Connection, dir: &Path, schema: &Schema) -> Result<(), OpenStoreError> {
    let found = applied_version(connection, schema.name).map_err(|source| database(dir, source))?;
    for migration in &schema.migrations[found as usize..] {
        apply(connection, schema.name, migration).map_err(|source| failed(dir, schema, migration, source))?;
        tracing::info!(schema = schema.name, version = migration.version, name = migration.name, "migrated");
    }
    Ok(())
}

fn apply(connection: &mut Connection, schema: &str, migration: &Migration) -> rusqlite::Result<()> {
    let tx = Transaction::new(connection, TransactionBehavior::Immediate)?;
    tx.execute_batch(migration.sql)?;
    tx.execute(
        "INSERT INTO store_migrations (schema, version, name, sql_hash) VALUES (?1, ?2, ?3, ?4)",
        params![schema, migration.version, migration.name, keccak256(migration.sql).as_slice()],
    )?;
    tx.commit()
}

fn failed(dir: &Path, schema: &Schema, migration: &Migration, source: rusqlite::Error) -> OpenStoreError {
    if is_disk_full(&source) {
        return OpenStoreError::DiskFull { path: dir.to_owned() };
    }
    OpenStoreError::Migrate {
        schema: schema.name.to_owned(),
        version: migration.version,
        name: migration.name.to_owned(),
        source,
    }
}

pub(crate) fn database(path: &Path, source: rusqlite::Error) -> OpenStoreError {
    if is_disk_full(&source) {
        return OpenStoreError::DiskFull { path: path.to_owned() };
    }
    OpenStoreError::Database { path: path.to_owned(), source }
}
