//! The engine through its public API.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod backward;
mod decoder;
mod files;
mod forward;
mod golden;
mod state;
