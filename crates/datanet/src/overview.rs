//! What may be shown of Datanets: counts, contributors, records of revealed batches, snapshots.
//!
//! Records of a batch that is not revealed yet stay hidden here: before its root and consent are on chain, showing one
//! would let it be copied and committed by somebody else.

use openledger_primitives::{Address, B256, DatanetId, SnapshotId};
use openledger_store::{Row, RowExt, StoreError, number_value, params};

use crate::Datanets;
use crate::datanets::{DatanetInfo, read_datanet};
use crate::leaders::StoredRecord;
use crate::limits::PAGE_ROWS_MAX;
use crate::record::Record;
use crate::records::{Page, RecordAccessError, RecordStatement, read_statement};
use crate::state::{BatchState, RecordStatus};

/// Which Datanets a listing shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatanetFilter {
    /// Whose name holds this, whatever its case.
    pub search: Option<String>,
    /// Of this owner only.
    pub owner: Option<Address>,
}

/// A Datanet in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatanetCounts {
    /// Records in revealed batches.
    pub offered: u64,
    /// Records that train and earn.
    pub accepted: u64,
    /// Accounts with a revealed batch.
    pub contributors: u64,
    /// Snapshots taken.
    pub snapshots: u64,
}

/// A contributor in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContributorCounts {
    /// The account.
    pub contributor: Address,
    /// Records in its revealed batches.
    pub offered: u64,
    /// Records that train and earn.
    pub accepted: u64,
}

/// How many records do not earn for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// The reason, in words.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// A snapshot without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Number in the Datanet.
    pub id: SnapshotId,
    /// Its root.
    pub root: B256,
    /// Its records.
    pub record_count: u64,
    /// Its contributors.
    pub contributor_count: u32,
    /// Hash of its body, which goes on chain with the root.
    pub content_hash: B256,
}

/// Which records are looked up. Without a Datanet or a contributor, those of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Of this Datanet only.
    pub datanet: Option<DatanetId>,
    /// Of this contributor only.
    pub contributor: Option<Address>,
    /// With this status only.
    pub status: Option<RecordStatus>,
}

/// A record of a revealed batch with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRecord {
    /// Cursor for listings.
    pub id: u64,
    /// All that is known of it.
    pub statement: RecordStatement,
    /// Its content.
    pub record: Record,
    /// Salt of its hash; `None` for a record that was taken back, whose hash is to say nothing any more.
    pub salt: Option<B256>,
}

