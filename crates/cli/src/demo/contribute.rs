//! Contributors upload, commit, consent and reveal; the Datanet's owner publishes a snapshot.

use anyhow::{Context as _, Result};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use openledger_contracts::{DatanetParams, LicenceTerms};
use openledger_primitives::{DatanetId, Wei, keccak256};
use openledger_sdk::ChainClient;
use openledger_train::SnapshotRef;
use serde_json::{Value, json};

use super::{Demo, fixture, report::Report};
use crate::accounts;
use crate::pools::{Prepared, Taken};
use crate::progress::Progress;

/// Contributors that act at the same time.
const AT_ONCE: usize = 64;
/// OPEN that each contributor gets for its transactions.
const GAS_OPEN: u64 = 1;
/// Contributors whose records make the first snapshot; the second one holds everybody's.
const EARLY: usize = 15;

/// What the builder can train on.
pub(super) struct Snapshots {
    /// The early contributors' records.
    pub(super) early: SnapshotRef,
    /// Everybody's.
    pub(super) full: SnapshotRef,
}

/// One contributor with its batch.
struct Contributor {
    client: ChainClient,
    batch: Prepared,
}

impl Demo<'_> {
    /// Everything from an empty Datanet to two published snapshots.
    pub(super) async fn contribute(&self, report: &mut Report) -> Result<Snapshots> {
        let datanet = self.create_datanet().await.context("could not create the Datanet")?;
        let mut progress = Progress::new("contribute", 4);
        let clients = self.contributors().await.context("could not fund the contributors")?;
        progress.set(1, 4, "uploading");
        let contributors = self.upload(datanet, clients).await.context("could not upload")?;
        progress.set(2, 4, "committing");
        // Honest contributors commit first: the copies come later, and earn nothing.
        let (honest, copycats) = contributors.split_at(self.fixture.honest);
        commit(datanet, honest).await?;
        commit(datanet, copycats).await?;
        progress.set(3, 4, "revealing");
        self.reveal(datanet, &contributors[..EARLY]).await?;
        let early = self.snapshot(datanet, report).await?;
        self.reveal(datanet, &contributors[EARLY..]).await?;
        let full = self.snapshot(datanet, report).await?;
        // Commitments decide, not reveals: what was accepted first may give way to an earlier commitment.
        let contributed: u64 = contributors.iter().map(|one| u64::from(one.batch.record_count)).sum();
        report.duplicates_rejected = contributed.saturating_sub(report.records);
        progress.finish(&format!("{} records from {} contributors", report.records, report.contributors));
        Ok(Snapshots { early, full })
    }

    async fn create_datanet(&self) -> Result<DatanetId> {
        let terms = LicenceTerms {
            commercialUse: true,
            derivatives: true,
            attribution: true,
            revenueFloorBps: 0,
            expiry: 0,
            uri: "fixtures/attack/NOTICE".into(),
        };
        let params = DatanetParams {
            name: "ATT&CK procedures".into(),
            terms,
            acceptancePolicy: "One procedure and the technique that it is an instance of; copies are refused.".into(),
            curators: Vec::new(),
        };
        let (_, id) = self.builder.datanets().create(params).await?;
        let terms = json!({
            "commercial_use": true, "derivatives": true, "attribution": true, "uri": "fixtures/attack/NOTICE",
        });
        let _: Value = self.gateway.post("v1/datanets", &json!({"id": id, "terms": terms})).await?;
        Ok(id)
    }

    async fn contributors(&self) -> Result<Vec<ChainClient>> {
        let count = self.fixture.contributions.len();
        let client = |index: usize| {
            let number = accounts::CONTRIBUTORS + u32::try_from(index).unwrap_or(u32::MAX);
            Ok(self.payer.with_signer(accounts::development(number)?))
        };
        let clients = (0..count).map(client).collect::<Result<Vec<_>>>()?;
        let fund = async |client: &ChainClient| {
            self.payer.transfer(client.address(), Wei::from_open(GAS_OPEN)).await.map(drop)
        };
        futures::stream::iter(clients.iter().map(fund)).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(clients)
    }

    async fn upload(&self, datanet: DatanetId, clients: Vec<ChainClient>) -> Result<Vec<Contributor>> {
        let contributions = clients.into_iter().zip(&self.fixture.contributions);
        let uploads = contributions.map(|(client, (name, procedures))| async move {
            let file = fixture::upload(procedures);
            let begin = json!({
                "contributor": client.address(), "file_name": format!("{name}.jsonl"), "bytes": file.len(),
                "hash": keccak256(&file),
            });
            let begun: Value = self.gateway.post(&format!("v1/datanets/{datanet}/uploads"), &begin).await?;
            let id = begun["id"].as_str().context("the gateway gave no upload id")?;
            self.gateway.upload(id, &file, 0).await?;
            let prepare = json!({"upload": id, "mapping": {"prompt": "procedure", "response": "technique"}});
            let made: Value = self.gateway.post(&format!("v1/datanets/{datanet}/batches"), &prepare).await?;
            let batch = serde_json::from_value(made["batch"].clone()).context("the gateway prepared no batch")?;
            Ok::<_, anyhow::Error>(Contributor { client, batch })
        });
        futures::stream::iter(uploads).buffered(AT_ONCE).try_collect().await
    }

    async fn reveal(&self, datanet: DatanetId, contributors: &[Contributor]) -> Result<()> {
        let reveals = contributors.iter().map(|one| async move {
            let consent = one.batch.reveal(&one.client, datanet).await?;
            one.batch.accept(&self.gateway, &consent).await.map(drop)
        });
        let reveals = futures::stream::iter(reveals).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
        reveals.await.map(drop).context("could not reveal")
    }

    async fn snapshot(&self, datanet: DatanetId, report: &mut Report) -> Result<SnapshotRef> {
        let taken = Taken::take(&self.gateway, datanet).await?;
        let (_, snapshot) = taken.publish(&self.builder, datanet).await?;
        report.records = taken.record_count;
        report.contributors = u64::from(taken.contributor_count);
        Ok(SnapshotRef { datanet, snapshot, root: taken.root })
    }
}

async fn commit(datanet: DatanetId, contributors: &[Contributor]) -> Result<()> {
    let commits = contributors
        .iter()
        .map(|one| async move { one.client.datanets().commit(datanet, one.batch.commitment).await.map(drop) });
    let commits = futures::stream::iter(commits).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
    commits.await.map(drop).context("could not commit")
}
