//! In-process test fixtures: the tiny model, and the people of a whole node.

#[cfg(feature = "people")]
pub mod people;
pub mod tiny;

pub use tiny::{TinySpec, tiny_model};
