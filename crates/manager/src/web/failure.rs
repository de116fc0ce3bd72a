//! What is answered to a request that is not carried out: `{"error": "..."}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Value,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Failure { status, body: json!({ "error": error.into() }) }
    }

    /// Whoever asks must not.
    pub(super) fn forbidden(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::FORBIDDEN, error)
    }

    /// Whoever asks has to say first who it is.
    pub(super) fn unauthorized(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::UNAUTHORIZED, error)
    }

    /// Whoever asks is too slow.
    pub(super) fn late(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::REQUEST_TIMEOUT, error)
    }

    /// The body should be JSON.
    pub(super) fn not_json(content_type: &str) -> Self {
        let error = format!("the content type is \"{content_type}\": send application/json");
        Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    }

    /// The body is not what it should be.
    pub(super) fn malformed(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such thing.
    pub(super) fn unknown(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::NOT_FOUND, error)
    }

    /// There is, but not in this way.
    pub(super) fn wrong_method(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    /// It cannot be made sense of, or carried out.
    pub(super) fn refused(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }

    /// As [`Failure::refused`], with more than a sentence to say.
    pub(super) fn refused_with(body: Value) -> Self {
        Failure { status: StatusCode::UNPROCESSABLE_ENTITY, body }
    }

    /// It is too large.
    pub(super) fn too_large(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// Others have all there is of it.
    pub(super) fn busy(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// An error of this program.
    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    /// Its status.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
