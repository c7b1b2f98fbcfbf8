use openledger_store::{Migration, OpenStoreError, Schema, Store, StoreError};

use crate::LINES;

const FIRST: Migration = LINES.migrations[0];
const SECOND: Migration =
    Migration { version: 2, name: "stars", sql: "ALTER TABLE lines ADD COLUMN stars INTEGER NOT NULL DEFAULT 5" };
const BROKEN: Migration =
    Migration { version: 3, name: "broken", sql: "CREATE TABLE half (a INTEGER); INSERT INTO missing VALUES (1)" };

fn lines(migrations: &'static [Migration]) -> Schema {
    Schema { name: "lines", migrations }
}

#[test]
fn an_old_directory_is_brought_up_to_date_with_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let old = Store::open(dir.path(), &[LINES]).unwrap();
    old.with_tx(|tx| tx.execute("INSERT INTO lines VALUES (1, 'kept')", [])).unwrap();
    drop(old);
    let new = Store::open(dir.path(), &[lines(&[FIRST, SECOND])]).unwrap();
    assert_eq!(new.schema_version("lines").unwrap(), 2);
    let stars = new.read(|tx| tx.count("SELECT stars FROM lines WHERE text = 'kept'", [])).unwrap();
    assert_eq!(stars, 5);
}

#[test]
fn a_newer_directory_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &[lines(&[FIRST, SECOND])]).unwrap());
    let error = Store::open(dir.path(), &[LINES]).unwrap_err();
    assert!(matches!(&error, OpenStoreError::Newer { found: 2, supported: 1, schema, .. } if schema == "lines"));
    let text = error.to_string();
    assert!(text.contains("version 2 of the lines tables") && text.contains("up to version 1"), "{text}");
    drop(Store::open(dir.path(), &[lines(&[FIRST, SECOND])]).unwrap());
}

#[test]
fn a_failing_migration_leaves_the_directory_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(dir.path(), &[lines(&[FIRST, SECOND, BROKEN])]).unwrap_err();
    assert!(matches!(&error, OpenStoreError::Migrate { version: 3, .. }), "{error}");
    let store = Store::open(dir.path(), &[lines(&[FIRST, SECOND])]).unwrap();
    let half = store.read(|tx| tx.count("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [])).unwrap();
    assert_eq!(half, 0);
}

#[test]
fn an_edited_migration_is_refused() {
    const EDITED: Migration = Migration { version: 1, name: "lines", sql: "CREATE TABLE lines (number INTEGER)" };
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &[LINES]).unwrap());
    let error = Store::open(dir.path(), &[lines(&[EDITED])]).unwrap_err();
    assert!(matches!(error, OpenStoreError::MigrationChanged { version: 1, .. }), "{error}");
}

#[test]
fn schemas_with_gaps_or_equal_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gap = Store::open(dir.path(), &[lines(&[FIRST, BROKEN])]).unwrap_err();
    assert!(matches!(gap, OpenStoreError::BadSchema { .. }), "{gap}");
    let twice = Store::open(dir.path(), &[LINES, LINES]).unwrap_err();
    assert!(matches!(twice, OpenStoreError::BadSchema { .. }), "{twice}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("openledger.db"), vec![b'x'; 4096]).unwrap();
    let error = Store::open(dir.path(), &[LINES]).unwrap_err();
    assert!(matches!(error, OpenStoreError::Database { .. }), "{error}");
}

#[test]
fn each_schema_has_a_version_of_its_own() {
    const OTHER: Schema = Schema {
        name: "other",
        migrations: &[
            Migration { version: 1, name: "a", sql: "CREATE TABLE other_a (x INTEGER)" },
            Migration { version: 2, name: "b", sql: "CREATE TABLE other_b (x INTEGER)" },
        ],
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES, OTHER]).unwrap();
    let versions: Result<Vec<_>, StoreError> =
        ["lines", "other", "absent"].into_iter().map(|name| store.schema_version(name)).collect();
    assert_eq!(versions.unwrap(), [1, 2, 0]);
}
