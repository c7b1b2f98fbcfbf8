//! Keys and values of running sequences, in blocks of 16 tokens from one pool.

use openledger_kernels::Mat;

use crate::model::ModelConfig;

/// Tokens in a block.
pub const KV_BLOCK_TOKENS: usize = 16;

/// Most blocks of a pool.
pub const KV_BLOCKS_MAX: usize = 1 << 24;

/// Why keys and values find no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// All blocks are taken.
    #[error("the sequence needs {needed} more blocks of {KV_BLOCK_TOKENS} tokens; {free} of {blocks} are free")]
    Exhausted {
        /// Blocks missing.
        needed: usize,
        /// Blocks free.
        free: usize,
        /// Blocks in all.
        blocks: usize,
    },
    /// The prefix asked for is longer than the sequence.
    #[error("a prefix of {asked} tokens was asked of a sequence of {len}")]
    PrefixTooLong {
        /// Tokens asked for.
        asked: usize,
        /// Tokens there are.
        len: usize,
    },
}

/// The blocks of one sequence. Give it back with [`KvPool::free`]; dropping it leaks its blocks until the pool goes.
#[derive(Debug, Default)]
pub struct SeqKv {
    pub(crate) blocks: Vec<u32>,
    pub(crate) len: usize,
}

impl SeqKv {
    /// Tokens whose keys and values are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is stored yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Memory for keys and values.
///
/// A block holds, for each layer and key head, keys as `head_dim x 16` (so that scores of 16 positions are one
/// vector) and values as `16 x head_dim`.
#[derive(Debug)]
pub struct KvPool {
    shape: KvShape,
    /// One row a block.
    data: Mat,
    holders: Vec<u32>,
    free: Vec<u32>,
}

/// Sizes of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl KvShape {
    pub(crate) fn of(config: &ModelConfig) -> Self {
        Self { layers: config.layers, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }

    /// Elements of the keys of one head in one block; as many are its values.
    pub(crate) fn head_len(self) -> usize {
        self.head_dim * KV_BLOCK_TOKENS
    }

    /// Elements of one layer of one block: all heads' keys, then all heads' values.
    pub(crate) fn layer_len(self) -> usize {
        2 * self.kv_heads * self.head_len()
    }

    fn block_len(self) -> usize {
        self.layers * self.layer_len()
    }
}

impl KvPool {
    /// A pool of that many blocks (at most [`KV_BLOCKS_MAX`]) for sequences of that model.
    #[must_use]
    pub fn new(config: &ModelConfig, blocks: usize) -> Self {
        let blocks = blocks.min(KV_BLOCKS_MAX);
        let shape = KvShape::of(config);
        let free = (0..blocks as u32).rev().collect();
        Self { shape, data: Mat::zeros(blocks, shape.block_len()), holders: vec![0; blocks], free }
    }

    /// An empty sequence; blocks are taken as it grows.
    #[must_use]
    pub fn alloc(&self) -> SeqKv {
        SeqKv::default()
    }

    /// Takes back a sequence's blocks.
    pub fn free(&mut self, mut seq: SeqKv) {
        self.truncate(&mut seq, 0);
    }

    /// Forgets all but the first `len` tokens of a sequence.
    pub fn truncate(&mut self, seq: &mut SeqKv, len: usize) {
        let kept = len.div_ceil(KV_BLOCK_TOKENS).min(seq.blocks.len());
        for block in seq.blocks.drain(kept..) {
            self.holders[block as usize] -= 1;
            if self.holders[block as usize] == 0 {
                self.free.push(block);
            }
        }
        seq.len = seq.len.min(len);
    }

