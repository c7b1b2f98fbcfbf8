//! Resumable downloads. The only place in this crate that opens a connection.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::{MODEL_BYTES_MAX, Progress, PullError, copy, io_error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: u32 = 5;
const NAME_BYTES_MAX: usize = 128;

/// The file name at the end of an address.
pub(super) fn file_name(url: &str) -> Result<&str, PullError> {
    let bad = |reason| Err(PullError::BadUrl { url: url.to_owned(), reason });
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return bad("it starts with neither https:// nor http://");
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.chars().all(plain) {
        return bad("its last part is no plain file name");
    }
    if !name.to_ascii_lowercase().ends_with(".gguf") {
        return bad("its last part does not end in .gguf");
    }
    Ok(name)
}

/// Downloads to `part`, from where an earlier attempt stopped.
pub(super) fn download(url: &str, part: &Path, progress: Progress<'_>) -> Result<(), PullError> {
    let have = part.metadata().map_or(0, |metadata| metadata.len());
    let response = get(url, have)?;
    match (response.status().as_u16(), have) {
        // Nothing is left to fetch: the hash decides.
        (416, 1..) => Ok(()),
        (206, 1..) => receive(response, part, have, url, progress),
        (200, _) => receive(response, part, 0, url, progress),
        (status, _) => Err(PullError::Http { url: url.to_owned(), reason: format!("the server answers {status}") }),
    }
}

fn get(url: &str, have: u64) -> Result<Response<Body>, PullError> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .max_redirects(REDIRECTS_MAX)
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    request.call().map_err(|error| PullError::Http { url: url.to_owned(), reason: error.to_string() })
}

fn receive(
    response: Response<Body>,
    part: &Path,
    start: u64,
    url: &str,
    progress: Progress<'_>,
) -> Result<(), PullError> {
    let total = response.body().content_length().map(|rest| start.saturating_add(rest));
    if let Some(bytes) = total.filter(|total| *total > MODEL_BYTES_MAX) {
        return Err(PullError::TooLarge { what: url.to_owned(), bytes, limit: MODEL_BYTES_MAX });
    }
    let mut file = if start > 0 {
        OpenOptions::new().append(true).open(part).map_err(|error| io_error(part, error))?
    } else {
        File::create(part).map_err(|error| io_error(part, error))?
    };
    let mut body = response.into_body().into_reader();
    copy(&mut body, &mut file, part, start, total, progress)
}
