//! The journal of relayed transactions: each is written before it is sent, so that a crash neither loses nor repeats it.

use openledger_primitives::{Address, B256, Bytes, ChannelId, Wei};
use openledger_store::{ReadTx, Row, RowExt, StoreError, named_params, number_value, params, wei_bytes};

use super::{Ledger, ReserveError};
use crate::channel::OnChainChannel;
use crate::hub::SignedTransaction;
use crate::relay::RelayKind;
use crate::x402::Moved;

/// How a relay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// Signed, and perhaps sent.
    Sent,
    /// In a block.
    Done(Moved),
    /// It can have no effect any more.
    Failed,
}

/// A deposit or a refund that the operator relays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Which channel.
    pub channel: ChannelId,
    /// What it does.
    pub kind: RelayKind,
    /// The authorisation's nonce, or the channel's refund nonce.
    pub nonce: B256,
    /// Payment identifier of the request that it is for.
    pub identifier: String,
    /// Hash of that request.
    pub fingerprint: B256,
    /// Whose money.
    pub payer: Address,
    /// How much is to move.
    pub amount: Wei,
    /// The transaction signed last.
    pub tx: SignedTransaction,
    /// How it stands.
    pub state: RelayState,
    /// When it was first signed, in Unix seconds.
    pub created_at: u64,
}

impl Relay {
    /// True when it is for the request of this identifier and hash.
    #[must_use]
    pub fn is_for(&self, identifier: &str, fingerprint: B256) -> bool {
        self.identifier == identifier && self.fingerprint == fingerprint
    }
}

impl Ledger {
    /// The relay of that nonce.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relay(&self, channel: ChannelId, kind: RelayKind, nonce: B256) -> Result<Option<Relay>, StoreError> {
        let sql = "SELECT * FROM settlement_relays WHERE channel = ?1 AND kind = ?2 AND nonce = ?3";
        let key = params![channel.0.as_slice(), kind.name(), nonce.as_slice()];
        self.store.read(|tx| tx.query_opt(sql, key, read_relay))
    }

    /// The refund made for a payment identifier.
    ///
    /// # Errors
    /// [`ReserveError::IdentifierReused`] when it was for another request.
    pub fn refund_for(
        &self,
        channel: ChannelId,
        identifier: &str,
        fingerprint: B256,
    ) -> Result<Option<Relay>, ReserveError> {
        let sql = "SELECT * FROM settlement_relays WHERE channel = ?1 AND kind = 'refund' AND identifier = ?2";
        let key = params![channel.0.as_slice(), identifier];
        let found = self.store.read(|tx| tx.query_opt(sql, key, read_relay))?;
        match found {
            Some(relay) if relay.fingerprint != fingerprint => {
                Err(ReserveError::IdentifierReused { identifier: identifier.to_owned() })
            }
            found => Ok(found),
        }
    }

    /// The channel's refund that is on its way: until it is known to have moved its money, nothing may be charged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refund_on_its_way(&self, channel: ChannelId) -> Result<Option<Relay>, StoreError> {
        self.store.read(|tx| refund_on_its_way(tx, channel))
    }

    /// Relays of a payer since that second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relays_of(&self, payer: Address, since_s: u64) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM settlement_relays WHERE payer = ?1 AND created_at >= ?2";
        let key = params![payer.as_slice(), number_value("time", since_s)?];
        self.store.read(|tx| tx.count(sql, key))
    }

    /// Writes a relay, new or signed again; on disk when this returns. The block in which it was first signed stays: an
    /// earlier signature may still be sent by whoever saw it, so its effect is looked for from there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_relay(&self, relay: &Relay) -> Result<(), StoreError> {
        let sql = "INSERT INTO settlement_relays (channel, kind, nonce, identifier, fingerprint, payer, amount, tx,
                tx_nonce, raw, signed_at, state, moved_tx, moved, created_at)
            VALUES (:channel, :kind, :nonce, :identifier, :fingerprint, :payer, :amount, :tx, :tx_nonce, :raw,
                :signed_at, :state, :moved_tx, :moved, :created_at)
            ON CONFLICT (channel, kind, nonce) DO UPDATE SET identifier = :identifier, fingerprint = :fingerprint,
                amount = :amount, tx = :tx, tx_nonce = :tx_nonce, raw = :raw, state = :state, moved_tx = :moved_tx,
                moved = :moved";
        let (state, moved) = match relay.state {
            RelayState::Sent => ("sent", None),
            RelayState::Done(moved) => ("done", Some(moved)),
            RelayState::Failed => ("failed", None),
        };
        let values = named_params! {
            ":channel": relay.channel.0.as_slice(),
            ":kind": relay.kind.name(),
            ":nonce": relay.nonce.as_slice(),
            ":identifier": relay.identifier,
            ":fingerprint": relay.fingerprint.as_slice(),
            ":payer": relay.payer.as_slice(),
            ":amount": wei_bytes(relay.amount),
            ":tx": relay.tx.hash.as_slice(),
            ":tx_nonce": number_value("nonce", relay.tx.nonce)?,
            ":raw": relay.tx.raw.as_ref(),
            ":signed_at": number_value("block", relay.tx.signed_at)?,
            ":state": state,
            ":moved_tx": moved.map(|moved| moved.tx.to_vec()),
            ":moved": moved.map(|moved| wei_bytes(moved.amount)),
            ":created_at": number_value("time", relay.created_at)?,
        };
        self.store.with_tx(|tx| tx.execute(sql, values).map(|_| ()))
    }

    /// Notes that a relay moved its money, and the channel afterwards, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_relayed(
        &self,
        relay: &Relay,
        moved: Moved,
        config: &openledger_contracts::ChannelConfig,
        on_chain: OnChainChannel,
        now_s: u64,
    ) -> Result<crate::channel::Channel, StoreError> {
        let sql = "UPDATE settlement_relays SET state = 'done', moved_tx = ?4, moved = ?5
            WHERE channel = ?1 AND kind = ?2 AND nonce = ?3";
        self.store.with_tx(|tx| {
            let key = (relay.channel.0, relay.kind.name(), relay.nonce);
            let (channel, kind, nonce) = (key.0.as_slice(), key.1, key.2.as_slice());
            tx.execute(sql, params![channel, kind, nonce, moved.tx.as_slice(), wei_bytes(moved.amount)])?;
            self.mirror_in(tx, config, on_chain, now_s)
        })
    }
}

