//! Uploads in parts, which survive a restart.
//!
//! A part is synced to disk before its receipt is recorded, so after a crash the file may be longer than what was
//! acknowledged, never shorter; what is beyond is overwritten.
//!
//! Whoever can reach the node can upload in any name. So uploads are kept for a time only, one contributor's are
//! limited in number and bytes, and all together in bytes ([`UploadLimits`]): what is oldest gives way, and can be sent again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;

use openledger_primitives::{Address, B256, DatanetId, keccak256};
use openledger_store::rusqlite::Params;
use openledger_store::{Row, RowExt, Store, StoreError, Tx, number_value, params};
use serde::{Deserialize, Serialize};

use crate::clock::unix_now;
use crate::limits::{
    CHUNK_BYTES_MAX, FILE_BYTES_MAX, FINISHED_UPLOADS_BYTES_MAX, NAME_BYTES_MAX, OPEN_UPLOADS_MAX,
    PREPARED_UPLOAD_KEPT_S, UPLOAD_KEPT_S, UPLOADS_BYTES_MAX,
};

const UPLOADS_DIR: &str = "uploads";

/// What a contributor is about to upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUpload {
    /// Into which Datanet.
    pub datanet: DatanetId,
    /// Who uploads.
    pub contributor: Address,
    /// Name of the file; never used as a path.
    pub file_name: String,
    /// Size of the file.
    pub bytes: u64,
    /// keccak256 of the file.
    pub hash: B256,
}

impl NewUpload {
    /// The upload's id: the same file of the same contributor for the same Datanet resumes.
    #[must_use]
    pub fn id(&self) -> B256 {
        let datanet = self.datanet.0.to_be_bytes();
        let bytes = self.bytes.to_be_bytes();
        keccak256([&datanet[..], self.contributor.as_slice(), self.hash.as_slice(), &bytes].concat())
    }
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: B256,
    /// What was declared.
    #[serde(flatten)]
    pub declared: NewUpload,
    /// Bytes safely received: where to continue.
    pub received_bytes: u64,
    /// Whether all of it is there and has the declared hash.
    pub finished: bool,
}

/// Why an upload fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// Declared too large, or empty.
    #[error("a file of {bytes} bytes; uploads have 1 to {FILE_BYTES_MAX}")]
    Size {
        /// Declared size.
        bytes: u64,
    },
    /// The file name is too long.
    #[error("a file name of {bytes} bytes; the limit is {NAME_BYTES_MAX}")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// No such Datanet.
    #[error("there is no Datanet {datanet}")]
    UnknownDatanet {
        /// The Datanet asked for.
        datanet: DatanetId,
    },
    /// No such upload.
    #[error("there is no upload {id}")]
    Unknown {
        /// The upload asked for.
        id: B256,
    },
    /// A part does not continue where the last one ended.
    #[error("the part begins at byte {offset}; {received_bytes} bytes are here")]
    Offset {
        /// Where the part begins.
        offset: u64,
        /// Where it should.
        received_bytes: u64,
    },
    /// A part is too large, or reaches beyond the declared size.
    #[error("a part of {bytes} bytes; at most {bytes_max} are allowed here")]
    PartSize {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: u64,
    },
    /// Finished before all bytes are here.
    #[error("{received_bytes} of {bytes} bytes are here")]
    Incomplete {
        /// Bytes received.
        received_bytes: u64,
        /// Bytes declared.
        bytes: u64,
    },
    /// The bytes are not those declared; the upload starts again from nothing.
    #[error("the file hashes to {found}, not to the declared {declared}; upload it again")]
    Hash {
        /// Hash of what arrived.
        found: B256,
        /// Hash declared.
        declared: B256,
    },
    /// No space; what was acknowledged before is kept.
    #[error("disk full")]
    DiskFull,
    /// The system refused.
    #[error("cannot write the upload")]
    Io(#[source] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much is kept of uploads, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// Seconds after the last part.
    pub kept_s: u64,
    /// Seconds after a batch was prepared of it.
    pub prepared_kept_s: u64,
    /// Most bytes of one contributor's finished uploads.
    pub finished_bytes_max: u64,
    /// Most bytes of all uploads.
    pub bytes_max: u64,
}

impl Default for UploadLimits {
    /// [`UPLOAD_KEPT_S`], [`PREPARED_UPLOAD_KEPT_S`], [`FINISHED_UPLOADS_BYTES_MAX`] and [`UPLOADS_BYTES_MAX`].
    fn default() -> Self {
        Self {
            kept_s: UPLOAD_KEPT_S,
            prepared_kept_s: PREPARED_UPLOAD_KEPT_S,
            finished_bytes_max: FINISHED_UPLOADS_BYTES_MAX,
            bytes_max: UPLOADS_BYTES_MAX,
        }
    }
}

