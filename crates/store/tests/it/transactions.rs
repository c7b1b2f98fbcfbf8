use std::sync::mpsc;
use std::thread;

use openledger_primitives::{Address, B256, Wei};
use openledger_store::{
    Migration, OpenStoreError, READERS_MAX, RowExt, Schema, Store, StoreError, StoreOptions, number_value, params,
    wei_bytes,
};

use crate::LINES;

fn add(store: &Store, number: i64) -> Result<usize, StoreError> {
    store.with_tx(|tx| tx.execute("INSERT INTO lines VALUES (?1, 'x')", [number]))
}

fn count(store: &Store) -> u64 {
    store.read(|tx| tx.count("SELECT count(*) FROM lines", [])).unwrap()
}

#[test]
fn a_failed_transaction_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let failed: Result<(), StoreError> = store.with_tx(|tx| {
        tx.execute("INSERT INTO lines VALUES (1, 'x')", [])?;
        tx.execute("INSERT INTO lines VALUES (1, 'again')", [])?;
        Ok(())
    });
    assert!(matches!(failed, Err(StoreError::Sqlite(_))));
    assert_eq!(count(&store), 0);
}

#[test]
fn a_panic_in_a_transaction_leaves_nothing_and_the_store_usable() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let inside = store.clone();
    let panicked = thread::spawn(move || {
        inside.with_tx::<(), StoreError>(|tx| {
            tx.execute("INSERT INTO lines VALUES (1, 'x')", [])?;
            panic!("in the middle");
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(count(&store), 0);
    add(&store, 1).unwrap();
    assert_eq!(count(&store), 1);
}

#[test]
fn a_reader_keeps_its_view_while_a_writer_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    add(&store, 1).unwrap();
    store
        .read::<_, StoreError>(|tx| {
            let before = tx.count("SELECT count(*) FROM lines", [])?;
            add(&store, 2)?;
            assert_eq!(tx.count("SELECT count(*) FROM lines", [])?, before);
            Ok(())
        })
        .unwrap();
    assert_eq!(count(&store), 2);
}

#[test]
fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let written: Result<Option<i64>, StoreError> = store
        .read(|tx| tx.query_opt("INSERT INTO lines VALUES (1, 'x') RETURNING number", [], |row| row.column("number")));
    assert!(written.is_err());
    assert_eq!(count(&store), 0);
}

#[test]
fn more_readers_than_connections_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let (finished, results) = mpsc::channel();
    for _ in 0..READERS_MAX * 4 {
        let (store, finished) = (store.clone(), finished.clone());
        thread::spawn(move || (0..20).for_each(|_| finished.send(count(&store)).unwrap()));
    }
    drop(finished);
    assert_eq!(results.iter().count(), READERS_MAX * 4 * 20);
}

#[test]
fn writers_on_many_threads_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || (0..10).for_each(|line| assert_eq!(add(store, thread * 10 + line).unwrap(), 1)));
        }
    });
    assert_eq!(count(&store), 40);
}

#[test]
fn a_second_opener_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[LINES]).unwrap();
    let second = Store::open(dir.path(), &[LINES]).unwrap_err();
    assert!(
        matches!(&second, OpenStoreError::Locked { holder: Some(id), .. } if *id == std::process::id()),
        "{second}"
    );
    assert!(second.to_string().contains("in use by another process"));
    drop(store);
    Store::open(dir.path(), &[LINES]).unwrap();
}

#[test]
fn a_full_database_says_so_and_keeps_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { database_bytes_max: Some(64 << 10), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &[LINES], options).unwrap();
    let long = "x".repeat(1 << 10);
    let mut kept = 0;
    let full = loop {
        match store.with_tx(|tx| tx.execute("INSERT INTO lines VALUES (?1, ?2)", params![kept, long])) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1_000, "the limit never took effect");
    };
    assert!(matches!(full, StoreError::DiskFull), "{full:?}");
    assert!(kept > 10);
    assert_eq!(count(&store), kept as u64);
    store.with_tx(|tx| tx.execute("DELETE FROM lines WHERE number = 0", [])).unwrap();
    add(&store, 0).unwrap();
}

#[test]
fn typed_columns_read_back_what_was_written() {
    const TYPED: Schema = Schema {
        name: "typed",
        migrations: &[Migration {
            version: 1,
            name: "typed",
            sql: "CREATE TABLE typed (hash BLOB, none BLOB, address BLOB, number INTEGER, wei BLOB)",
        }],
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[TYPED]).unwrap();
    let (hash, address, wei) = (B256::repeat_byte(7), Address::repeat_byte(9), Wei(u128::MAX - 1));
    store
        .with_tx(|tx| {
            let number = number_value("number", i64::MAX as u64)?;
            tx.execute(
                "INSERT INTO typed VALUES (?1, NULL, ?2, ?3, ?4)",
                params![hash.as_slice(), address.as_slice(), number, wei_bytes(wei)],
            )
        })
        .unwrap();
    store
        .read::<_, StoreError>(|tx| {
            tx.query_opt("SELECT * FROM typed", [], |row| {
                assert_eq!(row.hash("hash")?, hash);
                assert_eq!(row.hash_opt("none")?, None);
                assert_eq!(row.hash_opt("hash")?, Some(hash));
                assert_eq!(row.address("address")?, address);
                assert_eq!(row.number("number")?, i64::MAX as u64);
                assert_eq!(row.wei("wei")?, wei);
                assert!(
                    matches!(row.hash("address"), Err(StoreError::Malformed { column, .. }) if column == "address")
                );
                Ok(())
            })
        })
        .unwrap()
        .unwrap();
    assert!(matches!(number_value("time", u64::MAX), Err(StoreError::OutOfRange { what: "time", value: u64::MAX })));
}
