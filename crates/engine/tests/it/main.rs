//! The engine through its public API.

mod backward;
mod decoder;
mod files;
mod forward;
mod golden;
mod state;
