//! The operator's books: channels, payments, receipts, epochs and credits, in one database.
//!
//! Charging a request is one transaction over channel, receipt and stored response. After a crash a request was
//! either charged and its answer can be fetched again, or it was not and the voucher is still good.

mod credits;
mod epochs;
mod lookup;
mod payments;
mod reading;
mod relays;
mod retention;
mod rows;
mod standing;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use openledger_contracts::ChannelConfig;
use openledger_primitives::{B256, ChannelId, ModelId};
use openledger_store::{Migration, Schema, Store, StoreError, Tx, number_value, params};

use crate::channel::{Channel, OnChainChannel};
use crate::split::Weighted;

pub use credits::{ANSWER_CREDITS_MAX, DataPool, RecordCredit};
pub use epochs::{CloseError, EpochRecord, EpochState};
pub use lookup::StatementEntry;
pub use payments::{
    Admission, Charge, ChargeError, Kept, Payment, RESERVATION_AGE_MAX, RefundRequest, Reservation, ReserveError,
    StoredAnswer,
};
pub use reading::{ReadError, StatementLine};
pub use relays::{Relay, RelayState};
pub use retention::{Retention, RetentionReport};
pub use standing::{RefusedClaim, STANDSTILL_MAX};

/// Largest answer kept for retries, in bytes.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most rows in one page of a listing.
pub const PAGE_MAX: usize = 1000;

/// Tables of settlement; hand it to [`Store::open`].
pub const SETTLEMENT_SCHEMA: Schema = Schema {
    name: "settlement",
    migrations: &[
        Migration { version: 1, name: "channels, payments, receipts, epochs, credits", sql: TABLES },
        Migration { version: 2, name: "relayed deposits and refunds", sql: RELAYS },
        Migration { version: 3, name: "how long answers are kept", sql: retention::TABLES },
        Migration { version: 4, name: "records that answers were paid for", sql: credits::TABLES },
    ],
};

const RELAYS: &str = "
CREATE TABLE settlement_relays (
    channel BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('deposit', 'refund')),
    nonce BLOB NOT NULL,
    identifier TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    payer BLOB NOT NULL,
    amount BLOB NOT NULL,
    tx BLOB NOT NULL,
    tx_nonce INTEGER NOT NULL,
    raw BLOB NOT NULL,
    signed_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'done', 'failed')),
    moved_tx BLOB,
    moved BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (channel, kind, nonce)
) WITHOUT ROWID, STRICT;
CREATE INDEX settlement_relays_by_payer ON settlement_relays (payer, created_at);
CREATE UNIQUE INDEX settlement_refunds_by_identifier ON settlement_relays (channel, identifier) WHERE kind = 'refund';
";

const TABLES: &str = "
CREATE TABLE settlement_channels (
    id BLOB PRIMARY KEY,
    config BLOB NOT NULL,
    charged BLOB NOT NULL,
    max_claimable BLOB,
    signature BLOB,
    balance BLOB NOT NULL,
    total_claimed BLOB NOT NULL,
    withdraw_requested_at INTEGER NOT NULL,
    withdraw_amount BLOB NOT NULL,
    refund_nonce INTEGER NOT NULL,
    synced_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE settlement_epochs (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'sealed', 'closed', 'posted', 'final')),
    first_sequence INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    post BLOB,
    final_at INTEGER,
    post_tx BLOB,
    final_tx BLOB
) STRICT;

