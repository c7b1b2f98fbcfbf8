//! Held-out records: their loss, and whether the greedy answer is exactly theirs.

use openledger_engine::{
    Chunk, Exec, ForwardError, KV_BLOCK_TOKENS, KvPool, Logits, LoraAdapter, Model, SeqKv, sample,
};

use crate::{encode::Example, record::TrainRecord};

/// Most rows of logits in one pass.
const LOGIT_ROWS_MAX: usize = 128;
/// Most rows in one pass that asks for no logits.
const READ_ROWS_MAX: usize = 512;
/// Answers generated together.
const GENERATE_TOGETHER: usize = 16;
/// Most samples that a report keeps.
pub const SAMPLES_MAX: usize = 20;

/// What a model does on held-out records.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evaluation {
    /// Records measured.
    pub records: usize,
    /// Mean loss over their learnt tokens, nats.
    pub loss: f64,
    /// Records that have an answer to compare.
    pub answers: usize,
    /// Of those, how many the greedy answer equals exactly, apart from white space around it.
    pub exact: usize,
    /// The first answers.
    pub samples: Vec<Sample>,
}

impl Evaluation {
    /// Share of answers that are exact; none if there was nothing to compare.
    pub fn accuracy(&self) -> Option<f64> {
        (self.answers > 0).then(|| self.exact as f64 / self.answers as f64)
    }
}

/// One held-out record with the model's answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// Position of the record in the held-out list.
    pub record: usize,
    /// The answer that the record holds.
    pub expected: String,
    /// The model's.
    pub answer: String,
}

/// Why an evaluation stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The engine refused a pass.
    #[error("the engine refused a pass of the evaluation")]
    Forward(#[from] ForwardError),
    /// The logits have no order.
    #[error("the model's logits have no order")]
    Sample(#[from] sample::SampleError),
    /// The caller asked to stop.
    #[error("the evaluation was stopped")]
    Stopped,
}

/// Evaluates with one model, adapter and thread pool.
pub struct Evaluator<'a> {
    /// The base model.
    pub model: &'a Model,
    /// The adapter, or none for the base model alone.
    pub adapter: Option<&'a LoraAdapter>,
    /// Threads.
    pub exec: &'a mut Exec,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    /// Asked between passes; true stops the evaluation.
    pub stop: &'a dyn Fn() -> bool,
}

