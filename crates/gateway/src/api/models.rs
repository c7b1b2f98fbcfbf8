//! Models that can be asked.

use serde::Serialize;
use utoipa::ToSchema;

use super::scalar::{Account, Amount, AnyObject, Hash};
use super::training::{Price, SplitBps};

/// `GET /v1/models`, as OpenAI's clients read it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    /// The base model first, then the adapters by name.
    pub data: Vec<Model>,
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Model {
    /// The name under which it answers.
    pub id: String,
    /// `model`.
    pub object: String,
    /// When it was published, in Unix seconds; 0 for the base model.
    pub created: u64,
    /// Its builder's address; `openledger` for the base model.
    pub owned_by: String,
    /// The name under which it answers.
    pub root: String,
    /// Its base model; null for the base model itself.
    #[schema(required)]
    pub parent: Option<String>,
    /// What OpenAI's format has no place for.
    pub openledger: ModelExtras,
}

/// What OpenAI's format has no place for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelExtras {
    /// Hash of the base model, on the base model's own entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub base_model: Option<Hash>,
    /// Its id on chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model_id: Option<Hash>,
    /// Hash of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub weights_hash: Option<Hash>,
    /// Root of its attribution indexes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index_root: Option<Hash>,
    /// Roots of the snapshots that it was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub snapshot_roots: Option<Vec<Hash>>,
    /// What a token costs; null for the base model, which is free.
    #[schema(required)]
    pub price: Option<Price>,
}

/// A published model with what it has done, as listings show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegistryRow {
    /// Its name.
    pub name: String,
    /// Its id on chain.
    pub id: Hash,
    /// Who built it.
    pub builder: Account,
    /// What a token costs.
    pub price: Price,
    /// When it was published, in Unix seconds.
    pub published_at: u64,
    /// Paid answers that it gave.
    pub answers: u64,
    /// What they cost together.
    pub income_wei: Amount,
}

/// A model with where it comes from and what it has done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelDetail {
    /// Its name.
    pub name: String,
    /// Its id on chain.
    pub id: Hash,
    /// Who built it.
    pub builder: Account,
    /// What a token costs.
    pub price: Price,
    /// How its fees are split.
    pub split: SplitBps,
    /// When it was published, in Unix seconds.
    pub published_at: u64,
    /// The whole manifest, whose hash is on chain.
    pub manifest: AnyObject,
    /// Hash of the manifest.
    pub manifest_hash: Hash,
    /// Datanets that it was trained on.
    pub datanets: Vec<u64>,
    /// Models that it descends from.
    pub parents: Vec<ModelLink>,
    /// Models that descend from it.
    pub children: Vec<ModelLink>,
    /// Records that it was trained on and whose contributors took them back since; above 0 it is stale.
    pub revoked_records: u64,
    /// Paid answers that it gave.
    pub answers: u64,
    /// What they cost together.
    pub income_wei: Amount,
}

/// Another model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelLink {
    /// Its id on chain.
    pub id: Hash,
    /// Its name; null for models that are not served here.
    #[schema(required)]
    pub name: Option<String>,
}
