//! The committed bytecode, run in an EVM on the genesis state, against the Rust side of every format.

#![allow(clippy::unwrap_used)] // A test that meets an error should stop with it.

mod abi;
mod chain;
mod genesis;
mod hashes;
mod loop_;
mod vectors;
