//! Conversation scripts: plain text that says what an editor sends and what it expects to see.
//! `docs/DRIVE.md` is the manual.

pub mod export;
pub mod failure;
pub mod play;
pub mod snapshot;
pub mod syntax;
pub mod update;
pub mod world;

mod expect;
mod lines;
mod pattern;
mod player;
mod talk;
mod transcript;
mod watch;
