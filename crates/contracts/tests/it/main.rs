//! The committed bytecode, run in an EVM on the genesis state, against the Rust side of every format.

mod abi;
mod chain;
mod genesis;
mod hashes;
mod loop_;
mod vectors;
