//! `eth_subscribe`: new heads, logs and pending transactions over WebSocket.

use alloy_rpc_types_eth::{
    Filter,
    pubsub::{Params, SubscriptionKind},
};
use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
    core::{SubscriptionResult, async_trait},
    proc_macros::rpc,
};
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    Context,
    convert::{pending_transaction, rpc_header},
    error::invalid_params,
};
use crate::{
    chain::{BlockWithReceipts, Chain},
    query::check_filter,
};

#[rpc(server, namespace = "eth")]
pub(super) trait PubSubApi {
    #[subscription(name = "subscribe" => "subscription", unsubscribe = "unsubscribe", item = serde_json::Value)]
    async fn subscribe(&self, kind: SubscriptionKind, params: Option<Params>) -> SubscriptionResult;
}

#[async_trait]
impl PubSubApiServer for Context {
    async fn subscribe(
        &self,
        pending: PendingSubscriptionSink,
        kind: SubscriptionKind,
        params: Option<Params>,
    ) -> SubscriptionResult {
        let params = params.unwrap_or_default();
        match (kind, params) {
            (SubscriptionKind::NewHeads, _) => {
                let blocks = self.chain.subscribe_blocks();
                let sink = pending.accept().await?;
                tokio::spawn(follow(sink, blocks, |block| vec![rpc_header(&block.header, None)]));
            }
            (SubscriptionKind::Logs, params) => {
                let filter = match params {
                    Params::Logs(filter) => *filter,
                    _ => Filter::default(),
                };
                if let Err(error) = check_filter(&filter) {
                    pending.reject(error).await;
                    return Ok(());
                }
                let blocks = self.chain.subscribe_blocks();
                let sink = pending.accept().await?;
                tokio::spawn(follow(sink, blocks, move |block| matching_logs(&block, &filter)));
            }
            (SubscriptionKind::NewPendingTransactions, params) => {
                let hashes = self.chain.subscribe_pending();
                let chain = self.chain.clone();
                let sink = pending.accept().await?;
                let full = matches!(params, Params::Bool(true));
                tokio::spawn(follow(sink, hashes, move |hash| shown_pending(&chain, hash, full)));
            }
            (SubscriptionKind::Syncing, _) => {
                let sink = pending.accept().await?;
                sink.send(message(&false)?).await?;
                tokio::spawn(async move { sink.closed().await });
            }
            (other, _) => {
                let text = format!("no subscription named {other:?}; there are newHeads, logs, newPendingTransactions");
                pending.reject(invalid_params(text)).await;
            }
        }
        Ok(())
    }
}

fn matching_logs(block: &BlockWithReceipts, filter: &Filter) -> Vec<alloy_rpc_types_eth::Log> {
    if !filter.matches_bloom(block.header.logs_bloom) {
        return Vec::new();
    }
    block.logs().filter(|log| filter.matches(&log.inner)).collect()
}

fn shown_pending(chain: &Chain, hash: alloy_primitives::B256, full: bool) -> Vec<serde_json::Value> {
    let shown = match full {
        false => serde_json::to_value(hash).ok(),
        true => {
            let pooled = chain.inner.pool.lock().get(&hash);
            pooled.and_then(|pooled| serde_json::to_value(pending_transaction(&pooled)).ok())
        }
    };
    shown.into_iter().collect()
}

fn message(item: &impl Serialize) -> Result<SubscriptionMessage, serde_json::Error> {
    Ok(serde_json::value::to_raw_value(item)?.into())
}

/// Sends what `items` makes of each event until the client leaves. A client that is too slow to
/// keep up loses its subscription rather than events in its middle.
async fn follow<E: Clone + Send + 'static, T: Serialize + Send>(
    sink: SubscriptionSink,
    mut events: Receiver<E>,
    items: impl Fn(E) -> Vec<T> + Send,
) {
    loop {
        let event = tokio::select! {
            () = sink.closed() => return,
            event = events.recv() => event,
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "closed the subscription of a client that is too slow");
                return;
            }
            Err(RecvError::Closed) => return,
        };
        for item in items(event) {
            let Ok(message) = message(&item) else { return };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}
