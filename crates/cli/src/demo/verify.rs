//! Every receipt is checked and replayed; then one of each kind is tampered with, and must be found out.

use anyhow::{Context as _, Result};
use openledger_contracts::Receipt;
use openledger_gateway::replay::Replayer;
use openledger_primitives::ModelId;
use openledger_settlement::verify::{Disclosure, ReceiptBundle, Stage, VerifyReport, verify_receipt, verify_replay};

use super::ask::Answered;
use super::report::{Report, Tampered};
use super::{Demo, tamper};
use crate::config::DEV_CHAIN_ID;
use crate::output::note;
use crate::progress::Progress;

/// Threads of the replay; one fewer than serving used, to show that it changes nothing.
const REPLAY_THREADS: usize = 1;

impl Demo<'_> {
    /// Verifies and replays all receipts, then tampers.
    pub(super) async fn verify(&self, answers: &[Answered], report: &mut Report) -> Result<()> {
        let mut progress = Progress::new("verify", answers.len() as u64);
        let mut replayer = Replayer::new(self.node.catalog(), REPLAY_THREADS);
        let mut kept: Option<(ReceiptBundle, Disclosure)> = None;
        for (done, answer) in answers.iter().enumerate() {
            let bundle = self.gateway.receipt(answer.receipt).await?;
            let checks = self.check(&bundle).await?;
            report.receipts_verified += u64::from(checks.passed());
            let (replayed, back) = replay(replayer, &bundle.receipt.receipt, &answer.disclosure).await?;
            replayer = back;
            report.receipts_replayed_equal += u64::from(replayed.passed());
            for fault in [checks.first_fault(), replayed.first_fault()].into_iter().flatten() {
                note(format_args!(
                    "receipt {}: {} differs: expected {}, found {}",
                    answer.receipt, fault.name, fault.expected, fault.found
                ));
            }
            if kept.is_none() && !bundle.receipt.receipt.influence.is_empty() {
                kept = Some((bundle, answer.disclosure.clone()));
            }
            progress.set(done as u64 + 1, answers.len() as u64, "replayed");
        }
        progress.finish(&format!(
            "{} of {} receipts replayed bit for bit",
            report.receipts_replayed_equal,
            answers.len()
        ));
        let (bundle, disclosure) =
            kept.context("no answer paid anybody by influence, so there is nothing to tamper with")?;
        self.tamper(replayer, &bundle, &disclosure, report).await
    }

    async fn check(&self, bundle: &ReceiptBundle) -> Result<VerifyReport> {
        let terms = self.payer.models().terms(ModelId(bundle.receipt.receipt.modelId)).await?;
        Ok(verify_receipt(bundle, DEV_CHAIN_ID, terms.as_ref(), None))
    }

    async fn tamper(
        &self,
        mut replayer: Replayer,
        bundle: &ReceiptBundle,
        disclosure: &Disclosure,
        report: &mut Report,
    ) -> Result<()> {
        for forgery in tamper::forgeries(bundle, disclosure)? {
            let mut found = self.check(&forgery.bundle).await?;
            let (replayed, back) = replay(replayer, &forgery.bundle.receipt.receipt, &forgery.disclosure).await?;
            replayer = back;
            found.extend(replayed);
            let named = named(&found);
            let detected = named == Some(forgery.stage);
            report.tampered_detected += u64::from(detected);
            let named = named.map_or_else(|| "nothing".to_owned(), |stage| stage.to_string());
            report.tampered.push(Tampered { what: forgery.what.to_owned(), named, detected });
        }
        Ok(())
    }
}

/// The stage that verification names. A changed receipt is rightly re-signed by its forger here, and stands in no
/// epoch; what is asked is which number was changed.
fn named(report: &VerifyReport) -> Option<Stage> {
    let of_numbers = |stage: Stage| matches!(stage, Stage::Answer | Stage::Score | Stage::Weight | Stage::Split);
    report.checks.iter().filter(|check| !check.passed && of_numbers(check.stage)).map(|check| check.stage).min()
}

/// Replays away from the threads that serve.
async fn replay(
    mut replayer: Replayer,
    receipt: &Receipt,
    disclosure: &Disclosure,
) -> Result<(VerifyReport, Replayer)> {
    let (receipt, disclosure) = (receipt.clone(), disclosure.clone());
    let work = move || {
        let report = verify_replay(&receipt, &disclosure, &mut replayer);
        report.map(|report| (report, replayer))
    };
    Ok(tokio::task::spawn_blocking(work).await.context("the replay died")??)
}
