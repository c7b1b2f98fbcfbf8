//! Limits on everything that comes from outside.

/// Largest uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Largest part of an upload, in bytes.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Largest canonical record, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Largest line, field or paragraph read before it is a record, in bytes: escapes can double a record, and columns
/// that the mapping ignores may stand beside it.
pub const ROW_BYTES_MAX: usize = 1 << 20;
/// Most rows of one file, accepted or not.
pub const ROWS_MAX: u64 = 100_000;
/// Most bytes of all records of one file together; compressed Parquet alone could hold more than its own size.
pub const CONTENT_BYTES_MAX: usize = FILE_BYTES_MAX as usize;
/// Most columns of one file.
pub const COLUMNS_MAX: usize = 256;
/// Longest column name, in bytes.
pub const COLUMN_NAME_BYTES_MAX: usize = 256;
/// Deepest nesting of a JSON row or a Parquet schema.
pub const NESTING_MAX: usize = 16;
/// Most turns of a conversation.
pub const MESSAGES_MAX: usize = 256;
/// Most rejected rows that a report lists one by one; the rest is counted.
pub const REJECTIONS_LISTED_MAX: usize = 1_000;
/// Longest quotation of a value in an error, in characters.
pub const QUOTE_CHARS_MAX: usize = 40;
/// Largest footer of a Parquet file, in bytes.
pub const PARQUET_FOOTER_BYTES_MAX: usize = 4 << 20;
/// Largest page of a Parquet file after decompression, in bytes.
pub const PARQUET_PAGE_BYTES_MAX: u64 = 32 << 20;
/// Most values of one Parquet column, list items included.
pub const PARQUET_VALUES_MAX: u64 = 1_000_000;
/// Most values that one row may have in one Parquet column: a row is held whole, with each value some hundred bytes beside its
/// text. A conversation of the most turns stays far below it.
pub const PARQUET_ROW_VALUES_MAX: usize = 16 * MESSAGES_MAX;
/// Most pages of the mapped Parquet columns: each costs a read of its header, and may be empty.
pub const PARQUET_PAGES_MAX: u64 = 16_384;
/// Most earlier records that a record is compared with to find whether it copies one. Those that share most bands come first, and a
/// copy shares several times as many as a text that has a template in common.
pub const COMPARISONS_MAX: u32 = 64;
/// Most leaders that one key of a band leads to: looking up a record's 32 keys reads at most so many of each. The
/// earliest stay.
pub const BAND_LEADERS_MAX: u32 = 64;
/// Most shingles of fingerprints remembered while a batch is accepted: eight bytes each.
pub const FINGERPRINT_CACHE_SHINGLES_MAX: usize = 8 << 20;
/// Uploads that one contributor may have open in one Datanet. Anybody may begin one in anybody's name, so the one with the
/// fewest bytes gives way to the next.
pub const OPEN_UPLOADS_MAX: u64 = 16;
/// Seconds that an upload is kept after its last part.
pub const UPLOAD_KEPT_S: u64 = 24 * 60 * 60;
/// Seconds that the file of a prepared batch is kept: its records are in the batch, and an answer that was lost on its way can be
/// asked for again.
pub const PREPARED_UPLOAD_KEPT_S: u64 = 15 * 60;
/// Most bytes of one contributor's finished uploads; those kept the shortest give way.
pub const FINISHED_UPLOADS_BYTES_MAX: u64 = 4 * FILE_BYTES_MAX;
/// Most bytes of all uploads together, so that no number of names fills the disk; those kept the shortest give way.
pub const UPLOADS_BYTES_MAX: u64 = 64 * FILE_BYTES_MAX;
/// Longest Datanet name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most rows of one page of a listing.
pub const PAGE_ROWS_MAX: u32 = 500;
