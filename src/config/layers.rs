//! The layers of the configuration and how they become one: defaults, the user's `config.yaml`, the
//! project's, the environment. What is wrong in a layer is a warning, and the rest of it counts.
//! Flags and session options are set on the result by the callers.

mod project;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::{AppStrategy, AppStrategyArgs};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Config, ModelSection, ProviderKind, Secret};
use crate::fault::{Fault, Kind};

const FILE_NAME: &str = "config.yaml";
const PROJECT_FILE: &str = ".talaria/config.yaml";
/// A configuration file is read up to this size.
const FILE_CAP: u64 = 256 * 1024;

/// The environment variables that configure Talaria, read once by `app`.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub home: Option<PathBuf>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub base_url: Option<String>,
    pub api_key: Option<Secret>,
    pub log: Option<String>,
    /// `OPENAI_API_KEY` and `ANTHROPIC_API_KEY`, used where nothing of ours is set.
    pub openai_api_key: Option<Secret>,
    pub anthropic_api_key: Option<Secret>,
    /// `XDG_RUNTIME_DIR`: a folder of the user's that ends with the login.
    pub runtime: Option<PathBuf>,
    /// The servers that run this process as a tool, by process: see `tools::local::TOOL_OF`.
    pub tool_of: Option<String>,
}

impl Environment {
    /// Reads the variables of this process. An empty one counts as unset.
    pub fn read() -> Self {
        let secret = |name| text_variable(name).map(Secret::new);
        Self {
            home: variable("TALARIA_HOME").map(PathBuf::from),
            provider: text_variable("TALARIA_PROVIDER"),
            model: text_variable("TALARIA_MODEL"),
            base_url: text_variable("TALARIA_BASE_URL"),
            api_key: secret("TALARIA_API_KEY"),
            log: text_variable("TALARIA_LOG"),
            openai_api_key: secret("OPENAI_API_KEY"),
            anthropic_api_key: secret("ANTHROPIC_API_KEY"),
            runtime: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            tool_of: text_variable("TALARIA_TOOL_OF"),
        }
    }
}

/// The variables that every program on a machine takes its proxy from.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
    /// For what neither of the two is set for.
    pub all: Option<String>,
    /// Hosts that are reached without one, separated by commas.
    pub none: Option<String>,
}

