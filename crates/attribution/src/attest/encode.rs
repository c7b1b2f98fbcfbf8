//! An attribution as canonical bytes, and the root over its parts.

use std::collections::BTreeMap;

use openledger_primitives::merkle::MerkleTree;
use openledger_primitives::{Address, B256};

use super::{ATTRIBUTION_VERSION, Attribution};
use crate::codec::{DecodeError, Reader, Writer};
use crate::record::RECORDS_MAX;
use crate::suffix::{ANSWER_TOKENS_MAX, RecordHit, Span, TEXT_TOKENS_MAX};
use crate::weights::{Background, CountedRecord, InfluenceWeights, Outcome};

const MAGIC: [u8; 4] = *b"OLAT";

/// Most contributors of one outcome: top_k is a u16.
const SHARES_MAX: usize = u16::MAX as usize;

/// First byte of each leaf of the attribution root.
#[derive(Clone, Copy)]
enum Leaf {
    Header = 0,
    Counted = 1,
    InfluenceShare = 2,
    Span = 3,
    Credit = 4,
    ProvenanceShare = 5,
}

impl Attribution {
    /// Merkle root over header, counted records, influence weights, spans, credits and provenance weights, each entry
    /// a leaf that begins with its kind: what a receipt names as attribution root.
    pub fn root(&self) -> B256 {
        let mut leaves = Vec::new();
        self.leaves(|kind, write| {
            let mut out = Writer::default();
            out.u8(kind as u8);
            write(&mut out);
            leaves.push(out.into_vec());
        });
        MerkleTree::from_leaves(leaves).root()
    }

    fn leaves(&self, mut leaf: impl FnMut(Leaf, &dyn Fn(&mut Writer))) {
        leaf(Leaf::Header, &|out| self.write_header(out));
        for counted in &self.influence.counted {
            leaf(Leaf::Counted, &|out| write_counted(counted, out));
        }
        for share in self.influence.outcome.weights() {
            leaf(Leaf::InfluenceShare, &|out| write_share(share, out));
        }
        for span in &self.spans {
            leaf(Leaf::Span, &|out| write_span(span, out));
        }
        for credit in &self.credits {
            leaf(Leaf::Credit, &|out| write_credit(&credit, out));
        }
        for share in self.provenance.weights() {
            leaf(Leaf::ProvenanceShare, &|out| write_share(share, out));
        }
    }

    /// The attribution as canonical bytes; see docs/formats.md.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&MAGIC);
        out.u8(ATTRIBUTION_VERSION);
        self.write_header(&mut out);
        write_list(&self.influence.counted, write_counted, &mut out);
        write_list(self.influence.outcome.weights(), write_share, &mut out);
        write_list(&self.spans, write_span, &mut out);
        out.u32(self.credits.len() as u32);
        self.credits.iter().for_each(|credit| write_credit(&credit, &mut out));
        write_list(self.provenance.weights(), write_share, &mut out);
        out.into_vec()
    }

    fn write_header(&self, out: &mut Writer) {
        let hashes =
            [self.method, self.index_root, self.request_hash, self.answer_hash, self.query_hash, self.scores_root];
        hashes.iter().for_each(|hash| out.bytes(hash.as_slice()));
        let background = self.influence.background;
        out.i128(background.median_x2);
        out.i128(background.mad_x4);
        out.u32(background.sampled);
    }

    /// Reads canonical bytes; what reads is written back the same.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not a whole attribution in canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.magic("attribution", MAGIC)?;
        input.version("attribution", ATTRIBUTION_VERSION)?;
        let attribution = Self {
            method: input.b256("method")?,
            index_root: input.b256("index root")?,
            request_hash: input.b256("request hash")?,
            answer_hash: input.b256("answer hash")?,
            query_hash: input.b256("query hash")?,
            scores_root: input.b256("scores root")?,
            influence: InfluenceWeights {
                background: read_background(&mut input)?,
                counted: read_list(&mut input, "counted records", RECORDS_MAX, 28, read_counted)?,
                outcome: read_outcome(&mut input)?,
            },
            spans: read_list(&mut input, "spans", ANSWER_TOKENS_MAX, 44, read_span)?,
            credits: read_credits(&mut input)?,
            provenance: read_outcome(&mut input)?,
        };
        input.finish()?;
        Ok(attribution)
    }
}

