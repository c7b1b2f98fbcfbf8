//! What the demo found out: one object for programs, one table for people.

use anyhow::{Result, bail};
use openledger_primitives::Wei;
use serde::Serialize;

use crate::output::{count, line};

/// Everything that happened, as `--json FILE` writes it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Records accepted into the snapshot.
    pub(super) records: u64,
    /// Accounts whose records were accepted.
    pub(super) contributors: u64,
    /// Records refused as copies of earlier ones.
    pub(super) duplicates_rejected: u64,
    pub(super) train: TrainReport,
    pub(super) eval: EvalReport,
    /// Answers paid for.
    pub(super) inferences: u64,
    /// Answers by the second adapter, in the same batch as others.
    pub(super) inferences_second_adapter: u64,
    /// Payment channels that the questions were paid from.
    pub(super) channels: u64,
    /// Answers that name the technique exactly.
    pub(super) answers_correct: u64,
    pub(super) fees_wei: Wei,
    pub(super) burned_wei: Wei,
    /// Everything not burned: operator, builder, stakers, contributors.
    pub(super) credited_wei: Wei,
    /// The stakers' part of it.
    pub(super) stakers_wei: Wei,
    pub(super) claimed_wei: Wei,
    /// Contributors that claimed.
    pub(super) claims: u64,
    pub(super) receipts: u64,
    /// Receipts whose checks all hold.
    pub(super) receipts_verified: u64,
    /// Receipts whose answer, scores and weights came out the same, bit for bit.
    pub(super) receipts_replayed_equal: u64,
    /// Kinds of tampering that verification named.
    pub(super) tampered_detected: u64,
    /// Each tampering and what verification said.
    pub(super) tampered: Vec<Tampered>,
    pub(super) epochs: u64,
    pub(super) blocks: u64,
    pub(super) wall_s: f64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TrainReport {
    pub(super) tokens_per_s: f64,
    /// Mean loss on held-out records before training.
    pub(super) loss_before: f64,
    /// The same after it.
    pub(super) loss_after: f64,
    pub(super) steps: u64,
    /// Tokens trained on.
    pub(super) tokens: u64,
    pub(super) seconds: f64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct EvalReport {
    /// Held-out questions.
    pub(super) questions: u64,
    /// Part that the base model names exactly.
    pub(super) accuracy_base: f64,
    /// Part that the tuned model names exactly.
    pub(super) accuracy_tuned: f64,
}

/// A receipt that was changed on purpose.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tampered {
    /// What was changed.
    pub(super) what: String,
    /// The stage that verification named.
    pub(super) named: String,
    /// Whether that is the stage that was changed.
    pub(super) detected: bool,
}

impl Report {
    /// Fails when something did not come out as it must, so that a script notices.
    pub(super) fn check(&self) -> Result<()> {
        let must = [
            (self.fees_wei.0 == self.burned_wei.0 + self.credited_wei.0, "fees are not burned + credited"),
            (self.receipts_verified == self.receipts, "a receipt does not hold"),
            (self.receipts_replayed_equal == self.receipts, "a receipt does not replay to the same bits"),
            (self.tampered.iter().all(|one| one.detected), "a tampering was not named"),
        ];
        match must.into_iter().find(|(holds, _)| !holds) {
            Some((_, fault)) => bail!("{fault}"),
            None => Ok(()),
        }
    }

    pub(super) fn print(&self) {
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        let open = |amount: Wei| format!("{} OPEN", amount.format_open());
        line("");
        row(
            "contributed",
            format!(
                "{} records from {} contributors; {} copies refused",
                self.records, self.contributors, self.duplicates_rejected
            ),
        );
        row(
            "trained",
            format!(
                "{} steps in {:.0} s, {:.0} tokens/s",
                self.train.steps, self.train.seconds, self.train.tokens_per_s
            ),
        );
        row(
            "improved",
            format!(
                "held-out loss {:.3} -> {:.3}; exact answers {} -> {} of {} questions",
                self.train.loss_before,
                self.train.loss_after,
                percent(self.eval.accuracy_base),
                percent(self.eval.accuracy_tuned),
                self.eval.questions
            ),
        );
        row(
            "asked",
            format!(
                "{} paid questions over HTTP, {} of them to a second adapter in the same batch",
                self.inferences, self.inferences_second_adapter
            ),
        );
        row("answered", format!("{} name the technique exactly", self.answers_correct));
        row(
            "paid",
            format!("{} in fees, by vouchers from {} channels of one payer", open(self.fees_wei), self.channels),
        );
        row("burned", open(self.burned_wei));
        row("credited", format!("{} (of it {} to stakers)", open(self.credited_wei), open(self.stakers_wei)));
        row(
            "exact",
            format!(
                "fees = burned + credited, to the wei: {}",
                self.fees_wei.0 == self.burned_wei.0 + self.credited_wei.0
            ),
        );
        row("claimed", format!("{} by {} contributors", open(self.claimed_wei), self.claims));
        row(
            "verified",
            format!(
                "{} of {} receipts hold; {} replayed bit for bit",
                self.receipts_verified, self.receipts, self.receipts_replayed_equal
            ),
        );
        for tampered in &self.tampered {
            row("tampered", format!("{}: verification names \"{}\"", tampered.what, tampered.named));
        }
        let (blocks, epochs) = (count(self.blocks, "block"), count(self.epochs, "epoch"));
        row("took", format!("{:.0} s, {blocks}, {epochs}", self.wall_s));
    }
}

fn row(label: &str, text: String) {
    line(format_args!("  {label:<12} {text}"));
}
