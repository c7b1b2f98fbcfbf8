//! What stands before every route of the app API: rate limits, and who asks.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use openledger_primitives::Address;

use crate::app::{App, JSON_BYTES_MAX};
use crate::error::ApiError;
use crate::routes::blocking;
use crate::session::{Opened, token_of};

/// Where sessions begin: taken without one, however old a cookie comes along.
const SIGN_IN: [&str; 2] = ["/v1/sessions", "/v1/sessions/nonce"];

/// Bytes of a question that take a further token from its address's bucket: they are encoded before anybody pays.
const CHAT_BYTES_PER_TOKEN: usize = 16 * 1024;

/// Longest refusal of the framework that is read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Who asks: the session that the request carries, if it holds.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Option<Opened>);

impl Caller {
    /// The account signed in.
    pub(crate) fn address(&self) -> Option<Address> {
        self.0.as_ref().map(|session| session.address)
    }
}

/// Lets a request through with its [`Caller`].
///
/// # Errors
/// 429 for an address that asks too often; for a state-changing request with a session cookie 401 when the session is
/// over and 403 without its CSRF token.
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let signs_in = SIGN_IN.contains(&request.uri().path());
    if changes {
        let buckets = if signs_in { &app.sign_ins } else { &app.changes };
        buckets.take(peer.ip())?;
    }
    let token = token_of(request.headers()).map(str::to_owned);
    let carried = token.is_some();
    let session = session(&app, token).await?;
    if changes && !signs_in && carried {
        let session = session.as_ref().ok_or_else(not_signed_in)?;
        if !session.has_csrf(request.headers()) {
            let message = "a request that changes something needs its session's x-csrf-token";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "csrf", message));
        }
    }
    request.extensions_mut().insert(Caller(session));
    Ok(next.run(request).await)
}

/// Lets a question through.
///
/// # Errors
/// 429 for an address that asks too often.
pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let bytes = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // A body whose length is not told may be as long as any.
    let bytes = bytes.unwrap_or(JSON_BYTES_MAX);
    app.chats.take_many(peer.ip(), 1.0 + (bytes / CHAT_BYTES_PER_TOKEN) as f64)?;
    Ok(next.run(request).await)
}

/// Gives refusals of the framework (a path, query or body that it could not read) the shape of all others.
pub(crate) async fn plain_errors(response: Response) -> Response {
    let status = response.status();
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !status.is_client_error() || json {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let (code, message) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "the path does not take this method".to_owned()),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is too large".to_owned()),
        _ if text.is_empty() => ("refused", "the request was refused".to_owned()),
        _ => ("malformed_request", text),
    };
    ApiError::new(status, code, message).into_response()
}

/// 401.
pub(crate) fn not_signed_in() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", "nobody is signed in, or the session is over")
}

async fn session(app: &Arc<App>, token: Option<String>) -> Result<Option<Opened>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let app = Arc::clone(app);
    Ok(blocking(move || app.sessions.find(&token)).await??)
}
