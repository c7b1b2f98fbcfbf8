//! The rules that a transaction is checked against before the pool takes it.

use alloy_consensus::{
    Transaction,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::Decodable2718;
use alloy_primitives::{Bytes, U256};
use op_alloy_consensus::OpTxEnvelope;
use op_revm::{L1BlockInfo, OpSpecId};
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;

use super::PooledTx;
use crate::{
    config::{TX_BYTES_MAX, TX_GAS_MAX},
    error::SubmitError,
};

/// Longest init code (EIP-3860).
const INIT_CODE_MAX: usize = 49_152;

/// Decodes a transaction and recovers its sender.
///
/// # Errors
/// [`SubmitError`] if it does not decode, has a type that L2 senders cannot send, or a bad signature.
pub(crate) fn recover(encoded: &Bytes) -> Result<Recovered<OpTxEnvelope>, SubmitError> {
    if encoded.len() > TX_BYTES_MAX {
        return Err(SubmitError::Oversized { size: encoded.len(), limit: TX_BYTES_MAX });
    }
    if matches!(encoded.first(), Some(0x03 | 0x7d | 0x7e)) {
        return Err(SubmitError::UnsupportedType);
    }
    let mut rest = encoded.as_ref();
    let tx = OpTxEnvelope::decode_2718(&mut rest).map_err(|error| SubmitError::Decode(error.to_string()))?;
    if !rest.is_empty() {
        return Err(SubmitError::Decode(format!("{} bytes after the transaction", rest.len())));
    }
    tx.try_into_recovered().map_err(|_| SubmitError::InvalidSender)
}

/// What a transaction is checked against: the chain and its head.
#[derive(Clone, Debug)]
pub(crate) struct Validator {
    pub(crate) chain_id: u64,
    pub(crate) block_gas_limit: u64,
    pub(crate) spec: OpSpecId,
    pub(crate) l1: L1BlockInfo,
    /// The lowest base fee that a later block can have.
    pub(crate) base_fee_floor_wei: u64,
}

impl Validator {
    /// Checks everything that needs no account, and prices the transaction.
    ///
    /// # Errors
    /// [`SubmitError`] with the rule that it breaks.
    pub(crate) fn check(&self, tx: Recovered<OpTxEnvelope>, encoded: Bytes) -> Result<PooledTx, SubmitError> {
        self.check_chain(tx.inner())?;
        self.check_gas(tx.inner())?;
        self.check_fees(tx.inner())?;
        let data_fee = self.l1.clone().tx_cost(&encoded, U256::from(tx.gas_limit()), self.spec);
        let gas_fee = U256::from(tx.gas_limit()).saturating_mul(U256::from(tx.max_fee_per_gas()));
        let cost = gas_fee.saturating_add(tx.value()).saturating_add(data_fee);
        Ok(PooledTx::new(tx, encoded, cost))
    }

    fn check_chain(&self, tx: &OpTxEnvelope) -> Result<(), SubmitError> {
        match tx.chain_id() {
            None => Err(SubmitError::Unprotected),
            Some(have) if have != self.chain_id => Err(SubmitError::ChainId { have, want: self.chain_id }),
            Some(_) => Ok(()),
        }
    }

    fn check_gas(&self, tx: &OpTxEnvelope) -> Result<(), SubmitError> {
        let (gas, limit) = (tx.gas_limit(), self.block_gas_limit.min(TX_GAS_MAX));
        if gas > limit {
            return Err(SubmitError::GasLimit { gas, limit });
        }
        if tx.is_create() && tx.input().len() > INIT_CODE_MAX {
            return Err(SubmitError::InitCode { size: tx.input().len(), limit: INIT_CODE_MAX });
        }
        let (accounts, slots) = tx
            .access_list()
            .map_or((0, 0), |list| (list.len() as u64, list.iter().map(|item| item.storage_keys.len() as u64).sum()));
        let delegations = tx.authorization_list().map_or(0, |list| list.len() as u64);
        let eth_spec = self.spec.into_eth_spec();
        let costs = calculate_initial_tx_gas(eth_spec, tx.input(), tx.is_create(), accounts, slots, delegations);
        let needed = costs.initial_total_gas.max(costs.floor_gas);
        if gas < needed {
            return Err(SubmitError::IntrinsicGas { gas, needed });
        }
        Ok(())
    }

    /// A fee cap that no later block can meet is refused: such a transaction would wait for ever, at no cost to its sender.
    fn check_fees(&self, tx: &OpTxEnvelope) -> Result<(), SubmitError> {
        let (cap, floor) = (tx.max_fee_per_gas(), self.base_fee_floor_wei);
        match tx.max_priority_fee_per_gas() {
            Some(tip) if tip > cap => Err(SubmitError::TipAboveFeeCap { tip, cap }),
            _ if cap < floor.into() => Err(SubmitError::FeeCapTooLow { cap, floor }),
            _ => Ok(()),
        }
    }
}
