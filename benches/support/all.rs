//! What the benchmarks stand on: a home with the agent's process in it, a model on loopback, and what
//! the kernel says of a process, the tables that come of it. Nothing here measures.

pub(crate) mod agent;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod table;
