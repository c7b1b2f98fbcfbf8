//! Resumable downloads. The only place in this crate that opens a connection.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::{MODEL_BYTES_MAX, Progress, PullError, copy, io_error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long no byte may come before the source is given up and the next one is tried.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
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

/// Downloads to `part`; where `resume` says so, from where an earlier attempt stopped. Only a hash can tell whether the two
/// attempts were given parts of the same file.
pub(super) fn download(url: &str, part: &Path, resume: bool, progress: Progress<'_>) -> Result<(), PullError> {
    download_by(&agent(STALL_TIMEOUT), url, part, resume, progress)
}

fn download_by(agent: &Agent, url: &str, part: &Path, resume: bool, progress: Progress<'_>) -> Result<(), PullError> {
    let have = if resume { part.metadata().map_or(0, |metadata| metadata.len()) } else { 0 };
    let response = get(agent, url, have)?;
    let (start, size) = content_range(&response);
    match response.status().as_u16() {
        // Nothing is left to fetch: the hash decides.
        416 if have > 0 && size.is_none_or(|size| size == have) => Ok(()),
        206 if have > 0 && start == Some(have) => receive(response, part, have, url, progress),
        // The server's file is another one, or it gives what was not asked for.
        206 | 416 if have > 0 => download_by(agent, url, part, false, progress),
        200 => receive(response, part, 0, url, progress),
        status => Err(http_error(url, format!("the server answers {status}"))),
    }
}

fn agent(stall: Duration) -> Agent {
    Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .timeout_per_read(Some(stall))
        .max_redirects(REDIRECTS_MAX)
        .http_status_as_error(false)
        .build()
        .into()
}

fn get(agent: &Agent, url: &str, have: u64) -> Result<Response<Body>, PullError> {
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    request.call().map_err(|error| http_error(url, error))
}

/// Where a partial answer starts, and how large the whole file is, as far as the answer says.
fn content_range(response: &Response<Body>) -> (Option<u64>, Option<u64>) {
    let value = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let parts = value.and_then(|value| value.strip_prefix("bytes ")?.split_once('/'));
    let start = parts.and_then(|(range, _)| range.split_once('-')?.0.parse().ok());
    (start, parts.and_then(|(_, size)| size.parse().ok()))
}

fn http_error(url: &str, reason: impl ToString) -> PullError {
    PullError::Http { url: url.to_owned(), reason: reason.to_string() }
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
    let mut read = |buffer: &mut [u8]| body.read(buffer).map_err(|error| http_error(url, error));
    copy(&mut read, &mut file, part, start, total, progress)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests say what failed by panicking")]

    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Here rather than beside the other tests because nothing outside sets the limit.
    #[test]
    fn a_server_that_stops_sending_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("x.part");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x.gguf", listener.local_addr().unwrap());
        std::thread::scope(|scope| {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGGUF").unwrap();
                // The connection stays open until the download has ended.
                let _ = ended.recv();
            });
            let agent = agent(Duration::from_millis(100));
            let error = download_by(&agent, &url, &part, false, &mut |_| ()).unwrap_err();
            assert!(matches!(&error, PullError::Http { url: at, .. } if *at == url), "{error}");
            drop(end);
        });
        assert_eq!(std::fs::read(part).unwrap(), b"GGUF");
    }
}
