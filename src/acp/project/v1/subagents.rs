//! The sessions of tasks as updates of the sessions that started them: `subagent_update`, and the words between
//! the two. It does not know which clients understand that.

use agent_client_protocol::schema::MaybeUndefined;
use agent_client_protocol::v1::schema as acp;

use crate::event::{Between, Subagent, SubagentState};

/// What is absent is left unchanged, as in the event.
pub(super) fn subagent(subagent: Subagent) -> acp::SubagentUpdate {
    let Subagent { child, title, description, can_cancel, state } = subagent;
    let mut update = acp::SubagentUpdate::new(child.as_str().to_owned());
    if let Some(title) = title {
        update = update.title(title);
    }
    if let Some(description) = description {
        update = update.description(description);
    }
    if let Some(can_cancel) = can_cancel {
        let cancel = can_cancel.then(acp::SessionCancelCapabilities::new);
        update = update.capabilities(acp::SubagentSessionCapabilities::new().cancel(cancel));
    }
    if let Some(state) = state {
        update.state = snapshot(state);
    }
    update
}

/// Each says all that is known of the state: it replaces the one before it whole.
fn snapshot(state: SubagentState) -> MaybeUndefined<acp::StateUpdate> {
    let reason = match state {
        SubagentState::Running => {
            let running = acp::StateUpdate::Running(acp::RunningStateUpdate::new());
            return MaybeUndefined::Value(running);
        }
        SubagentState::Asks => {
            let asks = acp::StateUpdate::RequiresAction(acp::RequiresActionStateUpdate::new());
            return MaybeUndefined::Value(asks);
        }
        // It has work to do and does not do it: neither running nor idle, which would say that it is ready
        // for more. Without a state nothing is asserted.
        SubagentState::Waits => return MaybeUndefined::Null,
        SubagentState::Finished => acp::IdleStopReason::EndTurn,
        SubagentState::Cancelled => acp::IdleStopReason::Cancelled,
        SubagentState::Failed { message } => {
            let code = acp::ErrorCode::InternalError.into();
            let error = acp::Error::new(code, message);
            acp::IdleStopReason::from(acp::ErrorStopReason::new().error(error))
        }
    };
    let idle = acp::IdleStateUpdate::new().stop_reason(reason);
    MaybeUndefined::Value(acp::StateUpdate::Idle(idle))
}

