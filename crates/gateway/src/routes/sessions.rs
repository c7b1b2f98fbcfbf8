//! Sign-in with Ethereum.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};

use crate::api::sessions::{Nonce, Session, SignIn};
use crate::app::App;
use crate::error::{ApiError, chain};
use crate::guard::{Caller, not_signed_in};
use crate::routes::blocking;
use crate::session::{Opened, SignInError, no_cookie};

/// A value to sign in with.
pub(crate) async fn nonce(State(app): State<Arc<App>>) -> Result<Json<Nonce>, ApiError> {
    let (nonce, expires_at) = app.sessions.nonce()?;
    Ok(Json(Nonce { nonce, expires_at }))
}

/// Signs in.
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Json(body): Json<SignIn>,
) -> Result<impl IntoResponse, ApiError> {
    let secure = app.is_secure();
    let opened = blocking(move || app.sessions.sign_in(&body.message, &body.signature.0, |domain| app.is_ours(domain)));
    let opened = opened.await??;
    Ok((AppendHeaders([(header::SET_COOKIE, opened.cookie(secure))]), Json(view(&opened))))
}

/// Who is signed in.
pub(crate) async fn current(Extension(caller): Extension<Caller>) -> Result<Json<Session>, ApiError> {
    caller.0.as_ref().map(|session| Json(view(session))).ok_or_else(not_signed_in)
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<impl IntoResponse, ApiError> {
    let session = caller.0.ok_or_else(not_signed_in)?;
    let secure = app.is_secure();
    blocking(move || app.sessions.close(&session.token)).await??;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, no_cookie(secure))])))
}

fn view(session: &Opened) -> Session {
    Session { address: session.address.into(), csrf_token: session.csrf_token(), expires_at: session.expires_at }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Store(error) => error.into(),
            SignInError::Random(_) => Self::internal(&error),
            SignInError::Message { .. } => Self::invalid("invalid_message", chain(&error)).with_param("message"),
            _ => Self::new(StatusCode::UNAUTHORIZED, "sign_in_refused", chain(&error)),
        }
    }
}
