//! Building one block: system calls, deposits, then the pool's transactions while they fit.

use alloy_consensus::{Header, Sealable, Sealed, Transaction, TxReceipt, proofs, transaction::Recovered};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_evm::{
    EvmEnv,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError, InternalBlockExecutionError,
    },
    eth::NextEvmEnvAttributes,
};
use alloy_op_evm::{
    OpBlockExecutionCtx, OpBlockExecutor, OpTx, block::OpAlloyReceiptBuilder, evm_env_for_op_next_block,
};
use alloy_primitives::{Address, B256, Bloom, Bytes};
use op_alloy_consensus::{OpReceiptEnvelope, OpTxEnvelope, TxDeposit};
use op_revm::OpSpecId;
use revm::database::{State, WrapDatabaseRef, states::bundle_state::BundleRetention};

use crate::{
    error::BuildBlockError,
    evm::op_evm,
    pool::{BestTransactions, PooledTx, Verdict},
    spec::{ChainSpec, SEQUENCER_FEE_VAULT},
    state::StateDiff,
    store::{BlockBody, StateView},
};

/// Cheapest possible transaction: once less gas than this is left, the block is full.
const TX_GAS_MIN: u64 = 21_000;

/// What the consensus layer decides about a block, as in OP's payload attributes.
#[derive(Clone, Debug)]
pub(crate) struct BlockAttributes {
    pub(crate) timestamp_s: u64,
    pub(crate) prev_randao: B256,
    pub(crate) parent_beacon_root: B256,
    pub(crate) gas_limit: u64,
    pub(crate) extra_data: Bytes,
    /// First the L1-info deposit, then those found in L1's logs.
    pub(crate) deposits: Vec<TxDeposit>,
}

/// An executed block that lacks only the roots of the state.
#[derive(Debug)]
pub(crate) struct ExecutedBlock {
    header: Header,
    pub(crate) body: BlockBody,
    pub(crate) receipts: Vec<OpReceiptEnvelope>,
    pub(crate) diff: StateDiff,
}

impl ExecutedBlock {
    /// Puts the state's roots into the header and hashes it.
    pub(crate) fn seal(&self, state_root: B256, message_passer_root: B256) -> Sealed<Header> {
        let header = Header { state_root, withdrawals_root: Some(message_passer_root), ..self.header.clone() };
        header.seal_slow()
    }
}

type BlockDb = State<WrapDatabaseRef<StateView>>;

/// Environment of the block after `parent`.
pub(crate) fn next_env(spec: &ChainSpec, parent: &Header, attributes: &BlockAttributes) -> EvmEnv<OpSpecId> {
    let next = NextEvmEnvAttributes {
        timestamp: attributes.timestamp_s,
        suggested_fee_recipient: SEQUENCER_FEE_VAULT,
        prev_randao: attributes.prev_randao,
        gas_limit: attributes.gas_limit,
        slot_number: None,
    };
    evm_env_for_op_next_block(parent, next, spec.next_base_fee(parent), &spec.forks, spec.chain_id)
}

