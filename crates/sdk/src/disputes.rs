//! Upheld challenges of epochs, as the inference hub tells of them.

use alloy_rpc_types_eth::{Filter, Log};
use openledger_contracts::addresses::INFERENCE_HUB;
use openledger_contracts::{IInferenceHub, ReceiptFault, SolEvent};
use openledger_primitives::{Address, B256, Wei};

use crate::chain::ChainError;
use crate::contracts::Hub;

/// Blocks read in one step; nodes refuse ranges that are much longer.
pub const DISPUTE_BLOCKS_MAX: u64 = 2_000;

/// A challenge that the hub upheld. It decides at once and lets no other challenge pass, so there are no open ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// The epoch challenged.
    pub epoch: u64,
    /// Who challenged it.
    pub challenger: Address,
    /// The receipt at fault, or the epoch's balance root.
    pub subject: B256,
    /// What is wrong.
    pub fault: Fault,
    /// Epochs that the hub forgot over it, ascending.
    pub rejected: Vec<u64>,
    /// The operator who posted the epoch.
    pub operator: Address,
    /// The challenger's part of the operator's bond.
    pub reward: Wei,
    /// What of the bond was burned.
    pub burned: Wei,
    /// Its block.
    pub block: u64,
    /// Its transaction.
    pub tx: B256,
}

/// What is wrong with an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its balances: they do not add up, or one fell.
    Balances,
    /// A receipt names another epoch.
    ReceiptEpoch,
    /// A receipt is of another operator.
    ReceiptOperator,
    /// A receipt's fee is not price times tokens.
    ReceiptFee,
    /// A receipt's cumulative amounts do not fit its fee.
    ReceiptCumulative,
    /// A receipt's basis points make no split.
    ReceiptBps,
    /// A receipt's split is not what the basis points make of the fee.
    ReceiptSplit,
    /// A receipt's model is not in the registry.
    ReceiptModel,
    /// A receipt's terms are not those that its model published.
    ReceiptTerms,
}

impl From<ReceiptFault> for Fault {
    fn from(fault: ReceiptFault) -> Self {
        match fault {
            ReceiptFault::WrongEpoch => Self::ReceiptEpoch,
            ReceiptFault::WrongOperator => Self::ReceiptOperator,
            ReceiptFault::WrongFee => Self::ReceiptFee,
            ReceiptFault::WrongCumulative => Self::ReceiptCumulative,
            ReceiptFault::WrongBps => Self::ReceiptBps,
            ReceiptFault::WrongSplit => Self::ReceiptSplit,
            ReceiptFault::UnknownModel => Self::ReceiptModel,
            ReceiptFault::WrongTerms => Self::ReceiptTerms,
            // The hub upholds nothing without a fault: no receipt's fault is one of the balances.
            _ => Self::Balances,
        }
    }
}

impl Hub {
    /// The challenges upheld in blocks `from` to `to`, at most [`DISPUTE_BLOCKS_MAX`] of them, in order.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn disputes(&self, from: u64, to: u64) -> Result<Vec<Dispute>, ChainError> {
        use IInferenceHub::{BondSlashed, Challenged, EpochRejected};
        let topics = vec![Challenged::SIGNATURE_HASH, EpochRejected::SIGNATURE_HASH, BondSlashed::SIGNATURE_HASH];
        let filter = Filter::new().address(INFERENCE_HUB).event_signature(topics).from_block(from).to_block(to);
        Ok(disputes_of(&self.client().logs(filter).await?))
    }
}

/// Puts a challenge's events together: first the challenge, then what the hub forgot over it, last the bond.
#[must_use]
pub fn disputes_of(logs: &[Log]) -> Vec<Dispute> {
    let mut disputes: Vec<Dispute> = Vec::new();
    for log in logs {
        let (block, tx) = (log.block_number.unwrap_or_default(), log.transaction_hash.unwrap_or_default());
        if let Ok(event) = IInferenceHub::Challenged::decode_log(&log.inner) {
            disputes.push(Dispute {
                epoch: event.epoch,
                challenger: event.challenger,
                subject: event.subject,
                fault: event.fault.into(),
                rejected: Vec::new(),
                operator: Address::ZERO,
                reward: Wei::ZERO,
                burned: Wei::ZERO,
                block,
                tx,
            });
            continue;
        }
        let Some(dispute) = disputes.last_mut().filter(|dispute| dispute.tx == tx) else { continue };
        if let Ok(event) = IInferenceHub::EpochRejected::decode_log(&log.inner) {
            // The hub forgets the latest first.
            dispute.rejected.insert(0, event.epoch);
        } else if let Ok(event) = IInferenceHub::BondSlashed::decode_log(&log.inner) {
            (dispute.operator, dispute.reward, dispute.burned) = (event.operator, Wei(event.reward), Wei(event.burned));
        }
    }
    disputes
}
