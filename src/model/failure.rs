//! What a status and the provider's words mean: one mapping to `ModelError` for all providers.

use std::time::Duration;

use super::ModelError;

/// A failure as HTTP tells it.
pub(super) struct Failure {
    pub(super) status: u16,
    /// How long the provider asks to wait.
    pub(super) after: Option<Duration>,
    /// The provider's type and code of the error, which a user is not shown.
    pub(super) kind: String,
    pub(super) message: String,
    /// The model that was asked for.
    pub(super) model: String,
    /// Whether the provider speaks of a model, or at least its dialect: another server may be at the
    /// address.
    pub(super) is_of_provider: bool,
    /// Where the request went, for a user.
    pub(super) address: String,
}

/// Words by which providers say that the conversation is too long. They agree on no status or code.
const CONTEXT_WORDS: &[&str] = &[
    "context_length_exceeded",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "too many input tokens",
    "maximum prompt length",
    "reduce the length of the messages",
    "exceed_context_size",
];

/// Words by which providers say that money is missing, under a status that means something else.
const PAYMENT_WORDS: &[&str] = &[
    "insufficient_quota",
    "credit balance is too low",
    "insufficient balance",
    "billing_hard_limit",
];

pub(super) fn error(failure: Failure) -> ModelError {
    let Failure { status, after, kind, message, model, is_of_provider, address } = failure;
    let lower = format!("{kind} {message}").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status {
        400 | 413 | 422 if says(CONTEXT_WORDS) => ModelError::ContextFull { message },
        402 => ModelError::Payment { message },
        400 | 403 | 429 if says(PAYMENT_WORDS) => ModelError::Payment { message },
        401 | 403 => ModelError::Auth { message },
        404 if is_of_provider => ModelError::UnknownModel { model, message },
        300..400 | 404 => ModelError::WrongAddress { status, address, message },
        408 | 429 => ModelError::RateLimited { after, message },
        500.. => ModelError::Overloaded { status, after, message },
        _ => ModelError::Rejected { status, message },
    }
}

/// The status that an error in the middle of a stream stands for: providers name its kind in words.
pub(super) fn status_of(kind: &str) -> Option<u16> {
    let kind = kind.to_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    if is(&["overloaded", "unavailable"]) {
        Some(529)
    } else if is(&["rate_limit", "rate limit", "too_many_requests"]) {
        Some(429)
    } else if is(&["authentication", "permission", "invalid_api_key"]) {
        Some(401)
    } else if is(&["billing", "insufficient_quota", "payment"]) {
        Some(402)
    } else if is(&["not_found"]) {
        Some(404)
    } else if is(&["invalid_request", "context_length", "request_too_large"]) {
        Some(400)
    } else if is(&["server_error", "api_error", "internal", "timeout"]) {
        Some(500)
    } else {
        None
    }
}
