//! Tests of the printer: updates go in, text or lines of JSON come out.

use expect_test::{Expect, expect};

use super::*;

fn check(format: Format, updates: &[Value], expected: &Expect) {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, format);
    for update in updates {
        printer.update(update, &|_| None).expect("writes");
    }
    printer.result(&Ok(json!({"stopReason": "end_turn"}))).expect("writes");
    printer.usage().expect("writes");
    expected.assert_eq(&String::from_utf8(out).expect("text"));
}

fn said(kind: &str, text: &str) -> Value {
    json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}})
}

#[test]
fn a_conversation_is_readable() {
    let updates = [
        said("agent_thought_chunk", "Hm\nyes"),
        said("agent_message_chunk", "Hel"),
        said("agent_message_chunk", "lo\u{1b}[2J"),
        json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "Edit a", "kind": "edit",
            "status": "pending"}),
        json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "in_progress"}),
        json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "completed",
            "content": [{"type": "diff", "path": "/a", "oldText": "one\ntwo\n", "newText": "one\n2\n"}]}),
        json!({"sessionUpdate": "tool_call", "toolCallId": "c2", "title": "make", "kind": "execute",
            "status": "failed", "content": [{"type": "content",
            "content": {"type": "text", "text": "```\nno rule\n```"}}]}),
        json!({"sessionUpdate": "plan", "entries": [{"content": "Rest", "status": "in_progress"}]}),
        json!({"sessionUpdate": "usage_update", "used": 1200, "size": 200_000,
            "cost": {"amount": 0.5, "currency": "USD"}}),
    ];
    check(
        Format::Plain,
        &updates,
        &expect![[r#"
            · Hm
            · yes
            Hello[2J
            ● Edit a … done
                  one
                - two
                + 2
            ● make … failed
                no rule
              [>] Rest
            1 200 of 200 000 tokens, 0.5000 USD
        "#]],
    );
}

#[test]
fn each_message_begins_on_a_line() {
    let said = |message: &str, text: &str| {
        json!({"sessionUpdate": "agent_message_chunk", "messageId": message,
            "content": {"type": "text", "text": text}})
    };
    check(
        Format::Plain,
        &[
            said("m2", "Hel"),
            said("m2", "lo"),
            said("m3", "\n\n"),
            said("m3", "\nNot saved."),
            said("m2", " there"),
        ],
        &expect![[r#"
            Hello
            Not saved.
             there
        "#]],
    );
}

#[test]
fn a_question_drives_no_terminal() {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, Format::Plain);
    let title = "`rm -r x #\u{1b}[2K\r`\n? \u{202e}sl";
    let call = json!({"toolCallId": "c1", "title": title});
    printer.question(&json!({"toolCall": call})).expect("writes");
    printer.prompt("pasted \u{1b}[2J\ntext").expect("writes");
    printer.note("Going on with \u{1b}]0;x\u{7}").expect("writes");
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "? `rm -r x #[2K`\n    ? sl\n\n› pasted [2J\n  text\n\nGoing on with ]0;x\n"
    );
}

#[test]
fn json_has_a_line_for_each_update() {
    let update = json!({"sessionUpdate": "agent_message_chunk"});
    check(
        Format::Json,
        &[update],
        &expect![[r#"
            {"sessionUpdate":"agent_message_chunk"}
            {"stopReason":"end_turn"}
        "#]],
    );
}

#[test]
fn a_running_call_is_shown_on_a_terminal_and_replaced() {
    let call = |id: &str, status: &str| json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": id, "status": status});
    check(
        Format::Coloured,
        &[
            call("a", "in_progress"),
            call("b", "in_progress"),
            call("b", "completed"),
            call("a", "completed"),
        ],
        &expect![[
            "\u{1b}[36m● a\u{1b}[0m … \r\u{1b}[2K\u{1b}[36m● b\u{1b}[0m … \r\u{1b}[2K\u{1b}[36m● b\u{1b}[0m … done\n\u{1b}[36m● a\u{1b}[0m … done\n"
        ]],
    );
}

#[test]
fn a_thought_is_dimmed_and_ends() {
    check(
        Format::Coloured,
        &[said("agent_thought_chunk", "Hm"), said("agent_message_chunk", "Hi")],
        &expect![["\u{1b}[2mHm\u{1b}[0m\nHi\n"]],
    );
}

#[test]
fn an_error_is_written_for_programs_only() {
    for (format, written) in [
        (Format::Plain, ""),
        (Format::Json, "{\"error\":{\"code\":-32603,\"message\":\"gone\",\"data\":null}}\n"),
    ] {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format);
        printer.result(&Err(RpcError::new(-32603, "gone"))).expect("writes");
        assert_eq!(String::from_utf8(out).expect("text"), written);
    }
}

#[test]
fn a_card_is_shown_when_it_comes_to_be_and_when_its_task_is_over() {
    let card = |kind: &str, id: &str, state: &str, text: &str| {
        let mut card = json!({"sessionUpdate": kind, "toolCallId": id, "title": "`t1` · Look",
            "kind": "think", "status": match state {
                "queued" => "pending",
                "running" | "waiting" => "in_progress",
                "completed" => state,
                _ => "failed",
            },
            "content": [{"type": "content", "content": {"type": "text", "text": text}}],
            "_meta": {"talaria": {"task": {"id": "t1", "state": state}}}});
        if state == "queued" {
            // As it is on the wire.
            card.as_object_mut().expect("an object").remove("status");
        }
        card
    };
    let updates = [
        said("agent_message_chunk", "I let it"),
        card("tool_call", "task-t1", "queued", "queued, place 1"),
        card("tool_call_update", "task-t1", "running", "running"),
        said("agent_message_chunk", "Started."),
        card("tool_call_update", "task-t1", "waiting", "waiting"),
        card("tool_call_update", "task-t1", "running", "running \u{b7} 3 steps"),
        card("tool_call", "task-t1/c1", "running", "asked"),
        card("tool_call_update", "task-t1/c1", "completed", "edited"),
        card("tool_call_update", "task-t1", "completed", "completed · 3 s\n\nIt is there.\nThere."),
        card("tool_call_update", "task-t1", "completed", "completed · 3 s\n\nIt is there.\nThere."),
        card("tool_call", "task-t1-2", "running", "running"),
        card("tool_call_update", "task-t1-2", "cancelled", "cancelled · 0 s\nnot needed"),
        card("tool_call", "task-t2", "interrupted", "interrupted: it ended"),
    ];
    let expected = expect![[r#"
        I let it
        ◦ `t1` · Look … queued, place 1
        ◦ `t1` · Look … started
        Started.
        ◦ `t1` · Look … waiting
        ◦ `t1` · Look … goes on
        ● `t1` · Look … done
        ● `t1` · Look … completed · 3 s
            It is there.
            There.
        ◦ `t1` · Look … started
        ● `t1` · Look … cancelled · 0 s
            not needed
        ● `t1` · Look … interrupted: it ended
    "#]];
    check(Format::Plain, &updates, &expected);
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, Format::Coloured);
    for update in &updates[1..4] {
        printer.update(update, &|_| None).expect("writes");
    }
    printer.start_line().expect("writes");
    let text = String::from_utf8(out).expect("text");
    assert!(!text.contains("\u{1b}[2K"), "no line waits for the end of a task: {text:?}");
}

#[test]
fn who_counts_no_tokens_says_nothing_of_them() {
    let usage = json!({"sessionUpdate": "usage_update", "used": 0, "size": 128_000});
    check(Format::Plain, &[said("agent_message_chunk", "Hi"), usage], &expect![["Hi\n"]]);
}
