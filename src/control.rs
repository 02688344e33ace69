//! The control socket.

pub mod client;
