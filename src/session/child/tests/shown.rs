//! What a client that shows children as sessions sees of one, and when.

use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::*;
use crate::event::{CallStatus, Event, Role};

/// A client that has room for so many events.
struct Client {
    room: Semaphore,
    seen: Mutex<Vec<String>>,
}

impl Client {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self { room: Semaphore::new(room), seen: Mutex::default() })
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

struct Streams(Arc<Client>);

impl ChildStreams for Streams {
    fn of(&self, child: &SessionId) -> Box<dyn ChildStream> {
        self.0.seen.lock().unwrap().push(format!("a stream for {child}"));
        Box::new(Stream(self.0.clone()))
    }
}

struct Stream(Arc<Client>);

impl ChildStream for Stream {
    fn ready(&self) -> BoxFuture<'_, ()> {
        async { drop(self.0.room.acquire().await) }.boxed()
    }

    fn is_ready(&self) -> bool {
        self.0.room.available_permits() > 0
    }

    fn show(&self, event: Event) {
        self.0.room.forget_permits(1);
        let line = match event {
            Event::Said { role: Role::Thought, .. } => "thought".to_owned(),
            Event::Said { content: Content::Text { text }, .. } => format!("text {text}"),
            Event::Call(update) => format!("call {} {:?}", update.id, update.status),
            Event::Plan(entries) => format!("plan {}", entries.len()),
            Event::Said { .. }
            | Event::Usage(_)
            | Event::Title(_)
            | Event::Commands(_)
            | Event::Settings(_)
            | Event::Subagent(_)
            | Event::Between(_)
            | Event::Notice(_)
            | Event::Board(_)
            | Event::FollowUp(_) => "something else".to_owned(),
        };
        self.0.seen.lock().unwrap().push(line);
    }
}

fn world(script: &str, client: &Arc<Client>) -> World {
    World::shown(script, Arc::new(Streams(client.clone())))
}

#[tokio::test]
async fn all_of_the_conversation_is_shown_in_order_and_nothing_else() {
    let client = Client::with_room(1_000);
    let world = world(
        "when any\n  think \"Hm.\"\n  say \"I look.\"\n  call list {}\n  \
         call plan {\"entries\": [{\"content\": \"Look\", \"status\": \"in_progress\"}]}\n  \
         usage input=12 output=3\nthen\n  say \"Nothing here.\"\n",
        &client,
    );
    let mut child = world.begin("look").await;
    child.hear("answered").await;
    let seen = client.seen();
    let text: String = seen.iter().filter_map(|line| line.strip_prefix("text ")).collect();
    assert_eq!(text, "I look.Nothing here.");
    assert_eq!(seen[..2], ["a stream for look", "thought"]);
    for line in ["call c1 Some(Completed)", "call c2 Some(Completed)", "plan 1"] {
        assert!(seen.iter().any(|seen| seen == line), "{line} of {seen:#?}");
    }
    let kinds = ["a stream", "thought", "text", "call", "plan"];
    assert!(seen.iter().all(|line| kinds.iter().any(|kind| line.starts_with(kind))), "{seen:#?}");
}

#[tokio::test]
async fn a_child_waits_for_the_client_and_its_end_does_not() {
    let client = Client::with_room(0);
    let world = world(
        "when any\n  say \"I wait.\"\n  call terminal {\"command\": \"sleep 600\"}\n",
        &client,
    );
    let mut child = world.begin("go").await;
    // Nothing is heard of what cannot be shown.
    let heard = tokio::time::timeout(Duration::from_millis(50), child.said.recv()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert_eq!(client.seen(), ["a stream for go"]);
    client.room.add_permits(1_000);
    child.hear("call c1 Some(\"`sleep").await;
    // What is taken from here on is too little for all that is still to say.
    client.room.forget_permits(1_000);
    child.child.close().await;
    let seen = client.seen();
    let ended = format!("call c1 {:?}", Some(CallStatus::Failed));
    assert_eq!(seen.iter().filter(|line| **line == ended).count(), 1, "{seen:#?}");
}
