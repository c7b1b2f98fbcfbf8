//! Signatures: 65 bytes, low `s`, externally owned accounts only.
//!
//! A signature has one accepted form (`v` 27 or 28, `s` in the lower half), the one that the hub accepts, so a
//! signature cannot be altered into a second valid one. What an account's own key signed stays good on chain whatever
//! code the account takes on later (EIP-7702), so a voucher that passes here can always be claimed, as far as the
//! channel's balance goes.

use alloy_primitives::Signature;
use alloy_signer::SignerSync;
use openledger_primitives::{Address, B256, Bytes};

/// Bytes in a signature: r, s and v.
pub const SIGNATURE_BYTES: usize = 65;

/// Why a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 65 bytes: a contract wallet's signature or garbage.
    #[error("the signature has {bytes} bytes; {SIGNATURE_BYTES} expected (contract wallets are not supported)")]
    Length {
        /// Bytes given.
        bytes: usize,
    },
    /// `v` is neither 27 nor 28.
    #[error("the signature's last byte is {v}; 27 or 28 expected")]
    Parity {
        /// The byte given.
        v: u8,
    },
    /// `s` is in the upper half of the curve order: a mirrored copy of a valid signature.
    #[error("the signature's s value is in the upper half of the curve order")]
    HighS,
    /// No key recovers from it.
    #[error("the signature recovers to no key")]
    Unrecoverable,
    /// Another key signed.
    #[error("signed by {signer}; {expected} expected")]
    WrongSigner {
        /// Who signed.
        signer: Address,
        /// Who should have.
        expected: Address,
    },
}

/// Checks that `expected` signed `digest`.
///
/// # Errors
/// [`SignatureError`] naming what is wrong.
pub fn verify(digest: B256, signature: &[u8], expected: Address) -> Result<(), SignatureError> {
    let signer = recover(digest, signature)?;
    if signer == expected { Ok(()) } else { Err(SignatureError::WrongSigner { signer, expected }) }
}

/// Who signed `digest`.
///
/// # Errors
/// [`SignatureError`] when the signature does not have the one accepted form.
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    let bytes: &[u8; SIGNATURE_BYTES] =
        signature.try_into().map_err(|_| SignatureError::Length { bytes: signature.len() })?;
    let v = bytes[SIGNATURE_BYTES - 1];
    if v != 27 && v != 28 {
        return Err(SignatureError::Parity { v });
    }
    let parsed = Signature::from_raw_array(bytes).map_err(|_| SignatureError::Unrecoverable)?;
    if parsed.normalize_s().is_some() {
        return Err(SignatureError::HighS);
    }
    let signer = parsed.recover_address_from_prehash(&digest).map_err(|_| SignatureError::Unrecoverable)?;
    // The zero address stands for "no key"; nothing may ever count as signed by it.
    if signer.is_zero() { Err(SignatureError::Unrecoverable) } else { Ok(signer) }
}

/// Signs `digest` in the accepted form.
///
/// # Errors
/// The signer's own error, such as a hardware wallet that is locked.
pub fn sign(digest: B256, key: &dyn SignerSync) -> Result<Bytes, alloy_signer::Error> {
    let signature = key.sign_hash_sync(&digest)?.normalized_s();
    Ok(Bytes::copy_from_slice(&signature.as_bytes()))
}
