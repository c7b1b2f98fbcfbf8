//! Tests of the chain through its public API.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod harness;
mod harness_store;
mod state_root;
