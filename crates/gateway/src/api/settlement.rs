//! Receipts, epochs, claims, earnings and statements.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::datanets::MerkleProof;
use super::scalar::{Account, Amount, Hash, HexBytes};

/// Upheld challenges, and how far the chain was looked through for them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DisputeList {
    /// In the order of the chain.
    pub data: Vec<Dispute>,
    /// The last block looked at; ask again where it is below `head`.
    pub looked_to: u64,
    /// The latest block.
    pub head: u64,
}

/// A challenge of an epoch that the inference hub upheld. The hub decides at once, so there are no open ones.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Dispute {
    /// The epoch challenged.
    pub epoch: u64,
    /// Who challenged it.
    pub challenger: Account,
    /// The receipt at fault, or the epoch's balance root.
    pub subject: Hash,
    /// What is wrong.
    pub fault: Fault,
    /// Epochs that the hub forgot over it, ascending.
    pub rejected: Vec<u64>,
    /// The operator who posted the epoch.
    pub operator: Account,
    /// The challenger's part of the operator's bond.
    pub reward_wei: Amount,
    /// What of the bond was burned.
    pub burned_wei: Amount,
    /// Its block.
    pub block: u64,
    /// Its transaction.
    pub tx_hash: Hash,
}

/// What is wrong with an epoch.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// A receipt with its hash.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReceiptRow {
    /// The receipt's EIP-712 hash.
    pub hash: Hash,
    /// Name of the model that answered; null for models that are not served here.
    #[schema(required)]
    pub model: Option<String>,
    /// The receipt.
    #[schema(value_type = Receipt)]
    pub receipt: openledger_settlement::receipt::SignedReceipt,
}

/// A record that an answer was paid for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReceiptRecord {
    /// Out of which pool.
    pub pool: DataPool,
    /// The record's hash.
    pub record: Hash,
    /// Its Datanet.
    pub datanet: u64,
    /// Who was paid.
    pub contributor: Account,
    /// The record's part of that, in wei. Informative: payouts go to contributors.
    pub earned_wei: Amount,
}

/// The declared pools of the data share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataPool {
    /// What shaped the answer.
    Influence,
    /// What the answer quotes.
    Provenance,
}

/// One answered request, signed by its operator.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Receipt {
    /// Version of the format.
    pub version: u8,
    /// Epoch that settles it.
    pub epoch: u64,
    /// Its number among all of the operator's receipts.
    pub sequence: u64,
    /// Channel that paid.
    pub channel_id: Hash,
    /// Who paid.
    pub payer: Account,
    /// Charged on the channel before.
    pub cumulative_before: Amount,
    /// Charged on the channel after.
    pub cumulative_after: Amount,
    /// Digest of the voucher.
    pub voucher_hash: Hash,
    /// The model that answered.
    pub model_id: Hash,
    /// Hash of its base model.
    pub base_model: Hash,
    /// Hash of its weights.
    pub weights_hash: Hash,
    /// Which engine.
    pub engine_id: Hash,
    /// Which quantisation.
    pub quantisation_id: Hash,
    /// Seed of the sampling, in decimal.
    pub seed: Amount,
    /// Salted hash of the request.
    pub request_hash: Hash,
    /// Salted hash of the answer.
    pub response_hash: Hash,
    /// Tokens of the prompt.
    pub tokens_in: u32,
    /// Tokens of the answer.
    pub tokens_out: u32,
    /// Price of a token.
    pub price: ReceiptPrice,
    /// What it cost.
    pub fee: Amount,
    /// The split in basis points.
    pub bps: ReceiptBps,
    /// The fee, divided.
    pub split: ReceiptSplit,
    /// Who served and signed.
    pub operator: Account,
    /// Builder of the model.
    pub builder: Account,
    /// Attribution method, by hash.
    pub attribution_method: Hash,
    /// Roots of the snapshots that the model was trained on.
    pub snapshot_roots: Vec<Hash>,
    /// Root of the attribution indexes.
    pub index_root: Hash,
    /// Weights of the influence pool; empty for the reserve.
    pub influence: Vec<ReceiptShare>,
    /// Weights of the provenance pool; empty for the reserve.
    pub provenance: Vec<ReceiptShare>,
    /// Root over the attribution's details.
    pub attribution_root: Hash,
    /// When the request came, in Unix seconds.
    pub requested_at: u64,
    /// When the answer was complete.
    pub answered_at: u64,
    /// Hash of the offer that the payer accepted.
    pub offer_hash: Hash,
    /// The operator's signature.
    pub signature: HexBytes,
}

