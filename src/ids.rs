//! Identifiers as types, so that a call is never passed where a session is meant.
//! It does not know what the identifiers identify.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One conversation. Unique over all processes, sortable by the time it was made.
    SessionId
}
text_id! {
    /// One message of the conversation, unique within its session: `m1`, `m2`, …
    MessageId
}
text_id! {
    /// One tool call, unique within its session: `c1`, `c2`, …
    CallId
}
text_id! {
    /// A terminal of the editor, named by the editor.
    TerminalId
}

impl SessionId {
    /// A new id, from the time and randomness.
    pub fn fresh() -> Self {
        Self::new(uuid::Uuid::now_v7().simple().to_string())
    }
}

/// One prompt of one session, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromptId(pub u64);

/// Where a session's ids come from: counters shared by the session and its running turn.
#[derive(Debug, Clone, Default)]
pub struct IdSource {
    messages: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
}

impl IdSource {
    pub fn message(&self) -> MessageId {
        MessageId::new(format!("m{}", next(&self.messages)))
    }

    pub fn call(&self) -> CallId {
        CallId::new(format!("c{}", next(&self.calls)))
    }
}

fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}
