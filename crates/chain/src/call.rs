//! Executing without committing: calls, gas estimates and traces.

use crate::{
    chain::Chain,
    config::{CALL_GAS_MAX, TX_GAS_MAX},
    error::{CallError, StoreError},
    evm::op_evm,
    store::StateView,
    trace::trace,
};
use alloy_consensus::transaction::Recovered;
use alloy_eips::BlockId;
use alloy_evm::{
    EvmEnv,
    block::BlockExecutor,
    overrides::{apply_block_overrides, apply_state_overrides},
};
use alloy_op_evm::{OpBlockExecutionCtx, OpBlockExecutor, OpTx, block::OpAlloyReceiptBuilder, evm_env_for_op_block};
use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use op_revm::{OpHaltReason, OpSpecId, OpTransaction};
use revm::{
    Database,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, ResultAndState},
    },
    context_interface::either::Either,
    database::CacheDB,
};

/// An estimate may exceed the smallest sufficient gas by this many thousandths (as in geth).
const ESTIMATE_SLACK_PERMILLE: u64 = 15;
/// Gas that a value transfer hands to the callee on top (EIP-150's stipend).
const CALL_STIPEND: u64 = 2_300;
/// Cost of a bare transfer.
const TRANSFER_GAS: u64 = 21_000;

pub(crate) type CallDb = CacheDB<StateView>;
type CallResult = ExecutionResult<OpHaltReason>;

/// What a call may pretend: other accounts and another block.
#[derive(Clone, Debug, Default)]
pub struct CallOverrides {
    /// Accounts as the call shall see them.
    pub state: Option<StateOverride>,
    /// The block as the call shall see it.
    pub block: Option<BlockOverrides>,
}

impl Chain {
    /// The state that `block` names; tags other than `earliest` name the head.
    ///
    /// # Errors
    /// [`CallError::UnknownBlock`] or a [`StoreError`] if that state is not kept.
    pub fn state_of(&self, block: BlockId) -> Result<StateView, CallError> {
        let latest = self.inner.store.latest()?;
        let number = resolve(&latest, block)?.ok_or(CallError::UnknownBlock)?;
        if number == latest.head() {
            return Ok(latest);
        }
        match self.inner.store.at(number) {
            Err(StoreError::AheadOfHead { .. }) => Err(CallError::UnknownBlock),
            other => Ok(other?),
        }
    }

    /// Executes `request` on the state after `block` and returns what it returns.
    ///
    /// # Errors
    /// [`CallError`] with the revert data if it reverts.
    pub fn call(
        &self,
        request: &TransactionRequest,
        block: BlockId,
        overrides: CallOverrides,
    ) -> Result<Bytes, CallError> {
        let mut call = Call::new(self, request, block, overrides)?;
        let gas = request.gas.unwrap_or(CALL_GAS_MAX).min(CALL_GAS_MAX);
        output(call.run(gas)?.result)
    }

    /// The gas limit with which `request` succeeds, at most 1.5 % above the smallest one.
    ///
    /// # Errors
    /// [`CallError::Reverted`] if it reverts however much gas it gets, or
    /// [`CallError::GasAllowance`] if it needs more than 2^24, the block's limit or the sender can pay.
    pub fn estimate_gas(
        &self,
        request: &TransactionRequest,
        block: BlockId,
        overrides: CallOverrides,
    ) -> Result<u64, CallError> {
        let mut call = Call::new(self, request, block, overrides)?;
        let allowance = call.gas_allowance(request)?;
        if call.is_bare_transfer()? && call.run(TRANSFER_GAS.min(allowance)).is_ok_and(|r| r.result.is_success()) {
            return Ok(TRANSFER_GAS);
        }
        let first = call.run(allowance)?.result;
        let used = first.tx_gas_used();
        let refunded = first.gas().inner_refunded();
        match first {
            CallResult::Success { .. } => {}
            CallResult::Halt { reason, .. } if is_out_of_gas(&reason) => {
                return Err(CallError::GasAllowance { allowance });
            }
            failed => return Err(output(failed).expect_err("only success has an output")),
        }
        call.narrow(used, refunded, allowance)
    }

