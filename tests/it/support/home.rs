//! A home of its own for each test: `TALARIA_HOME`, a work folder, a script for the scripted model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Temporary folders, removed at the end of the test.
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// A home whose model plays `script` (format: `docs/SCRIPTED.md`).
    pub fn scripted(script: &str) -> Self {
        let home = Self::empty();
        fs::write(home.script(), script).unwrap();
        home
    }

    /// A home without a model.
    pub fn empty() -> Self {
        let home = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(home.work()).unwrap();
        fs::create_dir(home.state()).unwrap();
        home
    }

    /// `TALARIA_HOME`.
    pub fn state(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The folder that sessions work in, with links resolved.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The scripted model's file; its gates are files beside it.
    pub fn script(&self) -> PathBuf {
        self.root().join("model.script")
    }

    /// Opens a gate of the script.
    pub fn open_gate(&self, name: &str) {
        fs::write(self.root().join(name), "").unwrap();
    }

    pub fn write_config(&self, yaml: &str) {
        fs::write(self.state().join("config.yaml"), yaml).unwrap();
    }

    /// Writes a file into the work folder; its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a file beside the work folder, outside the roots of every session; its path.
    pub fn write_outside(&self, name: &str, text: &str) -> PathBuf {
        self.write(&format!("../{name}"), text);
        self.root().join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.work().join(name).exists()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work().join(name)).unwrap()
    }

    /// The built binary with an environment in which only this home is set.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
        command
            .arg("acp")
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root())
            .env("TALARIA_HOME", self.state())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.script().exists() {
            command.env("TALARIA_MODEL", format!("scripted:{}", self.script().display()));
        }
        command
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }
}
