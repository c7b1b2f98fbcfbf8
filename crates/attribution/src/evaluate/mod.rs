//! How good attribution is, measured against retraining and beside simple baselines.
//!
//! Floats are at home here: nothing in this module reaches a payout.

mod baselines;
mod linear;
mod lora;
mod random;
mod stats;

pub use baselines::{Bm25, cosine, ngram_overlap};
pub use linear::{LinearLane, LinearReport, linear_lane};
pub use lora::{LaneError, LoraLane, LoraReport, lora_lane};
pub use random::Random;
pub use stats::{Interval, agreement, auc, bootstrap_mean, lds, spearman};

use openledger_primitives::Address;

use crate::record::{RecordMeta, RecordTable};

/// Records of a lane, each its own cluster, `each` a contributor in turn.
fn lane_records(count: usize, each: usize) -> RecordTable {
    let record = |index: u64| RecordMeta {
        snapshot: 0,
        index,
        contributor: Address::left_padding_from(&(index / each.max(1) as u64).to_be_bytes()),
        cluster: index,
    };
    RecordTable::new((0..count as u64).map(record).collect()).expect("a lane has far fewer records than the limit")
}
