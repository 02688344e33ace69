//! The sections of the configuration as types. Doc comments of fields become `docs/CONFIG.md` and the
//! JSON Schema, so they are written for users.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::ThoughtLevel;
use crate::permission::Mode;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Which model answers.
    pub model: ModelSection,
    /// What runs without being asked for.
    pub permissions: PermissionsSection,
    /// What the model may call.
    pub tools: ToolsSection,
    /// How a session treats prompts.
    pub session: SessionSection,
    /// Limits of one turn.
    pub turn: TurnSection,
    /// Background tasks: how many, how large, and which model does them.
    pub delegation: DelegationSection,
    /// What one prompt may lead to.
    pub tasks: TasksSection,
    /// Text that is added to the system prompt.
    pub instructions: Option<String>,
    /// The sessions that are kept.
    pub store: StoreSection,
    /// The log file.
    pub log: LogSection,
}

/// Which model answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelSection {
    /// The dialect that the provider speaks. `openai` is every server with an OpenAI-compatible chat
    /// endpoint. `TALARIA_PROVIDER` overrides it.
    pub provider: Option<ProviderKind>,
    /// The model's name, or `scripted:FILE` for the scripted model. `TALARIA_MODEL` overrides it.
    pub name: Option<String>,
    /// More models of the same provider, to choose from in the editor.
    pub choices: Vec<String>,
    /// Where the provider's API begins, such as `http://127.0.0.1:8080/v1/`. `TALARIA_BASE_URL`
    /// overrides it.
    pub base_url: Option<String>,
    /// The key. Several, as a list or separated by commas, are a pool: each request takes the one that is
    /// used least, and one that the provider refuses or limits is set aside for a while. `TALARIA_API_KEY`
    /// overrides it. It is not used where `TALARIA_PROVIDER` or `TALARIA_BASE_URL` names another
    /// provider or server than the files do.
    pub api_key: Option<Secret>,
    /// How much the model thinks before it answers.
    pub thought: ThoughtLevel,
    /// The size of the model's context in tokens, where Talaria does not know it.
    pub context_window: Option<u64>,
    /// The longest reply in tokens.
    pub max_output_tokens: Option<u32>,
    /// What a million tokens cost, to show the cost of a session.
    pub price: Option<Price>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    Openai,
    Anthropic,
}

impl ProviderKind {
    /// Whose key it is, by its beginning.
    pub fn of_key(key: &Secret) -> Self {
        if key.reveal().trim().starts_with("sk-ant-") { Self::Anthropic } else { Self::Openai }
    }
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// For tokens that go to the model.
    pub input: f64,
    /// For tokens that come from it.
    pub output: f64,
    /// For tokens that the provider had cached; the price of `input` if absent.
    pub cached: Option<f64>,
}

/// What runs without being asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PermissionsSection {
    /// The mode of a new session.
    pub mode: Mode,
    /// Commands that run without being asked for: a pattern of the whole command line, with `*`.
    pub allow: Vec<String>,
    /// Commands and paths that are always refused, in every mode, as patterns with `*`. For a command:
    /// of the line as a whole, or of a part between the shell's operators. For a path: absolute, or
    /// from `~/`; what a refused folder holds is refused with it, and searches leave it out. A command
    /// that runs may still reach a refused path.
    pub deny: Vec<String>,
}

/// What the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ToolsSection {
    /// Names of tools that the model is not offered.
    pub disabled: Vec<String>,
    /// Seconds after which a command is ended if the model asks for no other limit.
    pub terminal_timeout_seconds: u64,
}

impl Default for ToolsSection {
    fn default() -> Self {
        Self { disabled: Vec::new(), terminal_timeout_seconds: 120 }
    }
}

/// How a session treats prompts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionSection {
    /// What happens with a prompt that arrives while a turn runs.
    pub busy: Busy,
}

/// What happens with a prompt that arrives while a turn runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Busy {
    /// The running turn sees it before its next request to the model.
    #[default]
    Steer,
    /// It runs as a turn of its own when the running one is over, which from then on waits for no task.
    Queue,
    /// The running turn is cancelled, then it runs.
    Interrupt,
}

