//! Errors as clients see them: a status, a code that programs match, a sentence for people.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refused request, in OpenAI's error shape: `{"error": {"message", "type", "code", "param"}}`.
///
/// Boxed, because every handler's result carries it.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Fields>);

#[derive(Debug)]
struct Fields {
    status: StatusCode,
    code: String,
    message: String,
    param: Option<String>,
    headers: HeaderMap,
}

impl ApiError {
    /// An error of `status` with a stable `code` and a sentence.
    pub(crate) fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self(Box::new(Fields { status, code, message, param: None, headers: HeaderMap::new() }))
    }

    /// 400: the request cannot be read.
    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404: nothing has that name.
    pub(crate) fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what}_not_found"), format!("there is no {what} {name}"))
    }

    /// 409: the request contradicts what is there.
    pub(crate) fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 422: readable, but not allowed.
    pub(crate) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 429 with a `Retry-After`.
    pub(crate) fn busy(message: impl Into<String>, retry_after_ms: u64) -> Self {
        let seconds = retry_after_ms.div_ceil(1000).max(1);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// 507: nothing more fits; what was acknowledged before stays.
    pub(crate) fn disk_full(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
    }

    /// 500: our fault. The chain of causes goes to the log, not to the client.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the server failed; its log says why")
    }

    /// Names the parameter at fault.
    #[must_use]
    pub(crate) fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Adds a header; values that no header can carry are left out.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    fn kind(&self) -> &'static str {
        match self.0.status.as_u16() {
            402 => "payment_required",
            401 | 403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The body as JSON, also used inside event streams.
    pub(crate) fn body(&self) -> serde_json::Value {
        let Fields { code, message, param, .. } = &*self.0;
        json!({"error": {"message": message, "type": self.kind(), "code": code, "param": param}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0.status, self.0.headers.clone(), Json(self.body())).into_response()
    }
}

/// An error with all its causes, for logs.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
