//! Behaviour of ModelFactory on a tiny model.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod artifacts;
mod checkpoints;
mod encoding;
mod jobs;
mod kill;
mod recipes;
mod runs;
mod sketches;
mod support;
