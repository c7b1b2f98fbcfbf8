//! The app developer asks paid questions over HTTP and keeps what is needed to verify the answers.

use anyhow::{Context as _, Result};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use openledger_primitives::{ReceiptHash, Wei};
use openledger_sdk::api::ChatRequest;
use openledger_sdk::{PayerOptions, Wallet};
use openledger_settlement::verify::Disclosure;

use super::fixture::Procedure;
use super::train::{MAIN_MODEL, SECOND_MODEL};
use super::{Demo, report::Report};
use crate::progress::Progress;

/// Questions to the main adapter.
const QUESTIONS: usize = 22;
/// Questions to the second adapter, asked among the others.
const SECOND_QUESTIONS: usize = 2;
/// Questions under way at a time: they share batches.
const AT_ONCE: usize = 6;
/// Most tokens of an answer.
const ANSWER_TOKENS_MAX: u32 = 16;

/// A question that was answered and paid.
pub(super) struct Answered {
    pub(super) receipt: ReceiptHash,
    pub(super) disclosure: Disclosure,
    charged: Wei,
    correct: bool,
    second: bool,
}

impl Demo<'_> {
    /// Asks everything.
    pub(super) async fn ask(&self, report: &mut Report) -> Result<Vec<Answered>> {
        // Several channels of one payer, so that questions to one operator can be under way together.
        let options = PayerOptions { channels: AT_ONCE, ..PayerOptions::default() };
        let gateway = self.gateway.clone().with_wallet(Wallet::new(self.payer.clone(), options));
        let mut progress = Progress::new("ask", QUESTIONS as u64);
        let chosen = choose(&self.fixture.held_out);
        let total = chosen.len() as u64;
        let questions = chosen.into_iter().map(|(model, procedure)| {
            let gateway = gateway.clone();
            async move {
                let mut request = ChatRequest::question(model, &procedure.procedure);
                request.max_tokens = Some(ANSWER_TOKENS_MAX);
                let answer = gateway.chat(&request).await?;
                Ok::<_, anyhow::Error>(Answered {
                    receipt: answer.receipt.context("the answer came without a receipt")?,
                    disclosure: answer.disclosure().context("the answer came without its disclosure")?,
                    charged: answer.charged.context("the answer was not charged")?,
                    correct: answer.text.trim() == procedure.technique,
                    second: model == SECOND_MODEL,
                })
            }
        });
        let mut answers = futures::stream::iter(questions).buffer_unordered(AT_ONCE);
        let mut answered: Vec<Answered> = Vec::new();
        while let Some(answer) = answers.try_next().await? {
            answered.push(answer);
            progress.set(answered.len() as u64, total, "answered and paid");
        }
        report.channels = AT_ONCE as u64;
        report.inferences = answered.len() as u64;
        report.inferences_second_adapter = answered.iter().filter(|answer| answer.second).count() as u64;
        report.answers_correct = answered.iter().filter(|answer| answer.correct).count() as u64;
        report.fees_wei = answered.iter().map(|answer| answer.charged).sum();
        progress.finish(&format!("{} answers for {} OPEN", answered.len(), report.fees_wei.format_open()));
        Ok(answered)
    }
}

/// Questions spread over the techniques, those to the second adapter among the first, so that they share a batch.
fn choose(held_out: &[Procedure]) -> Vec<(&'static str, &Procedure)> {
    let stride = (held_out.len() / (QUESTIONS + SECOND_QUESTIONS)).max(1);
    let spread = held_out.iter().step_by(stride).take(QUESTIONS + SECOND_QUESTIONS).enumerate();
    spread
        .map(|(at, one)| (if (1..=SECOND_QUESTIONS).contains(&at) { SECOND_MODEL } else { MAIN_MODEL }, one))
        .collect()
}
