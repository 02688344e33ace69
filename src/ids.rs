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

/// One background task: its session, and its number there, from 1. Prints as `t1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub session: SessionId,
    pub number: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.number)
    }
}

/// One prompt of one session, in the order of arrival in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PromptId(pub u64);

/// Where a session's ids come from: counters shared by the session and its running turn.
///
/// A session that was opened again counts anew, under the number of that opening: `m2-1`. What was said
/// before and never stored, such as half a message, can so never share an id with something new.
#[derive(Debug, Clone, Default)]
pub struct IdSource {
    messages: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    /// Empty the first time that the session is open.
    prefix: Arc<str>,
}

impl IdSource {
    /// For the `epoch`th time that the session is open, counted from 1.
    pub fn of_epoch(epoch: u64) -> Self {
        Self { prefix: prefix(epoch).into(), ..Self::default() }
    }

    /// A message of that opening, too, but from no source: they count from 1. It is for what is said
    /// before the session goes on.
    pub fn before(epoch: u64) -> MessageId {
        MessageId::new(format!("m{}0", prefix(epoch)))
    }

    pub fn message(&self) -> MessageId {
        MessageId::new(format!("m{}{}", self.prefix, next(&self.messages)))
    }

    pub fn call(&self) -> CallId {
        CallId::new(format!("c{}{}", self.prefix, next(&self.calls)))
    }
}

fn prefix(epoch: u64) -> String {
    if epoch <= 1 { String::new() } else { format!("{epoch}-") }
}

fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}
