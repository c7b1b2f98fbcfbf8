//! The life of an epoch in the books: open, sealed, closed, posted, final.

use std::collections::BTreeMap;

use alloy_sol_types::SolValue;
use openledger_contracts::{EpochPost, VoucherClaim};
use openledger_primitives::{Address, B256, Bytes, ChannelId, ModelId, Wei};
use openledger_store::{BlobError, ReadTx, Row, RowExt, StoreError, Tx, number_value, params, wei_bytes};

use super::rows::{self, WeightTable};
use super::{Ledger, PAGE_MAX};
use crate::epoch::{self, Balances, ClosedEpoch, EpochContext, EpochError};
use crate::receipt::SignedReceipt;

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EpochState {
    /// Takes receipts.
    Open,
    /// Takes no more; not computed yet.
    Sealed,
    /// Credits and roots stand.
    Closed,
    /// On chain, in its challenge window.
    Posted,
    /// Final: burned, and claims are open.
    Final,
}

impl EpochState {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Closed => "closed",
            Self::Posted => "posted",
            Self::Final => "final",
        }
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let name: String = row.column("state")?;
        let all = [Self::Open, Self::Sealed, Self::Closed, Self::Posted, Self::Final];
        let malformed = StoreError::Malformed { column: "state".into(), kind: "epoch state" };
        all.into_iter().find(|state| state.name() == name).ok_or(malformed)
    }
}

/// An epoch in the books.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// Its number, from 1.
    pub number: u64,
    /// Where it stands.
    pub state: EpochState,
    /// When it took its first receipt.
    pub opened_at: u64,
    /// Receipts that it has.
    pub receipts: u64,
    /// What is posted, once closed.
    pub post: Option<EpochPost>,
    /// When it can be made final, once posted.
    pub final_at: Option<u64>,
    /// Transaction that posted it.
    pub post_tx: Option<B256>,
    /// Transaction that made it final.
    pub final_tx: Option<B256>,
}