/// The uploads of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    store: Store,
    limits: UploadLimits,
}

impl Uploads {
    pub(crate) fn new(store: Store, limits: UploadLimits) -> Self {
        Self { store, limits }
    }

    pub(crate) fn begin(&self, new: &NewUpload) -> Result<Upload, UploadError> {
        if new.bytes == 0 || new.bytes > FILE_BYTES_MAX {
            return Err(UploadError::Size { bytes: new.bytes });
        }
        if new.file_name.len() > NAME_BYTES_MAX {
            return Err(UploadError::Name { bytes: new.file_name.len() });
        }
        match self.status(new.id()) {
            Err(UploadError::Unknown { .. }) => self.insert(new),
            known => known,
        }
    }

    fn insert(&self, new: &NewUpload) -> Result<Upload, UploadError> {
        let id = new.id();
        fs::create_dir_all(self.store.dir().join(UPLOADS_DIR)).map_err(io_error)?;
        let kept_until = kept_until(self.limits.kept_s)?;
        let gone = self.store.with_tx(|tx| {
            let datanet = number_value("Datanet", new.datanet.0)?;
            if tx.count("SELECT count(*) FROM datanet_nets WHERE id = ?1", [datanet])? == 0 {
                return Err(UploadError::UnknownDatanet { datanet: new.datanet });
            }
            let mut gone = forget(tx, "kept_until <= ?1", params![unix_now()])?;
            gone.extend(forget(
                tx,
                CROWDING,
                params![datanet, new.contributor.as_slice(), OPEN_UPLOADS_MAX as i64 - 1],
            )?);
            let sql = "INSERT OR IGNORE INTO datanet_uploads VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8)";
            tx.execute(
                sql,
                params![
                    id.as_slice(),
                    datanet,
                    new.contributor.as_slice(),
                    new.file_name,
                    number_value("size", new.bytes)?,
                    new.hash.as_slice(),
                    unix_now(),
                    kept_until
                ],
            )?;
            Ok(gone)
        })?;
        self.remove_files(&gone)?;
        self.status(id)
    }

    pub(crate) fn status(&self, id: B256) -> Result<Upload, UploadError> {
        let sql = "SELECT * FROM datanet_uploads WHERE id = ?1";
        let found = self.store.read(|tx| tx.query_opt(sql, [id.as_slice()], read_upload))?;
        found.ok_or(UploadError::Unknown { id })
    }

    /// One part after another: two concurrent parts of the same offset write the same bytes or one is refused.
    pub(crate) fn append(&self, id: B256, offset: u64, part: &[u8]) -> Result<Upload, UploadError> {
        let upload = self.status(id)?;
        if upload.finished || offset != upload.received_bytes {
            return Err(UploadError::Offset { offset, received_bytes: upload.received_bytes });
        }
        let bytes_max = (upload.declared.bytes - offset).min(CHUNK_BYTES_MAX as u64);
        if part.len() as u64 > bytes_max {
            return Err(UploadError::PartSize { bytes: part.len(), bytes_max });
        }
        let kept_until = kept_until(self.limits.kept_s)?;
        let gone = self.store.with_tx(|tx| {
            // The row is updated first, so that of two parts at one offset only one goes on to write.
            let sql = "UPDATE datanet_uploads SET received_bytes = ?3, kept_until = ?4
                WHERE id = ?1 AND received_bytes = ?2 AND finished = 0";
            let after = offset + part.len() as u64;
            let place =
                params![id.as_slice(), number_value("offset", offset)?, number_value("size", after)?, kept_until];
            if tx.execute(sql, place)? == 0 {
                return Err(UploadError::Offset { offset, received_bytes: after });
            }
            let gone = forget(tx, BEYOND_ALL, params![id.as_slice(), number_value("size", self.limits.bytes_max)?])?;
            self.write_part(id, offset, part).map_err(io_error)?;
            Ok(gone)
        })?;
        self.remove_files(&gone)?;
        self.status(id)
    }

