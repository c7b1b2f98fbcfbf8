//! Tests of the primitives through their public API.

#![allow(clippy::unwrap_used)] // A test that meets an error should stop with it.

mod amount;
mod canonical_json;
mod merkle;
