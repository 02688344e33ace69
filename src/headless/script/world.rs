//! The place in which a script runs: fresh folders for the work tree, the agent's home and its scripted
//! model, and the environment that the agent gets.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::fault::Fault;
use crate::headless;
use crate::tools::local::own_variables;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The folder that it is started in.
    pub folder: PathBuf,
    /// Variables to set, and with `None` to take away.
    pub environment: Vec<(String, Option<String>)>,
}

#[derive(Debug)]
pub(crate) struct World {
    root: PathBuf,
    pub(crate) cwd: PathBuf,
    pub(crate) home: PathBuf,
    model: PathBuf,
    environment: Vec<(String, Option<String>)>,
}

impl World {
    pub(crate) async fn new() -> Result<Self, Fault> {
        let root = headless::fresh_folder("talaria-drive").await?;
        let world = Self {
            cwd: root.join("work"),
            home: root.join("home"),
            model: root.join("model"),
            environment: environment(&root.join("home")),
            root,
        };
        for folder in [&world.cwd, &world.home, &world.model] {
            tokio::fs::create_dir_all(folder).await.map_err(|error| {
                Fault::new(
                    crate::fault::Kind::User,
                    format!("cannot make `{}`: {error}", folder.display()),
                )
            })?;
        }
        Ok(world)
    }

    pub(crate) async fn remove(&self) {
        tokio::fs::remove_dir_all(&self.root).await.ok();
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup { folder: self.cwd.clone(), environment: self.environment.clone() }
    }

    /// An empty value takes the variable away.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let value = (!value.is_empty()).then(|| value.to_owned());
        self.environment.push((name.to_owned(), value));
    }

    /// A path of the script: relative ones are in the work folder.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.cwd.join(text)
    }

    /// Where the scripted model's file and gates are.
    pub(crate) fn model_folder(&self) -> &Path {
        &self.model
    }

    pub(crate) async fn write_config(&self, text: &str) -> Result<(), String> {
        write(&self.home.join("config.yaml"), text).await
    }

    pub(crate) async fn write_model(&mut self, text: &str) -> Result<(), String> {
        let path = self.model.join("model.script");
        write(&path, text).await?;
        self.set("TALARIA_MODEL", &format!("scripted:{}", path.display()));
        Ok(())
    }

    /// Opens a gate of the scripted model.
    pub(crate) async fn touch(&self, name: &str) -> Result<(), String> {
        write(&self.model.join(name), "").await
    }

    /// Makes a file in the work folder; one that begins with `#!` can be run.
    pub(crate) async fn write_file(&self, path: &str, text: &str) -> Result<(), String> {
        let path = self.path(path);
        write(&path, text).await?;
        if text.starts_with("#!") {
            make_executable(&path).await?;
        }
        Ok(())
    }

    pub(crate) async fn check_file(
        &self,
        line: usize,
        path: &str,
        wanted: &str,
    ) -> Result<(), Failure> {
        let full = self.path(path);
        let found = tokio::fs::read(&full)
            .await
            .map_err(|error| Failure::new(line, format!("cannot read `{path}`: {error}")))?;
        let found = String::from_utf8_lossy(&found);
        if found == wanted {
            return Ok(());
        }
        let mut failure = Failure::new(line, format!("`{path}` has another content"));
        failure.difference = headless::diff::changes(wanted, &found, 3)
            .into_iter()
            .map(|change| {
                change.map_or_else(
                    || "…".to_owned(),
                    |change| format!("{} {}", change.fate.sign(), change.text),
                )
            })
            .collect();
        if failure.difference.is_empty() {
            "the contents differ in line ends only".clone_into(&mut failure.message);
        }
        Err(failure)
    }
}

/// Without what the user's own server is told: a script says all that it needs.
fn environment(home: &Path) -> Vec<(String, Option<String>)> {
    let own = own_variables().into_iter().filter_map(|name| name.into_string().ok());
    let keys = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"].map(str::to_owned);
    let mut environment: Vec<_> = own.chain(keys).map(|name| (name, None)).collect();
    environment.push(("TALARIA_HOME".to_owned(), Some(home.to_string_lossy().into_owned())));
    environment
}

async fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write `{}`: {error}", path.display());
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    tokio::fs::write(path, text).await.map_err(failed)
}

/// Lets a file be run, where the system asks for that.
pub(crate) async fn make_executable(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        tokio::fs::set_permissions(path, permissions)
            .await
            .map_err(|error| format!("cannot make `{}` executable: {error}", path.display()))?;
    }
    Ok(())
}