    fn write_part(&self, id: B256, offset: u64, part: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path_of(id))?;
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(part)?;
        file.sync_all()?;
        if offset == 0 {
            File::open(self.store.dir().join(UPLOADS_DIR))?.sync_all()?;
        }
        Ok(())
    }

    /// Checks the hash. A file of another hash is thrown away.
    pub(crate) fn finish(&self, id: B256) -> Result<Upload, UploadError> {
        let upload = self.status(id)?;
        let NewUpload { bytes, hash: declared, .. } = upload.declared;
        if upload.finished {
            return Ok(upload);
        }
        if upload.received_bytes < bytes {
            return Err(UploadError::Incomplete { received_bytes: upload.received_bytes, bytes });
        }
        let found = keccak256(fs::read(self.path_of(id)).map_err(io_error)?);
        if found != declared {
            self.abandon(id)?;
            return Err(UploadError::Hash { found, declared });
        }
        let bytes_max = number_value("size", self.limits.finished_bytes_max)?;
        let gone = self.store.with_tx(|tx| {
            tx.execute("UPDATE datanet_uploads SET finished = 1 WHERE id = ?1", [id.as_slice()])?;
            let contributor = upload.declared.contributor;
            forget(tx, BEYOND_FINISHED, params![id.as_slice(), contributor.as_slice(), bytes_max])
        })?;
        self.remove_files(&gone)?;
        self.status(id)
    }

    /// A batch was prepared of it: the file is not needed for long.
    pub(crate) fn prepared(&self, id: B256) -> Result<(), UploadError> {
        let kept_until = kept_until(self.limits.prepared_kept_s)?;
        let sql = "UPDATE datanet_uploads SET kept_until = min(kept_until, ?2) WHERE id = ?1";
        self.store.with_tx(|tx| tx.execute(sql, params![id.as_slice(), kept_until]))?;
        Ok(())
    }

    /// Forgets an upload and its file.
    pub(crate) fn abandon(&self, id: B256) -> Result<(), UploadError> {
        let gone = self.store.with_tx(|tx| forget(tx, "id = ?1", [id.as_slice()]))?;
        self.remove_files(&gone)
    }

    fn remove_files(&self, uploads: &[B256]) -> Result<(), UploadError> {
        for id in uploads {
            match fs::remove_file(self.path_of(*id)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(UploadError::Io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Ids are hashes, so no file name from outside becomes part of a path.
    pub(crate) fn path_of(&self, id: B256) -> PathBuf {
        self.store.dir().join(UPLOADS_DIR).join(alloy_primitives::hex::encode(id))
    }
}

/// A contributor's open uploads beyond so many: those with the fewest bytes, of them the oldest.
const CROWDING: &str = "id IN (SELECT id FROM datanet_uploads WHERE datanet = ?1 AND contributor = ?2 AND finished = 0
    ORDER BY received_bytes DESC, kept_until DESC, id LIMIT -1 OFFSET ?3)";

/// A contributor's finished uploads, other than one, that do not fit beside those kept longer.
const BEYOND_FINISHED: &str = "id <> ?1 AND id IN (
    SELECT id FROM (
        SELECT id, sum(declared_bytes) OVER (ORDER BY id = ?1 DESC, kept_until DESC, id) AS bytes
        FROM datanet_uploads WHERE contributor = ?2 AND finished = 1)
    WHERE bytes > ?3)";

/// Uploads, other than one, that do not fit beside those kept longer.
const BEYOND_ALL: &str = "id <> ?1 AND id IN (
    SELECT id FROM (
        SELECT id, sum(received_bytes) OVER (ORDER BY id = ?1 DESC, kept_until DESC, id) AS bytes FROM datanet_uploads)
    WHERE bytes > ?2)";

/// Forgets the uploads of which `condition` holds, and gives their ids; their files are the caller's to remove.
fn forget(tx: &Tx<'_>, condition: &str, params: impl Params) -> Result<Vec<B256>, UploadError> {
    let sql = format!("DELETE FROM datanet_uploads WHERE {condition} RETURNING id");
    tx.query_all(&sql, params, |row| Ok(row.hash("id")?))
}

/// The time in so many seconds.
fn kept_until(seconds: u64) -> Result<i64, StoreError> {
    Ok(unix_now().saturating_add(number_value("seconds", seconds)?))
}

fn read_upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: row.hash("id")?,
        declared: NewUpload {
            datanet: DatanetId(row.number("datanet")?),
            contributor: row.address("contributor")?,
            file_name: row.column("file_name")?,
            bytes: row.number("declared_bytes")?,
            hash: row.hash("declared_hash")?,
        },
        received_bytes: row.number("received_bytes")?,
        finished: row.column("finished")?,
    })
}

fn io_error(error: io::Error) -> UploadError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => UploadError::DiskFull,
        _ => UploadError::Io(error),
    }
}
