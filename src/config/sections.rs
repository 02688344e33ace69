//! The sections of the configuration as types. Doc comments of fields become `docs/CONFIG.md` and the
//! JSON Schema, so they are written for users.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

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
    /// The key. Several may be separated by commas, and for now the first is used. `TALARIA_API_KEY`
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
    /// It runs as a turn of its own, later.
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

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
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
        serializer.serialize_str("(secret)")
    }
}
