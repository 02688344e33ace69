//! An editor without a window: it drives any ACP agent over its standard streams, on raw JSON, for
//! `talaria run`, `talaria drive`, tests and benches. It holds no agent loop.

pub mod chat;
pub mod client;
pub mod demo;
pub mod editor;
pub mod laws;
pub mod lines;
pub mod policy;
pub mod print;
pub mod process;
pub mod script;
pub mod seen;
pub mod wire;

mod card;
mod diff;
mod files;
mod terminals;

use std::path::PathBuf;

use crate::fault;
use crate::fault::Fault;

/// Makes a fresh folder below the system's temporary folder, links resolved.
pub(crate) async fn fresh_folder(prefix: &str) -> Result<PathBuf, Fault> {
    let name = format!("{prefix}-{}", uuid::Uuid::now_v7().simple());
    let path = std::env::temp_dir().join(name);
    let failed = |error: std::io::Error| {
        Fault::new(
            fault::Kind::User,
            format!("cannot make the folder `{}`: {error}", path.display()),
        )
    };
    tokio::fs::create_dir_all(&path).await.map_err(failed)?;
    tokio::fs::canonicalize(&path).await.map_err(failed)
}

/// Runs `git` in `folder` with an identity of its own and without the user's hooks and signing.
pub(crate) async fn git(folder: &std::path::Path, arguments: &[&str]) -> Result<String, Fault> {
    let identity = [
        "user.name=Talaria",
        "user.email=talaria@localhost",
        "commit.gpgsign=false",
        "core.hooksPath=",
    ];
    let mut command = process::command("git");
    command.current_dir(folder).stdin(std::process::Stdio::null());
    for setting in identity {
        command.args(["-c", setting]);
    }
    let output = command
        .args(arguments)
        .output()
        .await
        .map_err(|error| Fault::new(fault::Kind::User, format!("cannot run `git`: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::new(fault::Kind::User, format!("`git {}` failed: {said}", arguments.join(" "))))
}

/// Makes a git work tree of `folder` with everything in it committed.
pub(crate) async fn git_commit_all(folder: &std::path::Path) -> Result<(), Fault> {
    git(folder, &["init", "--quiet", "--initial-branch=main"]).await?;
    git(folder, &["add", "--all"]).await?;
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", "Start"]).await?;
    Ok(())
}
