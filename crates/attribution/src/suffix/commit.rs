//! The commitment to a suffix index, and proofs of how often a span occurs.

use openledger_primitives::merkle::{MerkleProof, MerkleTree, leaf_hash};
use openledger_primitives::{B256, keccak256};

use super::SEPARATOR;
use super::index::{Parts, SuffixIndex};
use crate::codec::Writer;

/// Entries of the table, and tokens of the text, under one Merkle leaf.
pub const TABLE_CHUNK: usize = 64;

/// Version byte of the commitment and of the file.
pub(crate) const SUFFIX_VERSION: u8 = 1;

/// H(version ‖ H(header) ‖ u64 tokens ‖ text root ‖ table root).
pub(crate) fn root(parts: &Parts) -> B256 {
    outer(header_hash(parts), parts.text.len() as u64, tree(&parts.text).root(), tree(&parts.table).root())
}

fn outer(header: B256, tokens: u64, text: B256, table: B256) -> B256 {
    let mut out = Writer::default();
    out.u8(SUFFIX_VERSION);
    out.bytes(header.as_slice());
    out.u64(tokens);
    out.bytes(text.as_slice());
    out.bytes(table.as_slice());
    keccak256(out.as_slice())
}

fn header_hash(parts: &Parts) -> B256 {
    let mut out = Writer::default();
    super::file::write_header(parts, &mut out);
    keccak256(out.as_slice())
}

/// Leaf data: up to 64 consecutive u32, big-endian.
fn tree(values: &[u32]) -> MerkleTree {
    MerkleTree::from_hashes(values.chunks(TABLE_CHUNK).map(|chunk| leaf_hash(&pack(chunk))).collect())
}

fn pack(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// One chunk of the text or the table with its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkProof {
    /// The up to 64 values of the chunk.
    pub values: Vec<u32>,
    /// Its Merkle proof; its index is the chunk's number.
    pub proof: MerkleProof,
}

impl ChunkProof {
    fn open(values: &[u32], tree: &MerkleTree, at: usize) -> Option<Self> {
        let chunk = at / TABLE_CHUNK;
        let start = chunk * TABLE_CHUNK;
        let end = values.len().min(start + TABLE_CHUNK);
        Some(Self { values: values.get(start..end)?.to_vec(), proof: tree.prove(chunk as u64)? })
    }

    fn verify(&self, root: B256, length: u64) -> bool {
        let chunks = length.div_ceil(TABLE_CHUNK as u64);
        let full = self.values.len() == TABLE_CHUNK;
        let last = self.proof.index + 1 == chunks && self.values.len() as u64 == length - self.proof.index * 64;
        self.proof.size == chunks && (full || last) && self.proof.verify(root, leaf_hash(&pack(&self.values)))
    }
}

/// Shows that a span occurs exactly `rank_end - rank_start` times: the table entries on both sides of both ends of
/// the interval, with the text they point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountProof {
    /// First rank of the interval.
    pub rank_start: u64,
    /// One past its last rank.
    pub rank_end: u64,
    /// Hash of the index header.
    pub header: B256,
    /// Tokens of text.
    pub tokens: u64,
    /// Root over the text's chunks.
    pub text_root: B256,
    /// Root over the table's chunks.
    pub table_root: B256,
    /// Table chunks that hold the entries at the interval's edges, ascending and distinct.
    pub table: Vec<ChunkProof>,
    /// Text chunks that those entries' first tokens lie in, ascending and distinct.
    pub text: Vec<ChunkProof>,
}

/// Why a count proof does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CountProofError {
    /// The proof belongs to another index.
    #[error("the proof's parts hash to {computed}, not to the index root {root}")]
    Root {
        /// The root expected.
        root: B256,
        /// The root of the proof's parts.
        computed: B256,
    },
    /// A chunk that is not in its tree.
    #[error("chunk {chunk} of the {part} is not in the index")]
    Chunk {
        /// `text` or `table`.
        part: &'static str,
        /// Number of the chunk.
        chunk: u64,
    },
    /// A rank or a stretch of text that the proof should open and does not.
    #[error("the proof does not open position {position} of the {part}")]
    Missing {
        /// `text` or `table`.
        part: &'static str,
        /// The position.
        position: u64,
    },
    /// An edge of the interval is not where the proof says.
    #[error("the suffix at rank {rank} is on the wrong side of the span")]
    Edge {
        /// The rank.
        rank: u64,
    },
}

