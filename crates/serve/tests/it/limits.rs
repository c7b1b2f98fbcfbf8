//! Queues, memory and requests have limits, and reaching one loses nothing.

use std::collections::BTreeMap;

use openledger_serve::{FinishReason, GenerateError, InvalidRequest, Request, Server, StartError, SubmitError};

use crate::support::{config, model, requests, server_with};

#[test]
fn a_full_queue_is_busy_and_says_when_to_come_back() {
    let mut config = config();
    (config.max_queue, config.max_sequences) = (2, 1);
    let server = Server::start(model(), config).unwrap();
    let mut held = Vec::new();
    let busy = loop {
        let mut request = Request::new(vec![3; 20], 100);
        request.ignore_eos = true;
        match server.submit(request) {
            Ok(generation) => held.push(generation),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(busy, SubmitError::Busy { queued: 2, limit: 2, retry_after_ms } if retry_after_ms >= 1_000),
        "{busy:?}"
    );
    for generation in held {
        assert_eq!(generation.finish_blocking().unwrap().finish, FinishReason::Length);
    }
    server.submit(Request::new(vec![3], 1)).unwrap().finish_blocking().unwrap();
}

#[test]
fn requests_that_do_not_fit_the_cache_together_take_turns() {
    let mut config = config();
    let model = model();
    let shape = model.config();
    let block_bytes = 2 * 4 * shape.layers * shape.kv_heads * shape.head_dim * 16;
    config.kv_bytes = 8 * block_bytes as u64;
    let server = Server::start(model, config).unwrap();
    let held: Vec<_> = (0..12)
        .map(|n| {
            let mut request = Request::new(vec![3 + n; 30], 90);
            request.ignore_eos = true;
            server.submit(request).unwrap()
        })
        .collect();
    for generation in held {
        assert_eq!(generation.finish_blocking().unwrap().usage.tokens_out, 90);
    }
    assert_eq!(server.metrics().num_preemptions_total, 0);
}

#[test]
fn a_caller_that_goes_away_frees_its_place() {
    let mut config = config();
    config.max_sequences = 1;
    let server = Server::start(model(), config).unwrap();
    let mut endless = Request::new(vec![3; 20], 100);
    endless.ignore_eos = true;
    let mut abandoned = server.submit(endless.clone()).unwrap();
    abandoned.next_blocking().unwrap();
    let waiting = server.submit(endless).unwrap();
    drop((abandoned, waiting));
    let after = server.submit(Request::new(vec![5], 1)).unwrap().finish_blocking().unwrap();
    assert_eq!(after.usage.tokens_out, 1);
    let metrics = server.metrics();
    assert!(metrics.request_cancelled_total >= 1, "{metrics:?}");
    assert!(metrics.generation_tokens_total < 200, "{metrics:?}");
}

#[test]
fn requests_out_of_range_name_the_limit() {
    let server = Server::start(model(), config()).unwrap();
    let vocab = model().config().vocab;
    let refused = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::new(vec![3], 1);
        change(&mut request);
        match server.submit(request).unwrap_err() {
            SubmitError::Invalid(invalid) => invalid,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|r| r.prompt.clear()), InvalidRequest::EmptyPrompt);
    assert_eq!(refused(&|r| r.max_tokens = 0), InvalidRequest::NoTokens);
    assert_eq!(refused(&|r| r.max_tokens = 128), InvalidRequest::TooLong { prompt: 1, max_tokens: 128, limit: 128 });
    assert_eq!(
        refused(&|r| r.max_tokens = u32::MAX),
        InvalidRequest::TooLong { prompt: 1, max_tokens: u32::MAX, limit: 128 }
    );
    assert_eq!(refused(&|r| r.prompt[0] = u32::MAX), InvalidRequest::Token { token: u32::MAX, vocab });
    assert!(matches!(
        refused(&|r| r.sampling.temperature = f32::NAN),
        InvalidRequest::Sampling { field: "temperature", .. }
    ));
    assert!(matches!(refused(&|r| r.sampling.top_p = 0.0), InvalidRequest::Sampling { field: "top_p", .. }));
    assert_eq!(refused(&|r| r.stop = vec!["x".into(); 17]), InvalidRequest::StopCount { given: 17, limit: 16 });
    assert_eq!(refused(&|r| r.stop = vec![String::new()]), InvalidRequest::StopLength { bytes: 0, limit: 256 });
}

#[test]
fn limits_that_could_serve_nothing_are_refused_at_the_start() {
    let start = |change: &dyn Fn(&mut openledger_serve::ServeConfig)| {
        let mut config = config();
        change(&mut config);
        Server::start(model(), config).map(drop)
    };
    assert!(matches!(start(&|c| c.threads = 0).unwrap_err(), StartError::TooSmall { field: "threads", .. }));
    assert!(matches!(start(&|c| c.kv_bytes = 100).unwrap_err(), StartError::TooSmall { field: "kv_bytes", .. }));
    assert!(matches!(
        start(&|c| c.max_batch_rows = 8).unwrap_err(),
        StartError::TooSmall { field: "max_batch_rows", .. }
    ));
    assert!(matches!(
        start(&|c| c.max_context = 1 << 30).unwrap_err(),
        StartError::TooLarge { field: "max_context", .. }
    ));
}

#[test]
fn stopping_tells_everyone_who_waits() {
    let mut config = config();
    config.max_sequences = 1;
    let server = Server::start(model(), config).unwrap();
    let mut endless = Request::new(vec![3; 20], 100);
    endless.ignore_eos = true;
    let held: Vec<_> = (0..8).map(|_| server.submit(endless.clone()).unwrap()).collect();
    server.shutdown();
    let ends: Vec<_> = held.into_iter().map(|g| g.finish_blocking()).collect();
    assert_eq!(*ends.last().unwrap(), Err(GenerateError::Stopped));
    assert_eq!(server.submit(endless).unwrap_err(), SubmitError::Stopped);
}

#[test]
fn metrics_count_what_was_served() {
    let (server, _, _dir) = server_with(config(), &[2, 2]);
    let asked = requests(12, 2);
    let running: Vec<_> = asked.iter().map(|r| server.submit(r.clone()).unwrap()).collect();
    let answers: Vec<_> = running.into_iter().map(|g| g.finish_blocking().unwrap()).collect();
    server.shutdown();
    let metrics = server.metrics();
    let sum = |f: &dyn Fn(usize) -> u32| (0..asked.len()).map(|i| u64::from(f(i))).sum::<u64>();
    assert_eq!(metrics.prompt_tokens_total, sum(&|i| asked[i].prompt.len() as u32));
    assert_eq!(metrics.generation_tokens_total, sum(&|i| answers[i].usage.tokens_out));
    let mut by_reason = BTreeMap::new();
    answers.iter().for_each(|a| *by_reason.entry(a.finish).or_default() += 1);
    assert_eq!(metrics.request_success_total, by_reason);
    assert_eq!(metrics.time_to_first_token_seconds.count(), 12);
    assert_eq!((metrics.num_requests_running, metrics.num_requests_waiting), (0, 0));
    assert_eq!(metrics.kv_cache_usage_perc, 0.0);
    assert_eq!(metrics.adapter_loads_total, 2);
}
