//! Behaviour of OpenLoRA on a tiny model.

mod adapters;
mod answers;
mod limits;
mod support;
