//! A parsed script: scenes, their steps, and what a step does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::pattern::Pattern;
use crate::model::{Item, ModelError, Request, Stop};
use crate::transcript::Usage;

pub(super) struct Script {
    /// For messages: the file's path.
    pub(super) name: String,
    /// Where the files of gates are.
    pub(super) gates: PathBuf,
    /// How many characters a piece of text has; 0 is all at once.
    pub(super) chunk: usize,
    pub(super) scenes: Vec<Scene>,
    /// Reactions that hold in every scene.
    pub(super) outcomes: Vec<Reaction>,
    pub(super) steers: Vec<Reaction>,
    pub(super) reports: Vec<Reaction>,
}

/// What answers one prompt.
pub(super) struct Scene {
    pub(super) line: usize,
    /// `None` answers every prompt that no other scene does.
    pub(super) prompt: Option<Pattern>,
    pub(super) steps: Vec<Step>,
    pub(super) outcomes: Vec<Reaction>,
    pub(super) steers: Vec<Reaction>,
    pub(super) reports: Vec<Reaction>,
}

/// A step chosen by what the model is told, not by its number.
pub(super) struct Reaction {
    pub(super) pattern: Pattern,
    pub(super) step: Step,
}

/// One reply.
pub(super) struct Step {
    pub(super) ops: Arc<[Op]>,
}

pub(super) enum Op {
    Say(Template),
    Think(Template),
    /// Says the last user text.
    Echo,
    Chunk(usize),
    Repeat {
        count: u64,
        text: String,
        every: Option<Duration>,
    },
    Delay(Duration),
    Gate(String),
    Call {
        tool: String,
        input: Value,
    },
    /// A call whose input is not JSON.
    CallRaw {
        tool: String,
        input: Template,
    },
    /// A call written as text.
    CallText {
        tool: String,
        input: Value,
    },
    Usage(Usage),
    Stop(Stop),
    /// Fails the first `times` tries, or all.
    Fail {
        error: ModelError,
        times: Option<u32>,
    },
    Expect {
        line: usize,
        expectation: Expectation,
    },
}

/// Text with `${…}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(pub(super) String);

/// What a request has to be like.
pub(super) enum Expectation {
    System(Pattern),
    Tools(Vec<String>),
    Items(usize),
    Model(String),
}

impl Expectation {
    /// What differs, as a message; `None` if it is met.
    pub(super) fn difference(&self, request: &Request) -> Option<String> {
        match self {
            Self::System(pattern) => pattern.captures(&request.system).is_none().then(|| {
                format!(
                    "expected a system prompt like {:?}, found {:?}",
                    pattern.text(),
                    request.system
                )
            }),
            Self::Tools(expected) => {
                let found: Vec<&str> =
                    request.tools.iter().map(|tool| tool.name.as_str()).collect();
                (*expected != found).then(|| {
                    format!("expected the tools {}, found {}", expected.join(","), found.join(","))
                })
            }
            Self::Items(expected) => (*expected != request.items.len()).then(|| {
                let kinds: Vec<&str> = request
                    .items
                    .iter()
                    .map(|item| match item {
                        Item::User(_) => "user",
                        Item::Assistant { .. } => "assistant",
                        Item::Outcomes(_) => "outcomes",
                    })
                    .collect();
                format!("expected {expected} items, found {}: {}", kinds.len(), kinds.join(","))
            }),
            Self::Model(expected) => (*expected != request.model)
                .then(|| format!("expected the model {expected:?}, found {:?}", request.model)),
        }
    }
}
