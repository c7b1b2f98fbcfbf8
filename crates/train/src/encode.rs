//! From records to token sequences in which only completions are learnt.

use openledger_engine::{ChatMessage, EncodeChatError, Model};

use crate::{
    recipe::{OverLong, Recipe},
    record::{RecordBody, RecordBodyError, TrainRecord},
};

/// Most records whose refusal a report names; more are counted.
pub const REPORT_ENTRIES_MAX: usize = 100;

/// One record as the model learns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Position of the record in the list that was encoded.
    pub record: usize,
    /// All tokens; the last one is never fed, only predicted.
    pub tokens: Vec<u32>,
    /// For each token whether it is learnt.
    pub learnt: Vec<bool>,
}

impl Example {
    /// Tokens to feed.
    pub fn input(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// For each token fed, the next one if it is learnt.
    pub fn targets(&self) -> Vec<Option<u32>> {
        let next = self.tokens[1..].iter().zip(&self.learnt[1..]);
        next.map(|(&token, &learnt)| learnt.then_some(token)).collect()
    }

    /// Number of tokens that are learnt.
    pub fn target_count(&self) -> usize {
        self.learnt[1..].iter().filter(|learnt| **learnt).count()
    }

    /// Everything before the last run of learnt tokens: what the model is asked with for the last response.
    pub fn last_prompt(&self) -> &[u32] {
        let end = self.learnt.iter().rposition(|learnt| *learnt).unwrap_or(0);
        let start = self.learnt[..end].iter().rposition(|learnt| !*learnt).map_or(0, |given| given + 1);
        &self.tokens[..start]
    }
}

/// A record that does not train, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// Position of the record in the list that was encoded.
    pub record: usize,
    /// Why, in words.
    pub reason: String,
}

/// What became of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EncodeReport {
    /// Records that train.
    pub used: usize,
    /// Records whose end was cut off.
    pub truncated: usize,
    /// Records that do not train.
    pub refused: usize,
    /// The first of them, with reasons.
    pub refusals: Vec<Refusal>,
    /// Tokens of all that train.
    pub tokens: u64,
    /// Tokens that are learnt.
    pub targets: u64,
}

/// Why one record cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeRecordError {
    /// It has none of the shapes that text models learn.
    #[error(transparent)]
    Shape(#[from] RecordBodyError),
    /// The chat template failed on its turns.
    #[error("the chat template failed: {reason}")]
    Template {
        /// The template's error.
        reason: String,
    },
    /// The tokenizer failed.
    #[error("the tokenizer failed: {reason}")]
    Tokenizer {
        /// The tokenizer's error.
        reason: String,
    },
    /// It has more tokens than the recipe allows, and the recipe refuses such records.
    #[error("it has {tokens} tokens; the limit is {limit}")]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing of it is learnt (after truncation, where that applies).
    #[error("none of its first {tokens} tokens is learnt")]
    NothingLearnt {
        /// Tokens within the limit.
        tokens: usize,
    },
}

/// Encodes records for one model and recipe.
#[derive(Debug, Clone)]
pub struct Encoder<'a> {
    model: &'a Model,
    system_prompt: Option<&'a str>,
    tokens_max: usize,
    over_long: OverLong,
}

impl<'a> Encoder<'a> {
    /// An encoder with the recipe's template options and length policy.
    pub fn new(model: &'a Model, recipe: &'a Recipe) -> Self {
        let tokens_max = (recipe.max_sequence_tokens as usize).min(model.config().context);
        Self { model, system_prompt: recipe.system_prompt.as_deref(), tokens_max, over_long: recipe.over_long }
    }

    /// Encodes all records; those that cannot train are in the report.
    pub fn encode_all(&self, records: &[TrainRecord]) -> (Vec<Example>, EncodeReport) {
        let mut report = EncodeReport::default();
        let mut examples = Vec::with_capacity(records.len());
        for (position, record) in records.iter().enumerate() {
            match self.encode(&record.body) {
                Ok((tokens, learnt, cut)) => {
                    report.truncated += usize::from(cut);
                    examples.push(Example { record: position, tokens, learnt });
                }
                Err(error) => report.refuse(position, &error),
            }
        }
        report.used = examples.len();
        report.tokens = examples.iter().map(|e| e.input().len() as u64).sum();
        report.targets = examples.iter().map(|e| e.target_count() as u64).sum();
        (examples, report)
    }

    /// Tokens of one record, which of them are learnt, and whether its end was cut off.
    ///
    /// # Errors
    /// [`EncodeRecordError`] if it cannot train.
    pub fn encode(&self, body: &RecordBody) -> Result<(Vec<u32>, Vec<bool>, bool), EncodeRecordError> {
        let Masked { mut tokens, mut learnt } = self.masked(body)?;
        let cut = tokens.len() > self.tokens_max;
        if cut && self.over_long == OverLong::Refuse {
            return Err(EncodeRecordError::TooLong { tokens: tokens.len(), limit: self.tokens_max });
        }
        tokens.truncate(self.tokens_max);
        learnt.truncate(self.tokens_max);
        if tokens.len() < 2 || !learnt[1..].contains(&true) {
            return Err(EncodeRecordError::NothingLearnt { tokens: tokens.len() });
        }
        Ok((tokens, learnt, cut))
    }

