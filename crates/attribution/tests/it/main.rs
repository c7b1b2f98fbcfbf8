//! Tests of the attribution crate through its public API.

mod attest;
mod engine;
mod evaluate;
mod fixed;
mod golden;
mod influence;
mod influence_file;
mod mutate;
mod suffix;
mod suffix_file;
mod tiny;
mod weights;
