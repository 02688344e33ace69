//! What clients do with what comes, each by its rules.

use serde_json::json;

use super::*;
use crate::headless::process::Ending;

/// A client with one session, and what comes to it.
struct Played {
    client: Client,
    policy: Policy,
    prompts: usize,
}

fn playing(name: &str) -> Played {
    let mut client = Client::new(profile::named(name).expect("a profile"));
    client.know("s");
    Played { client, policy: Policy::always(Answer::AllowOnce), prompts: 0 }
}

impl Played {
    fn sees(&mut self, seen: &Seen) -> Vec<Reaction> {
        self.client.see(seen, Some(&mut self.policy))
    }

    fn comes_of(&mut self, session: &str, update: Value) -> Vec<Reaction> {
        self.sees(&Seen::Update { session: session.to_owned(), update, meta: Value::Null })
    }

    fn comes(&mut self, update: Value) -> Vec<Reaction> {
        self.comes_of("s", update)
    }

    fn says(&mut self, id: &str, text: &str) -> Vec<Reaction> {
        self.comes(json!({"sessionUpdate": "agent_message_chunk", "messageId": id,
            "content": {"type": "text", "text": text}}))
    }

    fn calls(&mut self, kind: &str, id: &str, status: &str) -> Vec<Reaction> {
        self.comes(json!({"sessionUpdate": kind, "toolCallId": id, "kind": "edit",
            "title": format!("Edit {id}"), "status": status}))
    }

    fn asks(&mut self, call: &str) -> Vec<Reaction> {
        let params = json!({"sessionId": "s", "toolCall": {"toolCallId": call, "title": "Edit it"},
            "options": [{"optionId": "a", "kind": "allow_once"}]});
        let method = "session/request_permission".to_owned();
        self.sees(&Seen::Asked { id: json!(7), method, params, said: None })
    }

    fn prompts(&mut self, text: &str) {
        self.prompts += 1;
        let request = RequestId(self.prompts.to_string());
        self.client.prompts(request, ("s", &json!([{"type": "text", "text": text}])));
    }

    fn ends(&mut self, reason: &str) -> Vec<Reaction> {
        self.sees(&Seen::Answered {
            request: RequestId(self.prompts.to_string()),
            method: "session/prompt".to_owned(),
            session: "s".to_owned(),
            result: Ok(json!({ "stopReason": reason })),
        })
    }

    #[track_caller]
    fn shows(&self, expected: &[&str]) {
        assert_eq!(self.client.lines(|_| 1), expected);
    }
}

#[test]
fn pieces_of_a_message_are_one_and_calls_change_where_they_stand() {
    let mut played = playing("toad");
    played.prompts("go");
    played.says("m1", "Hel");
    played.calls("tool_call", "c1", "pending");
    played.says("m1", "lo\nyou");
    played.calls("tool_call_update", "c1", "completed");
    played.comes(
        json!({"sessionUpdate": "plan", "entries": [{"content": "a", "status": "pending"}]}),
    );
    played.shows(&[
        "user: go",
        "agent: Hello",
        "  you",
        "call edit Edit c1 [completed]",
        "plan:",
        "  [pending] a",
        "prompt: busy",
    ]);
}

#[test]
fn late_text_is_shown_marked_overwritten_or_lost() {
    for (name, expected) in [
        ("zed", &["user: one", "agent: late", "user: two", "agent: next", "prompt: busy"][..]),
        (
            "agent-shell",
            &[
                "user: one",
                "agent (above the prompt): late",
                "user: two",
                "agent: next",
                "prompt: busy",
            ],
        ),
        ("vscode", &["user: one", "agent: next", "user: two", "prompt: busy"]),
        ("codecompanion", &["user: one", "user: two", "agent: next", "prompt: busy"]),
    ] {
        let mut played = playing(name);
        played.prompts("one");
        played.ends("end_turn");
        played.says("m1", "late");
        played.prompts("two");
        played.says("m2", "next");
        played.shows(expected);
    }
}

#[test]
fn zed_knows_only_its_sessions_and_others_show_them_in_the_open_one() {
    for (name, expected) in
        [("zed", &["prompt: free"][..]), ("toad", &["agent: child", "prompt: free"])]
    {
        let mut played = playing(name);
        played.comes_of(
            "other",
            json!({"sessionUpdate": "agent_message_chunk",
            "content": {"type": "text", "text": "child"}}),
        );
        played.shows(expected);
    }
}

#[test]
fn zed_marks_calls_at_a_stop_and_a_status_revives_them() {
    let mut played = playing("zed");
    assert!(!played.client.stops("s"), "with no prompt open it sends nothing");
    played.prompts("go");
    played.calls("tool_call", "c1", "in_progress");
    played.calls("tool_call", "c2", "completed");
    assert!(played.client.stops("s"));
    played.shows(&[
        "user: go",
        "call edit Edit c1 [canceled]",
        "call edit Edit c2 [completed]",
        "prompt: busy",
    ]);
    played.calls("tool_call_update", "c1", "in_progress");
    played.ends("cancelled");
    played.shows(&[
        "user: go",
        "call edit Edit c1 [in_progress]",
        "call edit Edit c2 [completed]",
        "note: cancelled",
        "prompt: free",
    ]);
}

