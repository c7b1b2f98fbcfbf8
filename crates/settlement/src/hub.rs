//! What settlement needs of the inference hub. The SDK implements it over JSON-RPC; tests implement it by the hub's
//! rules.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use openledger_contracts::{ChannelConfig, EpochPost, VoucherClaim};
use openledger_primitives::{Address, B256, Bytes, Wei};

use crate::channel::OnChainChannel;
use crate::relay::RelayCall;
use crate::x402::Moved;

/// Most vouchers claimed in one transaction; the rest goes ahead in further ones.
pub const CLAIMS_MAX: usize = 64;

/// Most epochs that the hub lets be pending at once.
pub const PENDING_MAX: u64 = 64;

/// A call to the hub under way.
pub type HubFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, HubError>> + Send + 'a>>;

/// Why the hub did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The contract refused.
    #[error("the hub refused: {reason}")]
    Reverted {
        /// The contract's error, by name with its values.
        reason: String,
    },
    /// The chain cannot be reached, or answers with nonsense; try again later.
    #[error("the chain could not be asked")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// An epoch as the hub has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubEpoch {
    /// Root of the receipts tree.
    pub receipts_root: B256,
    /// Root of the balance tree.
    pub balance_root: B256,
    /// First second at which it can be made final.
    pub final_at: u64,
    /// Whether it is.
    pub is_final: bool,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Its hash.
    pub hash: B256,
    /// Its sender's nonce.
    pub nonce: u64,
    /// Its bytes, as they are sent.
    pub raw: Bytes,
    /// The latest block when it was signed.
    pub signed_at: u64,
}

/// Keeps a transaction before it is sent.
pub type Keep<'a> = Box<dyn FnOnce(SignedTransaction) -> HubFuture<'a, ()> + Send + 'a>;

/// How a relayed transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayOutcome {
    /// Not in a block yet; it was sent again.
    Waiting,
    /// In a block; it moved this much.
    Moved {
        /// What the hub's event says.
        amount: Wei,
    },
    /// In a block, without effect.
    Reverted,
    /// Its place was taken by another transaction of the sender: it can never be in a block.
    Lost,
}

/// The inference hub, as the operator's settler uses it. Sending calls return when the transaction is in a block.
pub trait HubClient: Send + Sync {
    /// Time of the latest block, in Unix seconds.
    fn now(&self) -> HubFuture<'_, u64>;

    /// A channel's balance, claims and pending withdrawal.
    fn channel<'a>(&'a self, config: &'a ChannelConfig) -> HubFuture<'a, OnChainChannel>;

    /// A posted epoch; `None` when the hub has none of that number.
    fn epoch(&self, number: u64) -> HubFuture<'_, Option<HubEpoch>>;

    /// Whether an epoch that these books posted, and that the hub does not have, was rejected after a challenge. Otherwise
    /// the chain turned back over its transaction. `post_tx` is that transaction, where it is known.
    fn is_rejected(&self, number: u64, post_tx: Option<B256>) -> HubFuture<'_, bool>;

    /// Claims vouchers ahead of an epoch. What they bring waits for the epochs that charge it.
    fn claim_vouchers<'a>(&'a self, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256>;

    /// Claims vouchers and posts the next epoch.
    fn post_epoch<'a>(&'a self, post: &'a EpochPost, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256>;

    /// Makes an epoch final after its window.
    fn finalize_epoch(&self, number: u64) -> HubFuture<'_, B256>;

    /// An account's wrapped OPEN.
    fn wrapped_balance(&self, account: Address) -> HubFuture<'_, Wei>;

    /// Whether an EIP-3009 authorisation of `payer` was used or cancelled.
    fn is_authorization_used(&self, payer: Address, nonce: B256) -> HubFuture<'_, bool>;

    /// Simulates a call, signs its transaction, hands it to `keep` and sends it when it is kept. Does not wait.
    fn relay<'a>(&'a self, call: &'a RelayCall, keep: Keep<'a>) -> HubFuture<'a, SignedTransaction>;

    /// How a relayed transaction stands; sends it again if the chain does not have it.
    fn relayed<'a>(&'a self, tx: &'a SignedTransaction) -> HubFuture<'a, RelayOutcome>;

    /// The refund of that nonce in a block after `after`, whoever sent it.
    fn refund_of<'a>(&'a self, config: &'a ChannelConfig, nonce: u64, after: u64) -> HubFuture<'a, Option<Moved>>;
}
