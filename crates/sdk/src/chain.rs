//! The chain over Ethereum JSON-RPC, for one account.

use std::sync::Arc;
use std::time::Duration;

use alloy_network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder, eip2718::Encodable2718};
use alloy_primitives::Bytes;
use alloy_provider::transport::TransportError;
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, Log, TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use openledger_contracts::IWrappedOpen;
use openledger_contracts::addresses::WRAPPED_OPEN;
use openledger_primitives::{Address, B256, U256, Wei, keccak256};
use openledger_settlement::hub::SignedTransaction;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::contracts::{Datanets, Hub, Models, Stakers};
use crate::revert::decode_revert;

/// Longest wait for a transaction to be in a block.
pub const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(60);
/// First and longest pause between two looks for a receipt.
const RECEIPT_POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Priority fee offered, in wei a gas.
const PRIORITY_FEE_WEI: u128 = 1_000_000;
/// Room above the gas price for the base fee to rise while the transaction waits.
const FEE_FACTOR: u128 = 2;
/// Room above the gas estimate, in percent: state may move between estimate and inclusion.
const GAS_PERCENT: u64 = 125;

/// Why the chain did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The URL is malformed.
    #[error("{url:?} is not an HTTP URL")]
    Url {
        /// The URL given.
        url: String,
    },
    /// The contract refused.
    #[error("the contract refused: {reason}")]
    Reverted {
        /// The contract's error by name, with its values.
        reason: String,
    },
    /// The node refused: not enough funds, a malformed request.
    #[error("the chain refused {method}: {message}")]
    Refused {
        /// JSON-RPC method.
        method: &'static str,
        /// The node's words.
        message: String,
    },
    /// The node cannot be reached, or its answer makes no sense.
    #[error("the chain did not answer {method}")]
    Rpc {
        /// JSON-RPC method.
        method: &'static str,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// A transaction did not get into a block in time. It may still.
    #[error("transaction {tx} was not in a block within {waited_s} s")]
    TimedOut {
        /// The transaction.
        tx: B256,
        /// How long was waited, in seconds.
        waited_s: u64,
    },
    /// The transaction could not be signed.
    #[error("the transaction could not be signed: {reason}")]
    Sign {
        /// Why.
        reason: String,
    },
    /// A contract's answer could not be decoded.
    #[error("the contract's answer to {call} could not be decoded")]
    Decode {
        /// Signature of the call.
        call: &'static str,
        /// Why.
        #[source]
        source: alloy_sol_types::Error,
    },
    /// A transaction did not emit the event that it always emits.
    #[error("transaction {tx} did not emit {event}")]
    NoEvent {
        /// The transaction.
        tx: B256,
        /// Signature of the event.
        event: &'static str,
    },
}

impl ChainError {
    /// True when the contract refused with the error of this name.
    #[must_use]
    pub fn is_revert(&self, name: &str) -> bool {
        let Self::Reverted { reason } = self else { return false };
        reason.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    }
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct SentTransaction {
    /// Its hash.
    pub hash: B256,
    /// Its block.
    pub block: u64,
    /// Gas used.
    pub gas_used: u64,
    /// What it emitted.
    pub logs: Vec<Log>,
}

impl SentTransaction {
    /// The first event of type `E` that it emitted.
    ///
    /// # Errors
    /// [`ChainError::NoEvent`].
    pub fn event<E: SolEvent>(&self) -> Result<E, ChainError> {
        let found = self.logs.iter().find_map(|log| E::decode_log(&log.inner).ok());
        let missing = ChainError::NoEvent { tx: self.hash, event: E::SIGNATURE };
        found.map(|event| event.data).ok_or(missing)
    }
}

/// Where a transaction that the chain knows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPlace {
    /// Its block; `None` while it waits for one.
    pub block: Option<u64>,
}

/// How a transaction stands that was signed before.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Not in a block yet; the chain has it.
    Waiting,
    /// In a block.
    Included(SentTransaction),
    /// In a block, without effect.
    Reverted,
    /// Another transaction took its nonce.
    Lost,
}

