//! The epoch is sealed, posted, finalised; contributors claim.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use openledger_primitives::Wei;
use openledger_sdk::api::EpochEntry;
use openledger_settlement::ledger::EpochState;

use super::{Demo, report::Report};
use crate::accounts;
use crate::progress::Progress;

/// Pause between two looks at the epochs.
const POLL: Duration = Duration::from_millis(250);
/// Looks after which something must be wrong: one minute.
const POLLS_MAX: u64 = 240;
/// Contributors that claim at the same time.
const AT_ONCE: usize = 64;

impl Demo<'_> {
    /// Settles what was charged, then lets every contributor with credit claim.
    pub(super) async fn settle(&self, report: &mut Report) -> Result<()> {
        let mut progress = Progress::new("settle", 3);
        let sealed = self.node.seal_epoch()?.context("there is no epoch to seal, so nothing was charged")?;
        progress.set(1, 3, "waiting out the challenge window");
        let epochs = self.await_final(sealed).await?;
        progress.set(2, 3, "claiming");
        for post in epochs.iter().filter_map(|epoch| epoch.post.as_ref()) {
            report.burned_wei = sum(report.burned_wei, post.burned_wei)?;
            report.stakers_wei = sum(report.stakers_wei, post.stakers_wei)?;
        }
        report.epochs = epochs.len() as u64;
        report.receipts = epochs.iter().map(|epoch| epoch.receipts).sum();
        let credits = epochs.iter().filter_map(|epoch| epoch.post.as_ref()).map(|post| post.total_balance_wei).max();
        report.credited_wei = sum(report.stakers_wei, credits.unwrap_or(Wei::ZERO))?;
        let on_chain = self.payer.hub().total_burned().await?;
        if on_chain != report.burned_wei {
            bail!("the hub burned {on_chain} wei; the epochs say {} wei", report.burned_wei);
        }
        self.claim(report).await?;
        progress.finish(&format!(
            "{} OPEN claimed by {} contributors",
            report.claimed_wei.format_open(),
            report.claims
        ));
        Ok(())
    }

    async fn await_final(&self, epoch: u64) -> Result<Vec<EpochEntry>> {
        for _ in 0..POLLS_MAX {
            let epochs = self.gateway.epochs(0).await?;
            if epochs.iter().any(|entry| entry.number == epoch && entry.state == EpochState::Final) {
                return Ok(epochs);
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("epoch {epoch} was not final after {} s", POLL.as_secs_f64() * POLLS_MAX as f64)
    }

    /// Each contributor claims with its own account, all at the same time.
    async fn claim(&self, report: &mut Report) -> Result<()> {
        let claims = (0..self.fixture.contributions.len()).map(|index| async move {
            let number = accounts::CONTRIBUTORS + u32::try_from(index).unwrap_or(u32::MAX);
            let account = accounts::development(number)?;
            let Some(proof) = self.gateway.claim(account.address()).await?.proof else { return Ok(None) };
            let (_, paid) = self.payer.with_signer(account).hub().claim(&proof).await?;
            Ok::<_, anyhow::Error>(Some(paid))
        });
        let mut claims = futures::stream::iter(claims).buffer_unordered(AT_ONCE);
        while let Some(paid) = claims.try_next().await? {
            report.claims += u64::from(paid.is_some());
            report.claimed_wei = sum(report.claimed_wei, paid.unwrap_or(Wei::ZERO))?;
        }
        Ok(())
    }
}

fn sum(a: Wei, b: Wei) -> Result<Wei> {
    a.checked_add(b).context("amounts add up to more than 2^128 wei")
}