impl Proxies {
    /// Reads the variables of this process, in capitals or not.
    pub fn read() -> Self {
        // Set for a CGI program, whose `HTTP_PROXY` is a header of the request.
        if variable("REQUEST_METHOD").is_some() {
            return Self::default();
        }
        let either =
            |name: &str| text_variable(name).or_else(|| text_variable(&name.to_lowercase()));
        Self {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            all: either("ALL_PROXY"),
            none: either("NO_PROXY"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text_variable(name: &str) -> Option<String> {
    let text = variable(name)?.into_string().ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Where our files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    pub config: PathBuf,
    pub state: PathBuf,
    /// The sockets of running servers; it need not outlive a login.
    pub run: PathBuf,
}

impl Folders {
    /// All in `TALARIA_HOME` if it is set; else where the system wants them.
    pub fn of(environment: &Environment) -> Self {
        if let Some(home) = &environment.home {
            let home = expand_home(home);
            let home = std::path::absolute(&home).unwrap_or(home);
            return Self { run: home.join("run"), config: home.clone(), state: home };
        }
        let run = environment.runtime.as_ref().filter(|folder| folder.is_absolute());
        let run =
            run.map_or_else(|| own_temporary(&std::env::temp_dir()), |run| run.join("talaria"));
        let names = AppStrategyArgs {
            top_level_domain: String::new(),
            author: "talaria".to_owned(),
            app_name: "talaria".to_owned(),
        };
        match etcetera::choose_app_strategy(names) {
            Ok(strategy) => Self {
                config: strategy.config_dir(),
                state: strategy.state_dir().unwrap_or_else(|| strategy.data_dir()),
                run,
            },
            // A user without a home: nothing is read or kept, and nothing lands in a shared folder.
            Err(_) => Self { config: nowhere(), state: nowhere(), run },
        }
    }

    /// Where the trees of isolated tasks are.
    pub fn worktrees(&self) -> PathBuf {
        self.state.join("worktrees")
    }

    /// The user's configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join(FILE_NAME)
    }

    /// The project's configuration file, for a session in `project`.
    pub fn project_file(project: &Path) -> PathBuf {
        project.join(PROJECT_FILE)
    }
}

/// This user's folder in one that all users share.
pub fn own_temporary(shared: &Path) -> PathBuf {
    #[cfg(unix)]
    let name = format!("talaria-{}", rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    let name = "talaria";
    shared.join(name)
}

fn nowhere() -> PathBuf {
    [std::path::MAIN_SEPARATOR_STR, "nonexistent", "talaria"].iter().collect()
}

/// `~/x` in the user's home: editors hand the variable over without a shell.
fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), etcetera::home_dir()) {
        (Ok(rest), Ok(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// A setting that was not understood. It prints as a sentence and never holds the setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key's path, the variable's name or the file's path.
    pub path: String,
    /// What is wrong with it, to follow the path.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}.", self.path, self.message)
    }
}

/// The configuration with what was wrong in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    pub config: Config,
    pub warnings: Vec<Warning>,
    /// Every key of all layers, also those that are not used, so that they can be kept out of a trace.
    pub keys: Vec<Secret>,
    /// Set when the provider is named and not known: going on would send prompts and a key to another
    /// provider than the user meant.
    pub fault: Option<Fault>,
}

/// Loads all layers for a session in `project` (its working folder), or the user's layers alone.
pub fn load(environment: &Environment, folders: &Folders, project: Option<&Path>) -> Resolved {
    let mut resolved = Resolved::default();
    if let Some(file) = SettingsFile::read(&folders.config_file(), &mut resolved.warnings) {
        resolved.keys.extend(file.keys());
        resolved.config = typed(file.checked(&mut resolved));
    }
    if let Some(file) = project.and_then(|folder| {
        SettingsFile::read(&Folders::project_file(folder), &mut resolved.warnings)
    }) {
        resolved.keys.extend(file.keys());
        let mut own = Resolved::default();
        let settings = file.checked(&mut own);
        resolved.warnings.append(&mut own.warnings);
        file.restrict(settings, &mut resolved);
    }
    apply_environment(environment, &mut resolved);
    let ours = [&environment.api_key, &environment.openai_api_key, &environment.anthropic_api_key];
    resolved.keys.extend(ours.into_iter().flatten().flat_map(Secret::parts));
    resolved
}

fn apply_environment(environment: &Environment, resolved: &mut Resolved) {
    let model = &mut resolved.config.model;
    let before = place(model);
    if let Some(name) = &environment.provider {
        let provider = ProviderKind::deserialize(Value::String(name.to_lowercase()));
        model.provider = provider.as_ref().ok().copied();
        resolved.fault = provider.err().map(|error| {
            let message = format!("is not a provider: expected {}", expected(&error));
            resolved.warnings.push(Warning { path: "TALARIA_PROVIDER".to_owned(), message });
            provider_fault("TALARIA_PROVIDER", &error)
        });
    }
    let overlay = |setting: &mut Option<String>, value: &Option<String>| {
        if value.is_some() {
            setting.clone_from(value);
        }
    };
    overlay(&mut model.name, &environment.model);
    overlay(&mut model.base_url, &environment.base_url);
    if environment.api_key.is_some() {
        model.api_key.clone_from(&environment.api_key);
    } else if model.api_key.is_some()
        && let Some(variables) = moved(&before, &place(model))
    {
        model.api_key = None;
        let message =
            format!("is not used, because {variables}: set the key for it in `TALARIA_API_KEY`");
        resolved.warnings.push(Warning { path: "model.api_key".to_owned(), message });
    }
    if let Some(level) = &environment.log {
        resolved.config.log.level.clone_from(level);
    }
}

/// Where the key of `model` would go: the provider's dialect and the server.
fn place(model: &ModelSection) -> (Option<ProviderKind>, String) {
    let key = model.api_key.as_ref();
    let provider = model.provider.or_else(|| key.map(ProviderKind::of_key));
    let server = model.base_url.as_deref().unwrap_or_default().trim().trim_end_matches('/');
    (provider, server.to_owned())
}

/// What of the place is another now, in words.
fn moved(
    before: &(Option<ProviderKind>, String),
    after: &(Option<ProviderKind>, String),
) -> Option<&'static str> {
    match (before.0 == after.0, before.1 == after.1) {
        (true, true) => None,
        (false, true) => Some("`TALARIA_PROVIDER` names another provider than `model.provider`"),
        (true, false) => Some("`TALARIA_BASE_URL` names another server than `model.base_url`"),
        (false, false) => Some(
            "`TALARIA_PROVIDER` and `TALARIA_BASE_URL` name another provider than `model.provider` and \
             `model.base_url`",
        ),
    }
}

fn provider_fault(place: &str, error: &serde_json::Error) -> Fault {
    Fault::new(Kind::Config, format!("`{place}` names no provider that Talaria knows"))
        .with_hint(format!("Set it to {}.", expected(error).trim_start_matches("one of ")))
}

/// A configuration file as read: sections of keys.
struct SettingsFile {
    path: PathBuf,
    root: Map<String, Value>,
}

impl SettingsFile {
    /// Nothing if there is no such file, or nothing usable in it, which is a warning.
    fn read(path: &Path, warnings: &mut Vec<Warning>) -> Option<Self> {
        let mut warn = |message: String| {
            warnings.push(Warning { path: path.display().to_string(), message });
            None
        };
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return None;
            }
            Err(error) => return warn(format!("is ignored, because it cannot be read: {error}")),
        };
        // The parser's own message may quote the file, which may hold a key.
        match serde_saphyr::from_str::<Value>(&text) {
            Ok(Value::Object(root)) => Some(Self { path: path.to_owned(), root }),
            Ok(Value::Null) => None,
            Ok(_) => warn("is ignored: expected sections such as `model:` at its top".to_owned()),
            Err(error) => {
                let place = error
                    .location()
                    .map(|place| format!(" (line {}, column {})", place.line(), place.column()))
                    .unwrap_or_default();
                warn(format!("is ignored, because it is not valid YAML{place}"))
            }
        }
    }

    fn keys(&self) -> Vec<Secret> {
        let of = |section| self.root.get(section).and_then(|section| section.get("api_key"));
        let keys = ["model", "delegation"].map(of).into_iter().flatten();
        // Also the good ones of a list that has others.
        let texts = keys.flat_map(|keys| {
            let list = keys.as_array().map_or(std::slice::from_ref(keys), Vec::as_slice);
            list.iter().filter_map(Value::as_str)
        });
        texts.map(Secret::new).flat_map(|key| key.parts().collect::<Vec<_>>()).collect()
    }

    /// The settings that are known and well formed; the others become warnings.
    ///
    /// Each key is tried by itself, so that a mistake in one costs that one only.
    fn checked(&self, resolved: &mut Resolved) -> Map<String, Value> {
        let mut settings = Map::new();
        for (section, content) in &self.root {
            let Value::Object(keys) = content else {
                if let Some(value) = self.check(section, None, content, resolved) {
                    settings.insert(section.clone(), value);
                }
                continue;
            };
            let kept: Map<String, Value> = keys
                .iter()
                .filter_map(|(key, value)| {
                    Some((key.clone(), self.check(section, Some(key), value, resolved)?))
                })
                .collect();
            settings.insert(section.clone(), Value::Object(kept));
        }
        settings
    }

    fn check(
        &self,
        section: &str,
        key: Option<&str>,
        value: &Value,
        resolved: &mut Resolved,
    ) -> Option<Value> {
        // A key without a value, as in a file whose values are commented out.
        if value.is_null() {
            return None;
        }
        let path = key.map_or_else(|| section.to_owned(), |key| format!("{section}.{key}"));
        if key.is_none() && value.is_array() {
            self.warn(&path, "is ignored: expected a group of keys", resolved);
            return None;
        }
        let nest = |value: Value| match key {
            Some(key) => serde_json::json!({ section: { key: value } }),
            None => serde_json::json!({ section: value }),
        };
        let error = match probe(nest(value.clone())) {
            Ok(unknown) => {
                for path in &unknown {
                    self.warn(path, "is not a setting that Talaria knows", resolved);
                }
                let too_small = AT_LEAST_ONE.contains(&path.as_str()) && value.as_u64() == Some(0);
                if too_small {
                    self.warn(&path, "is ignored: expected a whole number above 0", resolved);
                }
                return (!too_small && !unknown.contains(&path)).then(|| value.clone());
            }
            Err(error) => error,
        };
        if let Value::Array(items) = value {
            return self.check_items(&path, items, nest, resolved);
        }
        // One text where a list of texts is expected.
        let list = Value::Array(vec![value.clone()]);
        if key.is_some() && value.is_string() && probe(nest(list.clone())).is_ok() {
            return Some(list);
        }
        let message = format!("is ignored: expected {}", expected(&error));
        self.warn(&path, &message, resolved);
        if path == "model.provider" {
            resolved.fault = Some(provider_fault(&path, &error));
        }
        None
    }

    /// A list keeps its good items: a rule that denies is not lost by a mistake in another.
    fn check_items(
        &self,
        path: &str,
        items: &[Value],
        nest: impl Fn(Value) -> Value,
        resolved: &mut Resolved,
    ) -> Option<Value> {
        let mut kept = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match probe(nest(Value::Array(vec![item.clone()]))) {
                Ok(_) => kept.push(item.clone()),
                Err(error) => {
                    let message = format!("is ignored: expected {}", expected(&error));
                    self.warn(&format!("{path}[{index}]"), &message, resolved);
                }
            }
        }
        (!kept.is_empty()).then_some(Value::Array(kept))
    }

    fn warn(&self, path: &str, message: &str, resolved: &mut Resolved) {
        let message = format!("{message} (in {})", self.path.display());
        let warning = Warning { path: path.to_owned(), message };
        if !resolved.warnings.contains(&warning) {
            resolved.warnings.push(warning);
        }
    }
}

