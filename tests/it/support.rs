//! What the tests stand on: a home, the agent's process, a client's answers, a provider's server,
//! conversation scripts, faults of the state folder.

pub mod agent;
pub mod client;
pub mod fault;
pub mod home;
pub mod process;
pub mod provider;
pub mod script;
pub mod served;
pub mod stored;
pub mod tasks;
