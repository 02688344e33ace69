//! Background tasks in the built binary, as a client without special capabilities has them. Which test shows
//! which sentence is in `tests/README.md`.

mod cancel;
mod chatting;
mod collect;
mod crash;
mod deep;
mod delivery;
mod end;
mod events;
mod faults;
mod fields;
mod files;
mod limits;
mod permission;
mod protocol;
mod queue;
mod reports;
mod requests;
mod routes;
mod routing;
mod secrets;
mod steer;
mod told;
mod waiting;
#[cfg(unix)]
mod worktree;

use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

/// A home with the model of [`MODEL`], and a chat in it.
fn chat() -> (Home, Chat) {
    chat_with("")
}

fn chat_with(config: &str) -> (Home, Chat) {
    let home = Home::scripted(MODEL);
    home.write_config(config);
    let chat = Chat::new(&home);
    (home, chat)
}

/// Rows of `list_tasks`, to be compared.
fn row(task: &str, state: &str, place: Option<u64>) -> (String, String, Option<u64>) {
    (task.to_owned(), state.to_owned(), place)
}
