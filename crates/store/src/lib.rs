//! Typed tables, blobs by hash and migrations.
