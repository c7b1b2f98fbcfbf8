//! One answer in the making: which rows it needs next, and what its logits become. Used by serving and by replay alike.

use openledger_engine::{
    DecodeStream, Tokenizer,
    sample::{SampleError, Sampler, SamplingParams},
};

use crate::{
    request::{Completion, Event, FinishReason, Request, Sampling, Usage},
    text::StopScan,
};

/// The state of one request that runs, apart from its KV cache.
pub(crate) struct Sequence<'t> {
    /// Prompt and answer so far.
    tokens: Vec<u32>,
    prompt_len: usize,
    /// Tokens whose keys and values are in the cache.
    fed: usize,
    max_tokens: usize,
    ignore_eos: bool,
    sampler: Sampler,
    tokenizer: &'t Tokenizer,
    decoder: DecodeStream<'t>,
    scan: StopScan,
    text: String,
}

/// What one sampled token led to.
pub(crate) struct Step {
    pub(crate) event: Event,
    pub(crate) completion: Option<Completion>,
}

impl<'t> Sequence<'t> {
    /// # Errors
    /// If the engine refuses the sampling parameters.
    pub(crate) fn new(tokenizer: &'t Tokenizer, request: &Request) -> Result<Self, SampleError> {
        let Sampling { temperature, top_p, top_k } = request.sampling;
        let params = SamplingParams { temperature, top_p, top_k: top_k as usize, seed: request.seed };
        Ok(Self {
            tokens: request.prompt.clone(),
            prompt_len: request.prompt.len(),
            fed: 0,
            max_tokens: request.max_tokens as usize,
            ignore_eos: request.ignore_eos,
            sampler: Sampler::new(params)?,
            tokenizer,
            decoder: tokenizer.decode_stream(),
            scan: StopScan::new(request.stop.clone()),
            text: String::new(),
        })
    }

    /// Rows that are not in the cache yet: the rest of the prompt, or the last sampled token.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.fed
    }

    /// The next `rows` tokens to feed, and whether the logits after them are wanted.
    pub(crate) fn next_rows(&self, rows: usize) -> (&[u32], bool) {
        (&self.tokens[self.fed..self.fed + rows], rows == self.pending())
    }

    /// Notes that `rows` tokens were fed; returns how many of them were prompt tokens.
    pub(crate) fn advance(&mut self, rows: usize) -> usize {
        let prompt_before = self.fed.min(self.prompt_len);
        self.fed += rows;
        self.fed.min(self.prompt_len) - prompt_before
    }

    /// Number of sampled tokens.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt_len
    }

    /// The last token of prompt and answer.
    pub(crate) fn last_token(&self) -> u32 {
        self.tokens[self.tokens.len() - 1]
    }

    /// Samples from the logits after the last token fed.
    ///
    /// # Errors
    /// If the logits have no order (not a number).
    pub(crate) fn accept(&mut self, logits: &[f32]) -> Result<Step, SampleError> {
        let token = self.sampler.next(logits)?;
        Ok(self.take(token))
    }

    fn take(&mut self, token: u32) -> Step {
        self.tokens.push(token);
        let ended = !self.ignore_eos && self.tokenizer.stop_ids().contains(&token);
        let piece = self.decoder.push(token);
        let (mut ready, stopped) = self.scan.push(&piece);
        self.text.push_str(&ready);
        let finish = match (ended || stopped, self.generated() >= self.max_tokens) {
            (true, _) => FinishReason::Stop,
            (false, true) => FinishReason::Length,
            (false, false) => return Step { event: Event::Token { token, text: ready }, completion: None },
        };
        ready.push_str(&self.flush(stopped));
        Step { event: Event::Token { token, text: ready }, completion: Some(self.completion(finish)) }
    }

    /// Ends the answer at the last sampled token: what [`replay`](crate::replay()) gives for as many `max_tokens`.
    pub(crate) fn cut(&mut self) -> Completion {
        self.flush(false);
        self.completion(FinishReason::Cancelled)
    }

    /// Releases what was held back, unless a stop string was found, behind which nothing is shown.
    fn flush(&mut self, stopped: bool) -> String {
        if stopped {
            return String::new();
        }
        let last = self.decoder.clone().finish();
        let (mut tail, cut) = self.scan.push(&last);
        if !cut {
            tail.push_str(&self.scan.finish());
        }
        self.text.push_str(&tail);
        tail
    }

    fn completion(&self, finish: FinishReason) -> Completion {
        let tokens = self.tokens[self.prompt_len..].to_vec();
        // Both are bounded by the server's max_context, which fits u32.
        let usage = Usage { tokens_in: self.prompt_len as u32, tokens_out: tokens.len() as u32 };
        Completion { tokens, text: self.text.clone(), finish, usage }
    }
}
