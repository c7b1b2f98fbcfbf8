//! From spans to credit per contributor.

use std::collections::{BTreeMap, BTreeSet};

use openledger_primitives::Address;

use super::answer::Answer;
use super::index::SuffixIndex;
use super::spans::Span;

/// What an answer quotes, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The spans kept, in order of place.
    pub spans: Vec<Span>,
    /// Credit in bits, Q32, by contributor.
    pub credits: BTreeMap<Address, u128>,
}

impl SuffixIndex {
    /// Traces an answer: its spans and the credit they carry.
    ///
    /// A span's -log2 p is shared over the clusters that hold it, each counting once and going to the contributor
    /// of the cluster's earliest record; each share is rounded down to 2^-32 bit.
    pub fn provenance(&self, answer: &Answer) -> Provenance {
        let spans = self.spans(answer);
        let mut credits = BTreeMap::new();
        for span in &spans {
            self.credit(span, &mut credits);
        }
        Provenance { spans, credits }
    }

    fn credit(&self, span: &Span, credits: &mut BTreeMap<Address, u128>) {
        let records = &self.parts.records;
        let heads: BTreeSet<u32> = span.hits.iter().filter_map(|hit| records.head(hit.record)).collect();
        let mut clusters: BTreeMap<Address, u128> = BTreeMap::new();
        for contributor in heads.iter().filter_map(|&head| records.get(head)).map(|record| record.contributor) {
            *clusters.entry(contributor).or_default() += 1;
        }
        let surprise_q32 = u128::from(span.surprise_q16) << 16;
        for (contributor, count) in clusters {
            *credits.entry(contributor).or_default() += surprise_q32 * count / heads.len() as u128;
        }
    }
}
