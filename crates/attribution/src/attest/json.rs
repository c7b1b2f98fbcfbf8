//! An attribution as JSON for people and pages; large integers are decimal strings.

use openledger_primitives::Address;
use serde_json::{Map, Value, json};

use super::Attribution;
use crate::suffix::{RecordHit, Span};
use crate::weights::Outcome;

/// How much of each list a shortened JSON has. The root covers all of them, and a replay finds the rest again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Records counted.
    pub records_max: usize,
    /// Spans.
    pub spans_max: usize,
    /// Records hit, over all spans together.
    pub hits_max: usize,
    /// Contributors credited from spans.
    pub credits_max: usize,
}

impl JsonLimits {
    /// Everything.
    pub const NONE: Self =
        Self { records_max: usize::MAX, spans_max: usize::MAX, hits_max: usize::MAX, credits_max: usize::MAX };
}

impl Attribution {
    /// The attribution as JSON, with its root.
    pub fn to_json(&self) -> Value {
        self.to_short_json(JsonLimits::NONE)
    }

    /// The same with the first of each list only. Where something is left out, `left_out` says how much of what.
    pub fn to_short_json(&self, limits: JsonLimits) -> Value {
        let mut json = self.json(limits);
        let hits = self.spans.iter().map(|span| span.hits.len()).sum::<usize>();
        let left_out = [
            ("records", self.influence.counted.len().saturating_sub(limits.records_max)),
            ("spans", self.spans.len().saturating_sub(limits.spans_max)),
            ("hits", hits.saturating_sub(limits.hits_max)),
            ("credits", self.credits.len().saturating_sub(limits.credits_max)),
        ];
        let left_out = left_out.into_iter().filter(|(_, count)| *count > 0);
        let left_out: Map<String, Value> = left_out.map(|(what, count)| (what.to_owned(), json!(count))).collect();
        if !left_out.is_empty() {
            json["left_out"] = Value::Object(left_out);
        }
        json
    }

    fn json(&self, limits: JsonLimits) -> Value {
        let background = self.influence.background;
        json!({
            "method": self.method,
            "index_root": self.index_root,
            "request_hash": self.request_hash,
            "answer_hash": self.answer_hash,
            "query_hash": self.query_hash,
            "scores_root": self.scores_root,
            "attribution_root": self.root(),
            "influence": {
                "median_x2": background.median_x2.to_string(),
                "mad_x4": background.mad_x4.to_string(),
                "sampled": background.sampled,
                "records": self.counted_json(limits.records_max),
                "weights": weights(&self.influence.outcome),
            },
            "provenance": {
                "spans": self.spans_json(limits),
                "credits_q32": self.credits_json(limits.credits_max),
                "weights": weights(&self.provenance),
            },
        })
    }

    fn counted_json(&self, records_max: usize) -> Vec<Value> {
        let entry = |item: &crate::weights::CountedRecord| {
            json!({
                "record": item.record,
                "score": item.score.to_string(),
                "excess_x2": item.excess_x2.to_string(),
            })
        };
        self.influence.counted.iter().take(records_max).map(entry).collect()
    }

    fn spans_json(&self, limits: JsonLimits) -> Vec<Value> {
        let mut hits_left = limits.hits_max;
        let mut shown = Vec::new();
        for item in self.spans.iter().take(limits.spans_max) {
            let hits = &item.hits[..item.hits.len().min(hits_left)];
            hits_left -= hits.len();
            shown.push(span(item, hits));
        }
        shown
    }

    fn credits_json(&self, credits_max: usize) -> Vec<Value> {
        let credit = |(who, credit): (&Address, &u128)| json!([who, credit.to_string()]);
        self.credits.iter().take(credits_max).map(credit).collect()
    }
}

/// A list of pairs, or null where the pool goes to the reserve.
fn weights(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Weights(weights) => json!(weights),
        Outcome::Reserve => Value::Null,
    }
}

fn span(span: &Span, hits: &[RecordHit]) -> Value {
    json!({
        "token_start": span.token_start,
        "token_end": span.token_end,
        "byte_start": span.byte_start,
        "byte_end": span.byte_end,
        "occurrences": span.occurrences(),
        "surprise_q16": span.surprise_q16.to_string(),
        "hits": hits,
    })
}
