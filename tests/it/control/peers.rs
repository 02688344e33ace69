//! Who is refused: what a tool runs, also where it hides, and other users.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use talaria_protocol::TASK_LIST;

use super::{Door, PROBE, chat, greet, logged, socket, until};
use crate::support::home::Home;

/// Writes a shell script into the work folder that may use `$PROBE`, which asks the socket, and `$TALARIA`.
fn script(home: &Home, name: &str, text: &str) {
    let exe = std::env::current_exe().unwrap();
    let probe = format!(
        "{PROBE}='greet {}' '{}' --exact control::probe --nocapture",
        socket(home).display(),
        exe.display()
    );
    let talaria =
        format!("TALARIA_HOME='{}' '{}'", home.state().display(), env!("CARGO_BIN_EXE_talaria"));
    let text = text.replace("$PROBE", &probe).replace("$TALARIA", &talaria);
    home.write(name, &text);
}

#[test]
fn what_a_terminal_runs_is_refused_and_the_log_says_so() {
    let (home, mut chat) = chat();
    script(
        &home,
        "ask.sh",
        "env $PROBE 2>&1 | grep -e 403 -e 'tool of Talaria'\n\
         env -i $PROBE 2>&1 | grep -e 403\n\
         env $TALARIA task list; echo \"exit $?\"\n\
         env -u TALARIA_TOOL_OF $TALARIA task list; echo \"exit $?\"\n",
    );
    chat.set_mode("bypass");
    let turn = chat.say("run sh ask.sh");
    chat.say("/task run sh ask.sh");
    chat.until("t1", "completed");
    let task = chat.say("/collect t1");
    for said in [turn, task] {
        assert_eq!(said.matches("403 Forbidden").count(), 2, "{said}");
        assert_eq!(said.matches("only the user may").count(), 1, "{said}");
        assert_eq!(said.matches("exit 5").count(), 2, "{said}");
    }
    logged(&home, "a connection to the socket is refused refusal=Tool");
    assert!(greet(&socket(&home)).1.contains("101"), "others are served");
}

#[test]
fn what_a_terminal_left_behind_is_refused() {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux shows the environment of a process");
        return;
    }
    let (home, mut chat) = chat();
    script(
        &home,
        "later.sh",
        "touch begun\nwhile ! test -e gate; do sleep 0.02; done\nenv $PROBE > part 2>&1\nmv part done\n",
    );
    // It has left the terminal's group before its shell ends.
    home.write(
        "leave.sh",
        "setsid sh later.sh </dev/null >/dev/null 2>&1 &\nwhile ! test -e begun; do sleep 0.02; done\n",
    );
    chat.set_mode("bypass");
    chat.say("/task run sh leave.sh");
    chat.until("t1", "completed");
    // Its shell has ended: it is no descendant any more.
    home.write("gate", "");
    until("the daemon", || home.exists("done").then_some(()));
    let said = home.read("done");
    assert!(said.contains("403 Forbidden"), "{said}");
    logged(&home, "a connection to the socket is refused refusal=Tool");
}

#[test]
fn another_users_process_is_refused() {
    let exe = std::env::current_exe().unwrap();
    let nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command
    };
    let can_run = nobody().arg("test").arg("-x").arg(&exe).status().is_ok_and(|run| run.success());
    if fs::metadata("/proc/self").map_or(1, |own| own.uid()) != 0 || !can_run {
        println!("skipped: only root can become another user, with `setpriv`, who may run this");
        return;
    }
    let (home, mut chat) = chat();
    chat.say("async work a");
    let socket = socket(&home);
    // Opened on purpose: as they are, nobody else comes so far.
    let folders = [home.root().to_owned(), home.state(), home.state().join("run")];
    for folder in folders {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let asked = nobody()
        .arg(&exe)
        .args(["--exact", "control::probe", "--nocapture"])
        .env(PROBE, format!("greet {}", socket.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(said.contains("403 Forbidden") && said.contains("another user"), "{asked:?}");
    logged(&home, "a connection to the socket is refused refusal=OtherUser { user: 65534 }");
    let listed = Door::open(&socket)
        .call(TASK_LIST, &serde_json::json!({ "sessionId": chat.session.clone() }));
    assert_eq!(listed["tasks"][0]["taskId"], "t1", "this user is served");

    // A folder that others may enter is not used: not by who looks, and not by the next server.
    let found = Command::new(env!("CARGO_BIN_EXE_talaria"))
        .args(["task", "list"])
        .env("TALARIA_HOME", home.state())
        .current_dir(home.work())
        .output()
        .unwrap();
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(said.contains("is open to other users") && said.contains("chmod 700"), "{said}");
    home.open_gate("a");
    chat.until("t1", "completed");
}
