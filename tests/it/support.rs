//! What the tests stand on: a home, the agent's process, a client's answers, a provider's server,
//! conversation scripts.

pub mod agent;
pub mod client;
pub mod home;
pub mod process;
pub mod provider;
pub mod script;
pub mod served;
