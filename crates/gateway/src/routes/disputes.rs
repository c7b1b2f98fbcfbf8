//! Disputes: challenges of epochs that the inference hub upheld.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openledger_sdk::{ChainError, DISPUTE_BLOCKS_MAX, Dispute, Fault};
use tokio::sync::Mutex;

use crate::api::settlement as view;
use crate::app::App;
use crate::error::ApiError;

/// Ranges of blocks read for one request; a long chain is looked through over several.
const RANGES_MAX: usize = 32;

/// What was found on the chain so far. It only grows: the chain has one sequencer.
#[derive(Debug, Default)]
pub(crate) struct DisputeCache(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// The first block that was not looked at.
    next: u64,
    disputes: Vec<Dispute>,
}

/// Every challenge that was upheld, as far as the chain has been looked through.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<view::DisputeList>, ApiError> {
    let mut found = app.disputes.0.lock().await;
    let head = look(&app, &mut found).await?;
    let data = found.disputes.iter().map(dispute).collect();
    Ok(Json(view::DisputeList { data, looked_to: found.next.saturating_sub(1), head }))
}

/// Goes on where the last look ended; gives the latest block.
async fn look(app: &App, found: &mut Found) -> Result<u64, ChainError> {
    let (hub, head) = (app.chain.hub(), app.chain.block_number().await?);
    for _ in 0..RANGES_MAX {
        if found.next > head {
            break;
        }
        let to = head.min(found.next + DISPUTE_BLOCKS_MAX - 1);
        found.disputes.extend(hub.disputes(found.next, to).await?);
        found.next = to + 1;
    }
    Ok(head)
}

fn dispute(dispute: &Dispute) -> view::Dispute {
    view::Dispute {
        epoch: dispute.epoch,
        challenger: dispute.challenger.into(),
        subject: dispute.subject.into(),
        fault: fault(dispute.fault),
        rejected: dispute.rejected.clone(),
        operator: dispute.operator.into(),
        reward_wei: dispute.reward.into(),
        burned_wei: dispute.burned.into(),
        block: dispute.block,
        tx_hash: dispute.tx.into(),
    }
}

fn fault(fault: Fault) -> view::Fault {
    match fault {
        Fault::Balances => view::Fault::Balances,
        Fault::ReceiptEpoch => view::Fault::ReceiptEpoch,
        Fault::ReceiptOperator => view::Fault::ReceiptOperator,
        Fault::ReceiptFee => view::Fault::ReceiptFee,
        Fault::ReceiptCumulative => view::Fault::ReceiptCumulative,
        Fault::ReceiptBps => view::Fault::ReceiptBps,
        Fault::ReceiptSplit => view::Fault::ReceiptSplit,
        Fault::ReceiptModel => view::Fault::ReceiptModel,
        Fault::ReceiptTerms => view::Fault::ReceiptTerms,
    }
}
