//! Tests of the primitives through their public API.

mod amount;
mod canonical_json;
mod merkle;
