//! Receipts: the operator's signed statement of what a request got, cost and paid.

use alloy_signer::SignerSync;
use openledger_contracts::{Price, Receipt, Share, SplitBps, eip712};
use openledger_primitives::{Address, B256, Bytes, ChannelId, ModelId, ReceiptHash, Wei};

use crate::signature::{self, SIGNATURE_BYTES, SignatureError};
use crate::split::{self, FeeError, SplitError, Usage};

/// Version byte of the canonical encoding.
pub const RECEIPT_VERSION: u8 = 1;
/// Most shares in one pool of a receipt.
pub const SHARES_MAX: usize = 256;
/// Most snapshots that a receipt names.
pub const SNAPSHOTS_MAX: usize = 64;
/// Longest canonical encoding taken, in bytes: 40 words of fixed fields, lists at their limits, and slack.
pub const RECEIPT_BYTES_MAX: usize = 1 + 32 * (64 + SNAPSHOTS_MAX + 4 * SHARES_MAX);

/// Everything that a receipt says except its place in channel, epoch and sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiptDraft {
    /// The model that answered.
    pub model: ModelId,
    /// Hash of its base model.
    pub base_model: B256,
    /// Hash of its weights.
    pub weights_hash: B256,
    /// Which engine, by version.
    pub engine_id: B256,
    /// Which quantisation.
    pub quantisation_id: B256,
    /// Seed of the sampling.
    pub seed: u64,
    /// H(salt ‖ canonical JSON of the request).
    pub request_hash: B256,
    /// H(salt ‖ UTF-8 of the answer).
    pub response_hash: B256,
    /// Tokens used.
    pub usage: Usage,
    /// Price per token.
    pub price: Price,
    /// Split of the fee.
    pub bps: SplitBps,
    /// Builder of the model.
    pub builder: Address,
    /// Attribution method and its version, by hash.
    pub attribution_method: B256,
    /// Roots of the snapshots that the model was trained on.
    pub snapshot_roots: Vec<B256>,
    /// Root of the attribution index.
    pub index_root: B256,
    /// Weights of the influence pool, contributors ascending; empty for the reserve.
    pub influence: Vec<Share>,
    /// Weights of the provenance pool, contributors ascending; empty for the reserve.
    pub provenance: Vec<Share>,
    /// Root over the scores.
    pub attribution_root: B256,
    /// When the request came, in Unix seconds.
    pub requested_at: u64,
    /// When the answer was complete.
    pub answered_at: u64,
    /// Hash of the x402 offer.
    pub offer_hash: B256,
}

/// Where a receipt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptPlace {
    /// Epoch that settles it.
    pub epoch: u64,
    /// Its number among all of the operator's receipts, from 1.
    pub sequence: u64,
    /// Channel that paid.
    pub channel: ChannelId,
    /// Who paid.
    pub payer: Address,
    /// Charged on the channel before.
    pub cumulative_before: Wei,
    /// Digest of the voucher.
    pub voucher_hash: B256,
    /// Who serves and signs.
    pub operator: Address,
}

