//! Events as ACP v1 updates, settings as options and modes.

mod subagents;

use agent_client_protocol::v1::schema as acp;

use crate::event::{
    CallContent, CallStatus, CallUpdate, CommandSpec, Event, FollowUpMark, Notice, PlanEntry,
    PlanPriority, PlanStatus, Role, Settings, TaskMark, ThoughtLevel, ToolKind,
};
use crate::ids::MessageId;
use crate::permission::{Answer, Grant, Mode};
use crate::transcript::Content;

/// Ids of the config options.
pub(in crate::acp) const MODE: &str = "mode";
pub(in crate::acp) const MODEL: &str = "model";
pub(in crate::acp) const THOUGHT: &str = "thought_level";

/// The plan that shows the session's tasks, beside the model's own.
const BOARD: &str = "tasks";

/// What says an event of `session`, in order: updates of it, and of a child where words go between the two.
pub(in crate::acp) fn notifications(
    session: &acp::SessionId,
    event: Event,
) -> Vec<acp::SessionNotification> {
    if let Event::Between(between) = event {
        return subagents::between(session, between);
    }
    let said = |update| acp::SessionNotification::new(session.clone(), update);
    updates(event).into_iter().map(said).collect()
}

/// The updates that say an event in its own session, in order.
pub(in crate::acp) fn updates(event: Event) -> Vec<acp::SessionUpdate> {
    match event {
        Event::Said { message, role, content } => vec![said(&message, role, content)],
        Event::Call(update) => vec![call(update)],
        Event::Plan(entries) => {
            vec![acp::SessionUpdate::Plan(acp::Plan::new(
                entries.into_iter().map(plan_entry).collect(),
            ))]
        }
        Event::Usage(usage) => {
            let cost = usage.cost.map(|amount| acp::Cost::new(amount, "USD"));
            let update = acp::UsageUpdate::new(usage.used, usage.size).cost(cost);
            vec![acp::SessionUpdate::UsageUpdate(update)]
        }
        Event::Title(title) => {
            vec![acp::SessionUpdate::SessionInfoUpdate(acp::SessionInfoUpdate::new().title(title))]
        }
        Event::Commands(commands) => {
            let commands = commands.iter().map(available).collect();
            vec![acp::SessionUpdate::AvailableCommandsUpdate(acp::AvailableCommandsUpdate::new(
                commands,
            ))]
        }
        Event::Subagent(subagent) => {
            vec![acp::SessionUpdate::SubagentUpdate(subagents::subagent(subagent))]
        }
        Event::Notice(shown) => vec![acp::SessionUpdate::Notice(notice(shown))],
        Event::Board(entries) => {
            let entries = entries.into_iter().map(plan_entry).collect();
            let plan = acp::PlanUpdateContent::items(acp::PlanId::new(BOARD), entries);
            vec![acp::SessionUpdate::PlanUpdate(acp::PlanUpdate::new(plan))]
        }
        // The first is in two sessions; the second is a mark on what comes.
        Event::Between(_) | Event::FollowUp(_) => Vec::new(),
        // Clients know one or the other; both are kept in step.
        Event::Settings(settings) => vec![
            acp::SessionUpdate::CurrentModeUpdate(acp::CurrentModeUpdate::new(settings.mode.id())),
            acp::SessionUpdate::ConfigOptionUpdate(acp::ConfigOptionUpdate::new(options(
                &settings,
            ))),
        ],
    }
}

fn said(message: &MessageId, role: Role, content: Content) -> acp::SessionUpdate {
    let id = acp::MessageId::new(message.as_str());
    let chunk = acp::ContentChunk::new(block(content)).message_id(id);
    match role {
        Role::User => acp::SessionUpdate::UserMessageChunk(chunk),
        Role::Agent => acp::SessionUpdate::AgentMessageChunk(chunk),
        Role::Thought => acp::SessionUpdate::AgentThoughtChunk(chunk),
    }
}

fn block(content: Content) -> acp::ContentBlock {
    match content {
        Content::Text { text } => acp::ContentBlock::Text(acp::TextContent::new(text)),
        Content::Image { mime, data } => {
            acp::ContentBlock::Image(acp::ImageContent::new(data, mime))
        }
        Content::Link { uri, name } => {
            acp::ContentBlock::ResourceLink(acp::ResourceLink::new(name, uri))
        }
        Content::Resource { uri, text } => {
            let contents = acp::TextResourceContents::new(text, uri);
            acp::ContentBlock::Resource(acp::EmbeddedResource::new(
                acp::EmbeddedResourceResource::TextResourceContents(contents),
            ))
        }
    }
}

