//! HTTP: the OpenAI-compatible API, payment, the app API.
//!
//! Chain side and model side meet here. A request flows one way: routes read typed input, the crates that own the
//! logic decide, the books are written, the answer goes out. [`answer`] holds what serving and [`replay`] share.

pub mod answer;
pub mod api;
mod app;
mod assets;
pub mod canonical;
pub mod catalog;
mod chat;
mod clock;
mod desk;
mod error;
mod events;
mod explain;
mod guard;
mod limits;
mod lineage;
mod listen;
mod metrics;
mod openai;
mod public_url;
mod records;
pub mod replay;
mod revocations;
mod routes;
mod session;
mod shares;
mod stream;
mod tally;

pub use app::{CHUNK_BYTES_MAX, Gateway, JSON_BYTES_MAX, Parts, Site, StartGatewayError};
pub use chat::{RECEIPT_HEADER, SALT_HEADER, STORED_HEADER};
pub use public_url::{PublicUrl, PublicUrlError};
pub use records::RecordsError;