impl SuffixIndex {
    /// Opens what shows how often `pattern` occurs. `None` for an empty pattern or an index without text.
    pub fn prove_count(&self, pattern: &[u32]) -> Option<CountProof> {
        let parts = &self.parts;
        if pattern.is_empty() || parts.text.is_empty() {
            return None;
        }
        let (rank_start, rank_end) = self.interval(pattern);
        let (text_tree, table_tree) = (tree(&parts.text), tree(&parts.table));
        let ranks = edges(rank_start, rank_end, parts.table.len() as u64);
        let positions: Vec<usize> = ranks.iter().map(|&rank| parts.table[rank as usize] as usize).collect();
        let last = parts.text.len() - 1;
        let reads = positions.iter().flat_map(|&at| at..=last.min(at + pattern.len() - 1));
        Some(CountProof {
            rank_start,
            rank_end,
            header: header_hash(parts),
            tokens: parts.text.len() as u64,
            text_root: text_tree.root(),
            table_root: table_tree.root(),
            table: chunks(&parts.table, &table_tree, ranks.iter().map(|&rank| rank as usize)),
            text: chunks(&parts.text, &text_tree, reads),
        })
    }
}

fn chunks(values: &[u32], tree: &MerkleTree, positions: impl Iterator<Item = usize>) -> Vec<ChunkProof> {
    let mut numbers: Vec<usize> = positions.map(|at| at / TABLE_CHUNK).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().filter_map(|chunk| ChunkProof::open(values, tree, chunk * TABLE_CHUNK)).collect()
}

/// The ranks to open: below the interval, its first, its last, and above it, as far as they exist.
fn edges(rank_start: u64, rank_end: u64, ranks: u64) -> Vec<u64> {
    let inside = (rank_end > rank_start).then_some([rank_start, rank_end.saturating_sub(1)]);
    let all = rank_start.checked_sub(1).into_iter().chain(inside.into_iter().flatten()).chain([rank_end]);
    all.filter(|&rank| rank < ranks).collect()
}

impl CountProof {
    /// Checks that `pattern` occurs `rank_end - rank_start` times in the index with this root, given a table in order.
    ///
    /// # Errors
    /// [`CountProofError`] names what does not hold.
    pub fn verify(&self, root: B256, pattern: &[u32]) -> Result<(), CountProofError> {
        let computed = outer(self.header, self.tokens, self.text_root, self.table_root);
        if computed != root {
            return Err(CountProofError::Root { root, computed });
        }
        check_chunks("text", &self.text, self.text_root, self.tokens)?;
        check_chunks("table", &self.table, self.table_root, self.tokens)?;
        if self.rank_start > self.rank_end || self.rank_end > self.tokens {
            return Err(CountProofError::Edge { rank: self.rank_end });
        }
        for rank in edges(self.rank_start, self.rank_end, self.tokens) {
            self.check_edge(rank, pattern)?;
        }
        Ok(())
    }

    fn check_edge(&self, rank: u64, pattern: &[u32]) -> Result<(), CountProofError> {
        let position = lookup("table", &self.table, rank)?;
        let end = (u64::from(position) + pattern.len() as u64).min(self.tokens);
        let text: Vec<u32> =
            (u64::from(position)..end).map(|at| lookup("text", &self.text, at)).collect::<Result<_, _>>()?;
        let expected = match rank {
            rank if rank < self.rank_start => std::cmp::Ordering::Less,
            rank if rank < self.rank_end => std::cmp::Ordering::Equal,
            _ => std::cmp::Ordering::Greater,
        };
        let holds = text.as_slice().cmp(pattern) == expected && !pattern.contains(&SEPARATOR);
        if holds { Ok(()) } else { Err(CountProofError::Edge { rank }) }
    }
}

fn check_chunks(part: &'static str, chunks: &[ChunkProof], root: B256, length: u64) -> Result<(), CountProofError> {
    match chunks.iter().find(|chunk| !chunk.verify(root, length)) {
        Some(chunk) => Err(CountProofError::Chunk { part, chunk: chunk.proof.index }),
        None => Ok(()),
    }
}

fn lookup(part: &'static str, chunks: &[ChunkProof], position: u64) -> Result<u32, CountProofError> {
    let chunk = chunks.iter().find(|chunk| chunk.proof.index == position / TABLE_CHUNK as u64);
    let value = chunk.and_then(|chunk| chunk.values.get((position % TABLE_CHUNK as u64) as usize));
    value.copied().ok_or(CountProofError::Missing { part, position })
}
