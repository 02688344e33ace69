//! Scripts played against a small agent in memory.

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinSet;

use super::*;
use crate::headless::script::syntax;
use crate::headless::script::update;

/// An agent whose prompts say what it does.
struct Agent {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    out: WriteHalf<DuplexStream>,
    sessions: usize,
}

impl Agent {
    async fn run(mut self) {
        while let Some(message) = self.receive().await {
            let id = message["id"].clone();
            match message["method"].as_str() {
                Some("initialize") => self.answer(&id, json!({"protocolVersion": 1})).await,
                Some("session/new") => {
                    self.sessions += 1;
                    self.answer(&id, json!({"sessionId": format!("s{}", self.sessions)})).await;
                }
                Some("session/load") => {
                    let session = message["params"]["sessionId"].clone();
                    let said = json!({"sessionUpdate": "user_message_chunk", "messageId": "m0",
                        "content": {"type": "text", "text": "before"}});
                    self.update(&session, said.clone()).await;
                    self.answer(&id, json!({})).await;
                    if session == "late" {
                        self.update(&session, said).await;
                    }
                }
                Some("session/fork") => self.answer(&id, json!({"sessionId": "fork"})).await,
                Some("session/list") => self.answer(&id, json!({"sessions": []})).await,
                Some("session/set_mode") => self.answer(&id, json!({})).await,
                Some("session/prompt") => self.prompt(&message).await,
                Some(other) if other != "session/cancel" => {
                    let error = json!({"code": -32601, "message": format!("no method {other}")});
                    self.send(json!({"jsonrpc": "2.0", "id": id, "error": error})).await;
                }
                _ => {}
            }
        }
    }

    async fn prompt(&mut self, message: &Value) {
        let (id, session) = (&message["id"], message["params"]["sessionId"].clone());
        let text = message["params"]["prompt"][0]["text"].as_str().unwrap_or_default();
        let say = |text: &str| {
            json!({"sessionUpdate": "agent_message_chunk", "messageId": "m1",
                "content": {"type": "text", "text": text}})
        };
        let mut stop = "end_turn";
        match text {
            "hello" => {
                self.update(
                    &session,
                    json!({"sessionUpdate": "usage_update", "used": 1, "size": 2}),
                )
                .await;
                self.update(&session, say("Hel")).await;
                self.update(
                    &session,
                    json!({"sessionUpdate": "usage_update", "used": 1, "size": 2}),
                )
                .await;
                self.update(&session, say("lo")).await;
            }
            "edit" => stop = self.edit(&session).await,
            "hang" => {
                self.update(&session, say("part")).await;
                while self
                    .receive()
                    .await
                    .is_some_and(|message| message["method"] != "session/cancel")
                {}
                stop = "cancelled";
            }
            "unfinished" => {
                let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c9", "title": "Wait",
                    "kind": "other", "status": "in_progress"});
                self.update(&session, call).await;
            }
            "delegate" => {
                self.update(&session, card("tool_call", ("in_progress", "running"), "begins"))
                    .await;
                self.update(&session, say("Started.")).await;
            }
            "noise" => self.out.write_all(b"starting up\n").await.expect("writes"),
            path => {
                let params = json!({"sessionId": session, "path": path});
                let answer = self.ask("fs/read_text_file", params).await;
                self.update(
                    &session,
                    say(answer["result"]["content"].as_str().unwrap_or("nothing")),
                )
                .await;
            }
        }
        self.answer(id, json!({"stopReason": stop})).await;
        if text == "delegate" {
            let running = ("in_progress", "running");
            self.update(&session, card("tool_call_update", running, "2 steps")).await;
            let over = ("completed", "completed");
            self.update(&session, card("tool_call_update", over, "found")).await;
        }
        if text == "late" {
            self.update(&session, say("late")).await;
        }
    }

    async fn edit(&mut self, session: &Value) -> &'static str {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "Edit a", "kind": "edit",
            "status": "pending"});
        self.update(session, call).await;
        let options: Vec<Value> = ["allow_once", "reject_once"]
            .map(|kind| json!({"optionId": kind, "kind": kind, "name": kind}))
            .to_vec();
        let params = json!({"sessionId": session, "options": options,
            "toolCall": {"toolCallId": "c1", "title": "Edit a"}});
        let outcome =
            self.ask("session/request_permission", params).await["result"]["outcome"].clone();
        let (status, stop) = match outcome["optionId"].as_str() {
            Some("allow_once") => ("completed", "end_turn"),
            Some(_) => ("failed", "end_turn"),
            None => ("failed", "cancelled"),
        };
        let update =
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": status});
        self.update(session, update).await;
        stop
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": "q1", "method": method, "params": params})).await;
        loop {
            match self.receive().await {
                Some(message) if message["id"] == "q1" => return message,
                Some(_) => {}
                None => return Value::Null,
            }
        }
    }

    async fn update(&mut self, session: &Value, update: Value) {
        let params = json!({"sessionId": session, "update": update});
        self.send(json!({"jsonrpc": "2.0", "method": "session/update", "params": params})).await;
    }

    async fn answer(&mut self, id: &Value, result: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "result": result})).await;
    }

    async fn send(&mut self, message: Value) {
        self.out.write_all(format!("{message}\n").as_bytes()).await.ok();
    }

    async fn receive(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.ok().flatten()?;
        serde_json::from_str(&line).ok()
    }
}

