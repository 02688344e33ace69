//! Tasks from outside the chat: one table of methods, which the connection of the client calls and which a socket
//! serves to other programs of the same user. It translates to the operations of `tasks` and gives nobody more rights
//! than the session has. It opens no session.

pub mod client;
mod convert;
mod error;
mod methods;
mod params;
#[cfg(unix)]
pub mod place;
pub mod table;

pub use error::CallError;
pub use table::{About, Table};
