//! What the benchmarks stand on: a home with the agent's process in it, a model on loopback, and what
//! the kernel says of a process. Nothing here measures.

pub(crate) mod agent;
pub(crate) mod model;
pub(crate) mod process;
