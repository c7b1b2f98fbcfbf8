//! Claiming vouchers: with their epochs, ahead of them where money may leave, and one by one where the hub refuses some.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use openledger_contracts::VoucherClaim;
use openledger_primitives::{ChannelId, Wei};

use super::{SettlementWorker, WorkerError};
use crate::channel::Channel;
use crate::hub::{CLAIMS_MAX, HubError};
use crate::ledger::{Ledger, RefusedClaim};
use crate::till::now_s;
use crate::voucher::channel_id;

/// Refusals that say nothing of the voucher: the operator may claim nothing at all.
const NOT_OPERATOR: &str = "InferenceHub_NotOperator";

impl SettlementWorker {
    /// Looks at channels with unclaimed charges, those not seen for longest first, and claims where a withdrawal could
    /// take what was charged.
    pub(super) async fn claim_in_time(&self) -> Result<(), WorkerError> {
        let aside: BTreeSet<ChannelId> = self.ledger.refused_claims().iter().map(|claim| claim.channel).collect();
        let known = self.blocking(Ledger::unclaimed_channels).await?;
        let seen = self.look_at(&known).await?;
        let unclaimed: BTreeSet<ChannelId> =
            seen.iter().filter(|channel| !channel.unclaimed().is_zero()).map(|channel| channel.id).collect();
        aside.difference(&unclaimed).for_each(|channel| self.ledger.note_claimed(*channel));
        let has_changed = |before: &Channel, after: &Channel| before.on_chain != after.on_chain;
        let is_due = |before: &Channel, after: &Channel| match aside.contains(&after.id) {
            true => has_changed(before, after), // somebody may have put in what was missing
            false => after.is_short(),
        };
        let due = known.iter().zip(&seen).filter(|(before, after)| is_due(before, after));
        let claims: Vec<VoucherClaim> = due.filter_map(|(_, channel)| channel.claim()).collect();
        self.claim(&claims).await
    }

    /// Claims all charges, whatever epoch they are in, at most once in the time of an epoch. False when it was not time.
    pub(super) async fn claim_ahead(&self, now: u64) -> Result<bool, WorkerError> {
        if now < self.ahead_at.load(Ordering::Relaxed).saturating_add(self.options.age_max_s) {
            return Ok(false);
        }
        self.ahead_at.store(now, Ordering::Relaxed);
        let known = self.blocking(Ledger::unclaimed_channels).await?;
        let claims: Vec<VoucherClaim> = self.look_at(&known).await?.iter().filter_map(Channel::claim).collect();
        self.claim(&claims).await?;
        Ok(true)
    }

    /// The channels as chain and books have them now, in the same order.
    async fn look_at(&self, channels: &[Channel]) -> Result<Vec<Channel>, WorkerError> {
        let mut seen = Vec::with_capacity(channels.len());
        for channel in channels {
            seen.push((channel.config.clone(), self.hub.channel(&channel.config).await?));
        }
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        self.blocking(move |ledger| ledger.mirror_all(&seen, now_s())).await
    }

    /// Claims vouchers. Those that the hub refuses are found by halves and set aside; the others are claimed.
    pub(super) async fn claim(&self, claims: &[VoucherClaim]) -> Result<(), WorkerError> {
        let mut parts: Vec<&[VoucherClaim]> = claims.chunks(CLAIMS_MAX).rev().collect();
        while let Some(part) = parts.pop() {
            match (self.hub.claim_vouchers(part).await, part) {
                (Ok(_), _) => part.iter().for_each(|claim| self.ledger.note_claimed(self.channel_of(claim))),
                (Err(HubError::Reverted { reason }), [claim]) => self.refused(claim, reason).await?,
                (Err(HubError::Reverted { .. }), part) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn refused(&self, claim: &VoucherClaim, reason: String) -> Result<(), WorkerError> {
        if reason.starts_with(NOT_OPERATOR) {
            return Err(HubError::Reverted { reason }.into());
        }
        let on_chain = self.hub.channel(&claim.config).await?;
        let (channel, payer) = (self.channel_of(claim), claim.config.payer);
        match Wei(claim.totalClaimed).checked_sub(on_chain.total_claimed) {
            Some(owed) if !owed.is_zero() => {
                self.ledger.set_aside(RefusedClaim { channel, payer, owed, reason });
            }
            _ => self.ledger.note_claimed(channel), // it was claimed before
        }
        Ok(())
    }

    fn channel_of(&self, claim: &VoucherClaim) -> ChannelId {
        channel_id(&claim.config, self.ledger.chain_id())
    }

    /// The epoch's claims that the hub has not taken yet.
    pub(super) async fn claims_left(&self, number: u64) -> Result<Vec<VoucherClaim>, WorkerError> {
        let mut left = Vec::new();
        for claim in self.blocking(move |ledger| ledger.epoch_claims(number)).await? {
            let on_chain = self.hub.channel(&claim.config).await?;
            if on_chain.total_claimed.0 < claim.totalClaimed {
                left.push(claim);
            }
        }
        Ok(left)
    }
}
