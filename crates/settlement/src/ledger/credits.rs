//! Which records an answer was paid for, kept apart from the answer: they stay listed when its body is forgotten.
//!
//! They are informative: payouts go to contributors, and follow from the receipt alone.

use openledger_primitives::{Address, DatanetId, RecordHash, Wei};
use openledger_store::{ReadTx, Row, RowExt, StoreError, Tx, number_value, params, wei_bytes};

use super::Ledger;

/// Most records kept of one answer, those that earned most.
pub const ANSWER_CREDITS_MAX: usize = 64;

pub(super) const TABLES: &str = "
CREATE TABLE settlement_record_credits (
    sequence INTEGER NOT NULL REFERENCES settlement_receipts (sequence),
    place INTEGER NOT NULL,
    pool TEXT NOT NULL CHECK (pool IN ('influence', 'provenance')),
    record BLOB NOT NULL,
    datanet INTEGER NOT NULL,
    contributor BLOB NOT NULL,
    amount BLOB NOT NULL,
    PRIMARY KEY (sequence, place)
) WITHOUT ROWID, STRICT;
";

/// The declared pools of the data share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPool {
    /// What shaped the answer.
    Influence,
    /// What the answer quotes.
    Provenance,
}

impl DataPool {
    fn name(self) -> &'static str {
        match self {
            Self::Influence => "influence",
            Self::Provenance => "provenance",
        }
    }
}

/// A record that an answer was paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCredit {
    /// Out of which pool.
    pub pool: DataPool,
    /// Which record.
    pub record: RecordHash,
    /// Its Datanet.
    pub datanet: DatanetId,
    /// Who was paid.
    pub contributor: Address,
    /// The record's part of that.
    pub amount: Wei,
}

impl Ledger {
    /// The records that the answer of receipt `sequence` was paid for, those that earned most first, at most
    /// [`ANSWER_CREDITS_MAX`]. None for an answer older than what is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_credits(&self, sequence: u64) -> Result<Vec<RecordCredit>, StoreError> {
        let sql = "SELECT pool, record, datanet, contributor, amount FROM settlement_record_credits
            WHERE sequence = ?1 ORDER BY place";
        let sequence = number_value("sequence", sequence)?;
        self.store.read(|tx| tx.query_all(sql, [sequence], read_credit))
    }
}

pub(super) fn put_credits(tx: &Tx<'_>, sequence: u64, mut credits: Vec<RecordCredit>) -> Result<(), StoreError> {
    // A stable order: what earned the same stays as the attribution has it.
    credits.sort_by_key(|credit| std::cmp::Reverse(credit.amount));
    let sql = "INSERT INTO settlement_record_credits (sequence, place, pool, record, datanet, contributor, amount)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for (place, credit) in (0_i64..).zip(credits.iter().take(ANSWER_CREDITS_MAX)) {
        let (record, contributor) = (credit.record.0.as_slice(), credit.contributor.as_slice());
        let (datanet, amount) = (number_value("Datanet", credit.datanet.0)?, wei_bytes(credit.amount));
        let sequence = number_value("sequence", sequence)?;
        tx.execute(sql, params![sequence, place, credit.pool.name(), record, datanet, contributor, amount])?;
    }
    Ok(())
}

/// The answers whose records are kept and are not of the latest `answers`, the oldest and the newest of them.
pub(super) fn too_old(tx: &ReadTx<'_>, answers: u64) -> Result<Option<(u64, u64)>, StoreError> {
    let last = tx.count("SELECT max(sequence) FROM settlement_receipts", [])?;
    let sql = "SELECT sequence FROM settlement_record_credits ORDER BY sequence LIMIT 1";
    let oldest: Option<u64> = tx.query_opt(sql, [], |row| row.number("sequence"))?;
    Ok(oldest.zip(last.checked_sub(answers)).filter(|(oldest, newest)| oldest <= newest))
}

/// Drops the records of all but the latest `answers` answers, those of `at_once` answers at a time.
pub(super) fn forget_credits(tx: &Tx<'_>, answers: u64, at_once: u64) -> Result<(), StoreError> {
    let Some((oldest, newest)) = too_old(tx, answers)? else { return Ok(()) };
    let newest = newest.min(oldest.saturating_add(at_once));
    let sql = "DELETE FROM settlement_record_credits WHERE sequence <= ?1";
    tx.execute(sql, [number_value("sequence", newest)?]).map(drop)
}

fn read_credit(row: &Row<'_>) -> Result<RecordCredit, StoreError> {
    let malformed = || StoreError::Malformed { column: "pool".to_owned(), kind: "pool" };
    let pool: String = row.column("pool")?;
    let pool = [DataPool::Influence, DataPool::Provenance].into_iter().find(|known| known.name() == pool);
    Ok(RecordCredit {
        pool: pool.ok_or_else(malformed)?,
        record: RecordHash(row.hash("record")?),
        datanet: DatanetId(row.number("datanet")?),
        contributor: row.address("contributor")?,
        amount: row.wei("amount")?,
    })
}
