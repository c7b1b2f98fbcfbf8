//! Answers depend on the request, the model and the adapter alone.

use openledger_engine::LoraAdapter;
use openledger_serve::{
    AdapterId, Completion, Event, FinishReason, GenerateError, Request, ServeConfig, Server, check, replay,
};
use openledger_testkit::TinySpec;

use crate::support::{config, model, requests, server_with};

fn weights<'a>(adapters: &'a [LoraAdapter], id: &Option<AdapterId>) -> Option<&'a LoraAdapter> {
    let number = id.as_ref()?.as_str().strip_prefix("lora-").unwrap();
    Some(&adapters[number.parse::<usize>().unwrap()])
}

/// All requests at once, so that they share batches.
fn serve_all(config: ServeConfig, ranks: &[usize], requests: &[Request]) -> (Vec<Completion>, Vec<LoraAdapter>) {
    let (server, adapters, _dir) = server_with(config, ranks);
    let generations: Vec<_> = requests.iter().map(|r| server.submit(r.clone()).unwrap()).collect();
    let answers = generations.into_iter().map(|g| g.finish_blocking().unwrap()).collect();
    (answers, adapters)
}

#[test]
fn an_answer_is_the_same_alone_and_in_any_batch() {
    let requests = requests(24, 3);
    let (together, adapters) = serve_all(config(), &[2, 4, 8], &requests);
    let model = model();
    for (request, served) in requests.iter().zip(&together) {
        let alone = replay(&model, weights(&adapters, &request.adapter), request, 1).unwrap();
        assert_eq!(&alone, served, "{request:?}");
    }
    assert!(together.iter().any(|a| a.tokens != together[0].tokens), "the answers differ from one another");
}

#[test]
fn an_answer_does_not_depend_on_how_the_server_is_set_up() {
    let requests = requests(16, 2);
    let (reference, _) = serve_all(config(), &[2, 4], &requests);
    let mut tight = config();
    (tight.threads, tight.max_batch_rows, tight.max_sequences, tight.prefill_chunk, tight.max_slots) = (2, 5, 3, 2, 1);
    let (other, _) = serve_all(tight, &[2, 4], &requests);
    assert_eq!(reference, other);
}

#[test]
fn a_claimed_answer_is_checked_in_one_pass() {
    let model = model();
    for request in requests(8, 0) {
        let answer = replay(&model, None, &request, 1).unwrap();
        assert!(check(&model, None, &request, &answer.tokens, 1).unwrap());
        for at in 0..answer.tokens.len() {
            let mut forged = answer.tokens.clone();
            forged[at] = (forged[at] + 1) % model.config().vocab as u32;
            assert!(!check(&model, None, &request, &forged, 1).unwrap(), "token {at} was changed");
        }
        let short = &answer.tokens[..answer.tokens.len() - 1];
        assert!(!check(&model, None, &request, short, 1).unwrap(), "an answer cut short is not the answer");
    }
}

#[test]
fn the_events_of_an_answer_add_up_to_it() {
    let (server, _, _dir) = server_with(config(), &[]);
    let mut generation = server.submit(requests(1, 0).remove(0)).unwrap();
    let (mut tokens, mut text, mut end) = (Vec::new(), String::new(), None);
    while let Some(event) = generation.next_blocking() {
        match event {
            Event::Token { token, text: piece } => {
                tokens.push(token);
                text.push_str(&piece);
            }
            Event::Finished(completion) => end = Some(completion),
            other => panic!("{other:?}"),
        }
    }
    let end = end.unwrap();
    assert_eq!((tokens, text), (end.tokens, end.text));
}

/// Many layers, so that an answer takes long enough to be ended in the middle of it.
fn slow() -> (openledger_engine::Model, ServeConfig) {
    let model = TinySpec { layers: 24, ..TinySpec::default() }.model();
    let mut config = config();
    (config.max_context, config.kv_bytes) = (model.config().context, 256 << 20);
    (model, config)
}

fn endless(tokens: u32) -> Request {
    let mut request = Request::new(vec![3; 20], tokens);
    request.ignore_eos = true;
    request
}

#[test]
fn an_answer_that_its_caller_ends_is_the_answer_of_as_many_tokens() {
    let (model, config) = slow();
    let server = Server::start(model.clone(), config).unwrap();
    let request = endless(450);
    let mut generation = server.submit(request.clone()).unwrap();
    for _ in 0..3 {
        assert!(matches!(generation.next_blocking(), Some(Event::Token { .. })));
    }
    generation.cancel();
    let cut = generation.finish_blocking().unwrap();
    assert_eq!((cut.finish, cut.usage.tokens_out as usize), (FinishReason::Cancelled, cut.tokens.len()));
    assert!((3..450).contains(&cut.tokens.len()), "{} tokens", cut.tokens.len());
    let shorter = Request { max_tokens: cut.usage.tokens_out, ..request };
    let again = replay(&model, None, &shorter, 1).unwrap();
    assert_eq!((&again.tokens, &again.text, again.usage), (&cut.tokens, &cut.text, cut.usage));
    assert!(check(&model, None, &shorter, &cut.tokens, 1).unwrap());
    assert_eq!(server.metrics().request_success_total[&FinishReason::Cancelled], 1);
    let next = server.submit(endless(2)).unwrap().finish_blocking().unwrap();
    assert_eq!(next.finish, FinishReason::Length, "its place is free");
}

#[test]
fn a_request_that_is_cancelled_while_it_waits_computes_nothing() {
    let (model, mut config) = slow();
    config.max_sequences = 1;
    let server = Server::start(model, config).unwrap();
    let mut first = server.submit(endless(450)).unwrap();
    assert!(matches!(first.next_blocking(), Some(Event::Token { .. })));
    let second = server.submit(endless(5)).unwrap();
    second.cancel();
    assert_eq!(second.finish_blocking(), Err(GenerateError::Cancelled));
    first.cancel();
    assert_eq!(first.finish_blocking().unwrap().finish, FinishReason::Cancelled);
}

#[test]
fn an_answer_ends_at_a_stop_string_which_is_not_part_of_it() {
    let model = model();
    let mut request = Request::new(vec![5, 9, 11], 40);
    request.ignore_eos = true;
    let whole = replay(&model, None, &request, 1).unwrap();
    assert_eq!((whole.finish, whole.usage.tokens_out), (FinishReason::Length, 40));
    let middle: Vec<char> = whole.text.chars().collect();
    let stop: String = middle[middle.len() / 2..][..2].iter().collect();
    request.stop = vec![stop.clone()];
    let cut = replay(&model, None, &request, 1).unwrap();
    assert_eq!(cut.finish, FinishReason::Stop);
    assert_eq!(cut.text, whole.text[..whole.text.find(&stop).unwrap()]);
    assert_eq!(cut.tokens, whole.tokens[..cut.tokens.len()]);
    assert_eq!(cut.usage.tokens_out as usize, cut.tokens.len());
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_another_seed_others() {
    let model = model();
    let mut request = requests(2, 0).remove(1);
    (request.max_tokens, request.ignore_eos, request.sampling.temperature) = (30, true, 2.0);
    let mut draw = |seed| {
        request.seed = seed;
        replay(&model, None, &request, 1).unwrap().tokens
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
