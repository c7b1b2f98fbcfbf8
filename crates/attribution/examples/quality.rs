//! Measures attribution quality against retraining and prints one JSON object.
//!
//! `--ci` runs the sizes that the tests run; without it, 50 halves with three runs each.

#![allow(clippy::print_stdout, reason = "the JSON object is this program's result")]

use std::time::Instant;

use openledger_attribution::evaluate::{LinearLane, LoraLane, linear_lane, lora_lane};
use openledger_engine::Exec;
use openledger_testkit::tiny_model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let small = std::env::args().any(|argument| argument == "--ci");
    let lane = if small { LoraLane::default() } else { LoraLane { subsets: 50, seeds: 3, ..LoraLane::default() } };
    let start = Instant::now();
    let linear = linear_lane(&LinearLane::default())?;
    let linear_s = start.elapsed().as_secs_f64();
    let lora = lora_lane(&lane, &tiny_model(), &mut Exec::new(1))?;
    let report = serde_json::json!({
        "linear_head_loo_spearman": linear,
        "lora_lds": lora,
        "lora_lds_lane": {
            "records": lane.records, "queries": lane.queries, "subsets": lane.subsets, "seeds": lane.seeds,
        },
        "wall_s": { "linear": linear_s, "lora": start.elapsed().as_secs_f64() - linear_s },
    });
    println!("{report}");
    Ok(())
}
