//! Rust client of the chain and the gateway.
