//! The models that can be asked: the base model, and every adapter that is published on chain.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use openledger_contracts::{Price, Share, SplitBps};
use openledger_datanet::Datanets;
use openledger_engine::Model;
use openledger_primitives::{Address, B256, DatanetId, ModelId};
use openledger_serve::{AdapterId, AdapterSpec, RegisterError, Server};
use openledger_settlement::verify::PublishedTerms;
use openledger_store::{Migration, RowExt as _, Schema, Store, StoreError, params};
use openledger_train::{Artifact, ArtifactError};
use serde::{Deserialize, Serialize};

/// Artifacts (adapter, checkpoints, indexes) kept in memory.
pub const ARTIFACTS_IN_MEMORY_MAX: usize = 8;
/// Most published models.
pub const MODELS_MAX: usize = 100_000;

/// Tables of the gateway; hand it to `Store::open`.
pub const GATEWAY_SCHEMA: Schema = Schema {
    name: "gateway",
    migrations: &[
        Migration { version: 1, name: "published models", sql: TABLES },
        Migration { version: 2, name: "sums of receipts", sql: crate::tally::TABLES },
        Migration { version: 3, name: "sessions and the faucet", sql: crate::session::TABLES },
        Migration { version: 4, name: "artifacts by their place in the data directory", sql: PLACES },
        Migration { version: 5, name: "how far revocations were followed", sql: crate::revocations::TABLES },
    ],
};

/// An artifact always stood in its job's folder; before this, the folder's whole path was written down. The job's folder
/// is what is left of the path when the artifact's name and all up to the last slash before it are taken off.
const PLACES: &str = "
UPDATE gateway_models SET entry = json_set(entry, '$.artifact', 'train/' || (
    SELECT replace(job, rtrim(job, replace(job, '/', '')), '')
    FROM (SELECT substr(path, 1, length(path) - length('/artifact')) AS job
        FROM (SELECT json_extract(entry, '$.artifact') AS path))
) || '/artifact')
WHERE json_extract(entry, '$.artifact') LIKE '/%/train/job-%/artifact';
";

const TABLES: &str = "
CREATE TABLE gateway_models (
    name TEXT PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    entry TEXT NOT NULL
) STRICT;
";

/// A model published on chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Published {
    /// Name under which it is asked for.
    pub name: String,
    /// Its id on chain.
    pub id: ModelId,
    /// Who built it.
    pub builder: Address,
    /// Folder of its artifact; in the database, its place in the data directory.
    pub artifact: PathBuf,
    /// Hash of its weights.
    pub weights_hash: B256,
    /// Root of its attribution indexes.
    pub index_root: B256,
    /// Roots of the snapshots that it was trained on.
    pub snapshot_roots: Vec<B256>,
    /// Price per token.
    #[serde(with = "abi_hex")]
    pub price: Price,
    /// Split of its fees.
    #[serde(with = "abi_hex")]
    pub split: SplitBps,
    /// System prompt that it was trained with, given where the caller gives none.
    pub system_prompt: Option<String>,
    /// When it was published, in Unix seconds.
    pub published_at: u64,
}

impl Published {
    /// Name of its adapter in the model server.
    pub fn adapter(&self) -> Result<AdapterId, RegisterError> {
        self.name.parse()
    }

    /// What receipts are checked against, for an adapter of `base_model`.
    pub fn terms(&self, base_model: B256) -> PublishedTerms {
        PublishedTerms {
            builder: self.builder,
            base_model,
            weights_hash: self.weights_hash,
            index_root: self.index_root,
            snapshot_roots: self.snapshot_roots.clone(),
            price: self.price.clone(),
            split: self.split.clone(),
        }
    }
}

