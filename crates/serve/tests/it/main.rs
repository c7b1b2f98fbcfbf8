//! Behaviour of OpenLoRA on a tiny model.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod adapters;
mod answers;
mod limits;
mod support;
