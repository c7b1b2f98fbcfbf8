//! Counters and histograms under vLLM's names, so that existing dashboards work. The gateway renders them.

use std::collections::BTreeMap;

use crate::request::FinishReason;

/// Upper bounds of the histogram of the time to the first token, seconds (vLLM's).
pub(crate) const FIRST_TOKEN_BUCKETS_S: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
/// Upper bounds of the histogram of the time between tokens, seconds (vLLM's).
pub(crate) const INTER_TOKEN_BUCKETS_S: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
/// Upper bounds of the histograms of whole requests, seconds (vLLM's).
pub(crate) const REQUEST_BUCKETS_S: &[f64] =
    &[0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0];
/// Upper bounds of the histogram of rows in a forward pass (vLLM's).
pub(crate) const ROWS_BUCKETS: &[f64] = &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];
/// Seconds over which throughput is averaged.
const THROUGHPUT_WINDOW_S: f64 = 10.0;

/// A cumulative histogram.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Histogram {
    /// Upper bounds of the buckets, ascending; one more bucket without a bound follows.
    pub bounds: &'static [f64],
    /// Observations in each bucket (not cumulated), one more than `bounds`.
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The state of a server at one moment. Field names are vLLM's metric names without the `vllm:` prefix.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Requests that run.
    pub num_requests_running: usize,
    /// Requests that wait.
    pub num_requests_waiting: usize,
    /// Share of the KV cache that is reserved, 0 to 1.
    pub kv_cache_usage_perc: f64,
    /// Preemptions; admission reserves the whole answer, so none happen.
    pub num_preemptions_total: u64,
    /// Prompt tokens computed.
    pub prompt_tokens_total: u64,
    /// Tokens generated.
    pub generation_tokens_total: u64,
    /// Finished requests by reason.
    pub request_success_total: BTreeMap<FinishReason, u64>,
    /// Requests given up: cancelled by their caller.
    pub request_cancelled_total: u64,
    /// Requests given up: failed.
    pub request_failed_total: u64,
    /// Seconds from arrival to the first token.
    pub time_to_first_token_seconds: Histogram,
    /// Seconds between tokens of one request.
    pub inter_token_latency_seconds: Histogram,
    /// Seconds from arrival to the end.
    pub e2e_request_latency_seconds: Histogram,
    /// Seconds from arrival to admission.
    pub request_queue_time_seconds: Histogram,
    /// Rows in each forward pass.
    pub iteration_tokens_total: Histogram,
    /// Most adapters that run at once (`vllm:lora_requests_info` label `max_lora`).
    pub max_lora: usize,
    /// Adapters among running requests, with the number of requests.
    pub running_lora_adapters: BTreeMap<String, usize>,
    /// Adapters among waiting requests, with the number of requests.
    pub waiting_lora_adapters: BTreeMap<String, usize>,
    /// Adapters registered.
    pub adapters_registered: usize,
    /// Adapters in memory.
    pub adapters_cached: usize,
    /// Their bytes.
    pub adapter_cache_bytes: u64,
    /// Adapters read from disk so far.
    pub adapter_loads_total: u64,
    /// Adapters dropped from memory to keep the limit.
    pub adapter_evictions_total: u64,
    /// Tokens generated a second over the last ten seconds of work.
    pub generation_throughput_tps: f64,
}

impl MetricsSnapshot {
    pub(crate) fn new(max_lora: usize) -> Self {
        Self {
            num_requests_running: 0,
            num_requests_waiting: 0,
            kv_cache_usage_perc: 0.0,
            num_preemptions_total: 0,
            prompt_tokens_total: 0,
            generation_tokens_total: 0,
            request_success_total: BTreeMap::new(),
            request_cancelled_total: 0,
            request_failed_total: 0,
            time_to_first_token_seconds: Histogram::new(FIRST_TOKEN_BUCKETS_S),
            inter_token_latency_seconds: Histogram::new(INTER_TOKEN_BUCKETS_S),
            e2e_request_latency_seconds: Histogram::new(REQUEST_BUCKETS_S),
            request_queue_time_seconds: Histogram::new(REQUEST_BUCKETS_S),
            iteration_tokens_total: Histogram::new(ROWS_BUCKETS),
            max_lora,
            running_lora_adapters: BTreeMap::new(),
            waiting_lora_adapters: BTreeMap::new(),
            adapters_registered: 0,
            adapters_cached: 0,
            adapter_cache_bytes: 0,
            adapter_loads_total: 0,
            adapter_evictions_total: 0,
            generation_throughput_tps: 0.0,
        }
    }

    /// Follows throughput with an exponential mean over the window.
    pub(crate) fn observe_throughput(&mut self, tokens: usize, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let keep = 1.0 - (seconds / THROUGHPUT_WINDOW_S).min(1.0);
        let now = tokens as f64 / seconds;
        self.generation_throughput_tps = keep * self.generation_throughput_tps + (1.0 - keep) * now;
    }
}
