//! One answer's attribution as a whole: computed, encoded, bound to one root, and compared on replay.

mod compare;
mod encode;
mod json;

pub use compare::{Difference, Pool, compare};
pub use json::JsonLimits;

use std::collections::BTreeMap;

use openledger_primitives::merkle::MerkleTree;
use openledger_primitives::{Address, B256, canonical_json, keccak256};
use serde::{Deserialize, Serialize};

use crate::codec::Writer;
use crate::influence::{InfluenceIndex, InfluencePolicy, QuerySketch, ScoreError};
use crate::suffix::{Answer, Span, SuffixIndex, SuffixPolicy};
use crate::weights::{InfluenceWeights, Outcome, WeighError, WeightsPolicy, weigh_credits, weigh_influence};

/// Version of the method as a whole and of its encodings; part of the method id.
pub const ATTRIBUTION_VERSION: u8 = 1;

/// The attribution policy of a model, as its manifest carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributionPolicy {
    /// How the influence index is built.
    pub influence: InfluencePolicy,
    /// How the suffix index is built and read.
    pub provenance: SuffixPolicy,
    /// How scores become weights.
    pub weights: WeightsPolicy,
}

impl AttributionPolicy {
    /// The id that receipts name: keccak256("openledger attribution" ‖ version ‖ canonical JSON of the policy).
    pub fn method_id(&self) -> B256 {
        let value = serde_json::to_value(self).expect("a policy has string keys and finite numbers");
        let json = canonical_json::to_vec(&value).expect("a shallow value whose integers are at most 32 bits");
        let mut out = Writer::default();
        out.bytes(b"openledger attribution");
        out.u8(ATTRIBUTION_VERSION);
        out.bytes(&json);
        keccak256(out.as_slice())
    }
}

/// The one root under which a model's manifest and receipts name both indexes: H(version ‖ influence ‖ suffix).
pub fn index_root(influence: B256, suffix: B256) -> B256 {
    let mut out = Writer::default();
    out.u8(ATTRIBUTION_VERSION);
    out.bytes(influence.as_slice());
    out.bytes(suffix.as_slice());
    keccak256(out.as_slice())
}

/// What is attributed: one answer to one request.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The receipt's request hash; draws the background sample of a large index.
    pub request_hash: B256,
    /// The answer's gradients.
    pub sketch: &'a QuerySketch,
    /// The answer's tokens.
    pub answer: &'a Answer,
}

/// One answer's attribution, with the evidence behind each weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Id of policy and version.
    pub method: B256,
    /// Root over both indexes.
    pub index_root: B256,
    /// The request hash.
    pub request_hash: B256,
    /// Hash of the answer's tokens: keccak256 of each as u32.
    pub answer_hash: B256,
    /// Hash of the query's sketch.
    pub query_hash: B256,
    /// Merkle root over all records' scores; leaf data u32 record ‖ i64 score.
    pub scores_root: B256,
    /// Background, the records that count, and who is paid from the influence pool.
    pub influence: InfluenceWeights,
    /// The spans kept.
    pub spans: Vec<Span>,
    /// Credit from spans by contributor, in bits, Q32.
    pub credits: BTreeMap<Address, u128>,
    /// Who is paid from the provenance pool.
    pub provenance: Outcome,
}

/// Why an answer cannot be attributed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The two indexes cover different records.
    #[error("the influence index covers {influence} records and the suffix index {suffix} others")]
    Records {
        /// Records in the influence index.
        influence: usize,
        /// Records in the suffix index.
        suffix: usize,
    },
    /// The query does not fit the index.
    #[error("the query cannot be scored")]
    Score(#[from] ScoreError),
    /// The scores cannot be weighed.
    #[error("the scores cannot be weighed")]
    Weigh(#[from] WeighError),
}

/// Attributes one answer. The same inputs give the same result on every machine.
///
/// # Errors
/// [`AttributeError`] where the indexes or the query do not fit together.
pub fn attribute(
    weights: &WeightsPolicy,
    influence: &InfluenceIndex,
    suffix: &SuffixIndex,
    question: Question<'_>,
) -> Result<Attribution, AttributeError> {
    let records = influence.records();
    if records != suffix.records() {
        return Err(AttributeError::Records { influence: records.len(), suffix: suffix.records().len() });
    }
    let scores = influence.scores(question.sketch)?;
    let provenance = suffix.provenance(question.answer);
    let policy =
        AttributionPolicy { influence: influence.policy().clone(), provenance: *suffix.policy(), weights: *weights };
    Ok(Attribution {
        method: policy.method_id(),
        index_root: index_root(influence.root(), suffix.root()),
        request_hash: question.request_hash,
        answer_hash: answer_hash(question.answer),
        query_hash: question.sketch.hash(),
        scores_root: scores_tree(&scores).root(),
        influence: weigh_influence(&scores, records, question.request_hash, weights)?,
        provenance: weigh_credits(&provenance.credits, weights.top_k),
        spans: provenance.spans,
        credits: provenance.credits,
    })
}

/// The Merkle tree over all records' scores; leaf data u32 record ‖ i64 score.
pub fn scores_tree(scores: &[i64]) -> MerkleTree {
    let leaf = |(record, &score): (u32, &i64)| {
        let mut out = Writer::with_capacity(12);
        out.u32(record);
        out.i64(score);
        out.into_vec()
    };
    MerkleTree::from_leaves((0u32..).zip(scores).map(leaf))
}

fn answer_hash(answer: &Answer) -> B256 {
    let mut out = Writer::default();
    answer.tokens().iter().for_each(|&token| out.u32(token));
    keccak256(out.as_slice())
}
