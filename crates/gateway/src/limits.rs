//! How much one address may ask for: token buckets in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::ApiError;

/// Addresses remembered; the fullest buckets are forgotten first, because they hold nothing back.
const ADDRESSES_MAX: usize = 10_000;

/// A burst, and how fast it fills up again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Requests that may come at once.
    pub(crate) burst: f64,
    /// Requests a second.
    pub(crate) per_s: f64,
}

/// State-changing requests of one address.
pub(crate) const CHANGES: Rate = Rate { burst: 600.0, per_s: 30.0 };
/// Nonces and sign-ins of one address.
pub(crate) const SIGN_INS: Rate = Rate { burst: 60.0, per_s: 1.0 };

/// Questions and quotes of one address: far above what one machine answers, far below what keeps it from answering.
pub(crate) const CHATS: Rate = Rate { burst: 1200.0, per_s: 60.0 };

/// Token buckets by address.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// 429 with the time until there is one.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), ApiError> {
        self.take_many(address, 1.0)
    }

    /// Takes `cost` tokens, at most a burst.
    ///
    /// # Errors
    /// 429 with the time until there are so many.
    pub(crate) fn take_many(&self, address: IpAddr, cost: f64) -> Result<(), ApiError> {
        let cost = cost.min(self.rate.burst);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            self.forget(&mut buckets, now);
        }
        let (tokens, filled) = buckets.entry(address).or_insert((self.rate.burst, now));
        *tokens = self.level(*tokens, *filled, now);
        *filled = now;
        if *tokens >= cost {
            *tokens -= cost;
            return Ok(());
        }
        let wait_ms = ((cost - *tokens) / self.rate.per_s * 1000.0).ceil() as u64;
        Err(ApiError::busy("this address asks too often", wait_ms))
    }

    fn level(&self, tokens: f64, filled: Instant, now: Instant) -> f64 {
        let since = now.duration_since(filled).as_secs_f64();
        (tokens + since * self.rate.per_s).min(self.rate.burst)
    }

    /// Forgets full buckets; when none is full, the fullest half.
    fn forget(&self, buckets: &mut HashMap<IpAddr, (f64, Instant)>, now: Instant) {
        buckets.retain(|_, (tokens, filled)| self.level(*tokens, *filled, now) < self.rate.burst);
        if buckets.len() < ADDRESSES_MAX {
            return;
        }
        let mut levels: Vec<(IpAddr, f64)> =
            buckets.iter().map(|(&address, &(tokens, filled))| (address, self.level(tokens, filled, now))).collect();
        levels.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (address, _) in levels.iter().take(ADDRESSES_MAX / 2) {
            buckets.remove(address);
        }
    }
}