    /// Executes the mined transaction `hash` again and reports what it did.
    ///
    /// # Errors
    /// [`CallError`] if it is not known, its state is not kept, the tracer is not supported or the trace is too long.
    pub fn trace_transaction(&self, hash: B256, options: GethDebugTracingOptions) -> Result<GethTrace, CallError> {
        let latest = self.inner.store.latest()?;
        let (number, index) = latest.tx_place(&hash)?.ok_or(CallError::UnknownTransaction)?;
        let header = latest.header(number)?.ok_or(CallError::UnknownBlock)?;
        let body = latest.body(number)?;
        let mut db = CacheDB::new(self.inner.store.at(number.saturating_sub(1))?);
        let spec = &self.inner.spec;
        let env = evm_env_for_op_block(header.inner(), &spec.forks, spec.chain_id);
        let invalid = |error: &dyn std::fmt::Display| CallError::Invalid(error.to_string());
        {
            let evm = op_evm(&mut db, env.clone());
            let ctx = OpBlockExecutionCtx {
                parent_hash: header.parent_hash,
                parent_beacon_block_root: header.parent_beacon_block_root,
                extra_data: header.extra_data.clone(),
            };
            let mut executor = OpBlockExecutor::new(evm, ctx, &spec.forks, OpAlloyReceiptBuilder::default());
            executor.apply_pre_execution_changes().map_err(|e| invalid(&e))?;
            for (tx, sender) in body.transactions.iter().zip(&body.senders).take(index) {
                let tx = Recovered::new_unchecked(tx, *sender);
                executor.execute_transaction(tx).map_err(|e| invalid(&e))?;
            }
        }
        let (tx, sender) = (&body.transactions[index], body.senders[index]);
        let tx = <OpTx as alloy_evm::FromRecoveredTx<_>>::from_recovered_tx(tx, sender);
        trace(db, env, tx, options)
    }

    /// Executes `request` on the state after `block` and reports what it does.
    ///
    /// # Errors
    /// [`CallError`] if it cannot start, the tracer is not supported or the trace is too long.
    pub fn trace_call(
        &self,
        request: &TransactionRequest,
        block: BlockId,
        overrides: CallOverrides,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, CallError> {
        let mut call = Call::new(self, request, block, overrides)?;
        call.tx.base.gas_limit = request.gas.unwrap_or(CALL_GAS_MAX).min(CALL_GAS_MAX);
        trace(call.db, call.env, OpTx(call.tx), options)
    }
}

/// The number of the block that `id` names.
pub(crate) fn resolve(view: &StateView, id: BlockId) -> Result<Option<u64>, StoreError> {
    use alloy_eips::BlockNumberOrTag as Tag;
    match id {
        BlockId::Hash(hash) => view.block_number(&hash.block_hash),
        BlockId::Number(Tag::Number(number)) => Ok((number <= view.head()).then_some(number)),
        BlockId::Number(Tag::Earliest) => Ok(Some(0)),
        BlockId::Number(_) => Ok(Some(view.head())),
    }
}

/// One request, ready to be executed with any gas limit.
struct Call {
    db: CallDb,
    env: EvmEnv<OpSpecId>,
    tx: OpTransaction<TxEnv>,
}

impl Call {
    fn new(
        chain: &Chain,
        request: &TransactionRequest,
        block: BlockId,
        overrides: CallOverrides,
    ) -> Result<Self, CallError> {
        let view = chain.state_of(block)?;
        let header = view.own_header()?;
        let spec = chain.spec();
        let mut env = evm_env_for_op_block(header.inner(), &spec.forks, spec.chain_id);
        env.cfg_env.disable_nonce_check = true;
        env.cfg_env.disable_eip3607 = true;
        env.cfg_env.disable_base_fee = true;
        env.cfg_env.disable_block_gas_limit = true;
        env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        let mut db = CacheDB::new(view);
        if let Some(block) = overrides.block {
            apply_block_overrides(block, &mut db, &mut env.block_env);
        }
        if let Some(state) = overrides.state {
            apply_state_overrides(state, &mut db).map_err(|error| CallError::Invalid(error.to_string()))?;
        }
        let tx = call_tx(request, spec.chain_id, &mut db)?;
        env.cfg_env.disable_fee_charge = tx.base.gas_price == 0;
        let mut call = Self { db, env, tx };
        call.check_value()?;
        Ok(call)
    }

    fn balance(&mut self) -> Result<U256, StoreError> {
        let caller = self.tx.base.caller;
        Ok(self.db.basic(caller)?.map_or(U256::ZERO, |account| account.balance))
    }

    fn check_value(&mut self) -> Result<(), CallError> {
        let (have, want) = (self.balance()?, self.tx.base.value);
        if have < want {
            let address = self.tx.base.caller;
            let text = format!("insufficient funds for transfer: address {address} have {have} want {want}");
            return Err(CallError::Invalid(text));
        }
        Ok(())
    }

