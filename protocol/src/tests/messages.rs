//! Which type each message has: the one list that schema, examples and specification are made of.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::meta::{AgentCapabilities, ClientCapabilities, FollowUpMark, TaskMark};
use crate::session::{ListSessionsRequest, ListSessionsResponse};
use crate::steering::{SteerSessionRequest, SteerSessionResponse};
use crate::task::{
    AnswerTaskRequest, AnswerTaskResponse, CancelTaskRequest, CancelTaskResponse, CheckTaskRequest,
    CheckTaskResponse, CollectTaskRequest, CollectTaskResponse, DiffTaskRequest, DiffTaskResponse,
    DiscardTaskRequest, DiscardTaskResponse, ListTasksRequest, ListTasksResponse, MergeTaskRequest,
    MergeTaskResponse, ResumeTaskRequest, ResumeTaskResponse, SpawnTaskRequest, SpawnTaskResponse,
    SteerTaskRequest, SteerTaskResponse, SubscribeTaskRequest, SubscribedTaskEvent, SubscriptionId,
    TaskEventNotification, UnsubscribeTaskRequest, UnsubscribeTaskResponse,
};
use crate::{
    ErrorData, NOTIFICATIONS, REQUESTS, SESSION_LIST, SESSION_STEERING, SOCKET_REQUESTS,
    TASK_ANSWER, TASK_CANCEL, TASK_CHECK, TASK_COLLECT, TASK_DIFF, TASK_DISCARD, TASK_EVENT,
    TASK_LIST, TASK_MERGE, TASK_RESUME, TASK_SPAWN, TASK_STEER, TASK_SUBSCRIBE, TASK_UNSUBSCRIBE,
};

/// A message's type, as what can be done with it.
pub(super) struct Message {
    pub(super) name: String,
    /// A reference to its definition, which is made.
    pub(super) reference: fn(&mut SchemaGenerator) -> Value,
    /// Reads JSON as the type, and writes it again.
    pub(super) again: fn(Value) -> Result<Value, serde_json::Error>,
}

fn message<T: JsonSchema + Serialize + DeserializeOwned>() -> Message {
    Message {
        name: T::schema_name().into_owned(),
        reference: |generator| generator.subschema_for::<T>().to_value(),
        again: |value| serde_json::to_value(serde_json::from_value::<T>(value)?),
    }
}

/// Where a method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doors {
    Both,
    Acp,
    Socket,
}

pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) doors: Doors,
    pub(super) params: Message,
    /// None: a notification.
    pub(super) result: Option<Message>,
    /// The parameters on the socket, where they are others.
    pub(super) on_socket: Option<Message>,
}

fn request<P, R>(name: &'static str, doors: Doors) -> Method
where
    P: JsonSchema + Serialize + DeserializeOwned,
    R: JsonSchema + Serialize + DeserializeOwned,
{
    Method { name, doors, params: message::<P>(), result: Some(message::<R>()), on_socket: None }
}

/// All methods, in the order of the specification.
pub(super) fn methods() -> Vec<Method> {
    use Doors::{Acp, Both, Socket};
    vec![
        request::<SpawnTaskRequest, SpawnTaskResponse>(TASK_SPAWN, Both),
        request::<CheckTaskRequest, CheckTaskResponse>(TASK_CHECK, Both),
        request::<SteerTaskRequest, SteerTaskResponse>(TASK_STEER, Both),
        request::<CollectTaskRequest, CollectTaskResponse>(TASK_COLLECT, Both),
        request::<CancelTaskRequest, CancelTaskResponse>(TASK_CANCEL, Both),
        request::<ListTasksRequest, ListTasksResponse>(TASK_LIST, Both),
        request::<AnswerTaskRequest, AnswerTaskResponse>(TASK_ANSWER, Both),
        request::<ResumeTaskRequest, ResumeTaskResponse>(TASK_RESUME, Both),
        request::<DiffTaskRequest, DiffTaskResponse>(TASK_DIFF, Both),
        request::<MergeTaskRequest, MergeTaskResponse>(TASK_MERGE, Both),
        request::<DiscardTaskRequest, DiscardTaskResponse>(TASK_DISCARD, Both),
        Method {
            name: TASK_EVENT,
            doors: Both,
            params: message::<TaskEventNotification>(),
            result: None,
            on_socket: Some(message::<SubscribedTaskEvent>()),
        },
        request::<ListSessionsRequest, ListSessionsResponse>(SESSION_LIST, Socket),
        request::<SubscribeTaskRequest, SubscriptionId>(TASK_SUBSCRIBE, Socket),
        request::<UnsubscribeTaskRequest, UnsubscribeTaskResponse>(TASK_UNSUBSCRIBE, Socket),
        request::<SteerSessionRequest, SteerSessionResponse>(SESSION_STEERING, Acp),
    ]
}

/// What stands in the `_meta` of ACP's own messages: where, and its type.
pub(super) fn metas() -> Vec<(&'static str, Message)> {
    vec![
        ("clientCapabilities._meta.talaria", message::<ClientCapabilities>()),
        ("agentCapabilities._meta.talaria", message::<AgentCapabilities>()),
        ("toolCall._meta.talaria.task", message::<TaskMark>()),
        ("sessionUpdate._meta.talaria.followUp", message::<FollowUpMark>()),
    ]
}

/// What an error's `data` is.
pub(super) fn error_data() -> Message {
    message::<ErrorData>()
}

#[test]
fn each_name_has_its_messages() {
    let of = |wanted: &[Doors]| -> Vec<&str> {
        let methods = methods();
        let there = |method: &&Method| wanted.contains(&method.doors) && method.result.is_some();
        methods.iter().filter(there).map(|method| method.name).collect()
    };
    assert_eq!(of(&[Doors::Both]), REQUESTS);
    assert_eq!(of(&[Doors::Socket]), SOCKET_REQUESTS);
    let methods = methods();
    let told = methods.iter().filter(|method| method.result.is_none()).map(|method| method.name);
    assert_eq!(told.collect::<Vec<_>>(), NOTIFICATIONS);
}
