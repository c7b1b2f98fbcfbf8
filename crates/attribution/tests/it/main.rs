//! Tests of the attribution crate through its public API.

mod attest;
mod fixed;
mod golden;
mod influence;
mod influence_file;
mod mutate;
mod suffix;
mod suffix_file;
mod weights;
