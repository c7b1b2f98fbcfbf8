//! The influence index, and the sketches of an interrupted build, as bytes.

use openledger_primitives::B256;
use serde::Deserialize;

use super::ROW_DIMS_MAX;
use super::index::{INFLUENCE_VERSION, InfluenceIndex, Parts, header, write_transforms};
use super::policy::InfluencePolicy;
use super::precondition::{Transform, block_values};
use super::quantise::SCALE_BITS;
use super::sketch::{CheckpointSketch, SiteShape};
use crate::codec::{DecodeError, Reader, Writer};
use crate::record::{RECORDS_MAX, RecordTable};

const INDEX_MAGIC: [u8; 4] = *b"OLIN";
const SKETCH_MAGIC: [u8; 4] = *b"OLSK";
const SKETCH_VERSION: u8 = 1;

/// Longest header in bytes.
const HEADER_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    adapters: Vec<B256>,
    policy: InfluencePolicy,
    rank: u32,
    sites: Vec<SiteShape>,
}

impl InfluenceIndex {
    /// The index as bytes; see docs/formats.md.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = &self.parts;
        let mut out = Writer::with_capacity(parts.rows.len() + (1 << 16));
        out.bytes(&INDEX_MAGIC);
        out.u8(INFLUENCE_VERSION);
        out.sized(&header(parts));
        parts.records.write(&mut out);
        write_transforms(parts, &mut out);
        parts.scales.iter().for_each(|&scale| out.u32(scale));
        parts.rows.iter().for_each(|&value| out.u8(value as u8));
        out.bytes(self.root().as_slice());
        out.into_vec()
    }

    /// Reads an index and checks it against the root it carries; whether that is the root in the model's manifest is
    /// the caller's to check.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not a whole, consistent index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.magic("influence index", INDEX_MAGIC)?;
        input.version("influence index", INFLUENCE_VERSION)?;
        let parts = read_parts(&mut input)?;
        let stated = input.b256("root")?;
        input.finish()?;
        let index = Self::assemble(parts).map_err(|error| DecodeError::Header { reason: error.to_string() })?;
        match index.root() {
            computed if computed == stated => Ok(index),
            computed => Err(DecodeError::Root { stated, computed }),
        }
    }
}

fn read_parts(input: &mut Reader<'_>) -> Result<Parts, DecodeError> {
    let (header, dims) = read_header(input)?;
    let Header { adapters, policy, rank, sites } = header;
    let records = RecordTable::read(input)?;
    let transforms = read_transforms(input, &policy, rank as usize, sites.len())?;
    let mut scales = Vec::new();
    for _ in 0..records.len() {
        let scale = input.u32("row scale")?;
        if scale > 1 << SCALE_BITS {
            return Err(input.too_large("row scale", scale.into(), 1 << SCALE_BITS));
        }
        scales.push(scale);
    }
    let row_bytes = dims * adapters.len();
    let rows = input.take("rows", records.len().saturating_mul(row_bytes))?;
    let rows = rows.iter().map(|&byte| byte as i8).collect();
    Ok(Parts { policy, rank, sites, adapters, records, transforms, rows, scales })
}

fn read_header(input: &mut Reader<'_>) -> Result<(Header, usize), DecodeError> {
    let invalid = |reason: String| DecodeError::Header { reason };
    let length = input.count("header bytes", HEADER_BYTES_MAX, 1)?;
    let header: Header =
        serde_json::from_slice(input.take("header", length)?).map_err(|error| invalid(error.to_string()))?;
    if header.adapters.len() != header.policy.checkpoints.len() {
        let (adapters, checkpoints) = (header.adapters.len(), header.policy.checkpoints.len());
        return Err(invalid(format!("{adapters} adapters for {checkpoints} checkpoints")));
    }
    let dims = header.policy.checkpoint_dims(header.sites.len(), header.rank as usize);
    dims.map(|dims| (header, dims)).map_err(|error| invalid(error.to_string()))
}

fn read_transforms(
    input: &mut Reader<'_>,
    policy: &InfluencePolicy,
    rank: usize,
    sites: usize,
) -> Result<Vec<Transform>, DecodeError> {
    let kind = policy.preconditioner;
    let block = rank * usize::from(policy.projection_dim);
    let count = block_values(kind, block) * 2 * sites;
    (0..policy.checkpoints.len())
        .map(|_| Ok(Transform { block, kind, values: read_floats(input, "preconditioner", count)? }))
        .collect()
}

fn read_floats(input: &mut Reader<'_>, what: &'static str, count: usize) -> Result<Vec<f32>, DecodeError> {
    let bytes = input.take(what, count.saturating_mul(4))?;
    let mut values = Vec::with_capacity(count);
    for bytes in bytes.chunks_exact(4) {
        let value = f32::from_be_bytes(bytes.try_into().expect("chunks of four bytes"));
        if !value.is_finite() {
            return Err(DecodeError::Meaningless { what, value: value.to_bits().into() });
        }
        values.push(value);
    }
    Ok(values)
}

impl CheckpointSketch {
    /// The sketches as bytes, so that an interrupted build goes on where it stopped.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.rows.len() * 4 + 45);
        out.bytes(&SKETCH_MAGIC);
        out.u8(SKETCH_VERSION);
        out.bytes(self.adapter.as_slice());
        out.u32(self.dims as u32);
        out.u32(self.count() as u32);
        self.rows.iter().for_each(|value| out.u32(value.to_bits()));
        out.into_vec()
    }

    /// Reads sketches back.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not whole sketches of finite numbers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.magic("checkpoint sketches", SKETCH_MAGIC)?;
        input.version("checkpoint sketches", SKETCH_VERSION)?;
        let adapter = input.b256("adapter")?;
        let dims = input.count("sketch dimensions", ROW_DIMS_MAX, 0)?;
        let count = input.count("sketches", RECORDS_MAX, dims * 4)?;
        if dims == 0 {
            return Err(DecodeError::Meaningless { what: "sketch dimensions", value: 0 });
        }
        let rows = read_floats(&mut input, "sketches", dims * count)?;
        input.finish()?;
        Ok(Self { adapter, dims, rows })
    }
}
