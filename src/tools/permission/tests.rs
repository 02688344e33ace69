//! Tests of the verdicts, as tables.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{Policy, Verdict, decide, matches};
use crate::permission::{Mode, Rule};
use crate::tools::command_line::grant;
use crate::tools::files::{read_grant, write_grant};
use crate::tools::roots::resolve;
use crate::tools::{Access, Effect, Prepared, Touch};

fn file(path: &str, effect: Effect) -> (Effect, Prepared) {
    let access = if effect == Effect::Write { Access::Write } else { Access::Read };
    let touch = Touch {
        named: path.into(),
        path: path.into(),
        access,
        inside: path.starts_with("/home/project/"),
    };
    let grant = if effect == Effect::Write { write_grant(&touch) } else { read_grant(&touch) };
    let prepared = Prepared {
        title: format!("{access:?} {path}"),
        locations: Vec::new(),
        preview: Vec::new(),
        touches: vec![touch],
        command: None,
        grant,
        trouble: None,
    };
    (effect, prepared)
}

fn command(line: &str) -> (Effect, Prepared) {
    let prepared = Prepared {
        title: line.to_owned(),
        locations: Vec::new(),
        preview: Vec::new(),
        touches: Vec::new(),
        command: Some(line.to_owned()),
        grant: grant(line, None),
        trouble: None,
    };
    (Effect::Run, prepared)
}

fn command_in(line: &str, cwd: &str) -> (Effect, Prepared) {
    let (effect, mut prepared) = command(line);
    prepared.grant = grant(line, Some(cwd.as_ref()));
    prepared.touches =
        vec![Touch { named: cwd.into(), path: cwd.into(), access: Access::Write, inside: false }];
    prepared.title = format!("{line} in {cwd}");
    (effect, prepared)
}

fn rule(call: &(Effect, Prepared), allow: bool) -> Rule {
    Rule { grant: call.1.grant.clone(), allow }
}

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Policy::new(owned(allow), &owned(deny))
}

/// One line for each call: the verdicts of all modes.
#[expect(clippy::needless_pass_by_value, reason = "expect-test values are written in place")]
fn check(rules: &[Rule], policy: &Policy, calls: &[(Effect, Prepared)], expected: Expect) {
    let mut table = String::new();
    for (effect, prepared) in calls {
        let verdicts = Mode::ALL.map(|mode| match decide(mode, rules, policy, *effect, prepared) {
            Verdict::Allow => "allow",
            Verdict::Ask => "ask",
            Verdict::Deny(_) => "deny",
        });
        let [ask, accept_edits, plan, bypass] = verdicts;
        writeln!(
            table,
            "{ask:5} {accept_edits:5} {plan:5} {bypass:5} {}",
            prepared.title.replace('\n', "⏎")
        )
        .unwrap();
    }
    expected.assert_eq(&table);
}

fn calls() -> Vec<(Effect, Prepared)> {
    vec![
        file("/home/project/a.rs", Effect::Read),
        file("/home/project/a.rs", Effect::Write),
        file("/home/project/.git/hooks/x", Effect::Write),
        file("/etc/passwd", Effect::Read),
        file("/etc/passwd", Effect::Write),
        command("cargo test"),
        command_in("cargo test", "/else"),
    ]
}

