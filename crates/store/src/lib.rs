//! Typed tables, blobs by hash and migrations.
//!
//! One data directory holds one SQLite database (`openledger.db`) and one folder of blobs named by their keccak256
//! hash. A crate that keeps rows declares a [`Schema`] and hands it to [`Store::open`]; it then reads and writes
//! inside [`Store::read`] and [`Store::with_tx`]. What a returned `with_tx` or `Blobs::put` wrote survives a crash.

mod blobs;
mod error;
mod row;
mod schema;
mod store;
mod tx;

pub use blobs::{BLOB_BYTES_MAX, BlobError, BlobWriter, Blobs};
pub use error::{OpenStoreError, StoreError};
pub use row::{RowExt, number_value, wei_bytes};
pub use rusqlite::{self, Row, named_params, params};
pub use schema::{Migration, Schema};
pub use store::{READERS_MAX, Store, StoreOptions};
pub use tx::{ReadTx, Tx};
