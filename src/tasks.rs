//! Background tasks: one goal each, given to a subagent of a session. The operations and their rules,
//! once each, behind [`TasksHandle`]; doors (the model's tools, slash commands) only translate to them. It
//! knows of a session nothing but its id: children come through [`Spawn`], and what a session is told goes
//! out as [`TaskSaid`]. Tasks are kept behind the boundary in [`engine`].

pub mod card;
pub mod contract;
pub mod engine;
pub mod report;
pub mod runner;
pub mod tail;
pub mod worktree;

mod actor;
mod answer;
mod attempts;
mod child;
mod error;
mod handle;
mod said;
mod spec;
mod state;

pub use actor::{Setup, start};
pub use answer::{
    Cancelled, Change, ChangedFile, Changes, Checked, Collected, Pending, Row, Started, Steered,
    files_counted,
};
pub use child::{Begin, Child, ChildSaid, Order, Spawn, Spawned};
pub use error::TaskError;
pub use handle::{
    Attachment, Door, Observer, Past, TasksHandle, TasksInbox, Wait, Waiting, Which, handle,
};
pub use said::{About, TaskCard, TaskReport, TaskSaid};
pub use spec::{By, Caller, Details, Isolation, NewTask, Origin, TaskName};
