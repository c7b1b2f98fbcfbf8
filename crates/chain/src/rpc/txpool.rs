//! The `txpool_` methods.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, U64};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
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
    async fn status(&self) -> RpcResult<Status>;

    #[method(name = "content")]
    async fn content(&self) -> RpcResult<Content>;
}

#[async_trait]
impl TxpoolApiServer for Context {
    async fn status(&self) -> RpcResult<Status> {
        self.read(|chain| {
            let status = chain.pool_status();
            RpcResult::Ok(Status { pending: U64::from(status.pending), queued: U64::from(status.queued) })
        })
        .await
    }

    async fn content(&self) -> RpcResult<Content> {
        self.execute(|chain| {
            let (pending, queued) = chain.inner.pool.lock().content();
            RpcResult::Ok(Content { pending: shown(&pending), queued: shown(&queued) })
        })
        .await
    }
}

fn shown(part: &SenderMap) -> BTreeMap<Address, BTreeMap<String, Transaction>> {
    let by_nonce = |txs: &BTreeMap<u64, Arc<PooledTx>>| {
        let rows = txs.iter().map(|(nonce, tx)| (nonce.to_string(), pending_transaction(tx)));
        rows.collect()
    };
    part.iter().map(|(sender, txs)| (*sender, by_nonce(txs))).collect()
}
