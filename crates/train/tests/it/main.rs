//! Behaviour of ModelFactory on a tiny model.

mod artifacts;
mod checkpoints;
mod encoding;
mod jobs;
mod kill;
mod recipes;
mod runs;
mod support;