/// Why a receipt could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The fee does not fit.
    #[error("the receipt's fee could not be set")]
    Fee(#[from] FeeError),
    /// The fee cannot be split.
    #[error("the receipt's fee could not be split")]
    Split(#[from] SplitError),
    /// Too many entries in a list.
    #[error("the receipt's {list} has {entries} entries; at most {entries_max} are allowed")]
    TooMany {
        /// Which list.
        list: &'static str,
        /// Entries given.
        entries: usize,
        /// The limit.
        entries_max: usize,
    },
    /// A pool without shares has no snapshot whose reserve it could go to.
    #[error("model {model} names no snapshot, so nobody could be paid its data share")]
    NoReserve {
        /// Which model.
        model: ModelId,
    },
    /// Cumulative amounts do not fit.
    #[error("{before} wei charged before and a fee of {fee} wei add up to more than 2^128 - 1 wei")]
    Overflow {
        /// Charged before.
        before: Wei,
        /// Fee.
        fee: Wei,
    },
    /// Not the canonical encoding.
    #[error("{bytes} bytes are not the canonical encoding of a receipt: {reason}")]
    NotCanonical {
        /// Bytes given.
        bytes: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The operator's key could not sign.
    #[error("the receipt could not be signed")]
    Sign(#[source] alloy_signer::Error),
}

impl ReceiptDraft {
    /// Checks lists and order, as [`ReceiptDraft::complete`] does, before any work is spent.
    ///
    /// # Errors
    /// [`ReceiptError`] naming the list at fault.
    pub fn check(&self) -> Result<(), ReceiptError> {
        check_length("snapshot list", self.snapshot_roots.len(), SNAPSHOTS_MAX)?;
        for (list, shares) in [("influence list", &self.influence), ("provenance list", &self.provenance)] {
            check_length(list, shares.len(), SHARES_MAX)?;
            if !shares.is_empty() {
                split::split_pool(Wei::ZERO, &weights(shares))?;
            }
        }
        let unpaid_pool = self.influence.is_empty() || self.provenance.is_empty();
        if unpaid_pool && self.snapshot_roots.is_empty() {
            return Err(ReceiptError::NoReserve { model: self.model });
        }
        Ok(())
    }

    /// The fee of this draft.
    ///
    /// # Errors
    /// [`FeeError::Overflow`] above 2^128 - 1 wei.
    pub fn fee(&self) -> Result<Wei, FeeError> {
        split::fee(&self.price, self.usage)
    }

    /// The receipt at `place`: sets fee, split and cumulative amounts.
    ///
    /// # Errors
    /// [`ReceiptError`] when lists are unordered or too long, or amounts do not fit.
    pub fn complete(self, place: ReceiptPlace) -> Result<Receipt, ReceiptError> {
        self.check()?;
        let fee = self.fee()?;
        let split = split::split_fee(fee, &self.bps)?;
        let before = place.cumulative_before;
        let after = before.checked_add(fee).ok_or(ReceiptError::Overflow { before, fee })?;
        Ok(Receipt {
            epoch: place.epoch,
            sequence: place.sequence,
            channelId: place.channel.0,
            payer: place.payer,
            cumulativeBefore: before.0,
            cumulativeAfter: after.0,
            voucherHash: place.voucher_hash,
            modelId: self.model.0,
            baseModel: self.base_model,
            weightsHash: self.weights_hash,
            engineId: self.engine_id,
            quantisationId: self.quantisation_id,
            seed: self.seed,
            requestHash: self.request_hash,
            responseHash: self.response_hash,
            tokensIn: self.usage.tokens_in,
            tokensOut: self.usage.tokens_out,
            price: self.price,
            fee: fee.0,
            bps: self.bps,
            split,
            operator: place.operator,
            builder: self.builder,
            attributionMethod: self.attribution_method,
            snapshotRoots: self.snapshot_roots,
            indexRoot: self.index_root,
            influence: self.influence,
            provenance: self.provenance,
            attributionRoot: self.attribution_root,
            requestedAt: self.requested_at,
            answeredAt: self.answered_at,
            offerHash: self.offer_hash,
        })
    }
}

fn check_length(list: &'static str, entries: usize, entries_max: usize) -> Result<(), ReceiptError> {
    if entries > entries_max { Err(ReceiptError::TooMany { list, entries, entries_max }) } else { Ok(()) }
}

/// A pool's shares as weights to split by.
#[must_use]
pub fn weights(shares: &[Share]) -> Vec<split::Weighted> {
    let weighted = |share: &Share| split::Weighted { account: share.contributor, weight: share.weight.into() };
    shares.iter().map(weighted).collect()
}

/// The hash that receipts trees hold and people quote: the EIP-712 hash of the fields.
#[must_use]
pub fn receipt_hash(receipt: &Receipt) -> ReceiptHash {
    ReceiptHash(eip712::receipt_hash(receipt))
}

/// Canonical bytes: the version byte, then the ABI encoding.
#[must_use]
pub fn to_bytes(receipt: &Receipt) -> Vec<u8> {
    let mut bytes = vec![RECEIPT_VERSION];
    bytes.extend(receipt.abi_encode());
    bytes
}

/// Reads canonical bytes; refuses every other encoding of the same receipt.
///
/// # Errors
/// [`ReceiptError::NotCanonical`] with the reason.
pub fn from_bytes(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
    let fault = |reason| ReceiptError::NotCanonical { bytes: bytes.len(), reason };
    if bytes.len() > RECEIPT_BYTES_MAX {
        return Err(fault("too long"));
    }
    let (version, body) = bytes.split_first().ok_or_else(|| fault("empty"))?;
    if *version != RECEIPT_VERSION {
        return Err(fault("unknown version"));
    }
    let receipt = Receipt::abi_decode_validate(body).map_err(|_| fault("not an ABI-encoded receipt"))?;
    if receipt.abi_encode() == body { Ok(receipt) } else { Err(fault("another encoding of the same fields")) }
}

/// A receipt with its operator's signature. Its JSON form holds amounts as decimal strings.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The operator's signature, 65 bytes.
    pub signature: Bytes,
}

impl SignedReceipt {
    /// Signs `receipt`.
    ///
    /// # Errors
    /// [`ReceiptError::Sign`] with the signer's own error.
    pub fn sign(receipt: Receipt, chain_id: u64, key: &dyn SignerSync) -> Result<Self, ReceiptError> {
        let signature = signature::sign(eip712::receipt_digest(chain_id, &receipt), key).map_err(ReceiptError::Sign)?;
        Ok(Self { receipt, signature })
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> ReceiptHash {
        receipt_hash(&self.receipt)
    }

    /// Checks that the operator named in it signed it.
    ///
    /// # Errors
    /// [`SignatureError`] naming what is wrong.
    pub fn verify(&self, chain_id: u64) -> Result<(), SignatureError> {
        signature::verify(eip712::receipt_digest(chain_id, &self.receipt), &self.signature, self.receipt.operator)
    }

    /// Canonical bytes of the receipt, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = to_bytes(&self.receipt);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads [`SignedReceipt::to_bytes`].
    ///
    /// # Errors
    /// [`ReceiptError::NotCanonical`] with the reason.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let cut = bytes.len().checked_sub(SIGNATURE_BYTES);
        let cut = cut.ok_or(ReceiptError::NotCanonical { bytes: bytes.len(), reason: "shorter than a signature" })?;
        let (receipt, signature) = bytes.split_at(cut);
        Ok(Self { receipt: from_bytes(receipt)?, signature: Bytes::copy_from_slice(signature) })
    }
}
