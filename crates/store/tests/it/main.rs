//! Tests of the store through its public API.

#![allow(clippy::unwrap_used)] // A test that meets an error should stop with it.

mod blobs;
mod crash;
mod migrations;
mod transactions;

use openledger_store::{Migration, Schema};

/// One table of numbered lines.
const LINES: Schema = Schema {
    name: "lines",
    migrations: &[Migration {
        version: 1,
        name: "lines",
        sql: "CREATE TABLE lines (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
    }],
};