/// A change of the card of `t1`.
fn card(kind: &str, (status, state): (&str, &str), text: &str) -> Value {
    json!({"sessionUpdate": kind, "toolCallId": "task-t1", "title": "`t1` · Look", "kind": "think",
        "status": status, "content": [{"type": "content", "content": {"type": "text", "text": text}}],
        "_meta": {"talaria": {"task": {"id": "t1", "state": state}}}})
}

async fn played(script: &str, on_mismatch: OnMismatch) -> Played {
    let text = format!("deadline 2s\ninitialize\nnew\n{script}");
    let script = syntax::parse("test.drive", &text).expect("a script");
    let mut agents = JoinSet::new();
    let mut connect = |_: &Setup, policy: Policy| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (read, write) = tokio::io::split(theirs);
        let lines = BufReader::new(read).lines();
        agents.spawn(Agent { lines, out: write, sessions: 0 }.run());
        let (read, write) = tokio::io::split(ours);
        Ok(Editor::over(read, write, policy))
    };
    play(&script, &mut connect, on_mismatch, &mut None).await
}

async fn passes(script: &str) {
    let played = played(script, OnMismatch::Fail).await;
    assert!(
        played.failure.is_none(),
        "{}",
        played.failure.map(|f| f.to_string()).unwrap_or_default()
    );
}

async fn fails(script: &str) -> Failure {
    played(script, OnMismatch::Fail).await.failure.expect("a failure")
}

#[tokio::test]
async fn text_joins_across_hidden_lines() {
    passes("prompt \"hello\"\n← say \"Hello\"\n= end_turn\n").await;
    passes("show usage\nprompt \"hello\" as x\n← usage 1/2\n← say \"Hel\"\n...\n= x end_turn\n")
        .await;
}

#[tokio::test]
async fn a_message_that_goes_on_no_longer_matches() {
    let failure = fails("prompt \"hello\"\n← say \"Hel\"\n= end_turn\n").await;
    assert!(
        failure.message.contains("the message went on") || failure.message.contains("another line")
    );
}

#[tokio::test]
async fn a_difference_shows_all_that_came() {
    let failure = fails("prompt \"hello\"\n← say \"Bye\"\n= end_turn\n").await;
    assert_eq!(
        (failure.line, failure.message.as_str()),
        (5, "another line came than `← say \"Bye\"`")
    );
    assert_eq!(failure.difference, ["- ← say \"Bye\"", "+ ← say \"Hello\"", "  = end_turn"]);
}

#[tokio::test]
async fn an_agent_that_is_started_again_loads_what_was() {
    passes(
        "restart\ninitialize\nload\n← user \"before\"\nfork\n@2 prompt \"hello\"\n@2 ...\n@2 = end_turn\n\
         list\n= list {\"sessions\": []}\nload s9 as again\n@3 ← user \"before\"\n= again {}\n",
    )
    .await;
    let failure = fails("load late as load\n@2 ← user \"before\"\n= load {}\n").await;
    assert!(failure.message.contains("protocol violation (late)"), "{}", failure.message);
    let failure = fails("resume").await;
    assert!(failure.message.contains("`session/resume` failed"), "{}", failure.message);
}

#[tokio::test]
async fn policies_answer_questions() {
    let ask = "? permission c1 \"Edit a\" [allow_once reject_once]";
    passes(&format!(
        "permission allow_once reject_once cancelled\nprompt \"edit\"\n← call c1 edit \"Edit a\" pending\n{ask} → allow_once\n\
         ← call c1 completed\n= end_turn\nprompt \"edit\"\n← call * pending\n? * → reject_once\n← call c1 failed\n\
         = end_turn\nprompt \"edit\"\n...\n? * → cancelled\n...\n= cancelled\n"
    ))
    .await;
    passes(&format!(
        "permission ask-by-line\nprompt \"edit\"\n...\n{ask}\nanswer allow_once\n...\n= end_turn\n"
    ))
    .await;
    passes(&format!(
        "permission ask-by-line\nprompt \"edit\"\n...\n{ask}\ncancel\n...\n= cancelled\n"
    ))
    .await;
}

