//! Signed and hashed messages: EIP-712 domains, channel ids, commitments, model ids, claim leaves.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain, sol};

use crate::Receipt;
use crate::addresses::{DATANET_REGISTRY, INFERENCE_HUB, MODEL_REGISTRY};
use crate::bindings::{ChannelConfig, LicenceTerms, Voucher};

sol! {
    /// A contributor's consent to a Datanet's licence for one batch.
    #[derive(Debug, PartialEq, Eq)]
    struct Consent {
        uint64 datanetId;
        bytes32 licenceHash;
        bytes32 batchRoot;
        uint32 recordCount;
        address contributor;
    }

    /// An operator's agreement to return unclaimed funds of a channel.
    #[derive(Debug, PartialEq, Eq)]
    struct Refund {
        bytes32 channelId;
        uint256 nonce;
        uint128 amount;
    }

    /// EIP-3009: a transfer that only the payee may submit.
    #[derive(Debug, PartialEq, Eq)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// EIP-3009: a transfer that anyone may submit.
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// EIP-2612.
    #[derive(Debug, PartialEq, Eq)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

/// Domain of channels, vouchers and refunds (x402 v2, batch-settlement).
#[must_use]
pub fn channel_domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: "x402 Batch Settlement", version: "1", chain_id: chain_id, verifying_contract: INFERENCE_HUB, }
}

/// Domain of receipts.
#[must_use]
pub fn receipt_domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: "OpenLedger Receipt", version: "1", chain_id: chain_id, verifying_contract: INFERENCE_HUB, }
}

/// Domain of consents.
#[must_use]
pub fn datanet_domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: "OpenLedger Datanet", version: "1", chain_id: chain_id, verifying_contract: DATANET_REGISTRY, }
}

/// Domain of wrapped OPEN's permits and authorisations.
#[must_use]
pub fn wrapped_open_domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! {
        name: "Wrapped OPEN",
        version: "1",
        chain_id: chain_id,
        verifying_contract: crate::addresses::WRAPPED_OPEN,
    }
}

/// A channel's id: the typed-data digest of its configuration.
#[must_use]
pub fn channel_id(chain_id: u64, config: &ChannelConfig) -> B256 {
    config.eip712_signing_hash(&channel_domain(chain_id))
}

/// The digest that a payer signs to promise `max_claimable_wei` in total.
#[must_use]
pub fn voucher_digest(chain_id: u64, channel_id: B256, max_claimable_wei: u128) -> B256 {
    Voucher { channelId: channel_id, maxClaimableAmount: max_claimable_wei }
        .eip712_signing_hash(&channel_domain(chain_id))
}

/// The nonce of the EIP-3009 authorisation that funds a channel; it binds the authorisation to the channel.
#[must_use]
pub fn deposit_nonce(channel_id: B256, salt: B256) -> B256 {
    keccak256((channel_id, salt).abi_encode())
}

/// A receipt's hash: its EIP-712 hashStruct.
#[must_use]
pub fn receipt_hash(receipt: &Receipt) -> B256 {
    receipt.eip712_hash_struct()
}

/// The digest that an operator signs.
#[must_use]
pub fn receipt_digest(chain_id: u64, receipt: &Receipt) -> B256 {
    receipt.eip712_signing_hash(&receipt_domain(chain_id))
}

/// A licence's hash.
#[must_use]
pub fn licence_hash(terms: &LicenceTerms) -> B256 {
    keccak256(terms.abi_encode())
}

/// The commitment that takes a batch's place in the order before the batch is shown.
#[must_use]
pub fn commitment(
    chain_id: u64,
    datanet_id: u64,
    contributor: Address,
    batch_root: B256,
    record_count: u32,
    salt: B256,
) -> B256 {
    let preimage = (U256::from(chain_id), DATANET_REGISTRY, datanet_id, contributor, batch_root, record_count, salt);
    keccak256(preimage.abi_encode())
}

/// A model's id.
#[must_use]
pub fn model_id(chain_id: u64, builder: Address, manifest_hash: B256) -> B256 {
    keccak256((U256::from(chain_id), MODEL_REGISTRY, builder, manifest_hash).abi_encode())
}

/// The leaf of `account`'s cumulative credit in the balance tree.
#[must_use]
pub fn claim_leaf(chain_id: u64, account: Address, cumulative_wei: u128) -> B256 {
    let preimage = (U256::from(chain_id), INFERENCE_HUB, account, U256::from(cumulative_wei));
    keccak256(keccak256(preimage.abi_encode()))
}
