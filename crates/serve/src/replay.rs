//! Recomputes an answer, one request alone: what receipts are verified with.

use openledger_engine::{
    Chunk, Exec, ForwardError, KV_BLOCK_TOKENS, KvPool, Logits, LoraAdapter, Model, SeqKv, sample::SampleError,
};

use crate::{
    error::InvalidRequest,
    request::{Completion, Request},
    sequence::Sequence,
};

/// Why an answer was not recomputed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The request breaks a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The engine refused the pass.
    #[error("the engine refused a pass of the replay")]
    Forward(#[from] ForwardError),
    /// No token could be drawn.
    #[error("no token could be drawn in the replay")]
    Sample(#[from] SampleError),
}

/// Recomputes the answer to `request` with the base model and `adapter`; `request.adapter` and the tenant are ignored.
///
/// The result is what a [`Server`](crate::Server) gave for the same inputs, bit for bit, whatever ran beside it.
///
/// # Errors
/// [`ReplayError`] if the request is not valid for this model or a pass fails.
pub fn replay(
    model: &Model,
    adapter: Option<&LoraAdapter>,
    request: &Request,
    threads: usize,
) -> Result<Completion, ReplayError> {
    let mut run = Alone::new(model, request, threads)?;
    loop {
        let (tokens, _) = run.sequence.next_rows(run.sequence.pending());
        let chunk = Chunk { tokens, kv: &mut run.cache, adapter, logits: Logits::Last };
        let logits = model.forward(&mut run.exec, &mut run.pool, &mut [chunk])?;
        let rows = run.sequence.pending();
        run.sequence.advance(rows);
        let row = logits.last(0).expect("the chunk asked for its last logits");
        if let Some(completion) = run.sequence.accept(row)?.completion {
            return Ok(completion);
        }
    }
}

/// Checks a claimed answer in one pass: whether `tokens` is exactly what [`replay`] would generate.
///
/// Feeds prompt and claim together and samples at every position, so it costs a prefill instead of a generation.
///
/// # Errors
/// [`ReplayError`] if the request is not valid for this model or the pass fails.
pub fn check(
    model: &Model,
    adapter: Option<&LoraAdapter>,
    request: &Request,
    tokens: &[u32],
    threads: usize,
) -> Result<bool, ReplayError> {
    let vocab = model.config().vocab;
    let out_of_range = tokens.iter().any(|&token| token as usize >= vocab);
    if tokens.is_empty() || tokens.len() > request.max_tokens as usize || out_of_range {
        return Ok(false);
    }
    let mut run = Alone::new(model, request, threads)?;
    let fed: Vec<u32> = request.prompt.iter().chain(&tokens[..tokens.len() - 1]).copied().collect();
    let chunk = Chunk { tokens: &fed, kv: &mut run.cache, adapter, logits: Logits::All };
    let logits = model.forward(&mut run.exec, &mut run.pool, &mut [chunk])?;
    let rows = logits.chunk(0);
    for (position, &claimed) in tokens.iter().enumerate() {
        let step = run.sequence.accept(rows.row(request.prompt.len() - 1 + position))?;
        let is_last = position + 1 == tokens.len();
        if run.sequence.last_token() != claimed || step.completion.is_some() != is_last {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One request with an engine to itself.
struct Alone<'m> {
    exec: Exec,
    pool: KvPool,
    cache: SeqKv,
    sequence: Sequence<'m>,
}

impl<'m> Alone<'m> {
    fn new(model: &'m Model, request: &Request, threads: usize) -> Result<Self, ReplayError> {
        let config = model.config();
        request.validate(config.vocab, config.context)?;
        let tokens = request.prompt.len() + request.max_tokens as usize;
        let pool = KvPool::new(config, tokens.div_ceil(KV_BLOCK_TOKENS));
        Ok(Self {
            exec: Exec::new(threads),
            pool,
            cache: SeqKv::default(),
            sequence: Sequence::new(model.tokenizer(), request)?,
        })
    }
}