/// Why a sealed epoch could not be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// It cannot be settled.
    #[error("the epoch cannot be settled")]
    Epoch(#[from] EpochError),
    /// Its data could not be kept.
    #[error("the epoch's data could not be kept")]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error("the epoch could not be written")]
    Store(#[from] StoreError),
}

impl Ledger {
    /// Ends the open epoch; the next receipt opens another. `None` when no epoch is open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn seal_epoch(&self) -> Result<Option<u64>, StoreError> {
        self.store.with_tx(|tx| {
            let open = tx.query_opt("SELECT number FROM settlement_epochs WHERE state = 'open'", [], |row| {
                row.number("number")
            })?;
            if let Some(number) = open {
                set_state(tx, number, EpochState::Sealed)?;
            }
            Ok(open)
        })
    }

    /// Computes a sealed epoch's credits and roots, keeps its data as a blob and its claims beside it.
    /// Doing it again changes nothing.
    ///
    /// # Errors
    /// [`CloseError`]; the epoch stays sealed then.
    pub fn close_epoch(&self, number: u64) -> Result<ClosedEpoch, CloseError> {
        let receipts = self.epoch_receipts(number)?;
        let previous = self.balances_at(number.saturating_sub(1))?;
        let context = self.context_of(&receipts)?;
        let closed = epoch::close(number, &receipts, &previous, &context, self.chain_id)?;
        self.store.blobs().put(&epoch::epoch_data(number, &receipts))?;
        self.store.with_tx(|tx| {
            let sealed = tx.count(
                "SELECT count(*) FROM settlement_epochs WHERE number = ?1 AND state = 'sealed'",
                [number_value("epoch", number)?],
            )?;
            if sealed == 1 { put_closed(tx, number, &closed) } else { Ok(()) }
        })?;
        Ok(closed)
    }

    /// An epoch's receipts in sequence order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epoch_receipts(&self, number: u64) -> Result<Vec<SignedReceipt>, StoreError> {
        let sql = "SELECT bytes FROM settlement_receipts WHERE epoch = ?1 ORDER BY sequence";
        self.store.read(|tx| tx.query_all(sql, [number_value("epoch", number)?], rows::read_receipt))
    }

    /// Every account's cumulative credit after epoch `number`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn balances_at(&self, number: u64) -> Result<Balances, StoreError> {
        // With one max(), SQLite takes the other columns from the row that holds it.
        let sql = "SELECT account, cumulative, max(epoch) FROM settlement_credits WHERE epoch <= ?1 GROUP BY account";
        let mut balances = Balances::new();
        self.store.read(|tx| {
            tx.for_each(sql, [number_value("epoch", number)?], |row| {
                balances.insert(row.address("account")?, row.wei("cumulative")?);
                Ok::<_, StoreError>(())
            })
        })?;
        Ok(balances)
    }

    /// What epoch `number` credited, by account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epoch_credits(&self, number: u64) -> Result<Balances, StoreError> {
        let sql = "SELECT account, amount FROM settlement_credits WHERE epoch = ?1 ORDER BY account";
        let credit = |row: &Row<'_>| Ok::<_, StoreError>((row.address("account")?, row.wei("amount")?));
        let credits = self.store.read(|tx| tx.query_all(sql, [number_value("epoch", number)?], credit))?;
        Ok(credits.into_iter().collect())
    }

    /// Reserves and parents that these receipts pay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn context_of(&self, receipts: &[SignedReceipt]) -> Result<EpochContext, StoreError> {
        self.store.read(|tx| {
            let mut context = EpochContext::default();
            for SignedReceipt { receipt, .. } in receipts {
                let model = ModelId(receipt.modelId);
                if receipt.split.parents > 0 && !context.parents.contains_key(&model) {
                    context.parents.insert(model, rows::weights(tx, WeightTable::Parents, model.0)?);
                }
                for root in &receipt.snapshotRoots {
                    if !context.reserves.contains_key(root) {
                        context.reserves.insert(*root, rows::weights(tx, WeightTable::Reserves, *root)?);
                    }
                }
            }
            Ok(context)
        })
    }

    /// The vouchers to claim with an epoch: for each channel what its receipts up to that epoch add up to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epoch_claims(&self, number: u64) -> Result<Vec<VoucherClaim>, StoreError> {
        let sql = "SELECT claims.channel, claims.total_claimed AS total, claims.max_claimable AS ceiling,
                claims.signature AS signed
            FROM settlement_claims AS claims WHERE claims.epoch = ?1 ORDER BY claims.channel";
        self.store.read(|tx| {
            let claims = tx.query_all(sql, [number_value("epoch", number)?], |row| {
                let signature: Vec<u8> = row.column("signed")?;
                Ok::<_, StoreError>((row.hash("channel")?, row.wei("total")?, row.wei("ceiling")?, signature))
            })?;
            claims
                .into_iter()
                .map(|(channel, total, ceiling, signature)| {
                    let missing = StoreError::Malformed { column: "channel".into(), kind: "known channel" };
                    let config = rows::channel(tx, ChannelId(channel))?.ok_or(missing)?.config;
                    Ok(VoucherClaim {
                        config,
                        maxClaimableAmount: ceiling.0,
                        signature: Bytes::from(signature),
                        totalClaimed: total.0,
                    })
                })
                .collect()
        })
    }

    /// Notes that an epoch is on chain, and with it its claims, but for those that are set aside.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_posted(&self, number: u64, final_at: u64, post_tx: Option<B256>) -> Result<(), StoreError> {
        let sql = "UPDATE settlement_epochs SET state = 'posted', final_at = ?2, post_tx = coalesce(?3, post_tx)
            WHERE number = ?1 AND state IN ('closed', 'posted')";
        let claimed = "UPDATE settlement_channels SET total_claimed = claims.total_claimed
            FROM settlement_claims AS claims WHERE claims.epoch = ?1 AND claims.channel = settlement_channels.id
                AND claims.total_claimed > settlement_channels.total_claimed";
        let (number, final_at) = (number_value("epoch", number)?, number_value("time", final_at)?);
        let refused = self.refused_claims();
        self.store.with_tx(|tx| {
            let aside = refused.iter().map(|claim| rows::channel(tx, claim.channel));
            let aside: Vec<_> = aside.collect::<Result<_, _>>()?;
            tx.execute(sql, params![number, final_at, post_tx.map(|hash| hash.to_vec())])?;
            tx.execute(claimed, [number])?;
            aside.iter().flatten().try_for_each(|channel| rows::put_channel(tx, channel))
        })
    }

    /// Notes that the chain forgot a posted epoch, so that it is posted again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_forgotten(&self, number: u64) -> Result<(), StoreError> {
        let sql = "UPDATE settlement_epochs SET state = 'closed', final_at = NULL, post_tx = NULL
            WHERE number = ?1 AND state = 'posted'";
        self.store.with_tx(|tx| tx.execute(sql, [number_value("epoch", number)?]).map(drop))
    }

    /// Notes that an epoch is final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_final(&self, number: u64, final_tx: Option<B256>) -> Result<(), StoreError> {
        let sql = "UPDATE settlement_epochs SET state = 'final', final_tx = coalesce(?2, final_tx) WHERE number = ?1";
        let number = number_value("epoch", number)?;
        self.store.with_tx(|tx| tx.execute(sql, params![number, final_tx.map(|hash| hash.to_vec())]).map(drop))
    }

    /// The epochs after `after`, in order, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epochs(&self, after: u64) -> Result<Vec<EpochRecord>, StoreError> {
        let sql = "SELECT *, (SELECT count(*) FROM settlement_receipts AS r WHERE r.epoch = e.number) AS receipts
            FROM settlement_epochs AS e WHERE number > ?1 ORDER BY number LIMIT ?2";
        self.store.read(|tx| tx.query_all(sql, params![number_value("epoch", after)?, PAGE_MAX as i64], read_epoch))
    }

    /// The epochs that are not final yet, in order, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsettled_epochs(&self) -> Result<Vec<EpochRecord>, StoreError> {
        let sql = "SELECT *, (SELECT count(*) FROM settlement_receipts AS r WHERE r.epoch = e.number) AS receipts
            FROM settlement_epochs AS e WHERE state != 'final' ORDER BY number LIMIT ?1";
        self.store.read(|tx| tx.query_all(sql, [PAGE_MAX as i64], read_epoch))
    }

    /// The epoch that takes receipts, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_epoch(&self) -> Result<Option<EpochRecord>, StoreError> {
        let sql = "SELECT *, (SELECT count(*) FROM settlement_receipts AS r WHERE r.epoch = e.number) AS receipts
            FROM settlement_epochs AS e WHERE state = 'open'";
        self.store.read(|tx| tx.query_opt(sql, [], read_epoch))
    }

    /// How many epochs are sealed, closed or posted: those that are, or will be, pending at the hub.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epochs_waiting(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM settlement_epochs WHERE state IN ('sealed', 'closed', 'posted')";
        self.store.read(|tx| tx.count(sql, []))
    }

    /// How many epochs are posted and not final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epochs_pending(&self) -> Result<u64, StoreError> {
        self.store.read(|tx| tx.count("SELECT count(*) FROM settlement_epochs WHERE state = 'posted'", []))
    }

    /// One epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epoch(&self, number: u64) -> Result<Option<EpochRecord>, StoreError> {
        let Some(before) = number.checked_sub(1) else { return Ok(None) };
        Ok(self.epochs(before)?.into_iter().next().filter(|epoch| epoch.number == number))
    }

    /// Number of the latest final epoch, 0 for none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_final_epoch(&self) -> Result<u64, StoreError> {
        self.store.read(|tx| tx.count("SELECT max(number) FROM settlement_epochs WHERE state = 'final'", []))
    }
}

