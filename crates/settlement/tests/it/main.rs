//! Tests of the settlement crate, through its public API.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod channels;
mod common;
mod crashes;
mod epochs;
mod ledgers;
mod payments_wire;
mod receipts;
mod relays;
mod sentences;
mod splits;
mod test_hub;
mod verification;
mod workers;