/// Limits of one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TurnSection {
    /// The most requests to the model in one turn.
    pub max_iterations: u32,
    /// The most tokens of one turn, in and out together.
    pub max_tokens: u64,
}

impl Default for TurnSection {
    fn default() -> Self {
        Self { max_iterations: 250, max_tokens: 20_000_000 }
    }
}

/// Background tasks: how many, how large, and which model does them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DelegationSection {
    /// How many tasks of a session, with those that they start themselves, run at once. More are queued;
    /// one that waits for you or for its own tasks does not count.
    pub max_concurrent_children: u32,
    /// How many tasks run at once in the whole process. Read when Talaria starts.
    pub max_process: u32,
    /// How many tasks of a session may be queued; what would make it more is refused.
    pub max_queued: u32,
    /// How deep tasks may start tasks: 0 none at all, 1 only the session itself, 2 its tasks, too.
    pub max_spawn_depth: u32,
    /// The most requests to the model of one task.
    pub max_iterations: u32,
    /// Seconds after which a task is ended; 0 for no limit.
    pub child_timeout_seconds: u64,
    /// The most tokens of one task, in and out together.
    pub max_tokens: u64,
    /// What one task may cost, in US dollars, where the price is known.
    pub max_cost: Option<f64>,
    /// Seconds without a sign of life after which a task is called stalled. It is not ended.
    pub stall_seconds: u64,
    /// The same while one of its calls runs.
    pub stall_call_seconds: u64,
    /// Characters of a report that the model is given by itself: its head and its tail. `collect_task`
    /// gives all of it.
    pub max_summary_chars: u32,
    /// The model of tasks, where it is not that of their session. The model of a session may choose
    /// another one of the same provider for a task.
    pub model: Option<String>,
    /// The dialect of their provider, where it is another one. Its own server is meant, with
    /// `delegation.api_key` or the provider's variable as the key, where `delegation.base_url` is not set.
    pub provider: Option<ProviderKind>,
    /// Where their provider's API begins, where it is another one.
    pub base_url: Option<String>,
    /// The key for it; several, as a list or separated by commas, are a pool. It is used where
    /// `delegation.provider` or `delegation.base_url` is set. Where these name the server of the session and
    /// no key is set here, tasks share the session's keys.
    pub api_key: Option<Secret>,
    /// How much the model of tasks thinks before it answers, where it is not as much as in their session.
    pub reasoning_effort: Option<ThoughtLevel>,
    /// Models of the same provider that take a task's request, in this order, where its own fails for good
    /// before it has said anything: it is unknown, overloaded, limited, without credit or not to be reached.
    pub fallback: Vec<String>,
    /// What becomes of tasks whose process ended, when their session is opened again.
    pub resume: Resume,
}

impl Default for DelegationSection {
    fn default() -> Self {
        Self {
            max_concurrent_children: 10,
            max_process: 64,
            max_queued: 100,
            max_spawn_depth: 1,
            max_iterations: 250,
            child_timeout_seconds: 0,
            max_tokens: 1_000_000,
            max_cost: None,
            stall_seconds: 450,
            stall_call_seconds: 1_200,
            max_summary_chars: 24_000,
            model: None,
            provider: None,
            base_url: None,
            api_key: None,
            reasoning_effort: None,
            fallback: Vec::new(),
            resume: Resume::Ask,
        }
    }
}

/// What becomes of tasks whose process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// They are shown, and `/resume` lets them go on.
    #[default]
    Ask,
    /// They go on by themselves.
    Auto,
    /// They are ended.
    Never,
}

