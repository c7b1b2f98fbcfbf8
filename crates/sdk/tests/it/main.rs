//! Tests of the SDK, through its public API, against a chain in this process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod chains;
mod devnet;
mod disputes;
mod payments;
mod reads;
mod relays;
mod settlements;
mod statements;
mod till_server;