#[tokio::test]
async fn cancel_ends_a_stream() {
    passes("prompt \"hang\"\n← say \"part*\"\ncancel\n= cancelled\n").await;
}

#[tokio::test]
async fn buffers_and_files_are_read() {
    let caps = "initialize {\"clientCapabilities\": {\"fs\": {\"readTextFile\": true}}}\n";
    passes(&format!(
        "{caps}file a <<END\non disk\nEND\nprompt \"$CWD/a\"\n← fs/read_text_file $CWD/a\n← say \"on disk\\n\"\n\
         = end_turn\nbuffer a <<END\nunsaved\nEND\nprompt \"$CWD/a\"\n...\n← say \"unsaved\\n\"\n= end_turn\n"
    ))
    .await;
}

#[tokio::test]
async fn sessions_have_streams_of_their_own() {
    passes(
        "new\nprompt \"hello\" as one\n@2 prompt \"edit\"\n@2 ← call c1 edit \"Edit a\" pending\n@2 ...\n\
         @2 = end_turn\n← say \"Hello\"\n= one end_turn\n",
    )
    .await;
}

#[tokio::test]
async fn answers_match_in_part_and_are_captured() {
    passes("new as second\n= second {\"sessionId\": \"$SESSION2\"}\n").await;
    passes("request a/b as odd\n! odd -32601 \"no method ${name}\"\nrequest ${name} as same\n! same * \"*a/b\"\n")
        .await;
}

#[tokio::test]
async fn broken_laws_fail() {
    let failure = fails("prompt \"unfinished\"\n...\n").await;
    assert!(failure.message.contains("(final)"), "{}", failure.message);
    let failure = fails("prompt \"noise\"\n...\n").await;
    assert!(failure.message.contains("(wire)"), "{}", failure.message);
    let failure = fails("prompt \"/a\"\n...\n").await;
    assert!(failure.message.contains("(capabilities)"), "{}", failure.message);
    passes("except final \"the call belongs to a task\"\nprompt \"unfinished\"\n...\n= end_turn\n")
        .await;
}

#[tokio::test]
async fn what_was_not_expected_fails_at_the_end() {
    let failure = fails("prompt \"hello\"\n").await;
    assert!(failure.message.starts_with("this line was not expected"), "{}", failure.message);
    passes("prompt \"hello\"\n...\n").await;
}

#[tokio::test]
async fn an_update_writes_what_came() {
    let script =
        "prompt \"hello\"\nexpect\nprompt \"edit\"\n← call * pending\n← wrong\n= end_turn\n";
    let played = played(script, OnMismatch::Update).await;
    assert!(played.failure.is_none(), "{:?}", played.failure);
    let text = format!("deadline 2s\ninitialize\nnew\n{script}");
    assert_eq!(
        update::apply(&text, &played.edits),
        "deadline 2s\ninitialize\nnew\nprompt \"hello\"\n← say \"Hello\"\n= end_turn\nprompt \"edit\"\n\
         ← call * pending\n? permission c1 \"Edit a\" [allow_once reject_once] → reject_once\n\
         ← call c1 failed\n= end_turn\n"
    );
}

#[tokio::test]
async fn the_awaited_thing_is_named_at_a_timeout() {
    let failure = fails("deadline 100ms\nprompt \"hang\"\n← say \"whole\"\n").await;
    assert_eq!(failure.message, "`← say \"whole\"` did not come within 100ms");
    assert_eq!(failure.tail.last().map(String::as_str), Some("← say \"part\""));
}

#[tokio::test]
async fn cards_come_at_any_time_and_are_waited_for() {
    let started = "prompt \"delegate\"\n← say \"Started.\"\n= end_turn\n";
    passes(&format!(
        "{started}wait card t1 completed\nprompt \"hello\"\n← say \"Hello\"\n= end_turn\n"
    ))
    .await;
    let content = "{\"content\": [{\"content\": {\"text\": \"f*\"}}], \"title\": \"*Look\"}";
    passes(&format!("{started}wait card t1 * {content}\nwait card t1 comp*\n")).await;
    passes(
        "show card\nprompt \"delegate\"\n\
         ← card task-t1 think \"`t1` · Look\" in_progress text \"begins\"\n\
         ← say \"Started.\"\n= end_turn\n...\n← card task-t1 * completed text \"found\"\n",
    )
    .await;
    let late = fails(&format!("{started}deadline 50ms\nwait card t1 failed\n")).await;
    assert!(late.message.contains("it is `completed`"), "{}", late.message);
    let none = fails("deadline 50ms\nwait card t2 running\n").await;
    assert!(none.message.contains("there is none"), "{}", none.message);
    let other = fails(&format!("{started}new\ndeadline 50ms\n@2 wait card t1 completed\n")).await;
    assert!(other.message.contains("there is none"), "{}", other.message);
}