impl Datanets {
    /// Datanets by number after `after` that pass `filter`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn search(&self, filter: &DatanetFilter, after: u64, limit: u32) -> Result<Vec<DatanetInfo>, StoreError> {
        let sql = "SELECT * FROM datanet_nets WHERE id > ?1 AND (?2 IS NULL OR instr(lower(name), lower(?2)) > 0)
            AND (?3 IS NULL OR owner = ?3) ORDER BY id LIMIT ?4";
        let owner = filter.owner.map(|owner| owner.to_vec());
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let place = params![number_value("Datanet", after)?, filter.search, owner, limit];
        self.store.read(|tx| tx.query_all(sql, place, read_datanet))
    }

    /// A Datanet in numbers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counts(&self, datanet: DatanetId) -> Result<DatanetCounts, StoreError> {
        let id = number_value("Datanet", datanet.0)?;
        let (revealed, accepted) = (BatchState::Revealed.code(), RecordStatus::Accepted.code());
        self.store.read(|tx| {
            let batches = "FROM datanet_batches WHERE datanet = ?1 AND state >= ?2";
            Ok(DatanetCounts {
                offered: tx.count(&format!("SELECT sum(record_count) {batches}"), [id, revealed])?,
                accepted: tx
                    .count("SELECT count(*) FROM datanet_records WHERE datanet = ?1 AND status = ?2", [id, accepted])?,
                contributors: tx.count(&format!("SELECT count(DISTINCT contributor) {batches}"), [id, revealed])?,
                snapshots: tx.count("SELECT count(*) FROM datanet_snapshots WHERE datanet = ?1", [id])?,
            })
        })
    }

    /// Contributors of revealed batches, the most accepted first, from position `from` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn contributors(
        &self,
        datanet: DatanetId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<ContributorCounts>, StoreError> {
        let sql = "SELECT b.contributor, sum(b.record_count) AS offered,
                (SELECT count(*) FROM datanet_records r
                    WHERE r.datanet = ?1 AND r.status = ?3 AND r.contributor = b.contributor) AS accepted
            FROM datanet_batches b WHERE b.datanet = ?1 AND b.state >= ?2 GROUP BY b.contributor
            ORDER BY accepted DESC, b.contributor LIMIT ?4 OFFSET ?5";
        let (revealed, accepted) = (BatchState::Revealed.code(), RecordStatus::Accepted.code());
        let (id, from) = (number_value("Datanet", datanet.0)?, number_value("cursor", from)?);
        let place = params![id, revealed, accepted, limit.clamp(1, PAGE_ROWS_MAX), from];
        self.store.read(|tx| {
            tx.query_all(sql, place, |row| {
                Ok(ContributorCounts {
                    contributor: row.address("contributor")?,
                    offered: row.number("offered")?,
                    accepted: row.number("accepted")?,
                })
            })
        })
    }

    /// Why records of revealed batches do not earn, with how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rejections(&self, datanet: DatanetId) -> Result<Vec<ReasonCount>, StoreError> {
        let reasons = [
            ("same words as an earlier record", RecordStatus::Duplicate, "r.similarity_per_mille = 1000"),
            ("nearly the same as an earlier record", RecordStatus::Duplicate, "r.similarity_per_mille < 1000"),
            ("taken back by its contributor", RecordStatus::Revoked, "1"),
            ("its batch is not accepted yet", RecordStatus::Pending, "1"),
        ];
        let id = number_value("Datanet", datanet.0)?;
        let mut counts = Vec::new();
        for (reason, status, condition) in reasons {
            let sql = format!(
                "SELECT count(*) FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch
                 WHERE r.datanet = ?1 AND r.status = ?2 AND b.state >= ?3 AND {condition}"
            );
            let place = [id, status.code(), BatchState::Revealed.code()];
            let count = self.store.read(|tx| tx.count(&sql, place))?;
            counts.extend((count > 0).then_some(ReasonCount { reason, count }));
        }
        Ok(counts)
    }

    /// Records of revealed batches with their content, in the order of upload, after `after`.
    ///
    /// # Errors
    /// [`RecordAccessError`].
    pub fn shown_records(
        &self,
        query: RecordQuery,
        after: u64,
        limit: u32,
    ) -> Result<Page<ShownRecord>, RecordAccessError> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let mut sql = format!("{SHOWN} AND r.id > ?2");
        let mut place = vec![BatchState::Revealed.code().into(), number_value("cursor", after)?.into()];
        let mut narrow = |column: &str, value: openledger_store::rusqlite::types::Value| {
            place.push(value);
            sql.push_str(&format!(" AND r.{column} = ?{}", place.len()));
        };
        if let Some(datanet) = query.datanet {
            narrow("datanet", number_value("Datanet", datanet.0)?.into());
        }
        if let Some(contributor) = query.contributor {
            narrow("contributor", contributor.to_vec().into());
        }
        if let Some(status) = query.status {
            narrow("status", status.code().into());
        }
        sql.push_str(&format!(" ORDER BY r.id LIMIT {limit}"));
        let place = openledger_store::rusqlite::params_from_iter(place);
        let rows = self.store.read(|tx| tx.query_all(&sql, place, read_shown))?;
        let rows: Vec<ShownRecord> = rows.into_iter().map(|row| self.shown(row)).collect::<Result<_, _>>()?;
        let next = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id)).flatten();
        Ok(Page { rows, next })
    }

    /// One record of a revealed batch.
    ///
    /// # Errors
    /// [`RecordAccessError::Unknown`] also while its batch is not revealed.
    pub fn shown_record(&self, record: openledger_primitives::RecordHash) -> Result<ShownRecord, RecordAccessError> {
        let sql = format!("{SHOWN} AND r.hash = ?2");
        let place = params![BatchState::Revealed.code(), record.0.as_slice()];
        let found = self.store.read(|tx| tx.query_opt(&sql, place, read_shown))?;
        self.shown(found.ok_or(RecordAccessError::Unknown { record })?)
    }

    fn shown(&self, (statement, stored): (RecordStatement, StoredRecord)) -> Result<ShownRecord, RecordAccessError> {
        let record = stored.record(self.store.blobs())?;
        let salt = (statement.status != RecordStatus::Revoked).then_some(stored.salt);
        Ok(ShownRecord { id: stored.id.unsigned_abs(), statement, record, salt })
    }

    /// Snapshots after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshots(&self, datanet: DatanetId, after: u64, limit: u32) -> Result<Vec<SnapshotInfo>, StoreError> {
        let sql = "SELECT id, root, body, record_count, contributor_count FROM datanet_snapshots
            WHERE datanet = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (id, after) = (number_value("Datanet", datanet.0)?, number_value("cursor", after)?);
        let place = params![id, after, limit.clamp(1, PAGE_ROWS_MAX)];
        self.store.read(|tx| {
            tx.query_all(sql, place, |row| {
                Ok(SnapshotInfo {
                    id: SnapshotId(row.number("id")?),
                    root: row.hash("root")?,
                    record_count: row.number("record_count")?,
                    contributor_count: row.column("contributor_count")?,
                    // Blobs are named by the keccak256 of their bytes, which is what the registry calls content hash.
                    content_hash: row.hash("body")?,
                })
            })
        })
    }

    /// The snapshot with that root.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshot_of_root(&self, root: B256) -> Result<Option<(DatanetId, SnapshotId)>, StoreError> {
        let sql = "SELECT datanet, id FROM datanet_snapshots WHERE root = ?1 ORDER BY datanet, id LIMIT 1";
        self.store.read(|tx| {
            tx.query_opt(sql, [root.as_slice()], |row| {
                Ok((DatanetId(row.number("datanet")?), SnapshotId(row.number("id")?)))
            })
        })
    }
}

const SHOWN: &str = "SELECT r.*, b.body FROM datanet_records r JOIN datanet_batches b ON b.commitment = r.batch
    WHERE b.state >= ?1";

fn read_shown(row: &Row<'_>) -> Result<(RecordStatement, StoredRecord), StoreError> {
    Ok((read_statement(row)?, StoredRecord::read(row)?))
}
