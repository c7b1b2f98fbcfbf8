//! The gateway from outside: one node in this process, everything over HTTP.

mod assets;
mod contract;
mod hostile;
mod node;
mod openapi;
mod people;
mod sessions;
