//! The `eth_` methods.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, EIP1186AccountProofResponse, FeeHistory, Filter, Index, Log, TransactionRequest,
    state::StateOverride,
};
use alloy_serde::JsonStorageKey;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use op_alloy_rpc_types::{OpTransactionReceipt, Transaction};

use super::{
    Context,
    convert::{RpcBlock, pending_transaction},
    error::{internal, limit_exceeded},
    fees,
};
use crate::{
    call::CallOverrides,
    chain::Chain,
    error::{CallError, StoreError},
};

/// Storage keys that one `eth_getProof` may ask for.
const PROOF_KEYS_MAX: usize = 1_024;

#[rpc(server, namespace = "eth")]
pub(super) trait EthApi {
    #[method(name = "chainId")]
    fn chain_id(&self) -> RpcResult<U64>;

    #[method(name = "syncing")]
    fn syncing(&self) -> RpcResult<bool>;

    #[method(name = "accounts")]
    fn accounts(&self) -> RpcResult<Vec<Address>>;

    #[method(name = "blockNumber")]
    fn block_number(&self) -> RpcResult<U64>;

    #[method(name = "gasPrice")]
    fn gas_price(&self) -> RpcResult<U256>;

    #[method(name = "maxPriorityFeePerGas")]
    fn max_priority_fee_per_gas(&self) -> RpcResult<U256>;

    #[method(name = "blobBaseFee")]
    fn blob_base_fee(&self) -> RpcResult<U256>;

