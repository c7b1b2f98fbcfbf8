//! An attribution as JSON for people and pages; large integers are decimal strings.

use serde_json::{Value, json};

use super::Attribution;
use crate::suffix::Span;
use crate::weights::Outcome;

impl Attribution {
    /// The attribution as JSON, with its root.
    pub fn to_json(&self) -> Value {
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
                "records": self.counted_json(),
                "weights": weights(&self.influence.outcome),
            },
            "provenance": {
                "spans": self.spans.iter().map(span).collect::<Vec<_>>(),
                "credits_q32": self.credits.iter().map(|(who, credit)| json!([who, credit.to_string()])).collect::<Vec<_>>(),
                "weights": weights(&self.provenance),
            },
        })
    }

    fn counted_json(&self) -> Vec<Value> {
        let entry = |item: &crate::weights::CountedRecord| {
            json!({
                "record": item.record,
                "score": item.score.to_string(),
                "excess_x2": item.excess_x2.to_string(),
            })
        };
        self.influence.counted.iter().map(entry).collect()
    }
}

/// A list of pairs, or null where the pool goes to the reserve.
fn weights(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Weights(weights) => json!(weights),
        Outcome::Reserve => Value::Null,
    }
}

fn span(span: &Span) -> Value {
    json!({
        "token_start": span.token_start,
        "token_end": span.token_end,
        "byte_start": span.byte_start,
        "byte_end": span.byte_end,
        "occurrences": span.occurrences(),
        "surprise_q16": span.surprise_q16.to_string(),
        "hits": span.hits,
    })
}