/// What one prompt may lead to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TasksSection {
    /// The most tasks that one prompt of yours leads to, with the tasks of tasks.
    pub max_per_prompt: u32,
    /// The most tokens of all of them together, in and out.
    pub max_tokens_per_prompt: u64,
    /// How often reports of tasks may lead to a turn that leads to tasks again, by itself: your prompt is
    /// generation 0, and a turn on a report has one more than the turn that started its task.
    pub max_follow_ups: u32,
    /// What the report of a task does while nothing runs. Not set: `auto` for tasks that the model started,
    /// `notify` for those that you started.
    pub follow_up: Option<FollowUp>,
    /// The mode of a turn that a report starts by itself.
    pub follow_up_mode: FollowUpMode,
    /// How long a prompt stays open for its tasks, in seconds, where the editor may lose what comes later.
    pub hold_seconds: u64,
    /// Whether a prompt stays open for its tasks.
    pub delivery: Delivery,
    /// Whether cancelling a turn cancels the background tasks, too.
    pub cancel_with_turn: CancelWithTurn,
}

impl Default for TasksSection {
    fn default() -> Self {
        Self {
            max_per_prompt: 20,
            max_tokens_per_prompt: 3_000_000,
            max_follow_ups: 3,
            follow_up: None,
            follow_up_mode: FollowUpMode::Ask,
            hold_seconds: 90,
            delivery: Delivery::Auto,
            cancel_with_turn: CancelWithTurn::Protocol,
        }
    }
}

/// What the report of a task does while nothing runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FollowUp {
    /// It starts a turn of the model.
    Auto,
    /// A line says that it is there; the model has it with the next prompt.
    Notify,
    /// The task's card shows it; the model has it with the next prompt.
    Off,
}

impl FollowUp {
    const ALL: [(&str, Self); 3] =
        [("auto", Self::Auto), ("notify", Self::Notify), ("off", Self::Off)];
}

/// `off` without quotes is a truth value to many readers of YAML, and means the same.
impl<'de> Deserialize<'de> for FollowUp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;
        impl Visitor<'_> for Named {
            type Value = FollowUp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `notify` or `off`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FollowUp, E> {
                let known = FollowUp::ALL.into_iter().find(|(name, _)| *name == text);
                known
                    .map(|(_, follow_up)| follow_up)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<FollowUp, E> {
                if on {
                    return Err(E::invalid_value(serde::de::Unexpected::Bool(on), &self));
                }
                Ok(FollowUp::Off)
            }
        }
        deserializer.deserialize_any(Named)
    }
}

/// The mode of a turn that a report starts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FollowUpMode {
    /// `ask`, or the session's where that allows less.
    #[default]
    Ask,
    /// The session's.
    Same,
}

/// Whether a prompt stays open for its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Where the editor is not known to show what comes later.
    #[default]
    Auto,
    /// It does.
    Attached,
    /// It does not.
    Detached,
}

/// Whether cancelling a turn cancels the background tasks, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CancelWithTurn {
    /// Where the editor shows tasks as sessions of their own: the protocol says so.
    #[default]
    Protocol,
    Never,
    Always,
}

/// The sessions that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoreSection {
    /// Whether sessions are written to `talaria.db` in the state folder, so that they can be listed and
    /// loaded later. Read when Talaria starts.
    pub enabled: bool,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The log file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogSection {
    /// What is written: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `talaria=debug`. `TALARIA_LOG` overrides it.
    pub level: String,
    /// Also writes each line of the protocol to `wire.log` beside the log. The configured keys, what has
    /// the shape of a well-known kind of key, and the values of fields such as `env`, `headers` or
    /// `token` are left out; prompts, commands and what they print are otherwise written as they are,
    /// so look at the file before you pass it on.
    pub wire: bool,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), wire: false }
    }
}

/// A text that is never printed: a key, or several that commas separate.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Each of several keys that commas separate.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        self.0.split(',').map(str::trim).filter(|key| !key.is_empty()).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Written as it is printed: a configuration that is shown holds no key.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parts().count() {
            0 | 1 => serializer.serialize_str("(secret)"),
            count => serializer.serialize_str(&format!("({count} secrets)")),
        }
    }
}

/// One text, or a list of them.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts (in quotes if they look like numbers)")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Secret, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Secret::new(texts.join(",")))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A key, or several as a list or separated by commas.",
            "type": ["string", "array"],
            "items": { "type": "string" }
        })
    }
}
