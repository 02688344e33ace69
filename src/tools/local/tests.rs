//! Tests of the local host, on real files and processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::Local;
use crate::tools::host::{Command, Ended, Finished, Host as _, HostError, Omitted, Watch};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

#[tokio::test]
async fn what_cannot_be_read_has_a_kind() {
    let (_folder, root) = folder();
    std::fs::write(root.join("latin"), b"caf\xe9").unwrap();
    std::fs::write(root.join("text"), "é").unwrap();
    let read = |name: &str| {
        let path = root.join(name);
        async move { Local::new().read_text(&path).await }
    };
    assert_eq!(read("text").await, Ok("é".to_owned()));
    assert_eq!(read("latin").await, Err(HostError::NotText { path: root.join("latin") }));
    assert_eq!(read("gone").await, Err(HostError::NotFound { path: root.join("gone") }));
    assert_eq!(read("").await, Err(HostError::IsDirectory { path: root.join("") }));
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_keeps_permissions_links_and_names() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (_folder, root) = folder();
    let script = root.join("script");
    std::fs::write(&script, "old").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o754)).unwrap();
    symlink("script", root.join("link")).unwrap();
    Local::new().write_text(&root.join("link"), "new").await.unwrap();
    assert_eq!(std::fs::read_to_string(&script).unwrap(), "new");
    assert_eq!(std::fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o754);
    assert!(root.join("link").symlink_metadata().unwrap().is_symlink());

    std::fs::hard_link(&script, root.join("second")).unwrap();
    Local::new().write_text(&script, "newer").await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join("second")).unwrap(), "newer");

    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o444)).unwrap();
    let denied = Local::new().write_text(&script, "x").await;
    assert_eq!(denied, Err(HostError::Denied { path: script }));
    Local::new().write_text(&root.join("a/b/new"), "x").await.unwrap();
    // No temporary file is left behind.
    let mut names: Vec<_> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "link", "script", "second"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_keeps_the_group() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let (_folder, root) = folder();
    let file = root.join("file");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
    let own = std::fs::metadata(&file).unwrap().gid();
    let groups =
        rustix::process::getgroups().unwrap().into_iter().map(rustix::process::Gid::as_raw);
    // The administrator may take any group, others one of their own.
    let mut others = groups.chain([1]).filter(|group| *group != own);
    let Some(other) = others.find(|group| chown(&file, None, Some(*group)).is_ok()) else {
        println!("skipped: this user has a single group");
        return;
    };
    Local::new().write_text(&file, "new").await.unwrap();
    let meta = std::fs::metadata(&file).unwrap();
    assert_eq!((meta.gid(), meta.mode() & 0o777), (other, 0o660));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
}

fn command(root: &Path, line: &str) -> Command {
    Command {
        line: line.to_owned(),
        cwd: root.to_owned(),
        timeout: Duration::from_secs(20),
        output_limit: 1024,
    }
}

async fn run(command: Command, cancel: CancellationToken) -> Finished {
    let watch = Watch { cancel, on_terminal: &|_| Box::pin(async {}), on_output: &|_| {} };
    Local::new().run(command, watch).await.unwrap()
}

/// Waits until the pid that a command wrote to `file` is there.
async fn pid(file: &Path) -> rustix::process::Pid {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            return rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process ended; where nobody reaps orphans it stays as a zombie, which counts.
fn dead(pid: rustix::process::Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let zombie = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    zombie || rustix::process::test_kill_process(pid).is_err()
}

async fn until_dead(pid: rustix::process::Pid) {
    let wait = async {
        while !dead(pid) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), wait).await.unwrap();
}

#[tokio::test]
async fn output_keeps_its_order_and_its_bounds() {
    let (_folder, root) = folder();
    let finished =
        run(command(&root, "echo 1; echo 2 >&2; echo 3"), CancellationToken::new()).await;
    assert_eq!((finished.output.as_str(), finished.exit_code), ("1\n2\n3\n", Some(0)));
    let line = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last";
    let finished = run(command(&root, line), CancellationToken::new()).await;
    assert!(finished.output.starts_with("first\nxxx") && finished.output.ends_with("xxx\nlast\n"));
    assert!(finished.output.len() < 1100 && finished.output.contains("bytes left out"));
    assert_eq!(finished.omitted, Omitted::Bytes(3_000_000 + 6 + 6 - 1024));
    assert_eq!(finished.ended, Ended::Exited);
}

