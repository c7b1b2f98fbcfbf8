//! Handlers, one file a resource. Each reads typed input, calls the crate that owns the logic, maps its errors.

pub(crate) mod datanets;
pub(crate) mod models;
pub(crate) mod receipts;
pub(crate) mod status;
pub(crate) mod training;

use axum::http::Uri;

use crate::error::ApiError;

/// Anything that is no route.
pub(crate) async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found("path", uri.path())
}

/// Runs work that blocks (files, database, gradients) away from the threads that serve requests.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
}