fn set_state(tx: &Tx<'_>, number: u64, state: EpochState) -> Result<(), StoreError> {
    let sql = "UPDATE settlement_epochs SET state = ?2 WHERE number = ?1";
    tx.execute(sql, params![number_value("epoch", number)?, state.name()]).map(drop)
}

fn put_closed(tx: &Tx<'_>, number: u64, closed: &ClosedEpoch) -> Result<(), StoreError> {
    let epoch = number_value("epoch", number)?;
    let credit = "INSERT INTO settlement_credits (account, epoch, amount, cumulative) VALUES (?1, ?2, ?3, ?4)";
    for (account, amount) in &closed.credits {
        let cumulative = closed.balances.get(account).copied().unwrap_or(*amount);
        tx.execute(credit, params![account.as_slice(), epoch, wei_bytes(*amount), wei_bytes(cumulative)])?;
    }
    put_claims(tx, epoch)?;
    let sql = "UPDATE settlement_epochs SET post = ?2 WHERE number = ?1";
    tx.execute(sql, params![epoch, closed.post.abi_encode()])?;
    set_state(tx, number, EpochState::Closed)
}

/// Claims what each channel was charged up to the epoch's last receipt, under that receipt's voucher. The hub takes
/// exactly what the receipts add up to, so a channel that was charged nothing has no claim.
fn put_claims(tx: &Tx<'_>, epoch: i64) -> Result<(), StoreError> {
    let sql = "SELECT bytes, max_claimable, signature FROM settlement_receipts WHERE epoch = ?1 ORDER BY sequence";
    let mut claims = BTreeMap::<B256, (Wei, Wei, Vec<u8>, bool)>::new();
    tx.for_each(sql, [epoch], |row| {
        let receipt = rows::read_receipt(row)?.receipt;
        let charged = claims.get(&receipt.channelId).is_some_and(|claim| claim.3) || receipt.fee > 0;
        let (ceiling, signature) = (row.wei("max_claimable")?, row.column("signature")?);
        claims.insert(receipt.channelId, (Wei(receipt.cumulativeAfter), ceiling, signature, charged));
        Ok::<_, StoreError>(())
    })?;
    let insert = "INSERT INTO settlement_claims (epoch, channel, total_claimed, max_claimable, signature)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    for (channel, (total, ceiling, signature, _)) in claims.into_iter().filter(|(_, claim)| claim.3) {
        tx.execute(insert, params![epoch, channel.as_slice(), wei_bytes(total), wei_bytes(ceiling), signature])?;
    }
    Ok(())
}