pub(super) fn refund_on_its_way(tx: &ReadTx<'_>, channel: ChannelId) -> Result<Option<Relay>, StoreError> {
    let sql = "SELECT * FROM settlement_relays WHERE channel = ?1 AND kind = 'refund' AND state = 'sent'";
    tx.query_opt(sql, [channel.0.as_slice()], read_relay)
}

fn read_relay(row: &Row<'_>) -> Result<Relay, StoreError> {
    let malformed = |column: &str| StoreError::Malformed { column: column.to_owned(), kind: "relay" };
    let kind: String = row.column("kind")?;
    let kind = [RelayKind::Deposit, RelayKind::Refund].into_iter().find(|known| known.name() == kind);
    let raw: Vec<u8> = row.column("raw")?;
    let state: String = row.column("state")?;
    let state = match state.as_str() {
        "sent" => RelayState::Sent,
        "done" => RelayState::Done(Moved { tx: row.hash("moved_tx")?, amount: row.wei("moved")? }),
        "failed" => RelayState::Failed,
        _ => return Err(malformed("state")),
    };
    Ok(Relay {
        channel: ChannelId(row.hash("channel")?),
        kind: kind.ok_or_else(|| malformed("kind"))?,
        nonce: row.hash("nonce")?,
        identifier: row.column("identifier")?,
        fingerprint: row.hash("fingerprint")?,
        payer: row.address("payer")?,
        amount: row.wei("amount")?,
        tx: SignedTransaction {
            hash: row.hash("tx")?,
            nonce: row.number("tx_nonce")?,
            raw: Bytes::from(raw),
            signed_at: row.number("signed_at")?,
        },
        state,
        created_at: row.number("created_at")?,
    })
}
