//! What settlement needs of the inference hub. The SDK implements it over JSON-RPC; tests implement it by the hub's
//! rules.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use openledger_contracts::{ChannelConfig, EpochPost, VoucherClaim};
use openledger_primitives::B256;

use crate::channel::OnChainChannel;

/// Most vouchers claimed in one transaction; the rest goes ahead in further ones.
pub const CLAIMS_MAX: usize = 64;

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

/// The inference hub, as the operator's settler uses it. Sending calls return when the transaction is in a block.
pub trait HubClient: Send + Sync {
    /// Time of the latest block, in Unix seconds.
    fn now(&self) -> HubFuture<'_, u64>;

    /// A channel's balance, claims and pending withdrawal.
    fn channel<'a>(&'a self, config: &'a ChannelConfig) -> HubFuture<'a, OnChainChannel>;

    /// A posted epoch; `None` when the hub has none of that number.
    fn epoch(&self, number: u64) -> HubFuture<'_, Option<HubEpoch>>;

    /// Claims vouchers ahead of an epoch.
    fn claim_vouchers<'a>(&'a self, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256>;

    /// Claims vouchers and posts the next epoch.
    fn post_epoch<'a>(&'a self, post: &'a EpochPost, claims: &'a [VoucherClaim]) -> HubFuture<'a, B256>;

    /// Makes an epoch final after its window.
    fn finalize_epoch(&self, number: u64) -> HubFuture<'_, B256>;
}
