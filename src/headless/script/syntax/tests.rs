//! Tests of reading scripts: text goes in, statements or the error come out.

use super::*;

fn actions(text: &str) -> Vec<Action> {
    let script = parse("a.drive", text).expect("a script");
    script.statements.into_iter().map(|statement| statement.action).collect()
}

fn error(text: &str) -> String {
    parse("a.drive", text).expect_err("no script").to_string()
}

#[test]
fn a_block_ends_at_its_word() {
    let text = "# comment\nfile a/b <<END\none\n\n  # two\nEND\ngit\n";
    assert_eq!(
        actions(text),
        [Action::File { path: "a/b".into(), text: "one\n\n  # two\n".into() }, Action::Git]
    );
}

#[test]
fn a_text_in_quotes_stands_for_a_block() {
    let file = |path: &str, text: &str| Action::File { path: path.into(), text: text.into() };
    assert_eq!(
        actions("file a \"x\\r\\n\"\nfile \"a b\" \"\"\nfile \"a b\" <<END\nx\nEND"),
        [file("a", "x\r\n"), file("a b", ""), file("a b", "x\n")]
    );
    assert!(error("file a b \"\"").contains("needs one word"));
    assert!(error("file a \"x\" <<END\nEND").contains("both a text and a block"));
}

#[test]
fn expected_lines_side_by_side_are_one_run() {
    let script =
        parse("a.drive", "prompt \"x\"\n<- say \"*\"\n...\n= end_turn\n\n@2 = end_turn\nexpect\n")
            .expect("a script");
    let runs: Vec<_> = script
        .statements
        .iter()
        .filter_map(|statement| {
            let Action::Expect(run) = &statement.action else { return None };
            Some((statement.line, statement.last, statement.session, run.len()))
        })
        .collect();
    assert_eq!(runs, [(2, 4, 1, 3), (6, 6, 2, 1), (7, 7, 1, 0)]);
}

#[test]
fn names_follow_as() {
    let prompt = |content: &str, name: Option<&str>| {
        Action::Talk(Talk::Prompt {
            content: serde_json::json!([{"type": "text", "text": content}]),
            name: name.map(str::to_owned),
        })
    };
    assert_eq!(actions("prompt \"run as root\""), [prompt("run as root", None)]);
    assert_eq!(actions("prompt \"x\" as second"), [prompt("x", Some("second"))]);
    assert_eq!(
        actions("initialize as i"),
        [Action::Talk(Talk::Initialize { params: serde_json::json!({}), name: Some("i".into()) })]
    );
}

#[test]
fn a_session_is_opened_by_its_address_or_its_id() {
    let open = |id: Option<&str>, params: Value, name: Option<&str>| {
        Action::Talk(Talk::Open {
            method: "session/load",
            id: id.map(str::to_owned),
            params,
            name: name.map(str::to_owned),
        })
    };
    let none = || serde_json::json!({});
    assert_eq!(actions("load"), [open(None, none(), None)]);
    assert_eq!(actions("load nobody as l"), [open(Some("nobody"), none(), Some("l"))]);
    assert_eq!(
        actions("load ${old} {\"cwd\": \"/\"}"),
        [open(Some("${old}"), serde_json::json!({"cwd": "/"}), None)]
    );
    assert_eq!(
        actions("load {\"cwd\": \"/\"} as l"),
        [open(None, serde_json::json!({"cwd": "/"}), Some("l"))]
    );
    assert_eq!(
        actions("list\nrestart"),
        [Action::Talk(Talk::List { params: none(), name: "list".to_owned() }), Action::Restart]
    );
    assert_eq!(error("load a b"), "a.drive:1: not JSON: expected value at line 1 column 1");
}

#[test]
fn bytes_are_unescaped() {
    assert_eq!(actions(r#"bytes "a\xff\n""#), [Action::Talk(Talk::Raw(vec![b'a', 0xff, b'\n']))]);
    assert_eq!(actions("send {} x"), [Action::Talk(Talk::Raw(b"{} x\n".to_vec()))]);
}

#[test]
fn errors_name_the_line() {
    assert_eq!(error("\nfly"), "a.drive:2: unknown verb `fly`");
    assert_eq!(
        error("file a <<END\nx"),
        "a.drive:1: the block has no end: a line `END` is missing"
    );
    assert_eq!(
        error("new {"),
        "a.drive:1: not JSON: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(
        error("request a/b"),
        "a.drive:1: `request` needs a name: end the line with `as NAME`"
    );
    assert!(error("wait 1h").starts_with("a.drive:1: `1h` is no duration"));
    assert!(error("except late").starts_with("a.drive:1: `except late` needs a reason"));
    assert!(error("@x prompt").starts_with("a.drive:1: `@x` is no session"));
    assert!(error("file a").starts_with("a.drive:1: `file` needs a block"));
}

#[test]
fn a_card_is_waited_for_by_its_state() {
    let wait = |task: &str, state: &str| Action::WaitCard {
        task: task.to_owned(),
        state: Pattern::new(state),
    };
    assert_eq!(
        actions("wait card t1 completed\nwait card t1.2 * {\"title\": \"x\"}"),
        [wait("t1", "completed"), wait("t1.2", "* {\"title\": \"x\"}")]
    );
    assert!(error("wait card t1").contains("needs a task and a state"));
    assert!(error("wait cards t1 x").contains("no duration"));
}