/// The first update of a call names its tool and creates it; all others are patches.
fn call(update: CallUpdate) -> acp::SessionUpdate {
    let Some(tool) = update.tool else {
        return acp::SessionUpdate::ToolCallUpdate(call_patch(update));
    };
    let id = update.id.to_string();
    let created = acp::ToolCall::new(id, update.title.unwrap_or_else(|| tool.clone()))
        .name(tool)
        .kind(update.kind.map_or(acp::ToolKind::Other, kind))
        .status(update.status.map_or(acp::ToolCallStatus::Pending, status))
        .content(
            update.content.unwrap_or_default().into_iter().map(call_content).collect::<Vec<_>>(),
        )
        .locations(locations(update.locations.unwrap_or_default()))
        .raw_input(update.input)
        .raw_output(update.output)
        .meta(update.task.as_ref().map(meta));
    acp::SessionUpdate::ToolCall(created)
}

/// A change of a call, also as a permission request shows it.
pub(in crate::acp) fn call_patch(update: CallUpdate) -> acp::ToolCallUpdate {
    let fields = acp::ToolCallUpdateFields::new()
        .kind(update.kind.map(kind))
        .status(update.status.map(status))
        .title(update.title)
        .content(
            update.content.map(|content| content.into_iter().map(call_content).collect::<Vec<_>>()),
        )
        .locations(update.locations.map(locations))
        .raw_input(update.input)
        .raw_output(update.output);
    acp::ToolCallUpdate::new(update.id.to_string(), fields).meta(update.task.as_ref().map(meta))
}

fn notice(shown: Notice) -> acp::Notice {
    let severity =
        if shown.is_warning { acp::NoticeSeverity::Warning } else { acp::NoticeSeverity::Info };
    acp::Notice::new(severity, shown.title).description(shown.text)
}

/// What says of a notification that it belongs to a turn that no prompt asked for, and whether it is its
/// last.
pub(in crate::acp) fn follow_up(mark: &FollowUpMark, is_last: bool) -> acp::Meta {
    let mut said = serde_json::json!({ "generation": mark.generation, "tasks": mark.tasks });
    if is_last {
        said["over"] = true.into();
    }
    acp::Meta::from_iter([("talaria".to_owned(), serde_json::json!({ "followUp": said }))])
}

/// Our own data is nowhere but under our own key.
fn meta(task: &TaskMark) -> acp::Meta {
    let mark = serde_json::json!({ "task": { "id": task.id, "state": task.state } });
    acp::Meta::from_iter([("talaria".to_owned(), mark)])
}

fn call_content(content: CallContent) -> acp::ToolCallContent {
    match content {
        CallContent::Content(content) => {
            acp::ToolCallContent::Content(acp::Content::new(block(content)))
        }
        CallContent::Diff { path, old, new } => {
            acp::ToolCallContent::Diff(acp::Diff::new(path, new).old_text(old))
        }
        CallContent::Terminal(id) => {
            acp::ToolCallContent::Terminal(acp::Terminal::new(id.to_string()))
        }
    }
}

fn locations(locations: Vec<crate::event::Location>) -> Vec<acp::ToolCallLocation> {
    locations
        .into_iter()
        .map(|location| acp::ToolCallLocation::new(location.path).line(location.line))
        .collect()
}

fn kind(kind: ToolKind) -> acp::ToolKind {
    match kind {
        ToolKind::Read => acp::ToolKind::Read,
        ToolKind::Edit => acp::ToolKind::Edit,
        ToolKind::Search => acp::ToolKind::Search,
        ToolKind::Execute => acp::ToolKind::Execute,
        ToolKind::Think => acp::ToolKind::Think,
        ToolKind::Other => acp::ToolKind::Other,
    }
}

fn status(status: CallStatus) -> acp::ToolCallStatus {
    match status {
        CallStatus::Pending => acp::ToolCallStatus::Pending,
        CallStatus::InProgress => acp::ToolCallStatus::InProgress,
        CallStatus::Completed => acp::ToolCallStatus::Completed,
        CallStatus::Failed => acp::ToolCallStatus::Failed,
    }
}

fn plan_entry(entry: PlanEntry) -> acp::PlanEntry {
    let priority = match entry.priority {
        PlanPriority::High => acp::PlanEntryPriority::High,
        PlanPriority::Medium => acp::PlanEntryPriority::Medium,
        PlanPriority::Low => acp::PlanEntryPriority::Low,
    };
    let status = match entry.status {
        PlanStatus::Pending => acp::PlanEntryStatus::Pending,
        PlanStatus::InProgress => acp::PlanEntryStatus::InProgress,
        PlanStatus::Completed => acp::PlanEntryStatus::Completed,
    };
    acp::PlanEntry::new(entry.content, priority, status)
}

fn available(spec: &CommandSpec) -> acp::AvailableCommand {
    let input = spec.hint.map(|hint| {
        acp::AvailableCommandInput::Unstructured(acp::UnstructuredCommandInput::new(hint))
    });
    acp::AvailableCommand::new(spec.name, spec.description).input(input)
}