/// A client of the chain that acts for one account. Clones share its place in the order of transactions, so that
/// sends from many tasks do not take the same nonce.
#[derive(Clone, Debug)]
pub struct ChainClient {
    provider: RootProvider,
    signer: PrivateKeySigner,
    chain_id: u64,
    sending: Arc<Mutex<()>>,
}

impl ChainClient {
    /// Connects to the JSON-RPC endpoint at `url` and asks for its chain id.
    ///
    /// # Errors
    /// [`ChainError`] when the URL is malformed or nothing answers there.
    pub async fn connect(url: &str, signer: PrivateKeySigner) -> Result<Self, ChainError> {
        let parsed = reqwest::Url::parse(url).map_err(|_| ChainError::Url { url: url.to_owned() })?;
        let provider = RootProvider::new_http(parsed);
        let chain_id = provider.get_chain_id().await.map_err(|error| failed("eth_chainId", error))?;
        Ok(Self { provider, signer, chain_id, sending: Arc::default() })
    }

    /// The same endpoint for another account.
    #[must_use]
    pub fn with_signer(&self, signer: PrivateKeySigner) -> Self {
        Self { provider: self.provider.clone(), signer, chain_id: self.chain_id, sending: Arc::default() }
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The account that signs.
    #[must_use]
    pub fn signer(&self) -> &PrivateKeySigner {
        &self.signer
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The inference hub.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub::new(self.clone())
    }

    /// The model registry.
    #[must_use]
    pub fn models(&self) -> Models {
        Models::new(self.clone())
    }

    /// The Datanet registry.
    #[must_use]
    pub fn datanets(&self) -> Datanets {
        Datanets::new(self.clone())
    }

    /// The staker pool.
    #[must_use]
    pub fn stakers(&self) -> Stakers {
        Stakers::new(self.clone())
    }

    /// One JSON-RPC request.
    ///
    /// # Errors
    /// [`ChainError`]; a revert is decoded.
    pub async fn rpc<P, R>(&self, method: &'static str, params: P) -> Result<R, ChainError>
    where
        P: Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: for<'de> Deserialize<'de> + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.provider.client().request(method, params).await.map_err(|error| failed(method, error))
    }

    /// Calls a contract without changing anything, on the latest state.
    ///
    /// # Errors
    /// [`ChainError`]; a revert is decoded.
    pub async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, ChainError> {
        self.call_on(to, call, BlockNumberOrTag::Latest).await
    }

    /// As [`ChainClient::call`], on the state after `block`: several calls that must tell of one moment name the same.
    ///
    /// # Errors
    /// As [`ChainClient::call`]; the node may not have the block's state any more.
    pub async fn call_at<C: SolCall>(&self, to: Address, call: &C, block: u64) -> Result<C::Return, ChainError> {
        self.call_on(to, call, BlockNumberOrTag::Number(block)).await
    }

    async fn call_on<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        block: BlockNumberOrTag,
    ) -> Result<C::Return, ChainError> {
        let request = self.request(to, Wei::ZERO, call.abi_encode());
        let answer: Bytes = self.rpc("eth_call", (request, block)).await?;
        C::abi_decode_returns(&answer).map_err(|source| ChainError::Decode { call: C::SIGNATURE, source })
    }

    /// Calls a contract in a transaction and waits until it is in a block.
    ///
    /// # Errors
    /// [`ChainError`]; a call that would revert is not sent.
    pub async fn send<C: SolCall>(&self, to: Address, call: &C) -> Result<SentTransaction, ChainError> {
        self.send_value(to, Wei::ZERO, call.abi_encode()).await
    }

    /// As [`ChainClient::send`], with native OPEN.
    ///
    /// # Errors
    /// As [`ChainClient::send`].
    pub async fn pay<C: SolCall>(&self, to: Address, value: Wei, call: &C) -> Result<SentTransaction, ChainError> {
        self.send_value(to, value, call.abi_encode()).await
    }