fn read_epoch(row: &Row<'_>) -> Result<EpochRecord, StoreError> {
    let post: Option<Vec<u8>> = row.column("post")?;
    let final_at: Option<i64> = row.column("final_at")?;
    let malformed = |_| StoreError::Malformed { column: "post".into(), kind: "epoch post" };
    Ok(EpochRecord {
        number: row.number("number")?,
        state: EpochState::read(row)?,
        opened_at: row.number("opened_at")?,
        receipts: row.number("receipts")?,
        post: post.map(|bytes| EpochPost::abi_decode_validate(&bytes)).transpose().map_err(malformed)?,
        final_at: final_at.map(i64::unsigned_abs),
        post_tx: row.hash_opt("post_tx")?,
        final_tx: row.hash_opt("final_tx")?,
    })
}

/// The account's credit lines, newest first, at most [`PAGE_MAX`].
pub(super) fn credit_lines(tx: &ReadTx<'_>, account: Address) -> Result<Vec<(u64, Wei, Wei)>, StoreError> {
    let sql = "SELECT epoch, amount, cumulative FROM settlement_credits WHERE account = ?1
        ORDER BY epoch DESC LIMIT ?2";
    tx.query_all(sql, params![account.as_slice(), PAGE_MAX as i64], |row| {
        Ok((row.number("epoch")?, row.wei("amount")?, row.wei("cumulative")?))
    })
}
