//! Who runs next: fair counters per tenant and adapter, and a drain rule against starvation. Pure: no clocks, no I/O.

use std::collections::BTreeMap;

use crate::{adapters::AdapterKey, config::TENANTS_MAX};

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub(crate) tenant: String,
    pub(crate) adapter: Option<AdapterKey>,
    /// KV blocks for prompt and answer.
    pub(crate) blocks: usize,
    pub(crate) overtaken: u32,
    pub(crate) item: T,
}

/// What is free for one more request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Free {
    pub(crate) sequences: usize,
    pub(crate) blocks: usize,
    pub(crate) slots: usize,
}

/// Whether the adapter of a request can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// In memory and among the running adapters (or the base model): needs no slot.
    Running,
    /// In memory, needs a slot.
    Cached,
    /// Not in memory: the request is passed over until it is.
    Absent,
}

/// Requests that wait, in order of arrival, and what each tenant and adapter has been served.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    waiting: Vec<Waiting<T>>,
    served: BTreeMap<String, u64>,
    served_adapter: BTreeMap<(String, Option<AdapterKey>), u64>,
    drain_after: u32,
}

impl<T> FairQueue<T> {
    pub(crate) fn new(drain_after: u32) -> Self {
        Self { waiting: Vec::new(), served: BTreeMap::new(), served_adapter: BTreeMap::new(), drain_after }
    }

    pub(crate) fn waiting(&self) -> &[Waiting<T>] {
        &self.waiting
    }

    /// Adds a request. A tenant that was away starts level with the least served tenant that is here, so that absence
    /// is not saved up.
    pub(crate) fn push(&mut self, entry: Waiting<T>, running: &[&str]) {
        let here = self.waiting.iter().map(|w| w.tenant.as_str()).chain(running.iter().copied());
        let level = here.filter_map(|tenant| self.served.get(tenant)).min().copied();
        let is_here = self.waiting.iter().any(|w| w.tenant == entry.tenant) || running.contains(&entry.tenant.as_str());
        let own = self.served.entry(entry.tenant.clone()).or_default();
        if !is_here {
            *own = (*own).max(level.unwrap_or(0));
        }
        self.waiting.push(entry);
    }

    /// Charges work to a tenant and its adapter.
    pub(crate) fn charge(&mut self, tenant: &str, adapter: Option<&AdapterKey>, tokens: u64) {
        *self.served.entry(tenant.to_owned()).or_default() += tokens;
        *self.served_adapter.entry((tenant.to_owned(), adapter.cloned())).or_default() += tokens;
        self.forget_idle();
    }

    /// Takes out the next request that fits, or none.
    ///
    /// The order is: least served tenant, then its least served adapter, then arrival. Requests that arrived earlier, are ready
    /// and did not fit are counted as overtaken; one overtaken `drain_after` times must be admitted before anyone else.
    pub(crate) fn pop(&mut self, free: Free, readiness: impl Fn(&AdapterKey) -> Readiness) -> Option<Waiting<T>> {
        let ready = |w: &Waiting<T>| w.adapter.as_ref().map_or(Readiness::Running, &readiness);
        let fits = |w: &Waiting<T>| fits(w.blocks, ready(w), free);
        let starved = |w: &Waiting<T>| w.overtaken >= self.drain_after && ready(w) != Readiness::Absent;
        let chosen = match self.waiting.iter().position(starved) {
            Some(first) => Some(first).filter(|&i| fits(&self.waiting[i])),
            None => (0..self.waiting.len()).filter(|&i| fits(&self.waiting[i])).min_by_key(|&i| (self.rank(i), i)),
        }?;
        let passed: Vec<bool> =
            self.waiting[..chosen].iter().map(|w| ready(w) != Readiness::Absent && !fits(w)).collect();
        for (entry, passed) in self.waiting.iter_mut().zip(passed) {
            entry.overtaken += u32::from(passed);
        }
        Some(self.waiting.remove(chosen))
    }

    /// Takes out every request for which `gone` holds.
    pub(crate) fn remove_where(&mut self, gone: impl Fn(&Waiting<T>) -> bool) -> Vec<Waiting<T>> {
        let (out, stay) = std::mem::take(&mut self.waiting).into_iter().partition(|w| gone(w));
        self.waiting = stay;
        out
    }

    fn rank(&self, index: usize) -> (u64, u64) {
        let entry = &self.waiting[index];
        let tenant = self.served.get(&entry.tenant).copied().unwrap_or(0);
        let key = (entry.tenant.clone(), entry.adapter.clone());
        (tenant, self.served_adapter.get(&key).copied().unwrap_or(0))
    }

