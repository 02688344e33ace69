//! What the specification and the names have to have in common.

use std::collections::BTreeSet;

use super::*;

const README: &str = include_str!("../README.md");

fn methods() -> impl Iterator<Item = &'static str> {
    REQUESTS.into_iter().chain(SOCKET_REQUESTS).chain(NOTIFICATIONS)
}

#[test]
fn names_are_noun_and_verb_under_the_prefix() {
    for method in methods() {
        let rest = method.strip_prefix(METHOD_PREFIX).unwrap();
        assert!(rest.split('/').count() == 2, "{method} is not `{METHOD_PREFIX}noun/verb`");
        assert!(
            rest.chars().all(|letter| letter.is_ascii_lowercase() || letter == '/'),
            "{method}"
        );
    }
}

#[test]
fn the_specification_lists_each_method_once_and_no_other() {
    let rows: Vec<&str> =
        README.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let listed: Vec<&str> =
        rows.into_iter().filter(|name| name.starts_with(METHOD_PREFIX)).collect();
    assert_eq!(listed.len(), methods().count());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), methods().collect());
}