impl Evaluator<'_> {
    /// Measures `examples`, whose `record` are positions in `records`.
    ///
    /// # Errors
    /// [`EvaluateError`] if a pass fails or the caller stops it.
    pub fn run(&mut self, examples: &[Example], records: &[TrainRecord]) -> Result<Evaluation, EvaluateError> {
        let (mut sum, mut count) = (0.0, 0);
        for example in examples {
            sum += self.loss(example)?;
            count += example.target_count();
        }
        let mut report =
            Evaluation { records: examples.len(), loss: sum / count.max(1) as f64, ..Evaluation::default() };
        let asked: Vec<&Example> = examples.iter().filter(|e| records[e.record].body.response().is_some()).collect();
        for group in asked.chunks(GENERATE_TOGETHER) {
            let prompts: Vec<&[u32]> = group.iter().map(|e| e.last_prompt()).collect();
            for (example, answer) in group.iter().zip(self.generate(&prompts)?) {
                report.compare(example.record, records[example.record].body.response().unwrap_or_default(), answer);
            }
        }
        Ok(report)
    }

    /// Sum of the losses of an example's learnt tokens.
    fn loss(&mut self, example: &Example) -> Result<f64, EvaluateError> {
        let input = example.input();
        let targets = example.targets();
        let silent = targets.iter().position(Option::is_some).unwrap_or(input.len());
        let mut pool = KvPool::new(self.model.config(), input.len().div_ceil(KV_BLOCK_TOKENS));
        let mut kv = pool.alloc();
        self.read(&mut pool, &mut kv, &input[..silent])?;
        let mut sum = 0.0;
        for (tokens, targets) in input[silent..].chunks(LOGIT_ROWS_MAX).zip(targets[silent..].chunks(LOGIT_ROWS_MAX)) {
            let mut chunk = [Chunk { tokens, kv: &mut kv, adapter: self.adapter, logits: Logits::All }];
            let logits = self.model.forward(self.exec, &mut pool, &mut chunk)?;
            let learnt = targets.iter().enumerate().filter_map(|(row, target)| target.map(|t| (row, t)));
            let rows = logits.chunk(0);
            sum += learnt.map(|(row, target)| cross_entropy(rows.row(row), target)).sum::<f64>();
        }
        Ok(sum)
    }

    /// Feeds tokens without asking for logits.
    fn read(&mut self, pool: &mut KvPool, kv: &mut SeqKv, tokens: &[u32]) -> Result<(), EvaluateError> {
        for tokens in tokens.chunks(READ_ROWS_MAX) {
            if (self.stop)() {
                return Err(EvaluateError::Stopped);
            }
            let logits = Logits::None;
            self.model.forward(self.exec, pool, &mut [Chunk { tokens, kv, adapter: self.adapter, logits }])?;
        }
        Ok(())
    }

    /// Greedy answers to prompts, as text, all together.
    ///
    /// # Errors
    /// [`EvaluateError`] if a pass fails or the caller stops it.
    pub fn generate(&mut self, prompts: &[&[u32]]) -> Result<Vec<String>, EvaluateError> {
        let blocks = |p: &&[u32]| (p.len() + self.max_new_tokens).div_ceil(KV_BLOCK_TOKENS);
        let mut pool = KvPool::new(self.model.config(), prompts.iter().map(blocks).sum());
        let mut answers: Vec<Answer> = prompts.iter().map(|p| Answer::new(p, pool.alloc())).collect();
        for (answer, prompt) in answers.iter_mut().zip(prompts) {
            self.read(&mut pool, &mut answer.kv, &prompt[..prompt.len().saturating_sub(1)])?;
        }
        for _ in 0..self.max_new_tokens {
            if (self.stop)() {
                return Err(EvaluateError::Stopped);
            }
            if !self.extend(&mut pool, &mut answers)? {
                break;
            }
        }
        Ok(answers.iter().map(|a| self.model.tokenizer().decode(&a.tokens)).collect())
    }

    /// Adds one token to every answer that has not ended; false if all have.
    fn extend(&mut self, pool: &mut KvPool, answers: &mut [Answer]) -> Result<bool, EvaluateError> {
        let mut open: Vec<&mut Answer> = answers.iter_mut().filter(|a| !a.ended).collect();
        if open.is_empty() {
            return Ok(false);
        }
        let mut chunks: Vec<Chunk<'_>> = open
            .iter_mut()
            .map(|a| Chunk { tokens: &a.next, kv: &mut a.kv, adapter: self.adapter, logits: Logits::Last })
            .collect();
        let logits = self.model.forward(self.exec, pool, &mut chunks)?;
        drop(chunks);
        for (chunk, answer) in open.into_iter().enumerate() {
            let token = sample::greedy(logits.last(chunk).unwrap_or_default())?;
            answer.push(token, self.model.tokenizer().stop_ids().contains(&token));
        }
        Ok(true)
    }
}

struct Answer {
    next: Vec<u32>,
    tokens: Vec<u32>,
    kv: SeqKv,
    ended: bool,
}

impl Answer {
    fn new(prompt: &[u32], kv: SeqKv) -> Self {
        Self { next: prompt.last().copied().into_iter().collect(), tokens: Vec::new(), kv, ended: prompt.is_empty() }
    }

    fn push(&mut self, token: u32, is_end: bool) {
        self.ended = is_end;
        if !is_end {
            self.tokens.push(token);
        }
        self.next = vec![token];
    }
}

impl Evaluation {
    fn compare(&mut self, record: usize, expected: &str, answer: String) {
        self.answers += 1;
        self.exact += usize::from(answer.trim() == expected.trim());
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(Sample { record, expected: expected.to_owned(), answer });
        }
    }
}

/// Minus the logarithm of the softmax of `logits` at `target`, in doubles, in order.
fn cross_entropy(logits: &[f32], target: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| libm::exp(f64::from(l) - f64::from(most))).sum();
    libm::log(sum) + f64::from(most) - f64::from(logits[target as usize])
}
