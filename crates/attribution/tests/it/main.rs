//! Tests of the attribution crate through its public API.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod attest;
mod engine;
mod evaluate;
mod fixed;
mod golden;
mod influence;
mod influence_file;
mod mutate;
mod suffix;
mod suffix_file;
mod weights;