    /// Sends native OPEN and waits until it has arrived.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn transfer(&self, to: Address, value: Wei) -> Result<SentTransaction, ChainError> {
        self.send_value(to, value, Vec::new()).await
    }

    async fn send_value(&self, to: Address, value: Wei, data: Vec<u8>) -> Result<SentTransaction, ChainError> {
        let request = self.request(to, value, data);
        let tx = self.submit(request.clone()).await?;
        let receipt = self.wait(tx).await?;
        if !receipt.status() {
            return Err(self.why_reverted(request, &receipt).await);
        }
        Ok(sent(tx, &receipt))
    }

    fn request(&self, to: Address, value: Wei, data: Vec<u8>) -> TransactionRequest {
        let input = TransactionInput::new(data.into());
        TransactionRequest::default().from(self.address()).to(to).value(U256::from(value.0)).input(input)
    }

    /// Signs and sends under the account's next nonce, one at a time.
    async fn submit(&self, request: TransactionRequest) -> Result<B256, ChainError> {
        let signed = self.submit_kept(request, |_| async { Ok(()) }).await?;
        Ok(signed.hash)
    }

    /// Simulates a call, signs its transaction, hands it to `keep` and sends it once that has succeeded. Does not wait
    /// for its block.
    ///
    /// # Errors
    /// [`ChainError`], or the error of `keep`; a call that would revert is not sent.
    pub async fn send_kept<E, F>(
        &self,
        to: Address,
        call: Vec<u8>,
        keep: impl FnOnce(SignedTransaction) -> F,
    ) -> Result<SignedTransaction, E>
    where
        E: From<ChainError>,
        F: Future<Output = Result<(), E>>,
    {
        self.submit_kept(self.request(to, Wei::ZERO, call), keep).await
    }

    async fn submit_kept<E, F>(
        &self,
        request: TransactionRequest,
        keep: impl FnOnce(SignedTransaction) -> F,
    ) -> Result<SignedTransaction, E>
    where
        E: From<ChainError>,
        F: Future<Output = Result<(), E>>,
    {
        let gas: U256 = self.rpc("eth_estimateGas", (request.clone(), "latest")).await?;
        let gas_price: U256 = self.rpc("eth_gasPrice", ()).await?;
        let fee_max = gas_price.saturating_to::<u128>().saturating_mul(FEE_FACTOR).saturating_add(PRIORITY_FEE_WEI);
        let mut request = request.max_fee_per_gas(fee_max);
        request.set_max_priority_fee_per_gas(PRIORITY_FEE_WEI);
        request.set_gas_limit((gas.saturating_to::<u64>()).saturating_mul(GAS_PERCENT) / 100);
        request.set_chain_id(self.chain_id);
        let turn = self.sending.lock().await;
        let signed_at = self.block_number().await?;
        let nonce = self.nonce("pending").await?;
        let wallet = EthereumWallet::new(self.signer.clone());
        let signed = request.nonce(nonce).build(&wallet).await;
        let signed = signed.map_err(|error| ChainError::Sign { reason: error.to_string() })?;
        let raw = Bytes::from(signed.encoded_2718());
        let kept = SignedTransaction { hash: keccak256(&raw), nonce, raw: raw.clone(), signed_at };
        keep(kept.clone()).await?;
        let _: B256 = self.rpc("eth_sendRawTransaction", (raw,)).await?;
        drop(turn);
        Ok(kept)
    }

    /// The account's next nonce, at the latest block or with what waits in the pool.
    async fn nonce(&self, at: &'static str) -> Result<u64, ChainError> {
        let nonce: U256 = self.rpc("eth_getTransactionCount", (self.address(), at)).await?;
        Ok(nonce.saturating_to())
    }

    /// How a transaction of this account stands; sends it again when the chain does not have it.
    ///
    /// # Errors
    /// [`ChainError`] when the chain cannot be asked.
    pub async fn look_after(&self, tx: &SignedTransaction) -> Result<Standing, ChainError> {
        // The nonce is read first: a receipt that is missing after it was used up will never come.
        let used_up = self.nonce("latest").await? > tx.nonce;
        let receipt: Option<TransactionReceipt> = self.rpc("eth_getTransactionReceipt", (tx.hash,)).await?;
        match receipt {
            Some(receipt) if receipt.status() => Ok(Standing::Included(sent(tx.hash, &receipt))),
            Some(_) => Ok(Standing::Reverted),
            None if used_up => Ok(Standing::Lost),
            None => match self.rpc::<_, B256>("eth_sendRawTransaction", (tx.raw.clone(),)).await {
                // A node that has it refuses it as known.
                Ok(_) | Err(ChainError::Refused { .. }) => Ok(Standing::Waiting),
                Err(error) => Err(error),
            },
        }
    }

    async fn wait(&self, tx: B256) -> Result<TransactionReceipt, ChainError> {
        let started = Instant::now();
        let (mut pause, longest) = RECEIPT_POLL;
        loop {
            let receipt: Option<TransactionReceipt> = self.rpc("eth_getTransactionReceipt", (tx,)).await?;
            if let Some(receipt) = receipt {
                return Ok(receipt);
            }
            if started.elapsed() > RECEIPT_WAIT_MAX {
                return Err(ChainError::TimedOut { tx, waited_s: RECEIPT_WAIT_MAX.as_secs() });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Runs a reverted transaction again as a call on its block, to learn why.
    async fn why_reverted(&self, request: TransactionRequest, receipt: &TransactionReceipt) -> ChainError {
        let block = U256::from(receipt.block_number.unwrap_or_default());
        match self.rpc::<_, Bytes>("eth_call", (request, block)).await {
            Err(error) => error,
            Ok(_) => ChainError::Reverted { reason: format!("transaction {} ran out", receipt.transaction_hash) },
        }
    }

    /// An account's native OPEN.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn balance(&self, account: Address) -> Result<Wei, ChainError> {
        let balance: U256 = self.rpc("eth_getBalance", (account, "latest")).await?;
        Ok(Wei(balance.saturating_to()))
    }

    /// An account's wrapped OPEN.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn wrapped_balance(&self, account: Address) -> Result<Wei, ChainError> {
        let balance = self.call(WRAPPED_OPEN, &IWrappedOpen::balanceOfCall { account }).await?;
        Ok(Wei(balance.saturating_to()))
    }

    /// Wraps native OPEN for `account`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn wrap(&self, account: Address, amount: Wei) -> Result<SentTransaction, ChainError> {
        self.pay(WRAPPED_OPEN, amount, &IWrappedOpen::depositToCall { account }).await
    }

    /// Number of the latest block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn block_number(&self) -> Result<u64, ChainError> {
        let number: U256 = self.rpc("eth_blockNumber", ()).await?;
        Ok(number.saturating_to())
    }

    /// Number of the block with that hash; `None` when the chain has no such block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn find_block(&self, hash: B256) -> Result<Option<u64>, ChainError> {
        #[derive(Debug, Deserialize)]
        struct Block {
            number: U256,
        }
        let block: Option<Block> = self.rpc("eth_getBlockByHash", (hash, false)).await?;
        Ok(block.map(|block| block.number.saturating_to()))
    }

    /// Where a transaction is; `None` when the chain does not know it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn find_transaction(&self, hash: B256) -> Result<Option<TransactionPlace>, ChainError> {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Transaction {
            block_number: Option<U256>,
        }
        let found: Option<Transaction> = self.rpc("eth_getTransactionByHash", (hash,)).await?;
        Ok(found.map(|found| TransactionPlace { block: found.block_number.map(|number| number.saturating_to()) }))
    }

    /// Time of the latest block, in Unix seconds.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn block_time(&self) -> Result<u64, ChainError> {
        #[derive(Debug, Deserialize)]
        struct Head {
            timestamp: U256,
        }
        let head: Head = self.rpc("eth_getBlockByNumber", ("latest", false)).await?;
        Ok(head.timestamp.saturating_to())
    }

    /// Events that match `filter`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn logs(&self, filter: Filter) -> Result<Vec<Log>, ChainError> {
        self.rpc("eth_getLogs", (filter,)).await
    }
}

fn sent(hash: B256, receipt: &TransactionReceipt) -> SentTransaction {
    SentTransaction {
        hash,
        block: receipt.block_number.unwrap_or_default(),
        gas_used: receipt.gas_used,
        logs: receipt.logs().to_vec(),
    }
}

fn failed(method: &'static str, error: TransportError) -> ChainError {
    match error.as_error_resp() {
        Some(response) => match response.as_revert_data() {
            Some(data) => ChainError::Reverted { reason: decode_revert(&data) },
            None => ChainError::Refused { method, message: response.message.to_string() },
        },
        None => ChainError::Rpc { method, source: error },
    }
}