#[test]
fn modes() {
    check(
        &[],
        &Policy::default(),
        &calls(),
        expect![[r#"
            allow allow allow allow Read /home/project/a.rs
            ask   allow deny  allow Write /home/project/a.rs
            ask   ask   deny  allow Write /home/project/.git/hooks/x
            ask   ask   deny  allow Read /etc/passwd
            ask   ask   deny  allow Write /etc/passwd
            ask   ask   deny  allow cargo test
            ask   ask   deny  allow cargo test in /else
        "#]],
    );
}

#[test]
fn remembered_allowances() {
    let rules: Vec<Rule> = [
        file("/home/project/other.rs", Effect::Write),
        file("/etc/hosts", Effect::Read),
        command("cargo test --all"),
        command("make; make install"),
    ]
    .iter()
    .map(|call| rule(call, true))
    .collect();
    let mut calls = calls();
    calls.extend(
        [
            "cargo test -p x",
            "cargo run",
            "cargo test; rm -rf /",
            "cargo test $(rm x)",
            "cargo test > /etc/x",
            "make; make install",
            "make; make install -x",
            "make",
        ]
        .map(command),
    );
    check(
        &rules,
        &Policy::default(),
        &calls,
        expect![[r#"
            allow allow allow allow Read /home/project/a.rs
            allow allow deny  allow Write /home/project/a.rs
            ask   ask   deny  allow Write /home/project/.git/hooks/x
            allow allow allow allow Read /etc/passwd
            ask   ask   deny  allow Write /etc/passwd
            allow allow deny  allow cargo test
            ask   ask   deny  allow cargo test in /else
            allow allow deny  allow cargo test -p x
            ask   ask   deny  allow cargo run
            ask   ask   deny  allow cargo test; rm -rf /
            ask   ask   deny  allow cargo test $(rm x)
            ask   ask   deny  allow cargo test > /etc/x
            allow allow deny  allow make; make install
            ask   ask   deny  allow make; make install -x
            ask   ask   deny  allow make
        "#]],
    );
}

#[test]
fn remembered_refusals() {
    let [edit, run] = [file("/home/project/other.rs", Effect::Write), command("cargo test")];
    let rules = [rule(&run, true), rule(&edit, false), rule(&run, false)];
    check(
        &rules,
        &Policy::default(),
        &calls(),
        expect![[r#"
            allow allow allow allow Read /home/project/a.rs
            deny  deny  deny  deny  Write /home/project/a.rs
            ask   ask   deny  allow Write /home/project/.git/hooks/x
            ask   ask   deny  allow Read /etc/passwd
            ask   ask   deny  allow Write /etc/passwd
            deny  deny  deny  deny  cargo test
            ask   ask   deny  allow cargo test in /else
        "#]],
    );
}

#[test]
fn configured_patterns() {
    let policy = policy(&["cargo *", "git log | head"], &["*/.env", "rm -rf *", "*secret*"]);
    let calls = [
        file("/home/project/.env", Effect::Read),
        file("/home/project/.env.example", Effect::Read),
        file("/home/project/secrets/a", Effect::Write),
        command("cargo test"),
        command("cargo test && rm x"),
        command("cargo test\nrm x"),
        command("cargo test `id`"),
        command("git log | head"),
        command("git log | head -3"),
        command("rm -rf /"),
        command("true && rm -rf /"),
        command("echo rm -rf"),
        command_in("cargo test", "/else"),
    ];
    check(
        &[],
        &policy,
        &calls,
        expect![[r#"
            deny  deny  deny  deny  Read /home/project/.env
            allow allow allow allow Read /home/project/.env.example
            deny  deny  deny  deny  Write /home/project/secrets/a
            allow allow deny  allow cargo test
            ask   ask   deny  allow cargo test && rm x
            ask   ask   deny  allow cargo test⏎rm x
            ask   ask   deny  allow cargo test `id`
            allow allow deny  allow git log | head
            ask   ask   deny  allow git log | head -3
            deny  deny  deny  deny  rm -rf /
            deny  deny  deny  deny  true && rm -rf /
            ask   ask   deny  allow echo rm -rf
            ask   ask   deny  allow cargo test in /else
        "#]],
    );
}

#[test]
fn refusals_say_what_to_do() {
    let edit = file("/home/project/a.rs", Effect::Write);
    let outside = file("/etc/passwd", Effect::Read);
    let none = Policy::default();
    let mut text = String::new();
    for verdict in [
        decide(Mode::Plan, &[], &none, edit.0, &edit.1),
        decide(Mode::Plan, &[], &none, outside.0, &outside.1),
        decide(Mode::Ask, &[rule(&edit, false)], &none, edit.0, &edit.1),
        decide(Mode::Bypass, &[], &policy(&[], &["/home/project/*"]), edit.0, &edit.1),
    ] {
        let Verdict::Deny(reason) = verdict else { panic!("not denied") };
        writeln!(text, "{reason}").unwrap();
    }
    expect![[r#"
        plan mode is on: nothing may be changed or run. Read what you need, then present your plan; the user leaves plan mode when you shall carry it out
        plan mode is on: only files in the project may be read. Go on without this file, or name it in your plan; the user leaves plan mode when you shall carry it out
        the user refused edits of files in this project for this session; go on without, or ask what to do instead
        the user's configuration forbids this (`permissions.deny`: `/home/project/*`); do not try to reach the same in another way, tell the user instead
    "#]].assert_eq(&text);
}

#[test]
fn patterns_are_whole() {
    for (pattern, text, expected) in [
        ("cargo test", "cargo test", true),
        ("cargo test", "cargo test x", false),
        ("cargo *", "cargo ", true),
        ("cargo *", "cargo", false),
        ("*", "", true),
        ("a*a", "a", false),
        ("a*b*c", "aXbXc", true),
        ("a*b*c", "acb", false),
        ("*/.env", "/x/y/.env", true),
        ("**", "anything\nat all", true),
        ("[a]?", "[a]?", true),
        ("[a]?", "ab", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

#[cfg(unix)]
#[test]
fn a_refused_path_is_refused_under_each_of_its_names() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("real/keys/deep")).unwrap();
    symlink("real", root.join("alias")).unwrap();
    symlink("real/other", root.join("link.env")).unwrap();
    let mut table = String::new();
    for pattern in
        ["real/keys/*", "alias/keys/*", "alias/k*", "alias/keys", "alias/keys/deep/a", "*.env"]
    {
        let pattern = if pattern.starts_with('*') {
            pattern.to_owned()
        } else {
            format!("{}/{pattern}", root.display())
        };
        let policy = policy(&[], &[pattern.as_str()]);
        let denied = |named: &str| {
            let named = root.join(named);
            let mut call = file("x", Effect::Read);
            call.1.touches =
                vec![Touch { path: resolve(&named), named, access: Access::Read, inside: true }];
            matches!(decide(Mode::Bypass, &[], &policy, call.0, &call.1), Verdict::Deny(_))
        };
        let denied: Vec<&str> = [
            "real/keys/deep/a",
            "alias/keys/deep/a",
            "real/x/../keys/deep/a",
            "real/keys",
            "real/other",
            "link.env",
            "./x/../link.env",
        ]
        .into_iter()
        .filter(|named| denied(named))
        .collect();
        writeln!(table, "{}: {denied:?}", pattern.replace(&root.display().to_string(), ""))
            .unwrap();
    }
    expect![[r#"
        /real/keys/*: ["real/keys/deep/a", "alias/keys/deep/a", "real/x/../keys/deep/a"]
        /alias/keys/*: ["real/keys/deep/a", "alias/keys/deep/a", "real/x/../keys/deep/a"]
        /alias/k*: ["real/keys/deep/a", "alias/keys/deep/a", "real/x/../keys/deep/a", "real/keys"]
        /alias/keys: ["real/keys/deep/a", "alias/keys/deep/a", "real/x/../keys/deep/a", "real/keys"]
        /alias/keys/deep/a: ["real/keys/deep/a", "alias/keys/deep/a", "real/x/../keys/deep/a"]
        *.env: ["link.env", "./x/../link.env"]
    "#]]
    .assert_eq(&table);
}

#[test]
fn patterns_of_paths_start_at_home_or_at_the_root() {
    let home = std::env::home_dir().unwrap();
    let policy = policy(&[], &["~/.ssh/*", "/et*", "relative/*"]);
    assert!(policy.names(&home.join(".ssh/id")) && policy.names("/etc".as_ref()));
    assert!(!policy.names("/relative/x".as_ref()) && !policy.names(&home.join("ssh/id")));
}