    /// Each token of a record as text, with whether it is learnt: what a builder checks before paying for a run.
    ///
    /// # Errors
    /// [`EncodeRecordError`] if it cannot train.
    pub fn preview_mask(&self, body: &RecordBody) -> Result<Vec<MaskedToken>, EncodeRecordError> {
        let (tokens, learnt, _) = self.encode(body)?;
        let text = |token| self.model.tokenizer().decode(&[token]);
        Ok(tokens
            .into_iter()
            .zip(learnt)
            .map(|(token, learnt)| MaskedToken { token, text: text(token), learnt })
            .collect())
    }

    /// The tokens that the model is asked with for `body`'s last response.
    ///
    /// # Errors
    /// [`EncodeRecordError`] if the template or the tokenizer fails.
    pub fn prompt(&self, body: &RecordBody) -> Result<Vec<u32>, EncodeRecordError> {
        let turns = self.with_system_prompt(body.turns().unwrap_or_default());
        let answered = turns.iter().rposition(|t| t.role == "assistant").unwrap_or(turns.len());
        self.asked(&turns[..answered])
    }

    fn masked(&self, body: &RecordBody) -> Result<Masked, EncodeRecordError> {
        if let RecordBody::Unusable { unusable } = body {
            return Err(RecordBodyError { keys: unusable.clone() }.into());
        }
        let mut masked = Masked::default();
        let Some(turns) = body.turns() else {
            masked.given(self.model.tokenizer().bos().filter(|_| self.model.tokenizer().adds_bos()));
            self.learn(&mut masked, &body.text())?;
            return Ok(masked);
        };
        let turns = self.with_system_prompt(turns);
        for turn in (0..turns.len()).filter(|&t| turns[t].role == "assistant") {
            let asked = self.asked(&turns[..turn])?;
            if asked.starts_with(&masked.tokens) {
                masked.given(asked[masked.tokens.len()..].iter().copied());
            } else {
                // The template or the tokenizer shows earlier turns differently now: only this turn is learnt from here.
                masked = Masked::default();
                masked.given(asked);
            }
            self.learn(&mut masked, &turns[turn].content)?;
        }
        Ok(masked)
    }

    fn learn(&self, masked: &mut Masked, text: &str) -> Result<(), EncodeRecordError> {
        masked.learn(self.plain(text)?);
        masked.learn(self.model.tokenizer().eos());
        Ok(())
    }

    /// Tokens of a contributor's text, in which nothing counts as a control token.
    fn plain(&self, text: &str) -> Result<Vec<u32>, EncodeRecordError> {
        self.model
            .tokenizer()
            .encode_untrusted(text)
            .map_err(|e| EncodeRecordError::Tokenizer { reason: e.to_string() })
    }

    /// The turns as the model is asked with them. Without a template: their contents, a line each.
    fn asked(&self, turns: &[ChatMessage]) -> Result<Vec<u32>, EncodeRecordError> {
        let tokenizer = self.model.tokenizer();
        match self.model.chat_template() {
            Some(template) => {
                let failed = |e: EncodeChatError| EncodeRecordError::Template { reason: e.to_string() };
                tokenizer.encode_chat(template, turns, true).map_err(failed)
            }
            None => {
                let mut tokens: Vec<u32> = tokenizer.bos().filter(|_| tokenizer.adds_bos()).into_iter().collect();
                for turn in turns {
                    tokens.extend(self.plain(&turn.content)?);
                    tokens.extend(if turn.role == "assistant" {
                        tokenizer.eos().into_iter().collect()
                    } else {
                        self.plain("\n")?
                    });
                }
                Ok(tokens)
            }
        }
    }

    fn with_system_prompt(&self, mut turns: Vec<ChatMessage>) -> Vec<ChatMessage> {
        if let Some(prompt) = self.system_prompt
            && turns.first().is_none_or(|t| t.role != "system")
        {
            turns.insert(0, ChatMessage { role: "system".to_owned(), content: prompt.to_owned() });
        }
        turns
    }
}

/// A token of a preview.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MaskedToken {
    /// The token.
    pub token: u32,
    /// Its text alone.
    pub text: String,
    /// Whether it is learnt; what is not is only read.
    pub learnt: bool,
}

/// Tokens with whether each is learnt.
#[derive(Debug, Default)]
struct Masked {
    tokens: Vec<u32>,
    learnt: Vec<bool>,
}

impl Masked {
    fn given(&mut self, tokens: impl IntoIterator<Item = u32>) {
        self.push(tokens, false);
    }

    fn learn(&mut self, tokens: impl IntoIterator<Item = u32>) {
        self.push(tokens, true);
    }

    fn push(&mut self, tokens: impl IntoIterator<Item = u32>, learnt: bool) {
        self.tokens.extend(tokens);
        self.learnt.resize(self.tokens.len(), learnt);
    }
}

impl EncodeReport {
    fn refuse(&mut self, record: usize, error: &EncodeRecordError) {
        self.refused += 1;
        if self.refusals.len() < REPORT_ENTRIES_MAX {
            self.refusals.push(Refusal { record, reason: error.to_string() });
        }
    }
}
