//! Prometheus' text format, under vLLM's metric names so that existing dashboards work.

use std::fmt::{Display, Write as _};

use openledger_serve::{Histogram, MetricsSnapshot};

/// Text under construction; every sample carries the model's name, as vLLM's do.
pub(crate) struct Exposition {
    text: String,
    model: String,
}

impl Exposition {
    pub(crate) fn new(model: &str) -> Self {
        Self { text: String::new(), model: model.replace(['\\', '"', '\n'], "_") }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    pub(crate) fn gauge(&mut self, name: &str, value: impl Display) {
        self.sample("gauge", name, value);
    }

    pub(crate) fn counter(&mut self, name: &str, value: impl Display) {
        self.sample("counter", name, value);
    }

    fn sample(&mut self, kind: &str, name: &str, value: impl Display) {
        let model = &self.model;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n{name}{{model_name=\"{model}\"}} {value}");
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let model = &self.model;
        let _ = writeln!(self.text, "# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            below += count;
            let _ = writeln!(self.text, "{name}_bucket{{model_name=\"{model}\",le=\"{bound}\"}} {below}");
        }
        let total = histogram.count();
        let _ = writeln!(self.text, "{name}_bucket{{model_name=\"{model}\",le=\"+Inf\"}} {total}");
        let _ = writeln!(self.text, "{name}_sum{{model_name=\"{model}\"}} {}", histogram.sum);
        let _ = writeln!(self.text, "{name}_count{{model_name=\"{model}\"}} {total}");
    }

    /// Everything that the model server counts.
    pub(crate) fn server(&mut self, m: &MetricsSnapshot) {
        self.gauge("vllm:num_requests_running", m.num_requests_running);
        self.gauge("vllm:num_requests_waiting", m.num_requests_waiting);
        self.gauge("vllm:kv_cache_usage_perc", m.kv_cache_usage_perc);
        self.counter("vllm:num_preemptions_total", m.num_preemptions_total);
        self.counter("vllm:prompt_tokens_total", m.prompt_tokens_total);
        self.counter("vllm:generation_tokens_total", m.generation_tokens_total);
        self.counter("vllm:request_success_total", m.request_success_total.values().sum::<u64>());
        self.histogram("vllm:time_to_first_token_seconds", &m.time_to_first_token_seconds);
        self.histogram("vllm:inter_token_latency_seconds", &m.inter_token_latency_seconds);
        self.histogram("vllm:e2e_request_latency_seconds", &m.e2e_request_latency_seconds);
        self.histogram("vllm:request_queue_time_seconds", &m.request_queue_time_seconds);
        self.histogram("vllm:iteration_tokens_total", &m.iteration_tokens_total);
        self.gauge("openledger:adapters_registered", m.adapters_registered);
        self.gauge("openledger:adapters_cached", m.adapters_cached);
        self.gauge("openledger:adapter_cache_bytes", m.adapter_cache_bytes);
        self.counter("openledger:adapter_loads_total", m.adapter_loads_total);
        self.counter("openledger:adapter_evictions_total", m.adapter_evictions_total);
        self.counter("openledger:requests_cancelled_total", m.request_cancelled_total);
        self.counter("openledger:requests_failed_total", m.request_failed_total);
    }
}
