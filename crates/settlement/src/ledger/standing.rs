//! What the settlement worker tells the till: whose vouchers the hub refuses, and whether settlement stands still.
//!
//! It is kept in memory. After a restart the worker finds out again what still holds, before much can be bought.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openledger_primitives::{Address, ChannelId, Wei};

use super::{Ledger, ReserveError};

/// How long settlement may stand still before nothing is sold any more. A payer has its money back 900 s after asking
/// for it; what was sold until then must be claimed before.
pub const STANDSTILL_MAX: Duration = Duration::from_secs(120);

/// A voucher that the hub refuses. Its payer is served no more until it is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Whose channel.
    pub channel: ChannelId,
    /// Who was served.
    pub payer: Address,
    /// What was charged and is not claimed.
    pub owed: Wei,
    /// The hub's reason.
    pub reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Standing {
    refused: BTreeMap<ChannelId, RefusedClaim>,
    still_since: Option<Instant>,
}

impl Ledger {
    /// Sets a voucher aside that the hub refuses.
    pub fn set_aside(&self, claim: RefusedClaim) {
        let (channel, payer, owed) = (claim.channel, claim.payer, claim.owed);
        let reason = claim.reason.clone();
        if self.standing().refused.insert(channel, claim).is_none() {
            tracing::error!(%channel, %payer, %owed, reason, "the hub refuses a voucher; its payer is served no more");
        }
    }

    /// Notes that a channel's voucher was claimed after all, or never was refused.
    pub fn note_claimed(&self, channel: ChannelId) {
        if self.standing().refused.remove(&channel).is_some() {
            tracing::info!(%channel, "a voucher that was set aside is claimed");
        }
    }

    /// The vouchers set aside, by channel.
    #[must_use]
    pub fn refused_claims(&self) -> Vec<RefusedClaim> {
        self.standing().refused.values().cloned().collect()
    }

    /// Notes at `now` whether settlement moves or stands still.
    pub fn note_settling(&self, moves: bool, now: Instant) {
        let mut standing = self.standing();
        standing.still_since = if moves { None } else { standing.still_since.or(Some(now)) };
    }

    /// Refuses what could not be claimed.
    pub(crate) fn check_standing(&self, payer: Address) -> Result<(), ReserveError> {
        let standing = self.standing();
        if standing.refused.values().any(|claim| claim.payer == payer) {
            return Err(ReserveError::PayerSetAside { payer });
        }
        match standing.still_since.map(|since| since.elapsed()) {
            Some(still) if still >= STANDSTILL_MAX => Err(ReserveError::Standstill { still_s: still.as_secs() }),
            _ => Ok(()),
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
