//! Background tasks: one goal each, given to a subagent of a session. The core, which decides what runs
//! and what is told, comes on top of the boundary in [`engine`], which keeps the tasks. It knows of a
//! session nothing but its id.

pub mod engine;