#[tokio::test]
async fn the_environment_is_quiet() {
    let (_folder, root) = folder();
    let line = "echo $GIT_TERMINAL_PROMPT $PAGER $GIT_PAGER $TERM; env | grep ^TALARIA_; cat; pwd";
    let finished = run(command(&root, line), CancellationToken::new()).await;
    // Alone by which a server knows what its tools run.
    let own = format!("TALARIA_TOOL_OF={}", std::process::id());
    assert_eq!(finished.output, format!("0 cat cat dumb\n{own}\n{}\n", root.display()));
}

#[tokio::test]
async fn a_cancelled_command_ends_with_its_children() {
    let (_folder, root) = folder();
    let cancel = CancellationToken::new();
    // The child ignores the polite signal.
    let line = "(trap '' TERM; sh -c 'echo $PPID > pid; sleep 60') & wait";
    let watch = async {
        let pid = pid(&root.join("pid")).await;
        cancel.cancel();
        pid
    };
    let (finished, pid) = tokio::join!(run(command(&root, line), cancel.clone()), watch);
    assert_eq!((finished.ended, finished.exit_code), (Ended::Cancelled, None));
    until_dead(pid).await;
}

#[tokio::test]
async fn a_command_may_clean_up() {
    let (_folder, root) = folder();
    let cancel = CancellationToken::new();
    let line = "trap 'echo cleaned; exit 5' TERM; echo $$ > pid; while :; do sleep 0.01; done";
    let watch = async {
        pid(&root.join("pid")).await;
        cancel.cancel();
    };
    let (finished, ()) = tokio::join!(run(command(&root, line), cancel.clone()), watch);
    // The shell may say before that its `sleep` was terminated.
    assert!(finished.output.ends_with("cleaned\n"), "{}", finished.output);
    assert_eq!(finished.exit_code, Some(5));
}

#[tokio::test]
async fn time_runs_out() {
    let (_folder, root) = folder();
    let command = Command {
        timeout: Duration::from_millis(100),
        ..command(&root, "echo $$ > pid; echo begun; sleep 60")
    };
    let finished = run(command, CancellationToken::new()).await;
    assert_eq!((finished.ended, finished.output.as_str()), (Ended::TimedOut, "begun\n"));
    assert_eq!(finished.signal.as_deref(), Some("SIGTERM"));
    until_dead(pid(&root.join("pid")).await).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let (_folder, root) = folder();
    // It holds the output open.
    let line = "sleep 60 & echo $! > pid; echo done";
    let finished = run(command(&root, line), CancellationToken::new()).await;
    assert_eq!((finished.ended, finished.exit_code), (Ended::Exited, Some(0)));
    assert_eq!(finished.output, "done\n");
    until_dead(pid(&root.join("pid")).await).await;
    // It does not.
    let line = "rm pid; sleep 60 >/dev/null 2>&1 & echo $! > pid";
    run(command(&root, line), CancellationToken::new()).await;
    until_dead(pid(&root.join("pid")).await).await;
}

#[tokio::test]
async fn a_dropped_call_ends_its_command() {
    let (_folder, root) = folder();
    let command = command(&root, "sleep 60 & echo $! > pid; wait");
    let file = root.join("pid");
    let pid = tokio::select! {
        _ = run(command, CancellationToken::new()) => panic!("it ended by itself"),
        pid = pid(&file) => pid,
    };
    until_dead(pid).await;
}

#[tokio::test]
async fn a_missing_folder_is_told() {
    let (_folder, root) = folder();
    let watch = Watch {
        cancel: CancellationToken::new(),
        on_terminal: &|_| Box::pin(async {}),
        on_output: &|_| {},
    };
    let error = Local::new().run(command(&root.join("gone"), "ls"), watch).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}
