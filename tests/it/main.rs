//! The integration tests, one binary: they talk to the built binary as an editor does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test fails by panicking, starts processes and reads the environment as a user does, and builds a value where it hands it over"
)]

mod support;

mod calls;
mod cancel;
mod cards;
mod chat;
#[cfg(unix)]
mod control;
mod drive;
mod editor_host;
mod engine;
mod export;
mod extension;
mod files;
mod fuzz_lines;
mod handshake;
mod load;
mod model;
mod options;
mod permission;
mod prompt;
mod resume;
mod run;
mod sessions;
mod sessions_cli;
mod steer;
mod steering;
mod store;
mod stored;
mod subagents;
mod task_cli;
mod tasks;
mod tidy;
mod transport;
