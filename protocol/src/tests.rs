//! What the names, the types, the schema, the examples and the specification have to have in common. What is
//! generated is rewritten with `UPDATE=1`.

mod examples;
mod messages;
mod readme;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A file of this crate.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a generated file with what it has to be, or writes it.
#[expect(
    clippy::disallowed_methods,
    reason = "how generated files are rewritten, as in the other tests"
)]
fn assert_generated(path: &str, expected: &str) {
    let file = place(path);
    let current = fs::read_to_string(&file).unwrap_or_default();
    if current == expected {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "protocol/{path}: the types have changed: run `UPDATE=1 cargo test -p talaria-protocol`, and read the diff"
    );
    fs::write(file, expected).unwrap();
}

#[test]
fn names_are_noun_and_verb_under_the_prefix() {
    for method in REQUESTS.into_iter().chain(SOCKET_REQUESTS).chain(NOTIFICATIONS) {
        let rest = method.strip_prefix(METHOD_PREFIX).unwrap();
        assert!(rest.split('/').count() == 2, "{method} is not `{METHOD_PREFIX}noun/verb`");
        assert!(
            rest.chars().all(|letter| letter.is_ascii_lowercase() || letter == '/'),
            "{method}"
        );
    }
}
