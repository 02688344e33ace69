//! What the tests of the tools share: a temporary folder with a context for calls in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::local::Local;
use super::roots::Roots;
use super::{Context, Prepared, Progress, Ran, Tool};
use crate::event::CallUpdate;
use crate::ids::CallId;
use crate::known::Known;

/// A work folder `work` in a temporary folder, and what a call in it is given.
pub(super) struct Desk {
    pub(super) context: Context,
    pub(super) updates: mpsc::Receiver<CallUpdate>,
    /// With links resolved; outside of the roots.
    pub(super) outer: PathBuf,
    pub(super) root: PathBuf,
    _folder: TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let outer = folder.path().canonicalize().unwrap();
        let root = outer.join("work");
        std::fs::create_dir(&root).unwrap();
        let (sender, updates) = mpsc::channel(64);
        let context = Context {
            call: CallId::new("c1"),
            roots: Arc::new(Roots::new(root.clone(), &[])),
            host: Arc::new(Local::new()),
            seen: Arc::new(HashMap::new()),
            policy: Arc::default(),
            permitted: None,
            cancel: CancellationToken::new(),
            progress: Progress::new(sender),
            attention: CancellationToken::new(),
            prompt_waits: CancellationToken::new(),
            tasks: None,
            place: None,
        };
        Self { context, updates, outer, root, _folder: folder }
    }

    /// Writes a file of the work folder, with its folders.
    pub(super) fn put(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// The model now knows `content` of the file.
    pub(super) fn see(&mut self, path: &Path, content: &str) {
        self.remember(vec![(path.to_owned(), Known::whole(content))]);
    }

    pub(super) fn remember(&mut self, saw: Vec<(PathBuf, Known)>) {
        Arc::make_mut(&mut self.context.seen).extend(saw);
    }

    pub(super) async fn prepare(&self, tool: &dyn Tool, input: &Value) -> Result<Prepared, String> {
        tool.prepare(input, &self.context).await
    }

    pub(super) async fn run(&self, tool: &dyn Tool, input: &Value) -> Ran {
        tool.run(input, &self.context).await
    }

    /// The outcome of a call, for the model, with the temporary folder's name left out.
    pub(super) async fn told(&self, tool: &dyn Tool, input: &Value) -> String {
        let outcome = self.run(tool, input).await.outcome;
        outcome.text().replace(&self.outer.display().to_string(), "/outer")
    }
}