    fn run(&mut self, gas: u64) -> Result<ResultAndState<OpHaltReason>, CallError> {
        use alloy_evm::Evm;
        self.tx.base.gas_limit = gas;
        let mut evm = op_evm(&mut self.db, self.env.clone());
        evm.transact_raw(OpTx(self.tx.clone())).map_err(evm_error)
    }

    fn is_bare_transfer(&mut self) -> Result<bool, StoreError> {
        let TxKind::Call(to) = self.tx.base.kind else { return Ok(false) };
        if !self.tx.base.data.is_empty() {
            return Ok(false);
        }
        let callee = self.db.basic(to)?;
        Ok(callee.is_none_or(|account| account.is_empty_code_hash()))
    }

    /// The most gas that an estimate may try.
    fn gas_allowance(&mut self, request: &TransactionRequest) -> Result<u64, CallError> {
        let asked = request.gas.filter(|gas| *gas >= TRANSFER_GAS);
        let mut allowance = asked.unwrap_or(self.env.block_env.gas_limit).min(TX_GAS_MAX);
        if self.tx.base.gas_price > 0 {
            let left = self.balance()?.saturating_sub(self.tx.base.value);
            let affordable: u64 = (left / U256::from(self.tx.base.gas_price)).saturating_to();
            allowance = allowance.min(affordable);
            self.env.cfg_env.disable_fee_charge = true;
        }
        Ok(allowance)
    }

    /// Bisects between what was used and what surely suffices.
    fn narrow(&mut self, used: u64, refunded: u64, allowance: u64) -> Result<u64, CallError> {
        let (mut low, mut high) = (used.saturating_sub(1), allowance);
        let likely = (used + refunded + CALL_STIPEND).saturating_mul(64) / 63;
        if likely < high {
            if self.run(likely)?.result.is_success() {
                high = likely;
            } else {
                low = likely;
            }
        }
        while low + 1 < high {
            if (high - low) * 1_000 < high * ESTIMATE_SLACK_PERMILLE {
                break;
            }
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
            match self.run(middle).is_ok_and(|executed| executed.result.is_success()) {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(high)
    }
}

fn call_tx(request: &TransactionRequest, chain_id: u64, db: &mut CallDb) -> Result<OpTransaction<TxEnv>, CallError> {
    if request.gas_price.is_some() && request.max_fee_per_gas.is_some() {
        let text = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(CallError::Invalid(text.into()));
    }
    let caller = request.from.unwrap_or_default();
    let gas_price = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => db.basic(caller)?.map_or(0, |account| account.nonce),
    };
    let authorizations = request.authorization_list.clone().unwrap_or_default();
    let mut base = TxEnv {
        caller,
        gas_price,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: request.input.input().cloned().unwrap_or_default(),
        nonce,
        chain_id: Some(chain_id),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee: request.max_priority_fee_per_gas.filter(|_| gas_price > 0),
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        ..TxEnv::default()
    };
    base.derive_tx_type().map_err(|error| CallError::Invalid(format!("{error:?}")))?;
    Ok(OpTransaction { base, enveloped_tx: Some(Bytes::new()), deposit: Default::default() })
}

pub(crate) fn evm_error<E: std::fmt::Display>(error: EVMError<StoreError, E>) -> CallError {
    match error {
        EVMError::Database(error) => CallError::Store(error),
        EVMError::Transaction(error) => CallError::Invalid(error.to_string()),
        other => CallError::Invalid(other.to_string()),
    }
}

fn is_out_of_gas(reason: &OpHaltReason) -> bool {
    matches!(reason, OpHaltReason::Base(revm::context::result::HaltReason::OutOfGas(_)))
}

fn output(result: CallResult) -> Result<Bytes, CallError> {
    match result {
        CallResult::Success { output, .. } => Ok(output.into_data()),
        CallResult::Revert { output, .. } => {
            let reason = revert_reason(&output);
            Err(CallError::Reverted { output, reason })
        }
        CallResult::Halt { reason, .. } if is_out_of_gas(&reason) => Err(CallError::Halted("out of gas".into())),
        CallResult::Halt { reason, .. } => Err(CallError::Halted(format!("{reason:?}"))),
    }
}

/// The text of a Solidity `Error(string)` or `Panic(uint256)`.
fn revert_reason(output: &[u8]) -> Option<String> {
    use alloy_sol_types::{Panic, Revert, SolError};
    if let Ok(revert) = Revert::abi_decode(output) {
        return Some(revert.reason);
    }
    let panic = Panic::abi_decode(output).ok()?;
    Some(panic.kind().map_or_else(|| panic.to_string(), |kind| kind.as_str().to_owned()))
}
