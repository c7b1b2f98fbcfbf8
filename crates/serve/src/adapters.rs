//! Adapter tiers: registered on disk, cached in memory by bytes, running in a batch slot.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openledger_engine::LoraAdapter;
use openledger_primitives::B256;

use crate::{
    config::REGISTERED_MAX,
    error::{RegisterError, UnloadError},
};

/// Most characters of an adapter's name.
pub(crate) const ADAPTER_ID_CHARS_MAX: usize = 128;

/// The name under which an adapter is served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AdapterId(Arc<str>);

impl AdapterId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdapterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AdapterId {
    type Err = RegisterError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        if name.is_empty() || name.len() > ADAPTER_ID_CHARS_MAX || !name.chars().all(plain) {
            return Err(RegisterError::Name {
                name: name.chars().take(ADAPTER_ID_CHARS_MAX).collect(),
                limit: ADAPTER_ID_CHARS_MAX,
            });
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for AdapterId {
    type Error = RegisterError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<AdapterId> for String {
    fn from(id: AdapterId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// One generation of an adapter: the name with a number that grows when other weights take the name over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdapterKey {
    /// The name.
    pub id: AdapterId,
    /// 1 for the first weights under that name.
    pub generation: u64,
}

/// An adapter to register.
#[derive(Debug, Clone)]
pub struct AdapterSpec {
    /// The name to serve it under.
    pub id: AdapterId,
    /// A PEFT folder or a GGUF adapter file.
    pub path: PathBuf,
    /// Hash of the base model that it was trained for, where known: another one than the server's is refused.
    pub base_model: Option<B256>,
    /// Hash of its weights, where known. With it, registration reads nothing and loading checks it;
    /// without it, registration reads the file.
    pub weights_hash: Option<B256>,
    /// Take the name over from other weights (a new generation) instead of refusing with a conflict.
    pub replace: bool,
}

/// Where an adapter is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterState {
    /// On disk only.
    Registered,
    /// Being read.
    Loading,
    /// In memory.
    Cached,
    /// In memory and used by requests that run.
    Running,
}

/// What is known of a registered adapter.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AdapterInfo {
    /// The name.
    pub id: AdapterId,
    /// Grows when other weights take the name over.
    pub generation: u64,
    /// Where it is on disk.
    pub path: PathBuf,
    /// Hash of its weights.
    pub weights_hash: B256,
    /// Where it is now.
    pub state: AdapterState,
    /// Bytes in memory, while it is there.
    pub bytes: Option<u64>,
}

#[derive(Debug)]
struct Registered {
    generation: u64,
    path: PathBuf,
    weights_hash: B256,
}

#[derive(Debug)]
struct Cached {
    adapter: Arc<LoraAdapter>,
    bytes: u64,
    used_at: u64,
    running: usize,
}

/// All adapters of a server. The lock is held for look-ups only, never while a file is read or a pass computed.
#[derive(Debug)]
pub(crate) struct Tiers {
    inner: Mutex<Inner>,
    cache_bytes_max: u64,
}

#[derive(Debug, Default)]
struct Inner {
    registered: BTreeMap<AdapterId, Registered>,
    /// The highest generation that each name ever had here: a name that was unloaded and comes back gets a new one.
    generations: BTreeMap<AdapterId, u64>,
    cached: BTreeMap<AdapterKey, Cached>,
    loading: BTreeMap<AdapterKey, ()>,
    clock: u64,
    evictions: u64,
    loads: u64,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CacheCounts {
    pub(crate) registered: usize,
    pub(crate) cached: usize,
    pub(crate) cached_bytes: u64,
    pub(crate) evictions: u64,
    pub(crate) loads: u64,
}

impl Tiers {
    pub(crate) fn new(cache_bytes_max: u64) -> Self {
        Self { inner: Mutex::default(), cache_bytes_max }
    }

    /// Registers weights under a name. The same weights again are no change; other weights are a conflict unless `replace`.
    pub(crate) fn register(&self, spec: &AdapterSpec, weights_hash: B256) -> Result<AdapterKey, RegisterError> {
        let mut inner = self.lock();
        if let Some(old) = inner.registered.get(&spec.id) {
            if old.weights_hash == weights_hash {
                return Ok(AdapterKey { id: spec.id.clone(), generation: old.generation });
            }
            if !spec.replace {
                return Err(conflict(spec, old, weights_hash));
            }
        } else if inner.registered.len() >= REGISTERED_MAX {
            return Err(RegisterError::Full { limit: REGISTERED_MAX });
        }
        let generation = inner.generations.get(&spec.id).copied().unwrap_or(0) + 1;
        inner.generations.insert(spec.id.clone(), generation);
        inner.registered.insert(spec.id.clone(), Registered { generation, path: spec.path.clone(), weights_hash });
        inner.drop_stale(&spec.id);
        Ok(AdapterKey { id: spec.id.clone(), generation })
    }

    /// Forgets a name. Requests that run keep their weights.
    pub(crate) fn unload(&self, id: &AdapterId) -> Result<(), UnloadError> {
        let mut inner = self.lock();
        inner.registered.remove(id).ok_or_else(|| UnloadError::Unknown { id: id.clone() })?;
        inner.drop_stale(id);
        Ok(())
    }

    /// The generation that a name stands for now.
    pub(crate) fn resolve(&self, id: &AdapterId) -> Option<AdapterKey> {
        let generation = self.lock().registered.get(id)?.generation;
        Some(AdapterKey { id: id.clone(), generation })
    }

    /// Path and expected hash of a generation, if it is still registered.
    pub(crate) fn source(&self, key: &AdapterKey) -> Option<(PathBuf, B256)> {
        let inner = self.lock();
        let entry = inner.registered.get(&key.id).filter(|r| r.generation == key.generation)?;
        Some((entry.path.clone(), entry.weights_hash))
    }

    /// Marks a generation as being loaded; false if it is already, or is in memory.
    pub(crate) fn begin_load(&self, key: &AdapterKey) -> bool {
        let mut inner = self.lock();
        !inner.cached.contains_key(key) && inner.loading.insert(key.clone(), ()).is_none()
    }

    /// Ends a load that failed or was not begun after all.
    pub(crate) fn end_load(&self, key: &AdapterKey) {
        self.lock().loading.remove(key);
    }

    /// Puts loaded weights in memory and drops the least recently used that nobody runs, down to the limit.
    pub(crate) fn insert(&self, key: AdapterKey, adapter: Arc<LoraAdapter>, bytes: u64) {
        let mut inner = self.lock();
        inner.clock += 1;
        inner.loads += 1;
        let used_at = inner.clock;
        inner.loading.remove(&key);
        inner.cached.insert(key.clone(), Cached { adapter, bytes, used_at, running: 0 });
        inner.evict(self.cache_bytes_max, &key);
    }

    pub(crate) fn is_cached(&self, key: &AdapterKey) -> bool {
        self.lock().cached.contains_key(key)
    }

    /// Pins a generation that is in memory for one request.
    pub(crate) fn pin(&self, key: &AdapterKey) -> Option<Arc<LoraAdapter>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.cached.get_mut(key)?;
        entry.used_at = now;
        entry.running += 1;
        Some(Arc::clone(&entry.adapter))
    }

    /// Ends one request's use.
    pub(crate) fn unpin(&self, key: &AdapterKey) {
        let mut inner = self.lock();
        if let Some(entry) = inner.cached.get_mut(key) {
            entry.running = entry.running.saturating_sub(1);
        }
        let stale = inner.registered.get(&key.id).is_none_or(|r| r.generation != key.generation);
        if stale && inner.cached.get(key).is_some_and(|c| c.running == 0) {
            inner.cached.remove(key);
        }
        inner.evict(self.cache_bytes_max, key);
    }

    pub(crate) fn list(&self) -> Vec<AdapterInfo> {
        let inner = self.lock();
        inner.registered.iter().map(|(id, entry)| inner.info(id, entry)).collect()
    }

    pub(crate) fn info(&self, id: &AdapterId) -> Option<AdapterInfo> {
        let inner = self.lock();
        inner.registered.get(id).map(|entry| inner.info(id, entry))
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        let inner = self.lock();
        CacheCounts {
            registered: inner.registered.len(),
            cached: inner.cached.len(),
            cached_bytes: inner.cached_bytes(),
            evictions: inner.evictions,
            loads: inner.loads,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is complete before anything that can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn cached_bytes(&self) -> u64 {
        self.cached.values().map(|c| c.bytes).sum()
    }

    /// Drops the least recently used adapters that nobody runs until the limit holds; never `keep`, whose request waits for it.
    fn evict(&mut self, bytes_max: u64, keep: &AdapterKey) {
        while self.cached_bytes() > bytes_max {
            let idle = self.cached.iter().filter(|(key, c)| c.running == 0 && *key != keep);
            let Some(oldest) = idle.min_by_key(|(_, c)| c.used_at).map(|(key, _)| key.clone()) else { return };
            self.cached.remove(&oldest);
            self.evictions += 1;
        }
    }

    /// Drops generations of `id` that no name stands for and nobody runs.
    fn drop_stale(&mut self, id: &AdapterId) {
        let current = self.registered.get(id).map(|r| r.generation);
        self.cached.retain(|key, c| key.id != *id || c.running > 0 || Some(key.generation) == current);
    }

    fn info(&self, id: &AdapterId, entry: &Registered) -> AdapterInfo {
        let key = AdapterKey { id: id.clone(), generation: entry.generation };
        let cached = self.cached.get(&key);
        let state = match cached {
            Some(c) if c.running > 0 => AdapterState::Running,
            Some(_) => AdapterState::Cached,
            None if self.loading.contains_key(&key) => AdapterState::Loading,
            None => AdapterState::Registered,
        };
        AdapterInfo {
            id: id.clone(),
            generation: entry.generation,
            path: entry.path.clone(),
            weights_hash: entry.weights_hash,
            state,
            bytes: cached.map(|c| c.bytes),
        }
    }
}

fn conflict(spec: &AdapterSpec, old: &Registered, given: B256) -> RegisterError {
    RegisterError::Conflict { id: spec.id.clone(), generation: old.generation, registered: old.weights_hash, given }
}
