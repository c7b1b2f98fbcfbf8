//! What a number, a hash or a name means on chain and on this node.

use serde::Serialize;
use utoipa::ToSchema;

use super::scalar::{Account, Hash};

/// What a search found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SearchResult {
    /// The likeliest first; empty when nothing is called that.
    pub data: Vec<Match>,
}

/// One thing that a search may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Match {
    /// A block.
    Block {
        /// Its number.
        number: u64,
    },
    /// A transaction.
    Transaction {
        /// Its hash.
        hash: Hash,
        /// The block that it is in; null while it waits for one.
        #[schema(required)]
        block: Option<u64>,
    },
    /// An account or a contract. Every address exists, used or not.
    Address {
        /// The address.
        address: Account,
    },
    /// A receipt.
    Receipt {
        /// Its hash.
        hash: Hash,
    },
    /// A record of a revealed batch.
    Record {
        /// Its hash.
        hash: Hash,
        /// Its Datanet.
        datanet: u64,
    },
    /// A model that is served here.
    Model {
        /// Its id on chain; null for the base model.
        #[schema(required)]
        id: Option<Hash>,
        /// Its name.
        name: String,
    },
    /// A Datanet.
    Datanet {
        /// Its number.
        id: u64,
        /// Its name.
        name: String,
    },
    /// An epoch of the settlement.
    Epoch {
        /// Its number.
        number: u64,
    },
}
