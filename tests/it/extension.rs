//! Talaria's extension over ACP: a client that uses every method of it in the built binary, each message compared with
//! the committed schema. What a client does that knows nothing of it is in the other tests.

mod errors;
mod panel;
mod story;
mod trees;
