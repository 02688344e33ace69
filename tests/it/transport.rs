//! Checklist 1 to 16: the pipe and JSON-RPC.

mod end;
mod lines;
mod requests;
mod secrets;
