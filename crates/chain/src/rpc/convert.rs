//! From stored blocks to what JSON-RPC returns.

use alloy_consensus::{
    BlockBody as ConsensusBody, Header, Receipt, ReceiptWithBloom, Sealed, Transaction as _, TxReceipt,
    transaction::{Recovered, TransactionInfo},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Block, BlockTransactions, Header as RpcHeader, Log, TransactionReceipt};
use op_alloy_consensus::{
    OpDepositReceipt, OpReceipt, OpReceiptEnvelope, OpTxEnvelope,
    transaction::{OpDepositInfo, OpTransactionInfo},
};
use op_alloy_rpc_types::{L1BlockInfo as RpcL1Info, OpTransactionReceipt, Transaction};
use op_revm::{L1BlockInfo, estimate_tx_compressed_size};

use crate::{
    chain::BlockWithReceipts,
    l1::L1Values,
    pool::PooledTx,
    spec::{ChainSpec, OpFork},
};

/// A block as JSON-RPC shows it.
pub(super) type RpcBlock = Block<Transaction>;

pub(super) fn rpc_header(header: &Sealed<Header>, size: Option<U256>) -> RpcHeader {
    RpcHeader::from_consensus(header.clone(), None, size)
}

impl BlockWithReceipts {
    pub(super) fn to_rpc(&self, full: bool) -> RpcBlock {
        let transactions = match full {
            true => {
                let all = 0..self.body.transactions.len();
                BlockTransactions::Full(all.filter_map(|index| self.transaction(index)).collect())
            }
            false => {
                let hashes = self.body.transactions.iter().map(OpTxEnvelope::tx_hash);
                BlockTransactions::Hashes(hashes.collect())
            }
        };
        Block {
            header: rpc_header(&self.header, Some(U256::from(self.encoded_length()))),
            uncles: Vec::new(),
            transactions,
            withdrawals: Some(Default::default()),
        }
    }

    fn encoded_length(&self) -> usize {
        let body = ConsensusBody::<OpTxEnvelope> {
            transactions: self.body.transactions.clone(),
            ommers: Vec::new(),
            withdrawals: Some(Default::default()),
        };
        alloy_consensus::Block { header: self.header.inner().clone(), body }.length()
    }

    pub(super) fn transaction(&self, index: usize) -> Option<Transaction> {
        let (tx, sender) = (self.body.transactions.get(index)?, self.body.senders.get(index)?);
        let receipt = self.receipts.get(index)?;
        let info = OpTransactionInfo::new(
            TransactionInfo {
                hash: Some(tx.tx_hash()),
                index: Some(index as u64),
                block_hash: Some(self.header.hash()),
                block_number: Some(self.header.number),
                base_fee: self.header.base_fee_per_gas,
                block_timestamp: Some(self.header.timestamp),
            },
            OpDepositInfo {
                deposit_nonce: receipt.deposit_nonce(),
                deposit_receipt_version: receipt.deposit_receipt_version(),
            },
        );
        let tx = Recovered::new_unchecked(tx.clone(), *sender);
        Some(Transaction::from_transaction(tx, info))
    }

