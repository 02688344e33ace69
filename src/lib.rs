//! Talaria, an agent for editors. The order of the modules below is the law of layers: a module may
//! use only modules declared above it (`tests/it/tidy.rs` holds it).

// Vocabulary, no I/O.
pub mod ids;
pub mod clock;
pub mod wildcard;
pub mod letters;
pub mod difference;
pub mod fault;
pub mod permission;
pub mod viewer;
pub mod transcript;
pub mod event;
pub mod known;
// Abilities, one outside thing each.
pub mod config;
pub mod redact;
pub mod log;
pub mod store;
pub mod model;
pub mod tasks;
pub mod tools;
// Behaviour.
pub mod context;
pub mod turn;
pub mod session;
// Edges.
pub mod control;
pub mod acp;
pub mod headless;
pub mod app;
pub mod cli;
