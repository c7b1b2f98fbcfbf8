//! What a server may use, and the limits it keeps.

use openledger_engine::{FORWARD_ROWS_MAX, KV_BLOCK_TOKENS, ModelConfig};

/// Most tenants whose fair counters are kept; idle ones beyond it are forgotten, smallest use first.
pub(crate) const TENANTS_MAX: usize = 10_000;
/// Most commands that wait for the engine thread between two iterations, on top of the request queue.
pub(crate) const COMMANDS_SPARE: usize = 64;
/// Most adapter loads that wait for the loader thread.
pub(crate) const LOADS_MAX: usize = 64;
/// Most stop strings in a request.
pub(crate) const STOP_STRINGS_MAX: usize = 16;
/// Most bytes in one stop string.
pub(crate) const STOP_STRING_BYTES_MAX: usize = 256;
/// Most adapters that a server keeps registered.
pub(crate) const REGISTERED_MAX: usize = 100_000;

/// What a [`Server`](crate::Server) may use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Threads that compute.
    pub threads: usize,
    /// Most rows (tokens) in one forward pass.
    pub max_batch_rows: usize,
    /// Most requests that run at once.
    pub max_sequences: usize,
    /// Most different adapters among the running requests.
    pub max_slots: usize,
    /// Bytes for the KV cache.
    pub kv_bytes: u64,
    /// Bytes of adapters kept in memory; adapters in use are never dropped.
    pub adapter_cache_bytes: u64,
    /// Most requests that wait; one more is refused as busy.
    pub max_queue: usize,
    /// Most prompt tokens that one request adds to one forward pass.
    pub prefill_chunk: usize,
    /// Most tokens of prompt and answer together.
    pub max_context: usize,
    /// Highest LoRA rank that is taken.
    pub max_rank: u32,
    /// A request that was overtaken this often while it did not fit stops all admissions until it fits.
    pub drain_after: u32,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            threads: 2,
            max_batch_rows: 256,
            max_sequences: 32,
            max_slots: 32,
            kv_bytes: 512 << 20,
            adapter_cache_bytes: 512 << 20,
            max_queue: 1024,
            prefill_chunk: 64,
            max_context: 2048,
            max_rank: 128,
            drain_after: 64,
        }
    }
}

impl ServeConfig {
    /// Checks that every limit can be kept and that one full context fits in the KV cache.
    ///
    /// # Errors
    /// [`StartError`] names the field, its value and the least value that works.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), StartError> {
        let least_one = [
            ("threads", self.threads),
            ("max_batch_rows", self.max_batch_rows),
            ("max_sequences", self.max_sequences),
            ("max_slots", self.max_slots),
            ("max_queue", self.max_queue),
            ("prefill_chunk", self.prefill_chunk),
            ("max_context", self.max_context),
        ];
        for (field, value) in least_one {
            at_least(field, value as u64, 1)?;
        }
        at_least("max_batch_rows", self.max_batch_rows as u64, self.max_sequences as u64)?;
        at_most("max_batch_rows", self.max_batch_rows as u64, FORWARD_ROWS_MAX as u64)?;
        at_most("max_context", self.max_context as u64, model.context as u64)?;
        let context_bytes = (self.max_context.div_ceil(KV_BLOCK_TOKENS) as u64) * block_bytes(model);
        at_least("kv_bytes", self.kv_bytes, context_bytes)
    }

    /// Blocks that the KV cache holds for `model`.
    pub fn kv_blocks(&self, model: &ModelConfig) -> usize {
        usize::try_from(self.kv_bytes / block_bytes(model)).unwrap_or(usize::MAX)
    }
}

fn at_least(field: &'static str, value: u64, least: u64) -> Result<(), StartError> {
    if value < least {
        return Err(StartError::TooSmall { field, value, least });
    }
    Ok(())
}

fn at_most(field: &'static str, value: u64, most: u64) -> Result<(), StartError> {
    if value > most {
        return Err(StartError::TooLarge { field, value, most });
    }
    Ok(())
}

/// Bytes of one KV block: keys and values of every layer in f32.
fn block_bytes(model: &ModelConfig) -> u64 {
    let row = (model.kv_heads * model.head_dim) as u64;
    2 * 4 * row * model.layers as u64 * KV_BLOCK_TOKENS as u64
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A limit is too small to serve anything.
    #[error("{field} is {value}; it must be at least {least}")]
    TooSmall {
        /// The configuration's field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least value that works.
        least: u64,
    },
    /// A limit is above what the engine or the model can do.
    #[error("{field} is {value}; it can be at most {most}")]
    TooLarge {
        /// The configuration's field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The highest value that works.
        most: u64,
    },
    /// The operating system refused a thread.
    #[error("could not start the {name} thread")]
    Thread {
        /// Which thread.
        name: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
