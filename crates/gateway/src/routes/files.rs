//! A finished job's adapter as a file.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use openledger_engine::format::{gguf_lora, peft};
use openledger_train::JobId;
use zip::write::SimpleFileOptions;

use crate::app::App;
use crate::error::ApiError;
use crate::routes::blocking;
use crate::routes::publish::finished;

/// Largest file of an adapter that is sent.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// The adapter in PEFT's format or as GGUF.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path((id, file)): Path<(JobId, String)>,
) -> Result<Response, ApiError> {
    let make: fn(&App, JobId) -> Result<Vec<u8>, ApiError> = match file.as_str() {
        "adapter.zip" => peft_zip,
        "adapter.gguf" => gguf,
        other => return Err(ApiError::not_found("file", other)),
    };
    let content_type = if file == "adapter.zip" { "application/zip" } else { "application/octet-stream" };
    let bytes = blocking(move || make(&app, id)).await??;
    let disposition = format!("attachment; filename=\"job-{id}-{file}\"");
    let headers = [(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}

fn peft_zip(app: &App, id: JobId) -> Result<Vec<u8>, ApiError> {
    let folder = finished(app, id)?.adapter_folder();
    let failed = |error: zip::result::ZipError| ApiError::internal(&error);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // Weights do not compress; one time for all, so that the same adapter gives the same bytes.
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for name in [peft::CONFIG_FILE, peft::WEIGHTS_FILE] {
        archive.start_file(name, options).map_err(failed)?;
        archive.write_all(&read(&folder.join(name))?).map_err(|error| ApiError::internal(&error))?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}

fn gguf(app: &App, id: JobId) -> Result<Vec<u8>, ApiError> {
    let artifact = finished(app, id)?;
    let folder = tempfile::tempdir().map_err(|error| ApiError::internal(&error))?;
    let path = folder.path().join("adapter.gguf");
    gguf_lora::write(&path, &artifact.adapter, app.catalog.base().config())
        .map_err(|error| ApiError::internal(&error))?;
    read(&path)
}

fn read(path: &FilePath) -> Result<Vec<u8>, ApiError> {
    let failed = |error: std::io::Error| ApiError::internal(&error);
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        let message = format!("the file has {bytes} bytes; at most {FILE_BYTES_MAX} are sent");
        return Err(ApiError::conflict("file_too_large", message));
    }
    fs::read(path).map_err(failed)
}
