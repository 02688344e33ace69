//! Tasks from outside the chat: one table of methods, which the connection of the client calls and which a socket
//! serves to other programs of the same user. It translates to the operations of `tasks` and gives nobody more rights
//! than the session has. It opens no session.

pub mod client;
mod convert;
mod error;
mod events;
pub mod extension;
mod methods;
mod params;
#[cfg(unix)]
mod peer;
#[cfg(unix)]
pub mod place;
#[cfg(unix)]
pub mod socket;
#[cfg(unix)]
mod stream;
pub mod table;

pub use error::CallError;
pub use table::{About, Table};

#[cfg(test)]
#[cfg(unix)]
mod tests;
