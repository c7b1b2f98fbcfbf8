//! In-process test fixtures: the tiny model.

pub mod tiny;

pub use tiny::{TinySpec, tiny_model};
