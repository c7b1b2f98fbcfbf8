//! Reads adapters from disk, on a thread of its own, so that requests that need none never wait.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
};

use openledger_engine::{LoraAdapter, Model, format};
use openledger_primitives::B256;

use crate::{
    adapters::{AdapterId, AdapterKey, Tiers},
    error::{RegisterError, chain},
    worker::Command,
};

/// An adapter that was used takes this many times its parameters' bytes: the engine keeps A and B in both orders beside them.
const MEMORY_FACTOR: usize = 3;

/// Reads the adapter at `path`: a PEFT folder, or a GGUF adapter file.
///
/// # Errors
/// [`RegisterError::Read`] if it is missing, malformed or shaped for another model, [`RegisterError::Rank`] above the limit.
pub(crate) fn read(id: &AdapterId, path: &Path, model: &Model, rank_max: u32) -> Result<LoraAdapter, RegisterError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| RegisterError::Read {
        id: id.clone(),
        path: path.to_owned(),
        source,
    };
    let is_gguf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
    let adapter = if is_gguf {
        format::gguf_lora::read(path, model.config()).map_err(|e| failed(Box::new(e)))?
    } else {
        format::peft::read(path, model.config()).map_err(|e| failed(Box::new(e)))?
    };
    let rank = adapter.config().rank;
    if rank > rank_max as usize {
        return Err(RegisterError::Rank { id: id.clone(), rank: rank as u32, rank_max });
    }
    Ok(adapter)
}

/// Loads what is asked for until the server stops.
pub(crate) fn run(
    model: &Model,
    rank_max: u32,
    tiers: &Tiers,
    wanted: &Receiver<AdapterKey>,
    commands: &SyncSender<Command>,
) {
    while let Ok(key) = wanted.recv() {
        let error = load(model, rank_max, tiers, &key).err();
        if commands.send(Command::Loaded { key, error }).is_err() {
            return;
        }
    }
}

fn load(model: &Model, rank_max: u32, tiers: &Tiers, key: &AdapterKey) -> Result<(), Arc<str>> {
    let loaded = tiers.source(key).ok_or_else(|| Arc::from("it was unloaded")).and_then(|(path, expected)| {
        let adapter = read(&key.id, &path, model, rank_max).map_err(|e| chain(&e))?;
        same_weights(&key.id, expected, adapter.hash()).map_err(|e| chain(&e))?;
        Ok(adapter)
    });
    match loaded {
        Ok(adapter) => {
            let bytes = (adapter.bytes() * MEMORY_FACTOR) as u64;
            tiers.insert(key.clone(), Arc::new(adapter), bytes);
            Ok(())
        }
        Err(reason) => {
            tiers.end_load(key);
            Err(reason)
        }
    }
}

/// Checks that the weights are those that were announced.
pub(crate) fn same_weights(id: &AdapterId, expected: B256, actual: B256) -> Result<(), RegisterError> {
    if expected != actual {
        return Err(RegisterError::Weights { id: id.clone(), expected, actual });
    }
    Ok(())
}
