//! The gateway from outside: one node in this process, everything over HTTP.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)] // A test that meets an error should stop with it.

mod assets;
mod contract;
mod fields;
mod forgotten;
mod held;
mod hostile;
mod migrations;
mod moved;
mod naming;
mod node;
mod openapi;
mod payments;
mod people;
mod revocations;
mod sessions;
mod stopped;
