//! Who subscribed to the tasks of a session, as the socket serves them: first how each task stands, then what changes. A
//! subscription keeps nothing of its own, so that a slow one costs nothing: it is told less often.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jsonrpsee_core::error::{RegisterMethodError, SubscriptionError};
use jsonrpsee_core::server::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use jsonrpsee_core::to_json_raw_value;
use jsonrpsee_types::Params;
use talaria_protocol::task::SubscribeTaskRequest;
use talaria_protocol::{TASK_EVENT, TASK_SUBSCRIBE, TASK_UNSUBSCRIBE};

use super::methods::Doors;
use super::table::json_of;
use super::{CallError, extension, params};
use crate::ids::SessionId;
use crate::tasks::{Observer, Row};

/// The time between two looks at what has changed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a subscriber may leave an event where it is.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why a subscription ended, as its subscriber is told.
type Ended = Result<(), SubscriptionError>;

pub(super) fn register(module: &mut RpcModule<Doors>) -> Result<(), RegisterMethodError> {
    let follow =
        |params: Params<'static>, pending: PendingSubscriptionSink, doors: Arc<Doors>, _| {
            async move {
                let followed =
                    AssertUnwindSafe(follow(params, pending, doors)).catch_unwind().await;
                followed.unwrap_or_else(|_| Err(CallError::defect().message.into()))
            }
            .boxed()
        };
    module.register_subscription(TASK_SUBSCRIBE, TASK_EVENT, TASK_UNSUBSCRIBE, follow)?;
    Ok(())
}

async fn follow(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    doors: Arc<Doors>,
) -> Ended {
    let begun = begin(&params, &doors).await;
    drop((params, doors));
    let (session, observer) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    // It fails where the connection is gone.
    let Ok(sink) = pending.accept().await else { return Ok(()) };
    tell(&session, observer, &sink).await
}

async fn begin(params: &Params<'_>, doors: &Doors) -> Result<(SessionId, Observer), CallError> {
    let SubscribeTaskRequest { session_id } = params::read(json_of(params)?)?;
    let (_, tasks) = doors.open(&session_id)?;
    Ok((SessionId::new(session_id), tasks.observe().await?))
}

/// Until the subscriber or the session is gone.
async fn tell(session: &SessionId, mut observer: Observer, sink: &SubscriptionSink) -> Ended {
    loop {
        let rows = tokio::select! {
            biased;
            () = sink.closed() => return Ok(()),
            rows = observer.next() => rows,
        };
        let Some(rows) = rows else {
            return Err("The session is closed, and its tasks have ended.".into());
        };
        for row in rows {
            if !send(session, row, sink).await? {
                return Ok(());
            }
        }
        tokio::select! {
            biased;
            () = sink.closed() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Whether the subscriber is still there.
async fn send(
    session: &SessionId,
    row: Row,
    sink: &SubscriptionSink,
) -> Result<bool, SubscriptionError> {
    let event = to_json_raw_value(&extension::event(session, row))?;
    match sink.send_timeout(event, PATIENCE).await {
        Ok(()) => Ok(true),
        Err(_) if sink.is_closed() => Ok(false),
        Err(_) => {
            tracing::warn!(%session, "a subscriber that takes no events is dropped");
            Err("Events were not taken for five seconds. Subscribe again.".into())
        }
    }
}
