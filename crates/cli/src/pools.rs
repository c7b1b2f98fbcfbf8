//! Batches and snapshots of a Datanet as the gateway makes them, and their way onto the chain.

use anyhow::{Context as _, Result};
use openledger_datanet::AcceptReport;
use openledger_primitives::{B256, Bytes, DatanetId, SnapshotId};
use openledger_sdk::{ChainClient, Contribution, GatewayClient, SentTransaction, SnapshotPost};
use serde::Deserialize;
use serde_json::json;

/// A batch as the gateway prepared it.
#[derive(Debug, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) batch_root: B256,
    pub(crate) record_count: u32,
    pub(crate) salt: B256,
    pub(crate) commitment: B256,
}

impl Prepared {
    /// Signs the licence and reveals what was committed; gives the consent.
    pub(crate) async fn reveal(&self, chain: &ChainClient, datanet: DatanetId) -> Result<Bytes> {
        let &Self { batch_root, record_count, salt, .. } = self;
        let contribution = Contribution { datanet, batch_root, record_count, salt };
        let datanets = chain.datanets();
        let consent = datanets.sign_consent(&contribution).await.context("could not sign the licence")?;
        datanets.reveal(&contribution, chain.address(), consent.clone()).await.context("could not reveal")?;
        Ok(consent)
    }

    /// Tells the gateway that the batch is revealed; gives what it accepts of it.
    pub(crate) async fn accept(&self, gateway: &GatewayClient, consent: &Bytes) -> Result<AcceptReport> {
        #[derive(Deserialize)]
        struct Accepted {
            report: AcceptReport,
        }
        let path = format!("v1/batches/{}/revealed", self.commitment);
        let accepted: Accepted = gateway.post(&path, &json!({"consent": consent})).await?;
        Ok(accepted.report)
    }
}

/// A snapshot as the gateway took it.
#[derive(Debug, Deserialize)]
pub(crate) struct Taken {
    pub(crate) root: B256,
    pub(crate) record_count: u64,
    pub(crate) contributor_count: u32,
    content_hash: B256,
}

impl Taken {
    /// Has the gateway take a snapshot of what a Datanet has accepted.
    pub(crate) async fn take(gateway: &GatewayClient, datanet: DatanetId) -> Result<Self> {
        let path = format!("v1/datanets/{datanet}/snapshots");
        gateway.post(&path, &json!({})).await.context("could not take the snapshot")
    }

    /// Puts it on chain.
    pub(crate) async fn publish(
        &self,
        chain: &ChainClient,
        datanet: DatanetId,
    ) -> Result<(SentTransaction, SnapshotId)> {
        let post = SnapshotPost {
            root: self.root,
            record_count: self.record_count,
            contributor_count: self.contributor_count,
            content_hash: self.content_hash,
            da_commitment: self.content_hash,
        };
        let published = chain.datanets().publish_snapshot(datanet, post).await;
        published.context("could not publish the snapshot; only the Datanet's owner and curators may")
    }
}
