//! The whole system: the real binary, driven over JSON-RPC and HTTP as anyone else drives it.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)] // A test that meets an error should stop with it.

mod bad_input;
mod commands;
mod first_start;
mod full_disk;
mod half_done;
mod killed;
mod moved;
mod node;
mod openai_client;
mod people;
mod prepared;
mod public_name;
mod relays;
mod royalties;
mod stopped;
mod taken_back;
mod whole_loop;