    fn forget_idle(&mut self) {
        if self.served.len() <= TENANTS_MAX && self.served_adapter.len() <= TENANTS_MAX {
            return;
        }
        let waiting = &self.waiting;
        self.served.retain(|tenant, _| waiting.iter().any(|w| &w.tenant == tenant));
        self.served_adapter.retain(|(tenant, _), _| waiting.iter().any(|w| &w.tenant == tenant));
    }
}

fn fits(blocks: usize, readiness: Readiness, free: Free) -> bool {
    let slots = match readiness {
        Readiness::Running => 0,
        Readiness::Cached => 1,
        Readiness::Absent => return false,
    };
    free.sequences >= 1 && free.blocks >= blocks && free.slots >= slots
}

/// Rows that each running request gets in the next forward pass.
///
/// A request that decodes has one row pending and always gets it (there are never more running requests than rows); what is left
/// goes to prompts in order, at most `chunk` rows each.
pub(crate) fn share_rows(pending: &[usize], rows_max: usize, chunk: usize) -> Vec<usize> {
    let mut left = rows_max;
    let mut rows = vec![0; pending.len()];
    for (given, _) in rows.iter_mut().zip(pending).filter(|(_, want)| **want == 1) {
        *given = 1.min(left);
        left -= *given;
    }
    for (given, want) in rows.iter_mut().zip(pending).filter(|(_, want)| **want > 1) {
        *given = (*want).min(chunk).min(left);
        left -= *given;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Free = Free { sequences: 8, blocks: 100, slots: 8 };

    fn entry(tenant: &str, blocks: usize, item: u32) -> Waiting<u32> {
        Waiting { tenant: tenant.into(), adapter: None, blocks, overtaken: 0, item }
    }

    fn pop(queue: &mut FairQueue<u32>, free: Free) -> Option<u32> {
        queue.pop(free, |_| Readiness::Running).map(|w| w.item)
    }

    #[test]
    fn the_least_served_tenant_goes_first() {
        let mut queue = FairQueue::new(64);
        queue.push(entry("busy", 1, 1), &[]);
        queue.push(entry("quiet", 1, 2), &[]);
        queue.charge("busy", None, 50);
        assert_eq!(pop(&mut queue, PLENTY), Some(2));
        assert_eq!(pop(&mut queue, PLENTY), Some(1));
    }

    #[test]
    fn a_tenant_that_was_away_does_not_save_up_its_turn() {
        let mut queue = FairQueue::new(64);
        queue.push(entry("steady", 1, 1), &[]);
        queue.charge("steady", None, 1_000);
        queue.push(entry("back", 1, 2), &[]);
        queue.charge("back", None, 1);
        assert_eq!(pop(&mut queue, PLENTY), Some(1));
    }

    #[test]
    fn a_large_request_that_is_overtaken_often_drains_the_queue() {
        let mut queue = FairQueue::new(3);
        queue.push(entry("a", 10, 0), &[]);
        let tight = Free { sequences: 8, blocks: 5, slots: 8 };
        for item in 1..=4 {
            queue.push(entry("a", 1, item), &[]);
        }
        let small: Vec<_> = std::iter::from_fn(|| pop(&mut queue, tight)).collect();
        assert_eq!(small, [1, 2, 3], "after three overtakings nobody else is admitted");
        assert_eq!(pop(&mut queue, PLENTY), Some(0));
        assert_eq!(pop(&mut queue, tight), Some(4));
    }

    #[test]
    fn a_request_whose_adapter_loads_holds_nobody_up() {
        let mut queue = FairQueue::new(0);
        let key = AdapterKey { id: "x".parse().unwrap(), generation: 1 };
        queue.push(Waiting { adapter: Some(key), ..entry("a", 1, 1) }, &[]);
        queue.push(entry("a", 1, 2), &[]);
        let next = queue.pop(PLENTY, |_| Readiness::Absent).map(|w| w.item);
        assert_eq!(next, Some(2));
        assert_eq!(queue.pop(PLENTY, |_| Readiness::Absent).map(|w| w.item), None);
    }

    #[test]
    fn decode_rows_come_before_prompt_rows() {
        assert_eq!(share_rows(&[100, 1, 1, 7], 16, 8), [8, 1, 1, 6]);
        assert_eq!(share_rows(&[1, 1, 1], 2, 8), [1, 1, 0]);
    }
}
