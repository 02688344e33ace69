//! The protocol's own client in Rust, over the built binary's standard streams: it reads all that comes as typed
//! values, and follows a task from its announcement to its end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::thread;
use std::time::Duration;

use agent_client_protocol::schema::{MaybeUndefined, ProtocolVersion};
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Agent, Client, Lines};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

use super::native::home;

/// How long anything may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines of a process, each way.
fn lines(
    stdin: ChildStdin,
    stdout: ChildStdout,
) -> Lines<
    impl futures::Sink<String, Error = std::io::Error> + Send + 'static,
    impl futures::Stream<Item = std::io::Result<String>> + Send + 'static,
> {
    let (lines, incoming) = mpsc::unbounded();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if lines.unbounded_send(line).is_err() {
                return;
            }
        }
    });
    let (outgoing, mut texts) = mpsc::unbounded::<String>();
    thread::spawn(move || {
        let mut stdin = stdin;
        while let Some(text) = futures::executor::block_on(texts.next()) {
            if writeln!(stdin, "{text}").is_err() {
                return;
            }
        }
    });
    Lines::new(outgoing.sink_map_err(std::io::Error::other), incoming)
}

/// All updates, in order.
struct Updates {
    incoming: mpsc::UnboundedReceiver<acp::SessionNotification>,
}

impl Updates {
    async fn next(&mut self) -> acp::SessionNotification {
        let next = tokio::time::timeout(PATIENCE, self.incoming.next()).await;
        next.expect("an update in time").expect("the connection is open")
    }
}

fn ended(mut process: Child) {
    assert!(process.wait().unwrap().success());
}

#[tokio::test]
async fn the_sdks_client_follows_a_child_from_its_announcement_to_its_end() {
    let home = home("");
    let mut process = home.command().spawn().unwrap();
    let transport = lines(process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let (sender, incoming) = mpsc::unbounded();
    let (asks, mut asked) = mpsc::unbounded();
    let work = home.work();
    Client
        .v1()
        .name("sdk")
        .on_receive_notification(
            async move |update: acp::SessionNotification, _: ConnectionTo<Agent>| {
                // The test has ended where nobody takes it.
                drop(sender.unbounded_send(update));
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: acp::RequestPermissionRequest, responder, _| {
                asks.unbounded_send(request.session_id).unwrap();
                let option = request.options[0].option_id.clone();
                let selected = acp::SelectedPermissionOutcome::new(option);
                let outcome = acp::RequestPermissionOutcome::Selected(selected);
                responder.respond(acp::RequestPermissionResponse::new(outcome))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_with(transport, |connection: ConnectionTo<Agent>| async move {
            let capabilities =
                acp::ClientCapabilities::new().subagents(acp::SubagentCapabilities::new());
            let greeting =
                acp::InitializeRequest::new(ProtocolVersion::V1).client_capabilities(capabilities);
            connection.send_request(greeting).block_task().await?;
            let opened = acp::NewSessionRequest::new(work);
            let session = connection.send_request(opened).block_task().await?.session_id;
            let text = acp::ContentBlock::Text(acp::TextContent::new("async write x.txt"));
            let prompt = acp::PromptRequest::new(session.clone(), vec![text]);
            let answer = connection.send_request(prompt).block_task().await?;
            assert_eq!(answer.stop_reason, acp::StopReason::EndTurn);
            let child = follow(&mut Updates { incoming }, &session).await;
            assert_eq!(asked.next().await, Some(child));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(home.read("x.txt"), "new\n");
    ended(process);
}

/// From the announcement of a child to its idle state; what it says between is its own. The child.
#[expect(clippy::wildcard_enum_match_arm, reason = "what it must not say fails the test")]
async fn follow(updates: &mut Updates, session: &acp::SessionId) -> acp::SessionId {
    let announced = loop {
        let acp::SessionNotification { session_id, update, .. } = updates.next().await;
        assert_eq!(session_id, *session, "{update:?}");
        if let acp::SessionUpdate::SubagentUpdate(announced) = update {
            break announced;
        }
    };
    assert!(matches!(&announced.title, MaybeUndefined::Value(title) if title.contains("`t1`")));
    let can_cancel =
        |capabilities: &acp::SubagentSessionCapabilities| capabilities.cancel.is_some();
    assert!(matches!(&announced.capabilities, MaybeUndefined::Value(all) if can_cancel(all)));
    let child = announced.session_id;
    let (mut text, mut calls, mut messages) = (String::new(), 0, 0);
    let reason = loop {
        let acp::SessionNotification { session_id, update, .. } = updates.next().await;
        match update {
            acp::SessionUpdate::SubagentUpdate(update) => {
                assert_eq!((&session_id, &update.session_id), (session, &child));
                if let MaybeUndefined::Value(acp::StateUpdate::Idle(idle)) = update.state {
                    break idle.stop_reason;
                }
            }
            acp::SessionUpdate::SessionMessage(_) => messages += 1,
            _ if session_id == *session => {}
            update => {
                assert_eq!(session_id, child, "{update:?}");
                match update {
                    acp::SessionUpdate::AgentMessageChunk(chunk) => {
                        let acp::ContentBlock::Text(said) = chunk.content else { panic!("text") };
                        text.push_str(&said.text);
                    }
                    acp::SessionUpdate::ToolCall(_) => calls += 1,
                    acp::SessionUpdate::ToolCallUpdate(_) | acp::SessionUpdate::UsageUpdate(_) => {}
                    other => panic!("a child does not say that: {other:?}"),
                }
            }
        }
    };
    assert_eq!(reason, Some(acp::IdleStopReason::EndTurn));
    assert!(text.contains("x.txt"), "{text}");
    assert_eq!(calls, 1);
    // Goal and report, each in both transcripts.
    assert_eq!(messages, 4);
    child
}