/// Executes the block after `parent` on `view`, taking transactions from `best` while they fit.
///
/// # Errors
/// [`BuildBlockError`] if a deposit or system call fails, or the database does. A pool
/// transaction that fails validation is reported to `best` and left out.
pub(crate) fn execute_block(
    spec: &ChainSpec,
    view: StateView,
    parent: &Sealed<Header>,
    attributes: BlockAttributes,
    best: &mut BestTransactions,
) -> Result<ExecutedBlock, BuildBlockError> {
    let number = parent.number + 1;
    let env = next_env(spec, parent, &attributes);
    let base_fee = env.block_env.basefee;
    let mut db: BlockDb = State::builder().with_database_ref(view).with_bundle_update().build();
    let evm = op_evm(&mut db, env);
    let ctx = OpBlockExecutionCtx {
        parent_hash: parent.hash(),
        parent_beacon_block_root: Some(attributes.parent_beacon_root),
        extra_data: attributes.extra_data.clone(),
    };
    let mut executor = OpBlockExecutor::new(evm, ctx, &spec.forks, OpAlloyReceiptBuilder::default());
    let fail = |error: BlockExecutionError| failed(number, error);
    let mut body = BlockBody::default();
    executor.apply_pre_execution_changes().map_err(fail)?;
    for deposit in attributes.deposits.iter().cloned() {
        let sender = deposit.from;
        let tx = OpTxEnvelope::Deposit(deposit.seal_slow());
        executor.execute_transaction(Recovered::new_unchecked(&tx, sender)).map_err(fail)?;
        body.push(tx, sender);
    }
    let mut gas_left = attributes.gas_limit.saturating_sub(executor.gas_used);
    while gas_left >= TX_GAS_MIN {
        let Some(pooled) = best.next() else { break };
        let verdict = execute_pooled(&mut executor, &pooled, gas_left).map_err(fail)?;
        if verdict == Verdict::Included {
            body.push(pooled.tx.inner().clone(), pooled.tx.signer());
        }
        gas_left = attributes.gas_limit.saturating_sub(executor.gas_used);
        best.judge(&pooled, verdict);
    }
    let (evm, result) = executor.finish().map_err(fail)?;
    drop(evm);
    db.merge_transitions(BundleRetention::PlainState);
    let diff = StateDiff::from_bundle(db.take_bundle());
    let BlockExecutionResult { receipts, gas_used, blob_gas_used, .. } = result;
    let header = Header {
        gas_used,
        blob_gas_used: Some(blob_gas_used),
        base_fee_per_gas: Some(base_fee),
        ..header_of(parent, attributes, &body, &receipts)
    };
    Ok(ExecutedBlock { header, body, receipts, diff })
}

/// What a header says about its parent, its attributes and its contents.
fn header_of(
    parent: &Sealed<Header>,
    attributes: BlockAttributes,
    body: &BlockBody,
    receipts: &[OpReceiptEnvelope],
) -> Header {
    Header {
        parent_hash: parent.hash(),
        beneficiary: SEQUENCER_FEE_VAULT,
        transactions_root: proofs::calculate_transaction_root(&body.transactions),
        receipts_root: proofs::calculate_receipt_root(receipts),
        logs_bloom: receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom()),
        number: parent.number + 1,
        gas_limit: attributes.gas_limit,
        timestamp: attributes.timestamp_s,
        extra_data: attributes.extra_data,
        mix_hash: attributes.prev_randao,
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(attributes.parent_beacon_root),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

impl BlockBody {
    fn push(&mut self, tx: OpTxEnvelope, sender: Address) {
        self.transactions.push(tx);
        self.senders.push(sender);
    }
}

type Executor<'a, E> = OpBlockExecutor<E, OpAlloyReceiptBuilder, &'a alloy_op_hardforks::OpChainHardforks>;

fn execute_pooled<'a, E>(
    executor: &mut Executor<'a, E>,
    pooled: &PooledTx,
    gas_left: u64,
) -> Result<Verdict, BlockExecutionError>
where
    Executor<'a, E>: BlockExecutor<Transaction = OpTxEnvelope>,
    E: alloy_evm::Evm<Tx = OpTx>,
{
    if pooled.tx.gas_limit() > gas_left {
        return Ok(Verdict::Later);
    }
    let with_bytes = alloy_eips::eip2718::WithEncoded::new(pooled.encoded.clone(), &pooled.tx);
    match executor.execute_transaction(with_bytes) {
        Ok(_) => Ok(Verdict::Included),
        Err(error) => judge_error(error),
    }
}

/// Whether a failed transaction may come again or is dropped; a database failure stops the block.
fn judge_error(error: BlockExecutionError) -> Result<Verdict, BlockExecutionError> {
    match error {
        BlockExecutionError::Validation(BlockValidationError::InvalidTx { error, .. }) => {
            if error.is_nonce_too_low() {
                return Ok(Verdict::Drop("nonce too low".into()));
            }
            Ok(Verdict::Drop(error.to_string()))
        }
        BlockExecutionError::Validation(_) => Ok(Verdict::Later),
        internal => Err(internal),
    }
}

fn failed(number: u64, error: BlockExecutionError) -> BuildBlockError {
    let mut reason = error.to_string();
    if let BlockExecutionError::Internal(InternalBlockExecutionError::EVM { error, .. }) = &error {
        reason = error.to_string();
    }
    BuildBlockError::Execution { number, reason }
}