/// Price of a token.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ReceiptPrice {
    /// Of a prompt token.
    pub input_wei: Amount,
    /// Of a generated token.
    pub output_wei: Amount,
}

/// The split in basis points.
#[derive(Clone, Debug, ToSchema)]
pub struct ReceiptBps {
    /// Burned.
    pub burn: u16,
    /// To the operator.
    pub operator: u16,
    /// To the builder.
    pub builder: u16,
    /// To the builders of parents.
    pub parents: u16,
    /// To stakers.
    pub stakers: u16,
    /// Of the data's part: to what the answer quotes.
    pub provenance: u16,
}

/// A fee, divided.
#[derive(Clone, Debug, ToSchema)]
pub struct ReceiptSplit {
    /// Burned.
    pub burn: Amount,
    /// To the operator.
    pub operator: Amount,
    /// To the builder.
    pub builder: Amount,
    /// To the builders of parents.
    pub parents: Amount,
    /// To stakers.
    pub stakers: Amount,
    /// To the data, by influence.
    pub influence: Amount,
    /// To the data, by what the answer quotes.
    pub provenance: Amount,
}

/// A contributor's weight in a pool.
#[derive(Clone, Debug, ToSchema)]
pub struct ReceiptShare {
    /// Who.
    pub contributor: Account,
    /// Weight, in 65535ths.
    pub weight: u16,
}

/// A receipt with what anyone needs to check it offline.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ReceiptBundle {
    /// The receipt.
    pub receipt: Receipt,
    /// The channel that paid.
    #[schema(nullable = false)]
    pub channel: Option<ChannelConfig>,
    /// The voucher that paid.
    #[schema(nullable = false)]
    pub voucher: Option<Voucher>,
    /// What everyone is paid.
    #[schema(nullable = false)]
    pub payouts: Option<Vec<ReceiptPayout>>,
    /// Its place in its epoch, once that is closed.
    #[schema(nullable = false)]
    pub inclusion: Option<Inclusion>,
}

/// A channel's configuration.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChannelConfig {
    /// Who pays.
    pub payer: Account,
    /// Who signs vouchers; zero for the payer.
    pub payer_authorizer: Account,
    /// Who is paid: the hub.
    pub receiver: Account,
    /// Who authorises claims: the operator.
    pub receiver_authorizer: Account,
    /// In which token.
    pub token: Account,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay: u64,
    /// Tells channels of the same parties apart.
    pub salt: Hash,
}

/// A voucher.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Voucher {
    /// Which channel.
    pub channel_id: Hash,
    /// Cumulative ceiling.
    pub max_claimable_amount: Amount,
    /// The payer's signature.
    pub signature: HexBytes,
}

/// What an account is paid by a receipt.
#[derive(Clone, Debug, ToSchema)]
pub struct ReceiptPayout {
    /// Who.
    pub account: Account,
    /// How much.
    pub amount: Amount,
}

/// A receipt's place in an epoch's receipts tree.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Inclusion {
    /// Root of the tree; the hub holds it.
    pub receipts_root: Hash,
    /// Path to it.
    pub proof: MerkleProof,
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EpochState {
    /// Takes receipts.
    Open,
    /// Takes no more; not computed yet.
    Sealed,
    /// Credits and roots stand.
    Closed,
    /// On chain, in its challenge window.
    Posted,
    /// Final: claims are open.
    Final,
}

