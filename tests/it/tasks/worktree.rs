//! Isolated tasks (`isolation: worktree`) against real git: what they change is on a branch of their own, and comes into
//! the user's tree, or goes, when the user says so.

mod ends;
mod merges;
mod repository;

use serde_json::Value;

use self::repository::Repository;
use crate::support::home::Home;
use crate::support::tasks::{Chat, content};

/// The parent: `isolated GOAL`, `plain GOAL`, `onward t1 to GOAL`, `many`, `collect t1`. A child: `run COMMAND`, `put PATH`,
/// `halves GATE`, `nest COMMAND`.
const SCRIPT: &str = r#"
    when prompt "isolated *"
      call delegate_task_async {"goal": "${1}", "isolation": "worktree"}
    then
      say "${outcome}"
    when prompt "plain *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "${outcome}"
    when prompt "onward * to *"
      call delegate_task_async {"goal": "${2}", "continues": "${1}", "isolation": "worktree"}
    then
      say "${outcome}"
    when prompt "many"
      call delegate_task_async {"isolation": "worktree", "tasks": [{"goal": "line 1"}, {"goal": "line 2"}, {"goal": "line 3"}, {"goal": "line 4"}, {"goal": "line 5"}, {"goal": "line 6"}, {"goal": "line 7"}, {"goal": "line 8"}, {"goal": "line 9"}, {"goal": "line 10"}]}
    then
      say "${outcome}"
    when prompt "collect *"
      call collect_task {"task_ids": ["${1}"]}
    then
      say "${outcome}"

    when prompt "line *"
      call terminal {"command": "sed -i.old 's/^row ${1}$/changed ${1}/' rows.txt && rm rows.txt.old && echo ${1} > made${1}.txt"}
    then
      say "Done."
    when prompt "run *"
      call terminal {"command": "${1}"}
    then
      say "Ran: ${outcome}"
    when prompt "put *"
      call write {"path": "${1}", "content": "put\n"}
    then
      say "${outcome}"
    when prompt "halves *"
      call terminal {"command": "echo half > half.txt"}
    then
      say "Half of it is done."
      gate ${1}
      call terminal {"command": "echo whole > whole.txt"}
    then
      say "All of it is done."
    when steer "*nterrupted*"
      call terminal {"command": "echo rest > rest.txt"}
    when prompt "nest *"
      call terminal {"command": "echo above > above.txt"}
      call delegate_task {"goal": "run ${1}", "isolation": "worktree"}
    then
      say "${outcome}"
    when any
      say "You said ${prompt}."
"#;

/// A repository in the work folder with the files `a.txt` and `rows.txt`, and a chat in it whose tasks may do anything.
fn chat() -> (Home, Repository, Chat) {
    chat_with("")
}

fn chat_with(config: &str) -> (Home, Repository, Chat) {
    let home = Home::scripted(SCRIPT);
    home.write_config(config);
    let repository = Repository::new(&home);
    repository.write("a.txt", "one\n");
    let rows: Vec<String> = (1..=10).map(|row| format!("row {row}\n\n\n\n\n")).collect();
    repository.write("rows.txt", &rows.concat());
    repository.commit("first");
    let mut chat = Chat::new(&home);
    chat.set_mode("bypass");
    (home, repository, chat)
}

/// Starts an isolated task and waits for its end; what it changed, as the model is told.
fn done(chat: &mut Chat, task: &str, goal: &str) -> Value {
    chat.say(&format!("isolated {goal}"));
    let card = chat.until(task, "completed");
    let collected = chat.outcome(&format!("collect {task}"));
    let changes = collected["tasks"][0]["changes"].clone();
    let branch = changes["branch"].as_str().unwrap_or_else(|| panic!("{collected}"));
    assert!(content(&card).contains(branch), "{card}");
    changes
}

/// `M a.txt` and so on.
fn files(changes: &Value) -> Vec<String> {
    let file = |file: &Value| {
        let change = match file["change"].as_str().unwrap() {
            "added" => "A",
            "modified" => "M",
            "deleted" => "D",
            other => panic!("{other}"),
        };
        format!("{change} {}", file["path"].as_str().unwrap())
    };
    changes["files"].as_array().unwrap().iter().map(file).collect()
}

/// Waits until a child of `halves` has done its first half.
fn until_half(chat: &mut Chat, task: &str) {
    let is_half = |chat: &Chat| {
        let card = chat.card(&format!("task-{task}"))?;
        content(&card).contains("Half of it").then_some(())
    };
    chat.wait("half of it", is_half);
}
