//! From the protocol's types to ours: parameters, capabilities, prompt content.

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Error, ErrorCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control::extension;
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::store::StoreError;
use crate::transcript::Content;

/// Parses a request's parameters. The error names what was expected and nothing that was sent: the
/// parameters may hold secrets.
pub(super) fn parse<T: DeserializeOwned>(method: &str, params: Value) -> Result<T, Error> {
    serde_json::from_value(params).map_err(|error| invalid(&describe(method, &error.to_string())))
}

fn describe(method: &str, error: &str) -> String {
    // Field names come from our types; what stands after "expected" does, too.
    let expected = if error.starts_with("missing field") {
        error.split(" at line").next().map(str::to_owned)
    } else {
        error.rsplit_once(", expected ").map(|(_, expected)| format!("expected {expected}"))
    };
    match expected {
        Some(expected) => format!("the parameters of `{method}` are not valid: {expected}"),
        None => format!("the parameters of `{method}` are not valid"),
    }
}

pub(super) fn invalid(message: &str) -> Error {
    Error::new(ErrorCode::INVALID_PARAMS, sentence(message))
}

/// The session is not open on this connection; where sessions are stored it may be there all the same.
pub(super) fn unknown_session(id: &acp::SessionId, is_stored: bool) -> Error {
    let hint = if is_stored {
        "Open a stored one with `session/load`, or start one with `session/new`."
    } else {
        "Start one with `session/new`."
    };
    let message = format!("There is no such session on this connection. {hint}");
    Error::new(ErrorCode::RESOURCE_NOT_FOUND, message).data(json!({ "sessionId": id }))
}

/// Why the store did not do something.
pub(super) fn error_of_store(error: &StoreError) -> Error {
    match error {
        StoreError::Unknown(id) => Error::new(
            ErrorCode::RESOURCE_NOT_FOUND,
            "There is no such session in the store. `session/list` says which there are.",
        )
        .data(json!({ "sessionId": id })),
        StoreError::Cursor => error_of(&error.fault()),
        // Nothing is wrong with the request.
        StoreError::Off | StoreError::InUse { .. } | StoreError::Trouble(_) => {
            Error::new(ErrorCode::INTERNAL_ERROR, error.fault().sentence())
        }
    }
}

pub(super) fn error_of_child(id: &SessionId) -> Error {
    Error::new(
        ErrorCode::RESOURCE_NOT_FOUND,
        "This session does a background task. Open the session that started it; `/check` shows the task.",
    )
    .data(json!({ "sessionId": id }))
}

pub(super) fn not_initialized() -> Error {
    Error::new(
        ErrorCode::INVALID_REQUEST,
        "The connection is not initialized. Send `initialize` first.",
    )
}

pub(super) fn unknown_method(method: &str) -> Error {
    let shown: String = method.chars().take(80).collect();
    Error::new(ErrorCode::METHOD_NOT_FOUND, format!("Talaria does not serve the method `{shown}`."))
}

/// A fault as the protocol says it.
pub(super) fn error_of(fault: &Fault) -> Error {
    let code = match fault.kind {
        Kind::User => ErrorCode::INVALID_PARAMS,
        Kind::Auth => ErrorCode::AUTH_REQUIRED,
        Kind::Config | Kind::Provider | Kind::Internal => ErrorCode::INTERNAL_ERROR,
    };
    Error::new(code, fault.sentence())
}

fn sentence(message: &str) -> String {
    Fault::new(Kind::User, message).sentence()
}

/// What the client can do for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is said by itself, as the protocol has it")]
pub(super) struct Features {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) terminal: bool,
    /// It wants to hear how tasks stand.
    pub(super) events: bool,
}

pub(super) fn features(capabilities: &acp::ClientCapabilities) -> Features {
    Features {
        read: capabilities.fs.read_text_file,
        write: capabilities.fs.write_text_file,
        terminal: capabilities.terminal,
        events: extension::wants_events(capabilities.meta.as_ref()),
    }
}

/// A prompt's blocks. One that we did not say we take is refused, never dropped.
pub(super) fn content(blocks: Vec<acp::ContentBlock>) -> Result<Vec<Content>, Error> {
    blocks.into_iter().map(block).collect()
}

fn block(block: acp::ContentBlock) -> Result<Content, Error> {
    match block {
        acp::ContentBlock::Text(text) => Ok(Content::Text { text: text.text }),
        acp::ContentBlock::Image(image) => {
            Ok(Content::Image { mime: image.mime_type, data: image.data })
        }
        acp::ContentBlock::ResourceLink(link) => {
            Ok(Content::Link { uri: link.uri, name: link.name })
        }
        acp::ContentBlock::Resource(resource) => match resource.resource {
            acp::EmbeddedResourceResource::TextResourceContents(text) => {
                Ok(Content::Resource { uri: text.uri, text: text.text })
            }
            acp::EmbeddedResourceResource::BlobResourceContents(blob) => blob_content(blob),
            _ => Err(unsupported("this kind of resource")),
        },
        acp::ContentBlock::Audio(_) => Err(unsupported("audio")),
        _ => Err(unsupported("this kind of content")),
    }
}

/// A picture as a resource is a picture; other binary resources are named, not read.
fn blob_content(blob: acp::BlobResourceContents) -> Result<Content, Error> {
    match blob.mime_type {
        Some(mime) if mime.starts_with("image/") => Ok(Content::Image { mime, data: blob.blob }),
        _ => Err(unsupported("a binary resource that is no picture")),
    }
}

fn unsupported(what: &str) -> Error {
    invalid(&format!(
        "a prompt cannot hold {what}: send text, images, resource links or resources with text"
    ))
}