    /// A sequence that starts with the first `len` tokens of `seq`: whole blocks are shared, a partial one is copied.
    ///
    /// # Errors
    /// If `seq` is shorter, or the copy finds no free block.
    pub fn fork(&mut self, seq: &SeqKv, len: usize) -> Result<SeqKv, KvError> {
        if len > seq.len {
            return Err(KvError::PrefixTooLong { asked: len, len: seq.len });
        }
        let whole = len / KV_BLOCK_TOKENS;
        let partial = !len.is_multiple_of(KV_BLOCK_TOKENS);
        if partial && self.free.is_empty() {
            return Err(self.exhausted(1));
        }
        let mut fork = SeqKv { blocks: seq.blocks[..whole].to_vec(), len };
        fork.blocks.iter().for_each(|block| self.holders[*block as usize] += 1);
        if partial {
            let copy = self.copy_block(seq.blocks[whole]);
            fork.blocks.extend(copy);
        }
        Ok(fork)
    }

    fn copy_block(&mut self, from: u32) -> Option<u32> {
        let to = self.take()?;
        let len = self.shape.block_len();
        self.data.data_mut().copy_within(from as usize * len..(from as usize + 1) * len, to as usize * len);
        Some(to)
    }

    fn take(&mut self) -> Option<u32> {
        let block = self.free.pop()?;
        self.holders[block as usize] = 1;
        Some(block)
    }

    /// Blocks that nobody holds.
    #[must_use]
    pub fn free_blocks(&self) -> usize {
        self.free.len()
    }

    /// Blocks in all.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.holders.len()
    }

    /// Blocks that a sequence lacks to grow by `tokens`.
    #[must_use]
    pub fn blocks_needed(seq: &SeqKv, tokens: usize) -> usize {
        (seq.len + tokens).div_ceil(KV_BLOCK_TOKENS).saturating_sub(seq.blocks.len())
    }

    /// Whether all these sequences together find room to grow by that many tokens.
    pub(crate) fn check_room<'a>(&self, growth: impl Iterator<Item = (&'a SeqKv, usize)>) -> Result<(), KvError> {
        let needed =
            growth.map(|(seq, tokens)| Self::blocks_needed(seq, tokens) + usize::from(self.shared_tail(seq).is_some()));
        let needed = needed.sum();
        if needed > self.free.len() { Err(self.exhausted(needed)) } else { Ok(()) }
    }

    /// Gives a sequence room for `tokens` more.
    pub(crate) fn grow(&mut self, seq: &mut SeqKv, tokens: usize) -> Result<(), KvError> {
        let shared = self.shared_tail(seq);
        let needed = Self::blocks_needed(seq, tokens) + usize::from(shared.is_some());
        if needed > self.free.len() {
            return Err(self.exhausted(needed));
        }
        if let Some(index) = shared {
            self.own_block(seq, index);
        }
        for _ in 0..Self::blocks_needed(seq, tokens) {
            let block = self.take();
            seq.blocks.extend(block);
        }
        Ok(())
    }

    /// The partial last block, if another sequence holds it too: it is copied before it is written.
    fn shared_tail(&self, seq: &SeqKv) -> Option<usize> {
        let index = seq.len / KV_BLOCK_TOKENS;
        let block = *seq.blocks.get(index)?;
        (self.holders[block as usize] > 1).then_some(index)
    }

    fn own_block(&mut self, seq: &mut SeqKv, index: usize) {
        let shared = seq.blocks[index];
        if let Some(copy) = self.copy_block(shared) {
            self.holders[shared as usize] -= 1;
            seq.blocks[index] = copy;
        }
    }

    fn exhausted(&self, needed: usize) -> KvError {
        KvError::Exhausted { needed, free: self.free.len(), blocks: self.blocks() }
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    /// One layer of one block.
    pub(crate) fn layer(&self, block: u32, layer: usize) -> &[f32] {
        let start = self.layer_start(block, layer);
        &self.data.data()[start..start + self.shape.layer_len()]
    }

    pub(crate) fn layer_mut(&mut self, block: u32, layer: usize) -> &mut [f32] {
        let start = self.layer_start(block, layer);
        &mut self.data.data_mut()[start..start + self.shape.layer_len()]
    }

    fn layer_start(&self, block: u32, layer: usize) -> usize {
        block as usize * self.shape.block_len() + layer * self.shape.layer_len()
    }
}