#[test]
fn zed_closes_a_dialog_at_a_status() {
    for (name, reactions, state) in [
        (
            "zed",
            vec![Reaction::Answer { request: json!(7), answer: Answer::Unanswered }],
            "closed by an update, unanswered",
        ),
        ("toad", Vec::new(), "open"),
    ] {
        let mut played = playing(name);
        played.policy = Policy::Manual;
        played.prompts("go");
        played.calls("tool_call", "c1", "pending");
        assert_eq!(played.asks("c1"), Vec::new());
        assert_eq!(played.calls("tool_call_update", "c1", "in_progress"), reactions);
        let dialog = format!("  ? Edit it [allow_once]: {state}");
        played.shows(&["user: go", "call edit Edit c1 [in_progress]", &dialog, "prompt: busy"]);
    }
}

#[test]
fn a_late_question_is_answered_or_never() {
    let allowed = Reaction::Answer { request: json!(7), answer: Answer::AllowOnce };
    for (name, late) in [
        ("zed", allowed.clone()),
        ("vscode", allowed.clone()),
        ("codecompanion", Reaction::Ignore(json!(7))),
        ("unknown", Reaction::Ignore(json!(7))),
    ] {
        assert_eq!(playing(name).asks("c1"), [late], "{name}");
        let mut played = playing(name);
        played.prompts("go");
        assert_eq!(played.asks("c1"), std::slice::from_ref(&allowed), "{name}");
        played.client.answered(&json!(7), Answer::AllowOnce);
        played.shows(&[
            "user: go",
            "call Edit it []",
            "  ? Edit it [allow_once]: allow_once",
            "prompt: busy",
        ]);
    }
}

#[test]
fn an_unknown_call_is_missed_or_made_up() {
    for (name, line) in
        [("zed", "call Tool call not found [failed]"), ("toad", "call edit Edit c1 [completed]")]
    {
        let mut played = playing(name);
        played.calls("tool_call_update", "c1", "completed");
        played.shows(&[line, "prompt: free"]);
    }
}

#[test]
fn a_refusal_takes_the_message_away_in_zed_alone() {
    for (name, expected) in [
        ("zed", &["user: one", "prompt: free"][..]),
        ("toad", &["user: one", "user: two", "agent: No.", "note: refusal", "prompt: free"]),
    ] {
        let mut played = playing(name);
        played.prompts("one");
        played.ends("end_turn");
        played.prompts("two");
        played.says("m1", "No.");
        played.ends("refusal");
        played.shows(expected);
    }
}

#[test]
fn toad_complains_of_what_it_does_not_know() {
    let title = json!({"sessionUpdate": "session_info_update", "title": "A"});
    let complaint = Reaction::Complain("unknown update `session_info_update`".to_owned());
    assert_eq!(playing("toad").comes(title.clone()), [complaint]);
    assert_eq!(playing("vscode").comes(title), []);
}

#[test]
fn what_is_typed_while_a_prompt_is_open_goes_when_it_is_answered() {
    let mut played = playing("agent-shell");
    played.prompts("one");
    let typed = Typed {
        number: 1,
        session: "s".to_owned(),
        content: json!([{"type": "text", "text": "two"}]),
        name: None,
    };
    played.client.types(typed.clone());
    played.shows(&["user: one", "prompt: busy", "  typed, not sent: two"]);
    assert_eq!(played.ends("end_turn"), [Reaction::Poll, Reaction::Send(typed)]);
    played.shows(&["user: one", "prompt: free"]);
}

#[test]
fn a_task_that_runs_is_shown_by_its_state_alone() {
    let card = |status: &str, text: &str| {
        json!({"sessionUpdate": "tool_call", "toolCallId": "task-t1", "title": "`t1` · Look",
            "kind": "think", "status": status,
            "content": [{"type": "content", "content": {"type": "text", "text": text}}],
            "_meta": {"talaria": {"task": {"id": "t1", "state": "running"}}}})
    };
    let mut played = playing("talaria");
    played.comes(card("in_progress", "running · 3 steps\n```\nsaid\n```"));
    played.shows(&["call think `t1` · Look [in_progress]", "  | running", "prompt: free"]);
    played.comes(card("completed", "completed · 12 s\n\nFound."));
    played.shows(&[
        "call think `t1` · Look [completed]",
        "  | completed · (time)",
        "  |",
        "  | Found.",
        "prompt: free",
    ]);
}

#[test]
fn the_end_of_the_agent_ends_what_is_open() {
    let mut played = playing("unknown");
    played.prompts("go");
    let ending = Ending { code: None, description: String::new(), stderr: String::new() };
    played.sees(&Seen::Ended(ending));
    played.shows(&["user: go", "note: the agent has ended", "prompt: free"]);
}
