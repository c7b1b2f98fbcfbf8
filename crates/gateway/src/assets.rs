//! The web app, embedded in the binary, and the headers that keep it to itself.
//!
//! Only embedded files are served: a path is a key among them, never a path on the disk.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;

use crate::error::ApiError;

/// Vite's output, as committed.
#[derive(RustEmbed)]
#[folder = "../../web/dist/"]
struct Dist;

/// What every unknown page gets: the app finds its own way.
const INDEX: &str = "index.html";
/// Files below it carry their content's hash in their name.
const HASHED: &str = "assets/";
/// Files smaller than this gain nothing by compression.
const GZIP_BYTES_MIN: usize = 1024;

/// A file ready to be sent.
struct File {
    plain: std::borrow::Cow<'static, [u8]>,
    gzip: Option<Vec<u8>>,
    etag: String,
    content_type: &'static str,
}

fn files() -> &'static HashMap<String, File> {
    static FILES: OnceLock<HashMap<String, File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let load = |name: std::borrow::Cow<'static, str>| Some((name.to_string(), File::load(&name)?));
        Dist::iter().filter_map(load).collect()
    })
}

impl File {
    fn load(name: &str) -> Option<Self> {
        let embedded = Dist::get(name)?;
        let content_type = content_type(name);
        let gzip = gzip(&embedded.data).filter(|packed| packed.len() < embedded.data.len());
        let etag = format!("\"{}\"", hex::encode(&embedded.metadata.sha256_hash()[..16]));
        let worth = embedded.data.len() >= GZIP_BYTES_MIN && is_text(content_type);
        Some(Self { plain: embedded.data, gzip: gzip.filter(|_| worth), etag, content_type })
    }

    fn response(&'static self, name: &str, request: &HeaderMap) -> Response {
        let cache = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(header::CACHE_CONTROL, cache);
        put(header::ETAG, &self.etag);
        put(header::VARY, "accept-encoding");
        if holds(request, header::IF_NONE_MATCH, &self.etag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        put(header::CONTENT_TYPE, self.content_type);
        let body = match &self.gzip {
            Some(packed) if holds(request, header::ACCEPT_ENCODING, "gzip") => {
                put(header::CONTENT_ENCODING, "gzip");
                Body::from(packed.as_slice())
            }
            _ => Body::from(&*self.plain),
        };
        (headers, body).into_response()
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()
}

/// Whether one of a header's comma-separated values is `wanted`.
fn holds(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut values =
        values.flat_map(|value| value.split(',')).map(|value| value.split(';').next().unwrap_or("").trim());
    values.any(|value| value == wanted || value.trim_start_matches("W/") == wanted)
}

/// Only the types that Vite makes; anything else is a download.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn is_text(content_type: &str) -> bool {
    ["text/", "application/json", "image/svg"].iter().any(|kind| content_type.starts_with(kind))
}

/// Whatever no route of the API takes: a file of the app, the app itself for pages, or 404.
pub(crate) async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    let name = path.trim_start_matches('/');
    let api = path == "/v1" || path.starts_with("/v1/") || path == "/health" || path == "/metrics";
    if api || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::not_found("path", path).into_response();
    }
    if let Some(file) = files().get(name) {
        return file.response(name, request.headers());
    }
    let page = holds(request.headers(), header::ACCEPT, "text/html") && !name.starts_with(HASHED);
    match files().get(INDEX).filter(|_| page || name.is_empty()) {
        Some(index) => index.response(INDEX, request.headers()),
        None => ApiError::not_found("path", path).into_response(),
    }
}

/// Headers of every answer.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    policy: HeaderValue,
}

impl Guards {
    /// The app may talk to this server and to the chain's RPC, and to nobody else.
    pub(crate) fn new(rpc_urls: &[&str]) -> Self {
        let plain = |url: &&&str| url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';' && byte != b',');
        let urls: Vec<&str> = rpc_urls.iter().filter(plain).copied().collect();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
             connect-src 'self' {}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            urls.join(" ")
        );
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { policy }
    }
}

/// Adds the headers.
pub(crate) async fn guard(State(guards): State<Guards>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, guards.policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let permissions = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(permissions));
    response
}
