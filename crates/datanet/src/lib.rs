//! Datanets: ingest, validation, deduplication, licences, snapshots and lineage.