fn write_list<T>(items: &[T], write: fn(&T, &mut Writer), out: &mut Writer) {
    out.u32(items.len() as u32);
    items.iter().for_each(|item| write(item, out));
}

fn read_list<T>(
    input: &mut Reader<'_>,
    what: &'static str,
    max: usize,
    item_bytes: usize,
    read: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = input.count(what, max, item_bytes)?;
    (0..count).map(|_| read(input)).collect()
}

fn write_counted(counted: &CountedRecord, out: &mut Writer) {
    out.u32(counted.record);
    out.i64(counted.score);
    out.i128(counted.excess_x2);
}

fn read_counted(input: &mut Reader<'_>) -> Result<CountedRecord, DecodeError> {
    Ok(CountedRecord { record: input.u32("record")?, score: input.i64("score")?, excess_x2: input.i128("excess")? })
}

fn read_background(input: &mut Reader<'_>) -> Result<Background, DecodeError> {
    Ok(Background { median_x2: input.i128("median")?, mad_x4: input.i128("MAD")?, sampled: input.u32("sample size")? })
}

fn write_share((who, weight): &(Address, u16), out: &mut Writer) {
    out.bytes(who.as_slice());
    out.u16(*weight);
}

fn read_outcome(input: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    let read = |input: &mut Reader<'_>| Ok((Address::from(input.array("contributor")?), input.u16("weight")?));
    let weights = read_list(input, "weights", SHARES_MAX, 22, read)?;
    if !weights.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(DecodeError::Meaningless { what: "order of weights", value: weights.len() as u64 });
    }
    Ok(if weights.is_empty() { Outcome::Reserve } else { Outcome::Weights(weights) })
}

fn write_credit((who, credit): &(&Address, &u128), out: &mut Writer) {
    out.bytes(who.as_slice());
    out.u128(**credit);
}

fn read_credits(input: &mut Reader<'_>) -> Result<BTreeMap<Address, u128>, DecodeError> {
    let read = |input: &mut Reader<'_>| Ok((Address::from(input.array("contributor")?), input.u128("credit")?));
    let credits = read_list(input, "credits", RECORDS_MAX, 36, read)?;
    if !credits.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(DecodeError::Meaningless { what: "order of credits", value: credits.len() as u64 });
    }
    Ok(credits.into_iter().collect())
}

fn write_span(span: &Span, out: &mut Writer) {
    [span.token_start, span.token_end, span.byte_start, span.byte_end].iter().for_each(|&value| out.u32(value));
    [span.rank_start, span.rank_end, span.surprise_q16].iter().for_each(|&value| out.u64(value));
    write_list(&span.hits, write_hit, out);
}

fn read_span(input: &mut Reader<'_>) -> Result<Span, DecodeError> {
    let span = Span {
        token_start: input.u32("span start")?,
        token_end: input.u32("span end")?,
        byte_start: input.u32("span start in bytes")?,
        byte_end: input.u32("span end in bytes")?,
        rank_start: input.u64("first rank")?,
        rank_end: input.u64("last rank")?,
        surprise_q16: input.u64("surprise")?,
        hits: read_list(input, "hits", TEXT_TOKENS_MAX, 12, read_hit)?,
    };
    let ordered =
        span.token_start < span.token_end && span.byte_start <= span.byte_end && span.rank_start <= span.rank_end;
    if ordered {
        Ok(span)
    } else {
        Err(DecodeError::Meaningless { what: "span start", value: span.token_start.into() })
    }
}

fn write_hit(hit: &RecordHit, out: &mut Writer) {
    [hit.record, hit.position, hit.times].iter().for_each(|&value| out.u32(value));
}

fn read_hit(input: &mut Reader<'_>) -> Result<RecordHit, DecodeError> {
    Ok(RecordHit { record: input.u32("record")?, position: input.u32("position")?, times: input.u32("times")? })
}