CREATE TABLE settlement_receipts (
    sequence INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    epoch INTEGER NOT NULL REFERENCES settlement_epochs (number),
    channel BLOB NOT NULL REFERENCES settlement_channels (id),
    bytes BLOB NOT NULL,
    max_claimable BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE INDEX settlement_receipts_by_epoch ON settlement_receipts (epoch, sequence);

CREATE TABLE settlement_payments (
    channel BLOB NOT NULL,
    identifier TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    sequence INTEGER NOT NULL UNIQUE REFERENCES settlement_receipts (sequence),
    settlement TEXT NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (channel, identifier)
) STRICT;

CREATE TABLE settlement_credits (
    account BLOB NOT NULL,
    epoch INTEGER NOT NULL REFERENCES settlement_epochs (number),
    amount BLOB NOT NULL,
    cumulative BLOB NOT NULL,
    PRIMARY KEY (account, epoch)
) WITHOUT ROWID, STRICT;

CREATE TABLE settlement_claims (
    epoch INTEGER NOT NULL REFERENCES settlement_epochs (number),
    channel BLOB NOT NULL REFERENCES settlement_channels (id),
    total_claimed BLOB NOT NULL,
    max_claimable BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (epoch, channel)
) WITHOUT ROWID, STRICT;

CREATE TABLE settlement_reserves (
    root BLOB NOT NULL,
    account BLOB NOT NULL,
    weight INTEGER NOT NULL,
    PRIMARY KEY (root, account)
) WITHOUT ROWID, STRICT;

CREATE TABLE settlement_parents (
    model BLOB NOT NULL,
    account BLOB NOT NULL,
    weight INTEGER NOT NULL,
    PRIMARY KEY (model, account)
) WITHOUT ROWID, STRICT;
";

/// The operator's books. Clones share them.
#[derive(Clone, Debug)]
pub struct Ledger {
    store: Store,
    chain_id: u64,
    busy: Arc<Mutex<BTreeSet<ChannelId>>>,
    standing: Arc<Mutex<standing::Standing>>,
}

impl Ledger {
    /// The books in `store`, which was opened with [`SETTLEMENT_SCHEMA`].
    #[must_use]
    pub fn new(store: Store, chain_id: u64) -> Self {
        Self { store, chain_id, busy: Arc::default(), standing: Arc::default() }
    }

    /// The chain that receipts and vouchers are bound to.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// A channel as last known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError> {
        self.store.read(|tx| rows::channel(tx, id))
    }

    /// Takes over what the chain knows of a channel, new or known, and gives it as it stands now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mirror(&self, config: &ChannelConfig, on_chain: OnChainChannel, now_s: u64) -> Result<Channel, StoreError> {
        self.store.with_tx(|tx| self.mirror_in(tx, config, on_chain, now_s))
    }

    fn mirror_in(
        &self,
        tx: &Tx<'_>,
        config: &ChannelConfig,
        on_chain: OnChainChannel,
        now_s: u64,
    ) -> Result<Channel, StoreError> {
        let opened = Channel::open(config.clone(), self.chain_id, on_chain, now_s);
        let mut channel = rows::channel(tx, opened.id)?.unwrap_or(opened);
        channel.mirror(on_chain, now_s);
        rows::put_channel(tx, &channel)?;
        Ok(channel)
    }

    /// The same for several channels; gives them in the order given.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is taken over then.
    pub fn mirror_all(&self, seen: &[(ChannelConfig, OnChainChannel)], now_s: u64) -> Result<Vec<Channel>, StoreError> {
        self.store
            .with_tx(|tx| seen.iter().map(|(config, on_chain)| self.mirror_in(tx, config, *on_chain, now_s)).collect())
    }

    /// Channels with charges that were not claimed yet, those that were read longest ago first, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unclaimed_channels(&self) -> Result<Vec<Channel>, StoreError> {
        let sql = "SELECT * FROM settlement_channels WHERE charged > total_claimed ORDER BY synced_at LIMIT ?1";
        self.store.read(|tx| tx.query_all(sql, [PAGE_MAX as i64], rows::read_channel))
    }

    /// Makes a snapshot's accepted records known, by contributor; reserves pay by them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_reserve(&self, root: B256, records: &[Weighted]) -> Result<(), StoreError> {
        let sql = "INSERT INTO settlement_reserves (root, account, weight) VALUES (?1, ?2, ?3)
            ON CONFLICT (root, account) DO UPDATE SET weight = excluded.weight";
        self.put_weights(sql, root, records)
    }

    /// Makes the builders of a model's parents known, each with the number of parents that it built.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_parents(&self, model: ModelId, builders: &[Weighted]) -> Result<(), StoreError> {
        let sql = "INSERT INTO settlement_parents (model, account, weight) VALUES (?1, ?2, ?3)
            ON CONFLICT (model, account) DO UPDATE SET weight = excluded.weight";
        self.put_weights(sql, model.0, builders)
    }

    /// Whether it is known whom the parents' part of a model's fees pays; nothing that pays them is charged otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn knows_parents(&self, model: ModelId) -> Result<bool, StoreError> {
        self.store.read(|tx| Ok(!rows::weights(tx, rows::WeightTable::Parents, model.0)?.is_empty()))
    }

    fn put_weights(&self, sql: &str, key: B256, weights: &[Weighted]) -> Result<(), StoreError> {
        self.store.with_tx(|tx| {
            for entry in weights {
                let weight = number_value("weight", entry.weight)?;
                tx.execute(sql, params![key.as_slice(), entry.account.as_slice(), weight])?;
            }
            Ok(())
        })
    }

    /// Keeps a channel to one request; `None` while another has it.
    pub(crate) fn hold(&self, channel: ChannelId) -> Option<ChannelHold> {
        let taken = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(channel);
        taken.then(|| ChannelHold { busy: Arc::clone(&self.busy), channel })
    }
}

/// Holds a channel for one request and frees it when dropped, however the request ends.
#[derive(Debug)]
pub(crate) struct ChannelHold {
    busy: Arc<Mutex<BTreeSet<ChannelId>>>,
    channel: ChannelId,
}

impl Drop for ChannelHold {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.channel);
    }
}