/// Numbers for which nothing is not a limit but a mistake.
const AT_LEAST_ONE: [&str; 9] = [
    "delegation.max_concurrent_children",
    "delegation.max_iterations",
    "delegation.max_process",
    "delegation.max_tokens",
    "model.context_window",
    "model.max_output_tokens",
    "tools.terminal_timeout_seconds",
    "turn.max_iterations",
    "turn.max_tokens",
];

/// Tries settings as a configuration; answers the paths of the keys that it does not know.
fn probe(settings: Value) -> Result<Vec<String>, serde_json::Error> {
    let mut unknown = Vec::new();
    serde_ignored::deserialize(settings, |path| {
        // A `?` stands for an optional value on the way.
        let path = path.to_string();
        unknown.push(path.split('.').filter(|part| *part != "?").collect::<Vec<_>>().join("."));
    })
    .map(|_: Config| unknown)
}

/// Settings that were tried key by key.
fn typed(settings: Map<String, Value>) -> Config {
    serde_json::from_value(Value::Object(settings)).unwrap_or_default()
}

/// What would have been right, from serde's message, whose other part quotes the value.
fn expected(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let Some((_, expected)) = message.rsplit_once("expected ") else {
        // "missing field `input`" quotes a key of ours.
        let field = message.strip_prefix("missing field ");
        return field
            .map_or("another value".to_owned(), |field| format!("a group of keys with {field}"));
    };
    match expected {
        "u32" | "u64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "a text (in quotes if it looks like a number)".to_owned(),
        other if other.starts_with("struct ") => "a group of keys".to_owned(),
        other => other.to_owned(),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_CAP + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_CAP {
        return Err(io::Error::other(format!("it is larger than {} KiB", FILE_CAP / 1024)));
    }
    Ok(text)
}
