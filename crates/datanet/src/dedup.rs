//! Exact and near duplicates.
//!
//! A record's text is brought to words: without what no reader sees (zero-width characters, soft hyphens, fillers), NFKC, lower
//! case, runs of letters and digits, one space between them; marks that are no letters are passed over. Its shingles are the
//! character 5-grams of that, so that one changed word of a short text changes few of them. Two records are duplicates when
//! the Jaccard similarity of their shingle sets reaches the Datanet's threshold. MinHash (128 permutations, 32 bands of 4) finds
//! the candidates; the true similarity of the sets, in integers, decides. Everything is a fixed function of the texts.

use openledger_primitives::{B256, keccak256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Version of what the database keeps of fingerprints: the hash of the words and the keys of the bands.
pub const FINGERPRINT_VERSION: u32 = 2;
/// Similarity from which a record counts as a copy, in thousandths, unless the Datanet says otherwise.
pub const SIMILARITY_PER_MILLE: u16 = 700;
/// Characters in a shingle.
pub const SHINGLE_CHARS: usize = 5;
/// Permutations in a signature.
pub const PERMUTATIONS: usize = 128;
/// Bands that a signature is cut into. A pair of similarity 0.7 shares one with probability 0.9998.
pub const BANDS: usize = 32;
const BAND_ROWS: usize = PERMUTATIONS / BANDS;
/// Seeds the permutations; part of what the bands in the database mean.
const SEED: u64 = 0x4f70_656e_4c65_6467;

/// What duplicates are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash of the normalised words: equal for exact duplicates.
    pub words_hash: B256,
    /// Sorted hashes of the distinct shingles.
    shingles: Vec<u64>,
}

impl Fingerprint {
    /// The fingerprint of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let words = normal_words(text);
        Self { words_hash: keccak256(&words), shingles: shingles(&words) }
    }

    /// Jaccard similarity of the shingle sets in thousandths, rounded down.
    #[must_use]
    pub fn similarity_per_mille(&self, other: &Self) -> u16 {
        let shared = shared(&self.shingles, &other.shingles);
        let union = self.shingles.len() + other.shingles.len() - shared;
        u16::try_from(shared * 1_000 / union.max(1)).unwrap_or(1_000)
    }

    /// Distinct shingles: what the fingerprint takes in memory, eight bytes each.
    #[must_use]
    pub(crate) fn shingle_count(&self) -> usize {
        self.shingles.len()
    }

    /// The keys under which near-duplicates meet: each binds the band's position and its minima.
    #[must_use]
    pub fn band_keys(&self) -> [u64; BANDS] {
        let signature = signature(&self.shingles);
        let mut keys = [0; BANDS];
        for (band, (key, rows)) in keys.iter_mut().zip(signature.chunks_exact(BAND_ROWS)).enumerate() {
            *key = rows.iter().fold(mix(band as u64 ^ SEED), |key, row| mix(key ^ row));
        }
        keys
    }
}

/// The words that duplicates are compared by; the text itself where it has neither letters nor digits.
fn normal_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut gap = false;
    let seen = text.chars().filter(|character| !is_ignorable(*character));
    for character in seen.nfkc().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            if gap && !words.is_empty() {
                words.push(' ');
            }
            words.push(character);
            gap = false;
        } else if !is_combining_mark(character) {
            gap = true;
        }
    }
    if words.is_empty() { text.to_owned() } else { words }
}

/// `Default_Ignorable_Code_Point` of Unicode: what is shown as nothing, so that a text with it looks like one without. Scripts
/// that need joiners lose no word by it: here they stand in both texts or make no difference.
fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

fn shingles(words: &str) -> Vec<u64> {
    let characters: Vec<char> = words.chars().collect();
    let hash = |gram: &[char]| gram.iter().fold(SEED, |hash, character| mix(hash ^ u64::from(*character)));
    let mut hashes: Vec<u64> = match characters.len() {
        0..=SHINGLE_CHARS => vec![hash(&characters)],
        _ => characters.windows(SHINGLE_CHARS).map(hash).collect(),
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Size of the intersection of two sorted lists.
fn shared(a: &[u64], b: &[u64]) -> usize {
    let (mut i, mut j, mut count) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        count += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    count
}

fn signature(shingles: &[u64]) -> [u64; PERMUTATIONS] {
    let mut minima = [u64::MAX; PERMUTATIONS];
    let keys: [u64; PERMUTATIONS] = std::array::from_fn(|permutation| mix(SEED.wrapping_add(permutation as u64)));
    for shingle in shingles {
        for (minimum, key) in minima.iter_mut().zip(&keys) {
            *minimum = (*minimum).min(mix(shingle ^ key));
        }
    }
    minima
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection with good avalanche.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
