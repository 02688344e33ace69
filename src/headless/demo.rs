//! The project of `talaria run --demo`: a shell script with a bug, a check that finds it, and the
//! script of a model that delegates the mending. It needs no key and no network.

use std::path::{Path, PathBuf};

use super::script::world::make_executable;
use crate::fault;
use crate::fault::Fault;

const FILES: [(&str, &str); 3] = [
    ("greet.sh", include_str!("demo/greet.sh")),
    ("check.sh", include_str!("demo/check.sh")),
    ("README.md", include_str!("demo/README.md")),
];
const MODEL: &str = include_str!("demo/model.script");

/// What is said to the model, in order. Behind the last one a task still runs: its report starts a turn by
/// itself.
pub const PROMPTS: [&str; 5] = [
    "./check.sh fails. Mend that, and have the README reviewed, both in the background.",
    "What does greet.sh do, meanwhile?",
    "/steer t2 Say also what a newcomer misses.",
    "How did the mending go?",
    "/tasks",
];

/// A demo project on disk.
#[derive(Debug, Clone)]
pub struct Demo {
    /// The work tree, committed.
    pub project: PathBuf,
    /// The server's home.
    pub home: PathBuf,
    /// The script of the model.
    pub model: PathBuf,
}

/// Makes the demo in a fresh temporary folder.
pub async fn prepare() -> Result<Demo, Fault> {
    let root = super::fresh_folder("talaria-demo").await?;
    let demo = Demo {
        project: root.join("greet"),
        home: root.join("home"),
        model: root.join("model.script"),
    };
    for folder in [&demo.project, &demo.home] {
        tokio::fs::create_dir_all(folder).await.map_err(|error| failed(folder, &error))?;
    }
    write(&demo.model, MODEL).await?;
    for (name, text) in FILES {
        let path = demo.project.join(name);
        write(&path, text).await?;
        if text.starts_with("#!") {
            make_executable(&path)
                .await
                .map_err(|message| Fault::new(fault::Kind::User, message))?;
        }
    }
    super::git_commit_all(&demo.project).await?;
    Ok(demo)
}

/// `git diff --stat` of the project.
pub async fn changes(demo: &Demo) -> Result<String, Fault> {
    super::git(&demo.project, &["diff", "--stat"]).await
}

async fn write(path: &Path, text: &str) -> Result<(), Fault> {
    tokio::fs::write(path, text).await.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(fault::Kind::User, format!("cannot write `{}`: {error}", path.display()))
}
