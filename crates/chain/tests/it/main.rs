//! Tests of the chain through its public API.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod clients;
mod differential;
mod fees;
mod formats;
mod harness;
mod harness_store;
mod killed;
mod limits;
mod pool;
mod recovery;
mod rpc;
mod state_root;
