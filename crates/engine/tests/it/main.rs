//! The engine through its public API.

mod backward;
mod decoder;
mod forward;
mod state;
