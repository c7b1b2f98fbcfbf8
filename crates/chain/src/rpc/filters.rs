//! Polling filters: `eth_newFilter` and its family.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::{
    Context,
    error::{limit_exceeded, server_error},
};
use crate::{chain::Chain, error::LogsError, query::check_filter};

/// A filter that nobody polls for so long is forgotten.
const IDLE_S: u64 = 300;

#[rpc(server, namespace = "eth")]
pub(super) trait FilterApi {
    #[method(name = "newFilter")]
    fn new_filter(&self, filter: Filter) -> RpcResult<U64>;

    #[method(name = "newBlockFilter")]
    fn new_block_filter(&self) -> RpcResult<U64>;

    #[method(name = "newPendingTransactionFilter")]
    fn new_pending_transaction_filter(&self) -> RpcResult<U64>;

    #[method(name = "getFilterChanges")]
    async fn filter_changes(&self, id: U64) -> RpcResult<Changes>;

    #[method(name = "getFilterLogs")]
    async fn filter_logs(&self, id: U64) -> RpcResult<Vec<Log>>;

    #[method(name = "uninstallFilter")]
    fn uninstall_filter(&self, id: U64) -> RpcResult<bool>;
}

/// What a poll returns.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Changes {
    Logs(Vec<Log>),
    Hashes(Vec<B256>),
}

#[derive(Debug)]
enum Kind {
    Logs(Box<Filter>),
    Blocks,
    Pending(Receiver<B256>),
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    next_block: u64,
    polled: Instant,
}

/// The filters of one server.
#[derive(Debug)]
pub(super) struct Filters {
    installed: Mutex<HashMap<u64, Installed>>,
    filters_max: usize,
}

impl Filters {
    pub(super) fn new(filters_max: usize) -> Self {
        Self { installed: Mutex::default(), filters_max }
    }

    /// The filters, without those that nobody has polled for too long.
    fn in_use(&self) -> MutexGuard<'_, HashMap<u64, Installed>> {
        let mut installed = self.installed.lock();
        installed.retain(|_, filter| filter.polled.elapsed() < Duration::from_secs(IDLE_S));
        installed
    }

    pub(super) fn with(self, context: Context) -> FilterContext {
        FilterContext { filters: Arc::new(self), context }
    }
}

/// What the filter methods need.
#[derive(Clone, Debug)]
pub(super) struct FilterContext {
    filters: Arc<Filters>,
    context: Context,
}

impl FilterContext {
    fn install(&self, kind: Kind) -> RpcResult<U64> {
        let mut installed = self.filters.in_use();
        let limit = self.filters.filters_max;
        if installed.len() >= limit {
            return Err(limit_exceeded(format!("{limit} filters are installed already; uninstall some")));
        }
        let id = U64::from(rand::random::<u64>());
        let next_block = self.context.chain.head().number + 1;
        installed.insert(id.to(), Installed { kind, next_block, polled: Instant::now() });
        Ok(id)
    }

    /// Takes hashes, or the range of logs to be read, of a filter.
    fn poll(&self, id: U64) -> RpcResult<Poll> {
        let mut installed = self.filters.in_use();
        let filter = installed.get_mut(&id.to()).ok_or_else(|| server_error("filter not found"))?;
        filter.polled = Instant::now();
        let (from, to) = (filter.next_block, self.context.chain.head().number);
        Ok(match &mut filter.kind {
            Kind::Logs(logs) => Poll::Logs(logs.clone(), from, to),
            Kind::Blocks => Poll::Blocks(from, to),
            Kind::Pending(receiver) => Poll::Hashes(drain(receiver)),
        })
    }

    /// What lies in blocks up to `to` was read; until then it was not, and the next poll would read it again.
    fn advance(&self, id: U64, to: u64) {
        if let Some(filter) = self.filters.installed.lock().get_mut(&id.to()) {
            filter.next_block = filter.next_block.max(to + 1);
        }
    }
}

enum Poll {
    Logs(Box<Filter>, u64, u64),
    Blocks(u64, u64),
    Hashes(Vec<B256>),
}

impl Poll {
    fn last_block(&self) -> Option<u64> {
        match self {
            Self::Logs(_, _, to) | Self::Blocks(_, to) => Some(*to),
            Self::Hashes(_) => None,
        }
    }

    fn read(self, chain: &Chain) -> Result<Changes, LogsError> {
        Ok(match self {
            Self::Hashes(hashes) => Changes::Hashes(hashes),
            Self::Logs(filter, from, to) => Changes::Logs(logs_between(chain, *filter, from, to)?),
            Self::Blocks(from, to) => {
                let view = chain.latest()?;
                let mut hashes = Vec::new();
                for number in from..=to {
                    hashes.extend(view.header(number)?.map(|header| header.hash()));
                }
                Changes::Hashes(hashes)
            }
        })
    }
}

fn drain(receiver: &mut Receiver<B256>) -> Vec<B256> {
    let mut hashes = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(hash) => hashes.push(hash),
            Err(TryRecvError::Lagged(_)) => {}
            Err(_) => return hashes,
        }
    }
}

/// The part of `filter`'s own range that lies within the blocks since the last poll.
fn logs_between(chain: &Chain, mut filter: Filter, from: u64, to: u64) -> Result<Vec<Log>, LogsError> {
    let number = |tag: Option<BlockNumberOrTag>| tag.and_then(|tag| tag.as_number());
    let (first, last) = match filter.block_option {
        FilterBlockOption::Range { from_block, to_block } => (number(from_block), number(to_block)),
        FilterBlockOption::AtBlockHash(_) => (None, None),
    };
    let from = first.map_or(from, |first| first.max(from));
    let to = last.map_or(to, |last| last.min(to));
    if from > to {
        return Ok(Vec::new());
    }
    let (from_block, to_block) = (Some(from.into()), Some(to.into()));
    filter.block_option = FilterBlockOption::Range { from_block, to_block };
    chain.logs(&filter)
}

#[async_trait]
impl FilterApiServer for FilterContext {
    fn new_filter(&self, filter: Filter) -> RpcResult<U64> {
        check_filter(&filter)?;
        self.install(Kind::Logs(Box::new(filter)))
    }

    fn new_block_filter(&self) -> RpcResult<U64> {
        self.install(Kind::Blocks)
    }

    fn new_pending_transaction_filter(&self) -> RpcResult<U64> {
        self.install(Kind::Pending(self.context.chain.subscribe_pending()))
    }

    async fn filter_changes(&self, id: U64) -> RpcResult<Changes> {
        let poll = self.poll(id)?;
        let last = poll.last_block();
        let changes = self.context.execute(move |chain| poll.read(chain)).await?;
        if let Some(last) = last {
            self.advance(id, last);
        }
        Ok(changes)
    }

    async fn filter_logs(&self, id: U64) -> RpcResult<Vec<Log>> {
        let filter = match self.filters.in_use().get_mut(&id.to()) {
            Some(Installed { kind: Kind::Logs(filter), polled, .. }) => {
                *polled = Instant::now();
                filter.clone()
            }
            _ => return Err(server_error("filter not found")),
        };
        self.context.execute(move |chain| chain.logs(&filter)).await
    }

    fn uninstall_filter(&self, id: U64) -> RpcResult<bool> {
        Ok(self.filters.installed.lock().remove(&id.to()).is_some())
    }
}