/// Why a model was not published here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Another model has the name.
    #[error("the name {name:?} belongs to model {taken_by}; a new version takes a new name")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        taken_by: ModelId,
    },
    /// Too many models.
    #[error("{MODELS_MAX} models are published already, which is the limit")]
    Full,
    /// The model server refused the adapter.
    #[error("the model server refused the adapter")]
    Register(#[from] RegisterError),
    /// The database failed.
    #[error("the model could not be noted")]
    Store(#[from] StoreError),
    /// The entry has no JSON form.
    #[error("the model's entry cannot be written")]
    Entry(#[from] serde_json::Error),
}

/// Every model that can be asked.
pub struct Catalog {
    base: Model,
    base_name: String,
    store: Store,
    data_dir: PathBuf,
    published: RwLock<BTreeMap<String, Arc<Published>>>,
    artifacts: Mutex<VecDeque<(ModelId, Arc<Artifact>)>>,
    lineages: Mutex<BTreeMap<ModelId, Arc<Lineage>>>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Models that it descends from.
    pub parents: Vec<ModelId>,
    /// Datanets that it was trained on, ascending.
    pub datanets: Vec<DatanetId>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("base", &self.base_name).finish_non_exhaustive()
    }
}

impl Catalog {
    /// The catalog kept in `store`, each model registered with `server`. Artifacts stand in `data_dir`, wherever that
    /// is now.
    ///
    /// # Errors
    /// [`PublishError`] when the tables cannot be read. A model whose adapter is gone is logged and left out.
    pub fn open(
        base: Model,
        base_name: &str,
        store: Store,
        server: &Server,
        data_dir: &Path,
    ) -> Result<Self, PublishError> {
        let entries: Vec<String> = store.read(|tx| {
            tx.query_all("SELECT entry FROM gateway_models ORDER BY name", [], |row| row.column::<String>("entry"))
        })?;
        let mut published = BTreeMap::new();
        for entry in entries {
            let mut entry: Published = serde_json::from_str(&entry)?;
            entry.artifact = data_dir.join(entry.artifact);
            match register(server, &base, &entry) {
                Ok(()) => drop(published.insert(entry.name.clone(), Arc::new(entry))),
                Err(error) => tracing::error!(model = %entry.name, %error, "a published model is not served"),
            }
        }
        let (published, artifacts, lineages) = (RwLock::new(published), Mutex::default(), Mutex::default());
        let (base_name, data_dir) = (base_name.to_owned(), data_dir.to_owned());
        Ok(Self { base, base_name, store, data_dir, published, artifacts, lineages })
    }

    /// The base model.
    pub fn base(&self) -> &Model {
        &self.base
    }

    /// The base model's name.
    pub fn base_name(&self) -> &str {
        &self.base_name
    }

    /// Adds a model and serves it. Adding the same model again changes nothing.
    ///
    /// # Errors
    /// [`PublishError`]; the model is not served then.
    pub fn publish(&self, entry: Published, server: &Server) -> Result<Arc<Published>, PublishError> {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = published.get(&entry.name) {
            let taken = PublishError::NameTaken { name: entry.name.clone(), taken_by: known.id };
            return if known.id == entry.id { Ok(Arc::clone(known)) } else { Err(taken) };
        }
        if published.len() >= MODELS_MAX {
            return Err(PublishError::Full);
        }
        register(server, &self.base, &entry)?;
        let place = entry.artifact.strip_prefix(&self.data_dir).unwrap_or(&entry.artifact).to_owned();
        let json = serde_json::to_string(&Published { artifact: place, ..entry.clone() })?;
        self.store.with_tx(|tx| {
            let row = params![entry.name, entry.id.0.as_slice(), json];
            tx.execute("INSERT INTO gateway_models (name, id, entry) VALUES (?1, ?2, ?3)", row)
        })?;
        let entry = Arc::new(entry);
        published.insert(entry.name.clone(), Arc::clone(&entry));
        Ok(entry)
    }

    /// The model of that name.
    pub fn by_name(&self, name: &str) -> Option<Arc<Published>> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The model of that id.
    pub fn by_id(&self, id: ModelId) -> Option<Arc<Published>> {
        self.list().into_iter().find(|model| model.id == id)
    }

    /// The models published from that artifact, by name: a builder each.
    pub fn of_artifact(&self, folder: &Path) -> Vec<Arc<Published>> {
        self.list().into_iter().filter(|model| model.artifact == folder).collect()
    }

    /// All published models by name.
    pub fn list(&self) -> Vec<Arc<Published>> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A model's artifact, read and checked against its manifest, or from memory. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError`] naming the part that is missing or not what the manifest says.
    pub fn artifact(&self, model: &Published) -> Result<Arc<Artifact>, ArtifactError> {
        if let Some(artifact) = self.remembered(model.id) {
            return Ok(artifact);
        }
        let artifact = Arc::new(Artifact::load(&model.artifact, &self.base)?);
        let mut kept = self.artifacts.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((model.id, Arc::clone(&artifact)));
        kept.truncate(ARTIFACTS_IN_MEMORY_MAX);
        Ok(artifact)
    }

    /// The Datanets of the store that the models are in, to read snapshots, of which none depends on the chain.
    pub(crate) fn datanets(&self) -> Datanets {
        const ANY_CHAIN: u64 = 0;
        Datanets::new(self.store.clone(), ANY_CHAIN)
    }

    /// Where a model comes from, by its manifest alone. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError`] when the manifest is gone or damaged.
    pub fn lineage(&self, model: &Published) -> Result<Arc<Lineage>, ArtifactError> {
        let known = || self.lineages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lineage) = known().get(&model.id) {
            return Ok(Arc::clone(lineage));
        }
        let manifest = Artifact::load_manifest(&model.artifact)?;
        let mut datanets: Vec<DatanetId> = manifest.snapshots.iter().map(|named| named.datanet).collect();
        datanets.sort_unstable();
        datanets.dedup();
        let lineage = Arc::new(Lineage { parents: manifest.parents, datanets });
        known().insert(model.id, Arc::clone(&lineage));
        Ok(lineage)
    }

    /// Least recently used at the back.
    fn remembered(&self, id: ModelId) -> Option<Arc<Artifact>> {
        let mut kept = self.artifacts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == id)?;
        let entry = kept.remove(at)?;
        let artifact = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(artifact)
    }
}

fn register(server: &Server, base: &Model, entry: &Published) -> Result<(), RegisterError> {
    let spec = AdapterSpec {
        id: entry.adapter()?,
        path: entry.artifact.join("adapter"),
        base_model: Some(base.hash()),
        weights_hash: Some(entry.weights_hash),
        replace: false,
    };
    server.register(spec).map(drop)
}

/// Weights as a receipt writes them.
pub(crate) fn shares(weights: &[(Address, u16)]) -> Vec<Share> {
    weights.iter().map(|&(contributor, weight)| Share { contributor, weight }).collect()
}

/// Contract types in JSON, as the hexadecimal text of their ABI encoding.
mod abi_hex {
    use openledger_contracts::SolValue;
    use openledger_primitives::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<T: SolValue, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::from(value.abi_encode()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>,
        D: Deserializer<'de>,
    {
        T::abi_decode(&Bytes::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
