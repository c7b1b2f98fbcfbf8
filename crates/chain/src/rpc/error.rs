//! Our errors as JSON-RPC error objects, with geth's codes.

use jsonrpsee::types::{ErrorObjectOwned, error::INTERNAL_ERROR_CODE, error::INVALID_PARAMS_CODE};

use crate::error::{CallError, DevelopmentError, LogsError, StoreError, SubmitError};

/// geth's code for a revert whose data is attached.
const REVERTED_CODE: i32 = 3;
/// geth's code for everything that a request runs into.
const SERVER_CODE: i32 = -32_000;
/// The code for a limit that a request exceeds (EIP-1474).
const LIMIT_CODE: i32 = -32_005;

fn object(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}

pub(super) fn invalid_params(message: impl Into<String>) -> ErrorObjectOwned {
    object(INVALID_PARAMS_CODE, message)
}

pub(super) fn server_error(message: impl Into<String>) -> ErrorObjectOwned {
    object(SERVER_CODE, message)
}

pub(super) fn limit_exceeded(message: impl Into<String>) -> ErrorObjectOwned {
    object(LIMIT_CODE, message)
}

pub(super) fn internal(message: impl Into<String>) -> ErrorObjectOwned {
    object(INTERNAL_ERROR_CODE, message)
}

impl From<StoreError> for ErrorObjectOwned {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Pruned { .. } | StoreError::AheadOfHead { .. } => server_error(error.to_string()),
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "a request met a database error");
                internal(other.to_string())
            }
        }
    }
}

impl From<CallError> for ErrorObjectOwned {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Reverted { ref output, .. } => {
                Self::owned(REVERTED_CODE, error.to_string(), Some(output.clone()))
            }
            CallError::Store(error) => error.into(),
            CallError::TraceTooLong { .. } => limit_exceeded(error.to_string()),
            other => server_error(other.to_string()),
        }
    }
}

impl From<SubmitError> for ErrorObjectOwned {
    fn from(error: SubmitError) -> Self {
        server_error(error.to_string())
    }
}

impl From<LogsError> for ErrorObjectOwned {
    fn from(error: LogsError) -> Self {
        match error {
            LogsError::Store(error) => error.into(),
            LogsError::RangeReversed { .. } => invalid_params(error.to_string()),
            LogsError::RangeTooLong { .. }
            | LogsError::TooMany { .. }
            | LogsError::TooManyAddresses { .. }
            | LogsError::TooManyTopics { .. } => limit_exceeded(error.to_string()),
            other => server_error(other.to_string()),
        }
    }
}

impl From<DevelopmentError> for ErrorObjectOwned {
    fn from(error: DevelopmentError) -> Self {
        server_error(error.to_string())
    }
}