/// The session's options, whole: mode, model, thought level.
pub(in crate::acp) fn options(settings: &Settings) -> Vec<acp::SessionConfigOption> {
    let modes: Vec<_> = Mode::ALL
        .into_iter()
        .map(|mode| {
            acp::SessionConfigSelectOption::new(mode.id(), mode.title())
                .description(mode.description().to_owned())
        })
        .collect();
    let offered: Vec<_> = settings
        .models
        .iter()
        .map(|model| acp::SessionConfigSelectOption::new(model.clone(), model.clone()))
        .collect();
    let level_choices: Vec<_> = ThoughtLevel::ALL
        .into_iter()
        .map(|level| acp::SessionConfigSelectOption::new(level.id(), title(level)))
        .collect();
    vec![
        option(
            MODE,
            "Mode",
            acp::SessionConfigOptionCategory::Mode,
            (settings.mode.id().to_owned(), modes),
        ),
        option(
            MODEL,
            "Model",
            acp::SessionConfigOptionCategory::Model,
            (settings.model.clone(), offered),
        ),
        option(
            THOUGHT,
            "Thinking",
            acp::SessionConfigOptionCategory::ThoughtLevel,
            (settings.thought.id().to_owned(), level_choices),
        ),
    ]
}

fn option(
    id: &'static str,
    name: &str,
    category: acp::SessionConfigOptionCategory,
    (current, choices): (String, Vec<acp::SessionConfigSelectOption>),
) -> acp::SessionConfigOption {
    let select = acp::SessionConfigSelect::new(current, choices);
    acp::SessionConfigOption::new(id, name, acp::SessionConfigKind::Select(select))
        .category(category)
}

fn title(level: ThoughtLevel) -> &'static str {
    match level {
        ThoughtLevel::Auto => "Automatic",
        ThoughtLevel::Low => "Low",
        ThoughtLevel::Medium => "Medium",
        ThoughtLevel::High => "High",
    }
}

/// The same modes for clients that know no options.
pub(in crate::acp) fn modes(settings: &Settings) -> acp::SessionModeState {
    let available = Mode::ALL
        .into_iter()
        .map(|mode| {
            acp::SessionMode::new(mode.id(), mode.title())
                .description(mode.description().to_owned())
        })
        .collect();
    acp::SessionModeState::new(settings.mode.id(), available)
}

/// What a permission dialog offers; "always" says what it covers.
pub(in crate::acp) fn choices(grant: &Grant) -> Vec<acp::PermissionOption> {
    Answer::OFFERED
        .into_iter()
        .filter_map(|answer| {
            let (name, kind) = match answer {
                Answer::AllowOnce => ("Allow".to_owned(), acp::PermissionOptionKind::AllowOnce),
                Answer::AllowAlways => (
                    format!("Always allow {} in this session", grant.label),
                    acp::PermissionOptionKind::AllowAlways,
                ),
                Answer::RejectOnce => ("Reject".to_owned(), acp::PermissionOptionKind::RejectOnce),
                Answer::RejectAlways => (
                    format!("Always reject {} in this session", grant.label),
                    acp::PermissionOptionKind::RejectAlways,
                ),
                Answer::Unanswered => return None,
            };
            Some(acp::PermissionOption::new(answer.id(), name, kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::CallId;

    /// Checklist 86: what is ours is under our key of `_meta`, and nowhere else.
    #[test]
    fn the_task_of_a_card_is_in_meta_only() {
        let task = TaskMark { id: "t1".to_owned(), state: "running".to_owned() };
        let of_task = CallUpdate { task: Some(task), ..CallUpdate::new(CallId::new("task-t1")) };
        let card = CallUpdate { tool: Some("delegate_task_async".to_owned()), ..of_task.clone() };
        let meta = json!({"talaria": {"task": {"id": "t1", "state": "running"}}});
        let asked = serde_json::to_value(call_patch(of_task.clone())).unwrap();
        assert_eq!(asked, json!({"toolCallId": "task-t1", "_meta": meta}));
        for (update, kind) in [(card, "tool_call"), (of_task, "tool_call_update")] {
            let [update] = &*updates(Event::Call(update)) else { panic!("one update") };
            let value = serde_json::to_value(update).unwrap();
            assert_eq!((&value["sessionUpdate"], &value["_meta"]), (&json!(kind), &meta));
            let rest = value.as_object().unwrap().iter().filter(|(name, _)| *name != "_meta");
            assert!(rest.clone().all(|(name, _)| !name.contains("task")), "{value}");
        }
        let plain = call_patch(CallUpdate::new(CallId::new("c1")));
        assert_eq!(serde_json::to_value(plain).unwrap(), json!({"toolCallId": "c1"}));
    }
}
