//! Whether an artifact would pay those who contributed what it was trained on.

use openledger_datanet::{Datanets, SnapshotEntry, SnapshotError};
use openledger_primitives::{B256, DatanetId, SnapshotId};
use openledger_train::{Artifact, ArtifactError, RecordOwner};

/// Why an artifact's records are not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// A snapshot is not here.
    #[error("snapshot {snapshot} of Datanet {datanet} is needed to check it")]
    Snapshot {
        /// The Datanet.
        datanet: DatanetId,
        /// Its snapshot.
        snapshot: SnapshotId,
        /// The cause.
        #[source]
        source: SnapshotError,
    },
    /// The snapshot here is another one.
    #[error("snapshot {snapshot} of Datanet {datanet} has root {found} here; the manifest names {named}")]
    Root {
        /// The Datanet.
        datanet: DatanetId,
        /// Its snapshot.
        snapshot: SnapshotId,
        /// Root of the snapshot here.
        found: B256,
        /// The manifest's.
        named: B256,
    },
    /// The indexes differ from the snapshots.
    #[error(transparent)]
    Record(#[from] ArtifactError),
}

/// Checks that the indexes name of each record the contributor and the cluster that the snapshot on chain commits to. Blocks.
pub(crate) fn check_records(datanets: &Datanets, artifact: &Artifact) -> Result<(), RecordsError> {
    let mut snapshots = Vec::new();
    for named in &artifact.manifest.snapshots {
        let openledger_train::SnapshotRef { datanet, snapshot, root } = *named;
        let here = datanets.snapshot(datanet, snapshot);
        let here = here.map_err(|source| RecordsError::Snapshot { datanet, snapshot, source })?;
        let found = here.root();
        if found != root {
            return Err(RecordsError::Root { datanet, snapshot, found, named: root });
        }
        snapshots.push(here.entries.iter().map(owner).collect());
    }
    Ok(artifact.check_records(&snapshots)?)
}

fn owner(entry: &SnapshotEntry) -> RecordOwner {
    RecordOwner { contributor: entry.contributor, cluster: entry.cluster }
}
