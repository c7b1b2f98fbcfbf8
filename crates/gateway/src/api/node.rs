//! The node: its chain, its operator, what happens on it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scalar::{Account, Amount, Hash};
use super::settlement::EpochState;
use super::training::JobState;

/// How the node stands, and what a wallet needs to know of its chain.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The operator, who serves and signs receipts.
    pub operator: Account,
    /// The chain's id.
    pub chain_id: u64,
    /// The chain.
    pub chain: ChainInfo,
    /// What the faucet gives, on chains that have one.
    #[schema(required)]
    pub faucet_wei: Option<Amount>,
    /// The base model.
    pub base_model: BaseModel,
    /// Published models.
    pub models: u64,
    /// How settlement stands.
    pub settlement: SettlementStatus,
}

/// A chain as a wallet adds it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChainInfo {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Ethereum JSON-RPC over HTTP.
    pub rpc_url: String,
    /// Its currency.
    pub currency: Currency,
    /// Seconds between blocks; 0 when a block is made for each transaction.
    pub block_time_s: u64,
    /// Seconds in which a posted epoch can be challenged.
    pub challenge_window_s: u64,
    /// Whether it is a development network, whose money is worth nothing.
    pub development: bool,
    /// Where the contracts are.
    pub contracts: Contracts,
    /// Why no block can be made at present, such as a full disk; null while all is well.
    #[schema(required)]
    pub error: Option<String>,
}

/// A chain's currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Currency {
    /// Its name.
    pub name: String,
    /// Its symbol.
    pub symbol: String,
    /// Decimals of its unit.
    pub decimals: u8,
}

/// Addresses of the contracts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Contracts {
    /// Wrapped OPEN.
    pub wrapped_open: Account,
    /// Datanet registry.
    pub datanet_registry: Account,
    /// Model registry.
    pub model_registry: Account,
    /// Inference hub.
    pub inference_hub: Account,
    /// Staker pool.
    pub staker_pool: Account,
    /// Receipt judge.
    pub receipt_judge: Account,
}

/// The model that adapters are made for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BaseModel {
    /// The name under which it answers.
    pub name: String,
    /// Its hash.
    pub hash: Hash,
}

/// How settlement stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SettlementStatus {
    /// Receipts in epochs that are not on chain yet.
    pub receipts_waiting: u64,
    /// Epochs on chain in their challenge window.
    pub epochs_pending: u64,
    /// The latest final epoch, 0 for none.
    pub last_final: u64,
    /// What went wrong in the latest step, if anything.
    #[schema(required)]
    pub error: Option<String>,
}

/// Whom the faucet is to give to.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaucetRequest {
    /// The account.
    pub address: Account,
}

/// What the faucet gave.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaucetGrant {
    /// The transaction.
    pub tx_hash: Hash,
    /// How much.
    pub amount_wei: Amount,
}

/// The operator's machine: adapters, load, disk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Operator {
    /// Adapters with where they are.
    pub adapters: Vec<Adapter>,
    /// Counters of the model server.
    pub metrics: Metrics,
    /// How settlement stands.
    pub settlement: SettlementStatus,
    /// Channels with charges that are not claimed yet; counted up to 1000.
    pub channels_unclaimed: u64,
    /// Bytes free on the disk of the data directory.
    pub disk_free_bytes: u64,
}

/// An adapter and where it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Adapter {
    /// Its name.
    pub id: String,
    /// Grows when other weights take the name over.
    pub generation: u64,
    /// Hash of its weights.
    pub weights_hash: Hash,
    /// Where it is now.
    pub state: AdapterState,
    /// Bytes in memory, while it is there.
    #[schema(required)]
    pub bytes: Option<u64>,
}

/// Where an adapter is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterState {
    /// On disk only.
    Registered,
    /// Being read.
    Loading,
    /// In memory.
    Cached,
    /// In memory and used by requests that run.
    Running,
}

/// Adapters of `GET /v1/lora_adapters`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AdapterList {
    /// The adapters.
    pub data: Vec<Adapter>,
}

/// Counters of the model server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Metrics {
    /// Requests that run.
    pub requests_running: u64,
    /// Requests that wait.
    pub requests_waiting: u64,
    /// Requests answered.
    pub requests_done_total: u64,
    /// Requests given up by their caller.
    pub requests_cancelled_total: u64,
    /// Requests that failed.
    pub requests_failed_total: u64,
    /// Prompt tokens computed.
    pub tokens_in_total: u64,
    /// Tokens generated.
    pub tokens_out_total: u64,
    /// Tokens generated a second over the last ten seconds of work.
    pub tokens_out_per_s: f64,
    /// Blocks of the key-value cache in use.
    pub kv_blocks_used: u64,
    /// Blocks of the key-value cache.
    pub kv_blocks_total: u64,
    /// Adapters registered.
    pub adapters_registered: u64,
    /// Adapters in memory.
    pub adapters_cached: u64,
    /// Bytes of adapters in memory.
    pub adapter_cache_bytes: u64,
    /// Adapters read from disk so far.
    pub adapter_loads_total: u64,
    /// Adapters dropped from memory to keep the limit.
    pub adapter_evictions_total: u64,
}

/// Data of the events of `GET /v1/events`; which one it is stands in the event's name.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NodeEvent {
    /// `event: block`
    Block(BlockEvent),
    /// `event: epoch`
    Epoch(EpochEvent),
    /// `event: receipt`
    Receipt(ReceiptEvent),
    /// `event: job`
    Job(JobProgressEvent),
    /// `event: model`
    Model(ModelEvent),
}

/// The chain has a new block.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BlockEvent {
    /// Its number.
    pub number: u64,
}

/// An epoch came to another state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EpochEvent {
    /// Its number.
    pub number: u64,
    /// The state.
    pub state: EpochState,
}

/// A request was answered and charged.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReceiptEvent {
    /// The receipt.
    pub hash: Hash,
    /// The model's id.
    pub model: Hash,
}

/// A job moved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobProgressEvent {
    /// The job.
    pub id: u64,
    /// Its state.
    pub state: JobState,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 until known.
    pub steps: u64,
}

/// A model was published.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelEvent {
    /// Its name.
    pub name: String,
}