    #[method(name = "feeHistory")]
    async fn fee_history(
        &self,
        blocks: fees::Count,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory>;

    #[method(name = "getBalance")]
    async fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256>;

    #[method(name = "getCode")]
    async fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes>;

    #[method(name = "getStorageAt")]
    async fn storage_at(&self, address: Address, slot: JsonStorageKey, block: Option<BlockId>) -> RpcResult<B256>;

    #[method(name = "getTransactionCount")]
    async fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64>;

    #[method(name = "getProof")]
    async fn proof(
        &self,
        address: Address,
        keys: Vec<JsonStorageKey>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse>;

    #[method(name = "getBlockByNumber")]
    async fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<RpcBlock>>;

    #[method(name = "getBlockByHash")]
    async fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<RpcBlock>>;

    #[method(name = "getBlockReceipts")]
    async fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<OpTransactionReceipt>>>;

    #[method(name = "getBlockTransactionCountByNumber")]
    async fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    #[method(name = "getBlockTransactionCountByHash")]
    async fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    #[method(name = "getUncleCountByBlockNumber")]
    async fn uncle_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    #[method(name = "getUncleCountByBlockHash")]
    async fn uncle_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    #[method(name = "getTransactionByHash")]
    async fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>>;

    #[method(name = "getRawTransactionByHash")]
    async fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>>;

    #[method(name = "getTransactionByBlockNumberAndIndex")]
    async fn transaction_by_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>>;

    #[method(name = "getTransactionByBlockHashAndIndex")]
    async fn transaction_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>>;

    #[method(name = "getTransactionReceipt")]
    async fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<OpTransactionReceipt>>;

    #[method(name = "sendRawTransaction")]
    async fn send_raw_transaction(&self, bytes: Bytes) -> RpcResult<B256>;

    #[method(name = "call")]
    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes>;

    #[method(name = "estimateGas")]
    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64>;

    #[method(name = "getLogs")]
    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>>;
}

fn overrides(state: Option<StateOverride>, block: Option<Box<BlockOverrides>>) -> CallOverrides {
    CallOverrides { state, block: block.map(|block| *block) }
}

#[async_trait]
impl EthApiServer for Context {
    fn chain_id(&self) -> RpcResult<U64> {
        Ok(U64::from(self.chain.spec().chain_id))
    }

    fn syncing(&self) -> RpcResult<bool> {
        Ok(false)
    }

    fn accounts(&self) -> RpcResult<Vec<Address>> {
        Ok(Vec::new())
    }

    fn block_number(&self) -> RpcResult<U64> {
        Ok(U64::from(self.chain.head().number))
    }

    fn gas_price(&self) -> RpcResult<U256> {
        Ok(U256::from(u128::from(self.chain.next_base_fee_wei()) + fees::SUGGESTED_TIP_WEI))
    }

    fn max_priority_fee_per_gas(&self) -> RpcResult<U256> {
        Ok(U256::from(fees::SUGGESTED_TIP_WEI))
    }

    fn blob_base_fee(&self) -> RpcResult<U256> {
        Ok(U256::ONE)
    }

    async fn fee_history(
        &self,
        blocks: fees::Count,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory> {
        // Percentiles are made from whole blocks.
        let long = percentiles.as_ref().is_some_and(|percentiles| !percentiles.is_empty());
        let work = move |chain: &Chain| fees::history(chain, blocks, newest, percentiles);
        if long { self.execute(work).await } else { self.read(work).await }
    }

    async fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256> {
        self.read(move |chain| -> Result<_, CallError> {
            let account = chain.state_of(block.unwrap_or_default())?.account(&address)?;
            Ok(account.map_or(U256::ZERO, |account| account.balance))
        })
        .await
    }

    async fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes> {
        self.read(move |chain| -> Result<_, CallError> {
            let view = chain.state_of(block.unwrap_or_default())?;
            let Some(account) = view.account(&address)? else { return Ok(Bytes::new()) };
            Ok(view.code(&account.code_hash)?.unwrap_or_default())
        })
        .await
    }

    async fn storage_at(&self, address: Address, slot: JsonStorageKey, block: Option<BlockId>) -> RpcResult<B256> {
        self.read(move |chain| -> Result<_, CallError> {
            let view = chain.state_of(block.unwrap_or_default())?;
            Ok(view.slot(&address, &slot.as_b256().into())?.into())
        })
        .await
    }

    async fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64> {
        self.read(move |chain| -> Result<_, CallError> {
            let block = block.unwrap_or_default();
            if block.is_pending() {
                return Ok(U64::from(chain.pending_nonce(&address)?));
            }
            let account = chain.state_of(block)?.account(&address)?;
            Ok(U64::from(account.map_or(0, |account| account.nonce)))
        })
        .await
    }

    async fn proof(
        &self,
        address: Address,
        keys: Vec<JsonStorageKey>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse> {
        if keys.len() > PROOF_KEYS_MAX {
            let text = format!("{} storage keys asked for; at most {PROOF_KEYS_MAX}", keys.len());
            return Err(limit_exceeded(text));
        }
        self.execute(move |chain| chain.proof(address, &keys, block.unwrap_or_default())).await
    }

    async fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.block(number.into(), full).await
    }

    async fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.block(hash.into(), full).await
    }

    async fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<OpTransactionReceipt>>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let Some(block) = chain.full_block(block)? else { return Ok(None) };
            let all = 0..block.body.transactions.len();
            Ok(Some(all.filter_map(|index| block.receipt(chain.spec(), index)).collect()))
        })
        .await
    }

    async fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        self.transaction_total(number.into()).await
    }

    async fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        self.transaction_total(hash.into()).await
    }

    async fn uncle_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        Ok(self.transaction_total(number.into()).await?.map(|_| U64::ZERO))
    }

    async fn uncle_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        Ok(self.transaction_total(hash.into()).await?.map(|_| U64::ZERO))
    }

    async fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let waiting = chain.inner.pool.lock().get(&hash);
            if let Some(pooled) = waiting {
                return Ok(Some(pending_transaction(&pooled)));
            }
            let mined = chain.mined(&hash)?;
            Ok(mined.and_then(|(block, index)| block.transaction(index)))
        })
        .await
    }

    async fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        use alloy_eips::Encodable2718;
        self.read(move |chain| -> Result<_, StoreError> {
            let waiting = chain.inner.pool.lock().get(&hash);
            if let Some(pooled) = waiting {
                return Ok(Some(pooled.encoded.clone()));
            }
            let mined = chain.mined(&hash)?;
            Ok(mined.map(|(block, index)| block.body.transactions[index].encoded_2718().into()))
        })
        .await
    }

    async fn transaction_by_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>> {
        self.transaction_at(number.into(), index).await
    }

    async fn transaction_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>> {
        self.transaction_at(hash.into(), index).await
    }

    async fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<OpTransactionReceipt>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let mined = chain.mined(&hash)?;
            Ok(mined.and_then(|(block, index)| block.receipt(chain.spec(), index)))
        })
        .await
    }

    async fn send_raw_transaction(&self, bytes: Bytes) -> RpcResult<B256> {
        let (call, chain) = (self.gate.enter()?, self.chain.clone());
        let submitted = tokio::spawn(async move {
            let _call = call;
            chain.submit(bytes).await
        });
        Ok(submitted.await.map_err(|error| internal(error.to_string()))??)
    }

    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes> {
        let overrides = overrides(state, block_overrides);
        self.execute(move |chain| chain.call(&request, block.unwrap_or_default(), overrides)).await
    }

    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64> {
        let overrides = overrides(state, block_overrides);
        let block = block.unwrap_or_default();
        self.execute(move |chain| chain.estimate_gas(&request, block, overrides).map(U64::from)).await
    }

    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>> {
        self.execute(move |chain| chain.logs(&filter)).await
    }
}

impl Context {
    async fn block(&self, id: BlockId, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let block = chain.full_block(id)?;
            Ok(block.map(|block| block.to_rpc(full.unwrap_or(false))))
        })
        .await
    }

    async fn transaction_total(&self, id: BlockId) -> RpcResult<Option<U64>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let block = chain.full_block(id)?;
            Ok(block.map(|block| U64::from(block.body.transactions.len())))
        })
        .await
    }

    async fn transaction_at(&self, id: BlockId, index: Index) -> RpcResult<Option<Transaction>> {
        self.read(move |chain| -> Result<_, StoreError> {
            let block = chain.full_block(id)?;
            Ok(block.and_then(|block| block.transaction(index.0)))
        })
        .await
    }
}
