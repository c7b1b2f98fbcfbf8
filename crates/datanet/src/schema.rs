//! Tables. Priority and position order everything; the row number of a record orders nothing but listings.

use openledger_store::{Migration, Schema};

/// The Datanets' tables, for `Store::open`.
pub const DATANET_SCHEMA: Schema = Schema {
    name: "datanet",
    migrations: &[
        Migration { version: 1, name: "datanets, uploads, batches, records, snapshots", sql: FIRST },
        Migration { version: 2, name: "indexes of overviews", sql: OVERVIEWS },
        Migration { version: 3, name: "version of a Datanet's fingerprints", sql: FINGERPRINTS },
        Migration { version: 4, name: "uploads are kept for a time", sql: UPLOADS },
    ],
};

const FIRST: &str = "
CREATE TABLE datanet_nets (
    id INTEGER PRIMARY KEY, owner BLOB NOT NULL, name TEXT NOT NULL, terms BLOB NOT NULL, licence_hash BLOB NOT NULL,
    similarity_per_mille INTEGER NOT NULL, created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE datanet_uploads (
    id BLOB PRIMARY KEY, datanet INTEGER NOT NULL REFERENCES datanet_nets, contributor BLOB NOT NULL,
    file_name TEXT NOT NULL, declared_bytes INTEGER NOT NULL, declared_hash BLOB NOT NULL,
    received_bytes INTEGER NOT NULL, finished INTEGER NOT NULL, began_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX datanet_uploads_open ON datanet_uploads (datanet, contributor, finished);
CREATE TABLE datanet_batches (
    commitment BLOB PRIMARY KEY, datanet INTEGER NOT NULL REFERENCES datanet_nets, contributor BLOB NOT NULL,
    root BLOB NOT NULL, record_count INTEGER NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL,
    state INTEGER NOT NULL, priority INTEGER, consent BLOB, prepared_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX datanet_batches_priority ON datanet_batches (datanet, priority) WHERE priority IS NOT NULL;
CREATE TABLE datanet_records (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, datanet INTEGER NOT NULL REFERENCES datanet_nets,
    batch BLOB NOT NULL REFERENCES datanet_batches, position INTEGER NOT NULL, contributor BLOB NOT NULL,
    salt BLOB NOT NULL, body_offset INTEGER NOT NULL, body_length INTEGER NOT NULL,
    status INTEGER NOT NULL, words_hash BLOB, cluster INTEGER, leads INTEGER NOT NULL DEFAULT 0,
    duplicate_of BLOB, similarity_per_mille INTEGER, revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX datanet_records_batch ON datanet_records (batch, position);
CREATE INDEX datanet_records_datanet ON datanet_records (datanet, id);
CREATE INDEX datanet_records_words ON datanet_records (datanet, words_hash) WHERE leads = 1;
CREATE INDEX datanet_records_cluster ON datanet_records (datanet, cluster);
CREATE TABLE datanet_bands (
    datanet INTEGER NOT NULL, key INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES datanet_records,
    PRIMARY KEY (datanet, key, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX datanet_bands_record ON datanet_bands (record);
CREATE TABLE datanet_snapshots (
    datanet INTEGER NOT NULL REFERENCES datanet_nets, id INTEGER NOT NULL, root BLOB NOT NULL, body BLOB NOT NULL,
    record_count INTEGER NOT NULL, contributor_count INTEGER NOT NULL, taken_at INTEGER NOT NULL,
    PRIMARY KEY (datanet, id)
) STRICT, WITHOUT ROWID;
";

const OVERVIEWS: &str = "
CREATE INDEX datanet_batches_state ON datanet_batches (datanet, state);
CREATE INDEX datanet_records_status ON datanet_records (datanet, status, contributor);
CREATE INDEX datanet_records_contributor ON datanet_records (contributor, id);
CREATE INDEX datanet_snapshots_root ON datanet_snapshots (root);
";

/// Fingerprints cannot be made in SQL; those of an older version are made again when the Datanet next accepts a batch.
const FINGERPRINTS: &str = "
ALTER TABLE datanet_nets ADD COLUMN fingerprint_version INTEGER NOT NULL DEFAULT 1;
";

/// Uploads from before are kept as long as if their last part had come when they began.
const UPLOADS: &str = "
ALTER TABLE datanet_uploads ADD COLUMN kept_until INTEGER NOT NULL DEFAULT 0;
UPDATE datanet_uploads SET kept_until = began_at + 86400;
CREATE INDEX datanet_uploads_kept ON datanet_uploads (kept_until);
";
