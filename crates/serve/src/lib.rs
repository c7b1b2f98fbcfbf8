//! OpenLoRA: serves one base model and thousands of LoRA adapters from shared hardware.
//!
//! [`Server::start`] runs one engine thread. Requests go in through a bounded queue and come back as
//! [`Generation`]s, streams of [`Event`]s. Each iteration the engine runs one forward pass that mixes
//! prefill chunks and decode rows of requests with different adapters (iteration-level batching).
//!
//! A request gets the same bits alone or in any batch, so [`replay`] with the same inputs recomputes
//! what was served: that is what receipts are verified with.

mod adapters;
mod config;
mod error;
mod loader;
mod metrics;
mod replay;
mod request;
mod schedule;
mod sequence;
mod server;
mod text;
mod worker;

pub use adapters::{AdapterId, AdapterInfo, AdapterKey, AdapterSpec, AdapterState};
pub use config::{ServeConfig, StartError};
pub use error::{GenerateError, InvalidRequest, RegisterError, SubmitError, UnloadError};
pub use metrics::{Histogram, MetricsSnapshot};
pub use replay::{ReplayError, check, replay};
pub use request::{Completion, Event, FinishReason, Request, Sampling, Usage};
pub use server::{Generation, Server};
