//! Handlers, one file a resource. Each reads typed input, calls the crate that owns the logic, maps its errors.

pub(crate) mod accounts;
pub(crate) mod columns;
pub(crate) mod datanets;
pub(crate) mod disputes;
pub(crate) mod files;
pub(crate) mod models;
pub(crate) mod preview;
pub(crate) mod publish;
pub(crate) mod receipts;
pub(crate) mod recipes;
pub(crate) mod records;
pub(crate) mod search;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod training;

use serde::Deserialize;

use crate::error::ApiError;

/// Most rows of one page.
pub(crate) const PAGE_ROWS_MAX: u32 = 200;
/// Rows of a page when the caller names no limit.
const PAGE_ROWS: u32 = 50;

/// Which part of a listing.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Paging {
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default)]
    limit: Option<u32>,
}

impl Paging {
    /// Rows asked for, within bounds.
    pub(crate) fn rows(self) -> u32 {
        self.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX)
    }

    /// The cursor for what comes after `last` when the page is full.
    pub(crate) fn next(self, rows: usize, last: Option<u64>) -> Option<u64> {
        last.filter(|_| rows >= self.rows() as usize)
    }
}

/// Runs work that blocks (files, database, gradients) away from the threads that serve requests.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
}
