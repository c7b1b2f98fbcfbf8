//! Channel ids and vouchers of x402 `batch-settlement`.

use alloy_signer::SignerSync;
use openledger_contracts::{ChannelConfig, eip712};
use openledger_primitives::{Address, B256, Bytes, ChannelId, Wei};

use crate::signature::{self, SignatureError};

/// The id of the channel with this configuration: its EIP-712 digest, so it binds chain and hub too.
#[must_use]
pub fn channel_id(config: &ChannelConfig, chain_id: u64) -> ChannelId {
    ChannelId(eip712::channel_id(chain_id, config))
}

/// Whose key signs a channel's vouchers: the payer's delegate if it named one, else the payer.
#[must_use]
pub fn voucher_signer(config: &ChannelConfig) -> Address {
    if config.payerAuthorizer.is_zero() { config.payer } else { config.payerAuthorizer }
}

/// A payer's promise: the hub may take up to `max_claimable` out of `channel`, over its whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVoucher {
    /// Whose money.
    pub channel: ChannelId,
    /// Cumulative ceiling.
    pub max_claimable: Wei,
    /// The payer's signature, 65 bytes.
    pub signature: Bytes,
}

impl SignedVoucher {
    /// Signs a voucher.
    ///
    /// # Errors
    /// The signer's own error.
    pub fn sign(
        channel: ChannelId,
        max_claimable: Wei,
        chain_id: u64,
        key: &dyn SignerSync,
    ) -> Result<Self, alloy_signer::Error> {
        let signature = signature::sign(eip712::voucher_digest(chain_id, channel.0, max_claimable.0), key)?;
        Ok(Self { channel, max_claimable, signature })
    }

    /// The digest that the payer signed; receipts name vouchers by it.
    #[must_use]
    pub fn digest(&self, chain_id: u64) -> B256 {
        eip712::voucher_digest(chain_id, self.channel.0, self.max_claimable.0)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] when `signer` did not sign it in the accepted form.
    pub fn verify(&self, signer: Address, chain_id: u64) -> Result<(), SignatureError> {
        signature::verify(self.digest(chain_id), &self.signature, signer)
    }
}