/// Words between `session` and a child of it, in both transcripts, the sender's first. Each has an id of its own
/// there and names the other's.
pub(super) fn between(session: &acp::SessionId, between: Between) -> Vec<acp::SessionNotification> {
    let Between { message, child, to_child, text } = between;
    let child = acp::SessionId::new(child.as_str());
    let here = acp::MessageId::new(message.as_str());
    // A child has one parent, whose ids are unique; its own hold no such letter.
    let there = acp::MessageId::new(format!("parent/{message}"));
    let content = vec![acp::ContentBlock::Text(acp::TextContent::new(text))];
    let (sender, sent, recipient, received) = if to_child {
        (session.clone(), here, child, there)
    } else {
        (child, there, session.clone(), here)
    };
    let view = |id: &acp::MessageId| {
        acp::SessionMessage::new(id.clone())
            .sender_session_id(sender.clone())
            .recipient_session_id(recipient.clone())
            .content(content.clone())
    };
    let outgoing = view(&sent).recipient_message_id(received.clone());
    let incoming = view(&received).sender_message_id(sent);
    [(sender.clone(), outgoing), (recipient.clone(), incoming)]
        .map(|(transcript, message)| {
            let update = acp::SessionUpdate::SessionMessage(message);
            acp::SessionNotification::new(transcript, update)
        })
        .into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{notifications, updates};
    use super::*;
    use crate::event::{Event, Notice, PlanEntry, PlanPriority, PlanStatus};
    use crate::ids::{MessageId, SessionId};

    fn said(event: Event) -> Vec<Value> {
        let updates = updates(event);
        let values = updates.iter().map(|update| {
            let value = serde_json::to_value(update).unwrap();
            // A typed client understands what is written.
            let read: acp::SessionUpdate = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(read, *update);
            value
        });
        values.collect()
    }

    fn with_state(state: SubagentState) -> Value {
        let child = SessionId::new("child");
        let update = Subagent {
            child,
            title: None,
            description: None,
            can_cancel: None,
            state: Some(state),
        };
        let mut all = said(Event::Subagent(update));
        let mut update = all.remove(0);
        assert!(all.is_empty() && update["sessionId"] == "child", "{update}");
        // What did not change is not there.
        assert_eq!(update.as_object().unwrap().len(), 3, "{update}");
        update["state"].take()
    }

    #[test]
    fn a_child_is_announced_whole() {
        let announced = Subagent {
            child: SessionId::new("child"),
            title: Some("`t1` · look".to_owned()),
            description: Some("look around".to_owned()),
            can_cancel: Some(true),
            state: Some(SubagentState::Running),
        };
        let expected = json!({
            "sessionUpdate": "subagent_update",
            "sessionId": "child",
            "title": "`t1` · look",
            "description": "look around",
            "capabilities": { "cancel": {} },
            "state": { "state": "running" },
        });
        assert_eq!(said(Event::Subagent(announced.clone())), [expected]);
        let fixed = Subagent { can_cancel: Some(false), ..announced };
        assert_eq!(said(Event::Subagent(fixed))[0]["capabilities"], json!({}));
    }

    /// Checklist 78.
    #[test]
    fn c78_each_state_is_a_whole_snapshot() {
        let failed = SubagentState::Failed { message: "no key".to_owned() };
        let states = [
            (SubagentState::Running, json!({"state": "running"})),
            (SubagentState::Asks, json!({"state": "requires_action"})),
            (SubagentState::Waits, Value::Null),
            (SubagentState::Finished, json!({"state": "idle", "stopReason": "end_turn"})),
            (SubagentState::Cancelled, json!({"state": "idle", "stopReason": "cancelled"})),
            (
                failed,
                json!({
                    "state": "idle", "stopReason": "error",
                    "error": { "code": -32603, "message": "no key" },
                }),
            ),
        ];
        for (state, expected) in states {
            assert_eq!(with_state(state), expected);
        }
    }

    #[test]
    fn words_between_two_sessions_are_in_both_transcripts() {
        let parent = acp::SessionId::new("parent");
        let words = |to_child| {
            let between = Between {
                message: MessageId::new("m3"),
                child: SessionId::new("child"),
                to_child,
                text: "look".to_owned(),
            };
            let all = notifications(&parent, Event::Between(between));
            serde_json::to_value(all).unwrap()
        };
        let content = json!([{ "type": "text", "text": "look" }]);
        let sent = |id: &str, other: &str, from: &str, to: &str| {
            json!({
                "sessionUpdate": "session_message", "messageId": id, "recipientMessageId": other,
                "senderSessionId": from, "recipientSessionId": to, "content": content,
            })
        };
        let received = |id: &str, other: &str, from: &str, to: &str| {
            json!({
                "sessionUpdate": "session_message", "messageId": id, "senderMessageId": other,
                "senderSessionId": from, "recipientSessionId": to, "content": content,
            })
        };
        let down = json!([
            { "sessionId": "parent", "update": sent("m3", "parent/m3", "parent", "child") },
            { "sessionId": "child", "update": received("parent/m3", "m3", "parent", "child") },
        ]);
        assert_eq!(words(true), down);
        let up = json!([
            { "sessionId": "child", "update": sent("parent/m3", "m3", "child", "parent") },
            { "sessionId": "parent", "update": received("m3", "parent/m3", "child", "parent") },
        ]);
        assert_eq!(words(false), up);
    }

    #[test]
    fn a_notice_is_one_and_the_board_is_a_plan_of_its_own() {
        let notice = |text: Option<&str>, is_warning| {
            let title = "`t1` has finished".to_owned();
            let text = text.map(str::to_owned);
            said(Event::Notice(Notice { title, text, is_warning }))
        };
        let expected = json!({
            "sessionUpdate": "notice", "severity": "info", "title": "`t1` has finished",
        });
        assert_eq!(notice(None, false), [expected]);
        let expected = json!({
            "sessionUpdate": "notice", "severity": "warning", "title": "`t1` has finished",
            "description": "in 3 s",
        });
        assert_eq!(notice(Some("in 3 s"), true), [expected]);
        let entry = PlanEntry {
            content: "`t1` · look".to_owned(),
            status: PlanStatus::InProgress,
            priority: PlanPriority::Medium,
        };
        let entries = json!([
            { "content": "`t1` · look", "priority": "medium", "status": "in_progress" },
        ]);
        let expected = json!({
            "sessionUpdate": "plan_update",
            "plan": { "type": "items", "planId": "tasks", "entries": entries },
        });
        assert_eq!(said(Event::Board(vec![entry.clone()])), [expected]);
        // The model's own stays the ordinary plan.
        let expected = json!({ "sessionUpdate": "plan", "entries": entries });
        assert_eq!(said(Event::Plan(vec![entry])), [expected]);
    }
}
