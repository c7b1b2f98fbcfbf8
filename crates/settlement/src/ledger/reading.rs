//! What people look up: receipts with their evidence, proofs of credit, statements.

use openledger_primitives::{Address, Bytes, ChannelId, ReceiptHash, Wei};
use openledger_store::{ReadTx, RowExt, StoreError, number_value, params};
use serde::{Deserialize, Serialize};

use super::epochs::{EpochState, credit_lines};
use super::{Ledger, PAGE_MAX, rows};
use crate::epoch::{self, BalanceTree, ClaimProof, EpochError};
use crate::receipt::{SignedReceipt, receipt_hash};
use crate::verify::{Inclusion, PayoutJson, ReceiptBundle};
use crate::x402::{WireChannelConfig, WireVoucher};

/// Why something could not be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The receipts do not make an epoch: the books are damaged.
    #[error("the epoch could not be recomputed")]
    Epoch(#[from] EpochError),
    /// The database failed.
    #[error("the books could not be read")]
    Store(#[from] StoreError),
}

/// What an account earned in one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementLine {
    /// The epoch that settled it.
    pub epoch: u64,
    /// The receipt.
    pub receipt: ReceiptHash,
    /// What the account earned by it.
    pub amount: Wei,
}

impl Ledger {
    /// A receipt by its hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt(&self, hash: ReceiptHash) -> Result<Option<SignedReceipt>, StoreError> {
        let sql = "SELECT bytes FROM settlement_receipts WHERE hash = ?1";
        self.store.read(|tx| tx.query_opt(sql, [hash.0.as_slice()], rows::read_receipt))
    }

    /// The receipts of an epoch (of all epochs when `None`) after `after`, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts(&self, epoch: Option<u64>, after: u64) -> Result<Vec<SignedReceipt>, StoreError> {
        let sql = "SELECT bytes FROM settlement_receipts WHERE (?1 IS NULL OR epoch = ?1) AND sequence > ?2
            ORDER BY sequence LIMIT ?3";
        let epoch = epoch.map(|epoch| number_value("epoch", epoch)).transpose()?;
        let after = number_value("sequence", after)?;
        self.store.read(|tx| tx.query_all(sql, params![epoch, after, PAGE_MAX as i64], rows::read_receipt))
    }

    /// A receipt with all that anyone needs to check it offline.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn bundle(&self, hash: ReceiptHash) -> Result<Option<ReceiptBundle>, ReadError> {
        let Some(receipt) = self.receipt(hash)? else { return Ok(None) };
        let context = self.context_of(std::slice::from_ref(&receipt))?;
        let payouts = epoch::payouts(&receipt.receipt, &context)?;
        let (channel, voucher) = self.store.read(|tx| evidence(tx, &receipt))?;
        let inclusion = self.inclusion(&receipt)?;
        let payouts = Some(payouts.into_iter().map(PayoutJson::from).collect());
        Ok(Some(ReceiptBundle { receipt, channel, voucher, payouts, inclusion }))
    }

    fn inclusion(&self, receipt: &SignedReceipt) -> Result<Option<Inclusion>, StoreError> {
        let number = receipt.receipt.epoch;
        let sql = "SELECT count(*) FROM settlement_epochs WHERE number = ?1 AND state NOT IN ('open', 'sealed')";
        if self.store.read(|tx| tx.count(sql, [number_value("epoch", number)?]))? == 0 {
            return Ok(None);
        }
        let hashes = self.epoch_hashes(number)?;
        let receipts_root = epoch::receipts_tree(&hashes).root();
        let proof = epoch::prove_receipt(&hashes, receipt.hash());
        Ok(proof.map(|proof| Inclusion { receipts_root, proof }))
    }

    fn epoch_hashes(&self, number: u64) -> Result<Vec<ReceiptHash>, StoreError> {
        let sql = "SELECT hash FROM settlement_receipts WHERE epoch = ?1 ORDER BY sequence";
        let epoch = number_value("epoch", number)?;
        self.store.read(|tx| tx.query_all(sql, [epoch], |row| row.hash("hash").map(ReceiptHash)))
    }

    /// Proof of an account's cumulative credit under the balance root of epoch `number`; `None` when it was never
    /// credited until then.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn claim_proof(&self, account: Address, number: u64) -> Result<Option<ClaimProof>, ReadError> {
        let tree = BalanceTree::new(&self.balances_at(number)?, self.chain_id).map_err(EpochError::from)?;
        Ok(tree.prove(account))
    }

    /// The published data of a closed epoch; its hash is the DA commitment that was posted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn published_data(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let closed = self.epoch(number)?.filter(|epoch| !matches!(epoch.state, EpochState::Open | EpochState::Sealed));
        let Some(closed) = closed else { return Ok(None) };
        Ok(Some(epoch::epoch_data(closed.number, &self.epoch_receipts(number)?)))
    }

    /// What each answer earned an account, newest epoch first, at most [`PAGE_MAX`] lines.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn statement(&self, account: Address) -> Result<Vec<StatementLine>, ReadError> {
        let credited = self.store.read(|tx| credit_lines(tx, account))?;
        let mut lines = Vec::new();
        for (number, ..) in credited {
            if lines.len() >= PAGE_MAX {
                break;
            }
            lines.extend(self.epoch_statement(account, number)?);
        }
        lines.truncate(PAGE_MAX);
        Ok(lines)
    }

    fn epoch_statement(&self, account: Address, number: u64) -> Result<Vec<StatementLine>, ReadError> {
        let receipts = self.epoch_receipts(number)?;
        let context = self.context_of(&receipts)?;
        let mut lines = Vec::new();
        for SignedReceipt { receipt, .. } in &receipts {
            let payouts = epoch::payouts(receipt, &context)?;
            let earned = payouts.iter().find(|payout| payout.account == account);
            lines.extend(earned.map(|payout| StatementLine {
                epoch: number,
                receipt: receipt_hash(receipt),
                amount: payout.amount,
            }));
        }
        Ok(lines)
    }
}

type Evidence = (Option<WireChannelConfig>, Option<WireVoucher>);

fn evidence(tx: &ReadTx<'_>, receipt: &SignedReceipt) -> Result<Evidence, StoreError> {
    let channel_id = ChannelId(receipt.receipt.channelId);
    let channel = rows::channel(tx, channel_id)?.map(|channel| WireChannelConfig::from(&channel.config));
    let sql = "SELECT max_claimable, signature FROM settlement_receipts WHERE sequence = ?1";
    let voucher = tx.query_opt(sql, [number_value("sequence", receipt.receipt.sequence)?], |row| {
        let signature: Vec<u8> = row.column("signature")?;
        let max_claimable_amount = row.wei("max_claimable")?;
        Ok::<_, StoreError>(WireVoucher { channel_id, max_claimable_amount, signature: Bytes::from(signature) })
    })?;
    Ok((channel, voucher))
}