    /// Logs of the block in order, each with its place.
    pub(crate) fn logs(&self) -> impl Iterator<Item = Log> + '_ {
        let rows = self.receipts.iter().zip(&self.body.transactions).enumerate();
        let logs = rows.flat_map(|(index, (receipt, tx))| {
            let hash = tx.tx_hash();
            receipt.logs().iter().map(move |log| (index, hash, log))
        });
        logs.enumerate().map(|(log_index, (index, hash, log))| self.log(log.clone(), index, hash, log_index))
    }

    fn log(&self, inner: alloy_primitives::Log, index: usize, tx_hash: B256, log_index: usize) -> Log {
        Log {
            inner,
            block_hash: Some(self.header.hash()),
            block_number: Some(self.header.number),
            block_timestamp: Some(self.header.timestamp),
            transaction_hash: Some(tx_hash),
            transaction_index: Some(index as u64),
            log_index: Some(log_index as u64),
            removed: false,
        }
    }

    pub(super) fn receipt(&self, spec: &ChainSpec, index: usize) -> Option<OpTransactionReceipt> {
        let (tx, sender) = (self.body.transactions.get(index)?, *self.body.senders.get(index)?);
        let receipt = self.receipts.get(index)?;
        let before = index.checked_sub(1).map_or(0, |i| self.receipts[i].cumulative_gas_used());
        let base_fee = self.header.base_fee_per_gas.unwrap_or_default();
        let values = self.body.transactions.first().and_then(|tx| L1Values::read(tx.input()));
        let fees = DataFees::of(spec, values.as_ref(), tx);
        let first_log: usize = self.receipts[..index].iter().map(|r| r.logs().len()).sum();
        let nonce = receipt.deposit_nonce().unwrap_or_else(|| tx.nonce());
        Some(OpTransactionReceipt {
            inner: TransactionReceipt {
                inner: self.receipt_with_logs(receipt, index, tx.tx_hash(), first_log),
                transaction_hash: tx.tx_hash(),
                transaction_index: Some(index as u64),
                block_hash: Some(self.header.hash()),
                block_number: Some(self.header.number),
                gas_used: receipt.cumulative_gas_used() - before,
                effective_gas_price: match tx.is_deposit() {
                    true => 0,
                    false => tx.effective_gas_price(Some(base_fee)),
                },
                blob_gas_used: fees.footprint_gas,
                blob_gas_price: None,
                from: sender,
                to: tx.to(),
                contract_address: tx.is_create().then(|| sender.create(nonce)),
            },
            l1_block_info: fees.info,
            op_gas_refund: None,
        })
    }

    fn receipt_with_logs(
        &self,
        receipt: &OpReceiptEnvelope,
        index: usize,
        tx_hash: B256,
        first_log: usize,
    ) -> ReceiptWithBloom<OpReceipt<Log>> {
        let logs = receipt.logs().iter().zip(first_log..);
        let logs = logs.map(|(log, log_index)| self.log(log.clone(), index, tx_hash, log_index));
        let inner = Receipt {
            status: receipt.status().into(),
            cumulative_gas_used: receipt.cumulative_gas_used(),
            logs: logs.collect(),
        };
        let with_type = match receipt {
            OpReceiptEnvelope::Legacy(_) => OpReceipt::Legacy(inner),
            OpReceiptEnvelope::Eip2930(_) => OpReceipt::Eip2930(inner),
            OpReceiptEnvelope::Eip1559(_) => OpReceipt::Eip1559(inner),
            OpReceiptEnvelope::Eip7702(_) => OpReceipt::Eip7702(inner),
            OpReceiptEnvelope::PostExec(_) => OpReceipt::PostExec(inner),
            OpReceiptEnvelope::Deposit(deposit) => OpReceipt::Deposit(OpDepositReceipt {
                inner,
                deposit_nonce: deposit.receipt.deposit_nonce,
                deposit_receipt_version: deposit.receipt.deposit_receipt_version,
            }),
        };
        ReceiptWithBloom { receipt: with_type, logs_bloom: receipt.bloom() }
    }
}

/// A transaction that waits in the pool.
pub(super) fn pending_transaction(pooled: &PooledTx) -> Transaction {
    Transaction::from_transaction(pooled.tx.clone(), OpTransactionInfo::default())
}

/// What a transaction paid for its data, as OP receipts show it.
struct DataFees {
    info: RpcL1Info,
    footprint_gas: Option<u64>,
}

impl DataFees {
    fn of(spec: &ChainSpec, values: Option<&L1Values>, tx: &OpTxEnvelope) -> Self {
        use alloy_eips::Encodable2718;
        let Some(values) = values else {
            return Self { info: RpcL1Info::default(), footprint_gas: None };
        };
        let encoded: Bytes = if tx.is_deposit() { Bytes::new() } else { tx.encoded_2718().into() };
        let mut l1 = L1BlockInfo {
            l1_base_fee: values.base_fee_wei,
            l1_base_fee_scalar: U256::from(values.base_fee_scalar),
            l1_blob_base_fee: Some(values.blob_base_fee_wei),
            l1_blob_base_fee_scalar: Some(U256::from(values.blob_base_fee_scalar)),
            ..L1BlockInfo::default()
        };
        let fee = l1.calculate_tx_l1_cost(&encoded, spec.op_spec());
        let bytes = match encoded.is_empty() {
            true => 0,
            false => estimate_tx_compressed_size(&encoded) / 1_000_000,
        };
        let operator = values.operator_fee_scalar > 0 || values.operator_fee_constant > 0;
        let jovian = spec.fork >= OpFork::Jovian;
        let info = RpcL1Info {
            l1_gas_price: Some(values.base_fee_wei.saturating_to()),
            l1_gas_used: Some(u128::from(bytes) * 16),
            l1_fee: Some(fee.saturating_to()),
            l1_fee_scalar: None,
            l1_base_fee_scalar: Some(values.base_fee_scalar.into()),
            l1_blob_base_fee: Some(values.blob_base_fee_wei.saturating_to()),
            l1_blob_base_fee_scalar: Some(values.blob_base_fee_scalar.into()),
            operator_fee_scalar: operator.then(|| values.operator_fee_scalar.into()),
            operator_fee_constant: operator.then(|| values.operator_fee_constant.into()),
            da_footprint_gas_scalar: jovian.then_some(values.da_footprint_gas_scalar),
        };
        let footprint = bytes.saturating_mul(values.da_footprint_gas_scalar.into());
        Self { info, footprint_gas: jovian.then_some(footprint) }
    }
}
