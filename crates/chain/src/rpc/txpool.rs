//! The `txpool_` methods.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, U64};
use jsonrpsee::{core::RpcResult, proc_macros::rpc};
use op_alloy_rpc_types::Transaction;
use serde::Serialize;

use super::{Context, convert::pending_transaction};
use crate::pool::{PooledTx, SenderMap};

/// `txpool_status`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Status {
    pending: U64,
    queued: U64,
}

/// `txpool_content`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Content {
    pending: BTreeMap<Address, BTreeMap<String, Transaction>>,
    queued: BTreeMap<Address, BTreeMap<String, Transaction>>,
}

#[rpc(server, namespace = "txpool")]
pub(super) trait TxpoolApi {
    #[method(name = "status")]
    fn status(&self) -> RpcResult<Status>;

    #[method(name = "content")]
    fn content(&self) -> RpcResult<Content>;
}

impl TxpoolApiServer for Context {
    fn status(&self) -> RpcResult<Status> {
        let status = self.chain.pool_status();
        Ok(Status { pending: U64::from(status.pending), queued: U64::from(status.queued) })
    }

    fn content(&self) -> RpcResult<Content> {
        let (pending, queued) = self.chain.inner.pool.lock().content();
        Ok(Content { pending: shown(&pending), queued: shown(&queued) })
    }
}

fn shown(part: &SenderMap) -> BTreeMap<Address, BTreeMap<String, Transaction>> {
    let by_nonce = |txs: &BTreeMap<u64, Arc<PooledTx>>| {
        let rows = txs.iter().map(|(nonce, tx)| (nonce.to_string(), pending_transaction(tx)));
        rows.collect()
    };
    part.iter().map(|(sender, txs)| (*sender, by_nonce(txs))).collect()
}
