//! What pages are made of: answers by receipt, statements in parts, an account's credit.

use openledger_primitives::{Address, ModelId, ReceiptHash, Wei};
use openledger_store::{RowExt, StoreError, number_value, params};

use super::reading::ReadError;
use super::{Ledger, PAGE_MAX, rows};
use crate::epoch;
use crate::receipt::SignedReceipt;

/// What an account earned in one answer, and in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementEntry {
    /// The epoch that settles it.
    pub epoch: u64,
    /// The receipt.
    pub receipt: ReceiptHash,
    /// Its number among the operator's receipts.
    pub sequence: u64,
    /// The model that answered.
    pub model: ModelId,
    /// When the answer was complete, in Unix seconds.
    pub answered_at: u64,
    /// What the account earned by it.
    pub amount: Wei,
}

impl Ledger {
    /// The receipts of an epoch (of all epochs when `None`) after `after`, at most `limit` and [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts_page(
        &self,
        epoch: Option<u64>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SignedReceipt>, StoreError> {
        let sql = "SELECT bytes FROM settlement_receipts WHERE (?1 IS NULL OR epoch = ?1) AND sequence > ?2
            ORDER BY sequence LIMIT ?3";
        let epoch = epoch.map(|epoch| number_value("epoch", epoch)).transpose()?;
        let place = params![epoch, number_value("sequence", after)?, limit.clamp(1, PAGE_MAX) as i64];
        self.store.read(|tx| tx.query_all(sql, place, rows::read_receipt))
    }

    /// The receipt of that sequence number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt_at(&self, sequence: u64) -> Result<Option<SignedReceipt>, StoreError> {
        let sql = "SELECT bytes FROM settlement_receipts WHERE sequence = ?1";
        let sequence = number_value("sequence", sequence)?;
        self.store.read(|tx| tx.query_opt(sql, [sequence], rows::read_receipt))
    }

    /// Number of the latest receipt, 0 for none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        self.store.read(|tx| tx.count("SELECT max(sequence) FROM settlement_receipts", []))
    }

    /// The answer that was charged with a receipt, as it is kept for retries. It belongs to the payer: nothing of it
    /// may be shown to others but what it says of records. `None` when it is not kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answer_at(&self, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT answer FROM settlement_payments WHERE sequence = ?1 AND forgotten_at IS NULL";
        let sequence = number_value("sequence", sequence)?;
        self.store.read(|tx| tx.query_opt(sql, [sequence], |row| row.column("answer")))
    }

    /// An account's cumulative credit after epoch `number`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn credited(&self, account: Address, number: u64) -> Result<Wei, StoreError> {
        let sql = "SELECT cumulative FROM settlement_credits WHERE account = ?1 AND epoch <= ?2
            ORDER BY epoch DESC LIMIT 1";
        let place = params![account.as_slice(), number_value("epoch", number)?];
        Ok(self.store.read(|tx| tx.query_opt(sql, place, |row| row.wei("cumulative")))?.unwrap_or_default())
    }

    /// What each answer of a closed epoch earned an account, the newest first, of receipts before `before` (all when
    /// `None`), at most `limit` and [`PAGE_MAX`] lines.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn statement_page(
        &self,
        account: Address,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StatementEntry>, ReadError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let before = before.unwrap_or(i64::MAX.unsigned_abs());
        let mut lines = Vec::new();
        for epoch in self.credited_epochs(account, before)? {
            if lines.len() >= limit {
                break;
            }
            lines.extend(self.epoch_entries(account, epoch)?.into_iter().filter(|line| line.sequence < before));
        }
        lines.truncate(limit);
        Ok(lines)
    }

    fn credited_epochs(&self, account: Address, before: u64) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT c.epoch FROM settlement_credits c JOIN settlement_epochs e ON e.number = c.epoch
            WHERE c.account = ?1 AND e.first_sequence < ?2 ORDER BY c.epoch DESC LIMIT ?3";
        let place = params![account.as_slice(), number_value("sequence", before)?, PAGE_MAX as i64];
        self.store.read(|tx| tx.query_all(sql, place, |row| row.number("epoch")))
    }

    /// The newest first.
    fn epoch_entries(&self, account: Address, number: u64) -> Result<Vec<StatementEntry>, ReadError> {
        let receipts = self.epoch_receipts(number)?;
        let context = self.context_of(&receipts)?;
        let mut lines = Vec::new();
        for signed in receipts.iter().rev() {
            let receipt = &signed.receipt;
            let earned = epoch::payouts(receipt, &context)?.into_iter().find(|payout| payout.account == account);
            lines.extend(earned.map(|payout| StatementEntry {
                epoch: number,
                receipt: signed.hash(),
                sequence: receipt.sequence,
                model: ModelId(receipt.modelId),
                answered_at: receipt.answeredAt,
                amount: payout.amount,
            }));
        }
        Ok(lines)
    }
}
