//! Request and answer: held against a receipt's hashes, and made again from published artefacts alone.

use openledger_contracts::{Receipt, Share};
use openledger_primitives::{B256, canonical_json, keccak256};
use serde::{Deserialize, Serialize};

use super::{Stage, VerifyReport, chain};
use crate::split::Usage;

/// What the caller (or, in a dispute, the operator) discloses for a replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disclosure {
    /// The request as sent.
    pub request: serde_json::Value,
    /// The answer as received.
    pub answer: String,
    /// The salt of both hashes.
    pub salt: B256,
}

/// `H(salt ‖ canonical JSON of the request)`.
///
/// # Errors
/// [`canonical_json::CanonicalJsonError`] for a request that has no canonical form.
pub fn request_hash(request: &serde_json::Value, salt: B256) -> Result<B256, canonical_json::CanonicalJsonError> {
    let bytes = canonical_json::to_vec(request)?;
    Ok(keccak256([salt.as_slice(), &bytes].concat()))
}

/// `H(salt ‖ UTF-8 of the answer)`.
#[must_use]
pub fn response_hash(answer: &str, salt: B256) -> B256 {
    keccak256([salt.as_slice(), answer.as_bytes()].concat())
}

/// Holds a request and its answer against the hashes in the receipt. Needs no model.
#[must_use]
pub fn verify_disclosure(receipt: &Receipt, disclosure: &Disclosure) -> VerifyReport {
    let mut report = VerifyReport::default();
    match request_hash(&disclosure.request, disclosure.salt) {
        Ok(hash) => report.equal(Stage::Answer, "request-hash", &hash, &receipt.requestHash),
        Err(error) => report.push(Stage::Answer, "request-hash", false, "a canonical request", chain(&error)),
    }
    let hash = response_hash(&disclosure.answer, disclosure.salt);
    report.equal(Stage::Answer, "response-hash", &hash, &receipt.responseHash);
    report
}

/// What running a request again gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The answer.
    pub answer: String,
    /// Tokens used.
    pub usage: Usage,
    /// Whether the answer ends where neither the model nor the request's limit would have ended it.
    pub cut_short: bool,
    /// Root over the scores.
    pub attribution_root: B256,
    /// Weights of the influence pool.
    pub influence: Vec<Share>,
    /// Weights of the provenance pool.
    pub provenance: Vec<Share>,
}

/// Runs a request again, from published artefacts alone.
pub trait ReplayEngine {
    /// Why a replay could not run.
    type Error: std::error::Error;

    /// Replays `request` under the model, seed and attribution method that `receipt` names.
    ///
    /// # Errors
    /// When an artefact that the receipt names is not at hand or does not have the hash named.
    fn replay(&mut self, receipt: &Receipt, request: &serde_json::Value) -> Result<Replayed, Self::Error>;
}

/// Replays a receipt and compares answer, tokens, scores and weights, after what [`verify_disclosure`] does.
/// [`VerifyReport::first_fault`] names the first stage that differs; add [`super::verify_receipt`] for the split.
///
/// # Errors
/// The engine's own error when the replay could not run.
pub fn verify_replay<E: ReplayEngine>(
    receipt: &Receipt,
    disclosure: &Disclosure,
    engine: &mut E,
) -> Result<VerifyReport, E::Error> {
    let mut report = verify_disclosure(receipt, disclosure);
    let replayed = engine.replay(receipt, &disclosure.request)?;
    report.equal(Stage::Answer, "answer", &replayed.answer, &disclosure.answer);
    report.equal(Stage::Answer, "tokens-in", &replayed.usage.tokens_in, &receipt.tokensIn);
    report.equal(Stage::Answer, "tokens-out", &replayed.usage.tokens_out, &receipt.tokensOut);
    if replayed.cut_short {
        let tokens = receipt.tokensOut;
        report.missing.push(format!(
            "answer-end: the answer stops after {tokens} tokens, where the model would go on; that its caller ended it \
             there, the evidence cannot show"
        ));
    }
    report.equal(Stage::Score, "scores", &replayed.attribution_root, &receipt.attributionRoot);
    for (name, expected, found) in [
        ("influence-weights", &replayed.influence, &receipt.influence),
        ("provenance-weights", &replayed.provenance, &receipt.provenance),
    ] {
        report.equal(Stage::Weight, name, &ShareView(expected), &ShareView(found));
    }
    Ok(report)
}

#[derive(PartialEq)]
struct ShareView<'a>(&'a [Share]);

impl std::fmt::Debug for ShareView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|share| (share.contributor, share.weight))).finish()
    }
}