/// An epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: u64,
    /// Where it stands.
    pub state: EpochState,
    /// When it took its first receipt.
    pub opened_at: u64,
    /// Receipts that it has.
    pub receipts: u64,
    /// What is posted, once closed.
    #[schema(required)]
    pub post: Option<EpochPost>,
    /// When it can be made final, once posted.
    #[schema(required)]
    pub final_at: Option<u64>,
    /// Transaction that posted it.
    #[schema(required)]
    pub post_tx: Option<Hash>,
    /// Transaction that made it final.
    #[schema(required)]
    pub final_tx: Option<Hash>,
}

/// What is posted of an epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EpochPost {
    /// Root over its receipts.
    pub receipts_root: Hash,
    /// Its receipts.
    pub receipt_count: u64,
    /// Root over all balances after it.
    pub balance_root: Hash,
    /// Accounts in that tree.
    pub account_count: u64,
    /// Their balances together.
    pub total_balance_wei: Amount,
    /// Fees of the epoch.
    pub fees_wei: Amount,
    /// Of these, burned.
    pub burned_wei: Amount,
    /// Of these, to stakers.
    pub stakers_wei: Amount,
    /// Hash of its published data.
    pub da_commitment: Hash,
}

/// What an account can claim under the latest final epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Claim {
    /// The account.
    pub account: Account,
    /// The latest final epoch, 0 for none.
    pub epoch: u64,
    /// Proof of its cumulative credit; null where it was never credited.
    #[schema(value_type = Option<ClaimProof>, required)]
    pub proof: Option<openledger_settlement::epoch::ClaimProof>,
}

/// Proof of an account's cumulative credit.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ClaimProof {
    /// Who is paid.
    pub account: Account,
    /// Cumulative credit.
    pub cumulative: Amount,
    /// Position of the account's leaf.
    pub index: u64,
    /// Number of leaves.
    pub size: u64,
    /// Sibling nodes, bottom up.
    pub siblings: Vec<SumNode>,
}

/// A node of a balance tree.
#[derive(Clone, Debug, ToSchema)]
pub struct SumNode {
    /// Hash.
    pub hash: Hash,
    /// Sum below it.
    pub sum: Amount,
}

/// As what an account is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Served the answer.
    Operator,
    /// Built the model.
    Builder,
    /// Built a model that it descends from.
    Parent,
    /// Contributed records that shaped the answer.
    Influence,
    /// Contributed records that the answer quotes.
    Provenance,
    /// Contributed to a snapshot whose reserve took a pool that nobody stood out for.
    Reserve,
}

/// What an account earned.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Earnings {
    /// The account.
    pub account: Account,
    /// Credited by final epochs.
    pub credited_wei: Amount,
    /// Of these, taken out on chain.
    pub claimed_wei: Amount,
    /// Of these, still there.
    pub claimable_wei: Amount,
    /// Earned by receipts whose epoch is not final yet.
    pub pending_wei: Amount,
    /// All of it by role and model.
    pub by: Vec<EarningsPart>,
}

/// Part of what an account earned.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EarningsPart {
    /// As what.
    pub role: Role,
    /// Name of the model; its id where it is not served here.
    pub model: String,
    /// How much.
    pub wei: Amount,
    /// With how many answers.
    pub answers: u64,
}

/// What each answer earned an account, the newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Statement {
    /// The account.
    pub account: Account,
    /// The lines.
    pub data: Vec<StatementLine>,
    /// Where to go on; null at the end.
    #[schema(required)]
    pub next_after: Option<u64>,
}

/// What an account earned by one answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatementLine {
    /// The epoch that settles it.
    pub epoch: u64,
    /// The receipt.
    pub receipt: Hash,
    /// Its number among the operator's receipts.
    pub sequence: u64,
    /// Name of the model; its id where it is not served here.
    pub model: String,
    /// When the answer was complete, in Unix seconds.
    pub answered_at: u64,
    /// What the account earned by it.
    pub amount: Amount,
}
