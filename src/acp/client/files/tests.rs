//! A real connection in one process, on a clock that jumps: what an editor that is slow or silent costs.

use std::path::PathBuf;
use std::sync::Mutex;

use agent_client_protocol::v1::Responder;
use agent_client_protocol::{Agent, Channel, Client};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::acp::client::Reach;
use crate::acp::inbound::Features;
use crate::tools::local::Local;
use crate::tools::roots::Roots;
use crate::viewer::{Late, Viewer};

/// What an editor does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Answers,
    Refuses,
    Nothing,
    /// Answers after this time, whatever was said meanwhile.
    Later(Duration),
    /// Nothing until it is taken back: then it says that it did it.
    DidIt,
    /// Nothing until it is taken back: then it says that it did not do it.
    GaveUp,
    /// Nothing until it is taken back: then it says that it may not do it.
    RefusesLate,
    /// Puts the text on the disk, and does not say so.
    WritesSilently,
}

struct Editor {
    does: Mutex<Does>,
    /// What it was asked, in order.
    asked: Mutex<Vec<String>>,
    tasks: TaskTracker,
}

impl Editor {
    fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn asks(&self, what: &str, session: &acp::SessionId, path: &Path) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        self.asked.lock().unwrap().push(format!("{what} {session} {name}"));
    }

    fn answer<T: agent_client_protocol::JsonRpcResponse>(
        self: &Arc<Self>,
        response: T,
        responder: Responder<T>,
    ) {
        let (editor, does) = (self.clone(), *self.does.lock().unwrap());
        let cancellation = responder.cancellation();
        self.tasks.spawn(async move {
            let refused = Error::new(-32603, "it is locked");
            let answer = match does {
                Does::Answers => Ok(response),
                Does::Refuses => Err(refused),
                Does::Later(time) => {
                    tokio::time::sleep(time).await;
                    Ok(response)
                }
                Does::Nothing | Does::WritesSilently => {
                    cancellation.cancelled().await;
                    editor.asked.lock().unwrap().push("taken back".to_owned());
                    std::future::pending().await
                }
                Does::DidIt => {
                    cancellation.cancelled().await;
                    Ok(response)
                }
                Does::GaveUp => {
                    cancellation.cancelled().await;
                    Err(Error::request_cancelled())
                }
                Does::RefusesLate => {
                    cancellation.cancelled().await;
                    Err(refused)
                }
            };
            drop(responder.respond_with_result(answer));
        });
    }
}

struct World {
    folder: TempDir,
    editor: Arc<Editor>,
    host: EditorHost,
}

impl World {
    fn file(&self, name: &str) -> PathBuf {
        self.host.roots.cwd().join(name)
    }

    fn disk(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    fn task(&self) -> Arc<dyn Host> {
        self.host.of_task(&SessionId::new("child"))
    }

    /// What a task reads, and how many seconds that took.
    async fn read(&self, name: &str) -> (String, u64) {
        let begun = Instant::now();
        let text = self.task().read_text(&self.file(name)).await.unwrap();
        (text, begun.elapsed().as_secs())
    }

    async fn write(&self, name: &str, text: &str) -> (Result<(), HostError>, u64) {
        let begun = Instant::now();
        let written = self.task().write_text(&self.file(name), text).await;
        (written, begun.elapsed().as_secs())
    }
}

/// Plays `story` with an editor at the other end of a connection. It has `unsaved` in every file.
async fn with(late: Late, story: impl AsyncFnOnce(World)) {
    let editor = Arc::new(Editor {
        does: Mutex::new(Does::Answers),
        asked: Mutex::default(),
        tasks: TaskTracker::new(),
    });
    let (ours, theirs) = Channel::duplex();
    let (reads, writes) = (editor.clone(), editor.clone());
    let client = Client
        .v1()
        .on_receive_request(
            async move |request: acp::ReadTextFileRequest, responder, _| {
                reads.asks("read", &request.session_id, &request.path);
                reads.answer(acp::ReadTextFileResponse::new("unsaved"), responder);
                Ok(())
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |request: acp::WriteTextFileRequest, responder, _| {
                writes.asks("write", &request.session_id, &request.path);
                if *writes.does.lock().unwrap() == Does::WritesSilently {
                    std::fs::write(&request.path, &request.content).unwrap();
                }
                writes.answer(acp::WriteTextFileResponse::new(), responder);
                Ok(())
            },
            agent_client_protocol::on_receive_request!(),
        );
    let mut peers = JoinSet::new();
    peers.spawn(client.connect_to(theirs));
    let played = Agent.v1().connect_with(ours, async |connection| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("a.txt"), "on disk").unwrap();
        let host = EditorHost {
            session: acp::SessionId::new("parent"),
            connection: connection.into(),
            features: Features { read: true, write: true, terminal: true, events: false },
            viewer: Viewer { late, ..Viewer::default() },
            reach: Reach::default(),
            roots: Arc::new(Roots::new(root, &[])),
            local: Local::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        story(World { folder, editor, host }).await;
        Ok(())
    });
    played.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_editor_that_answers_has_the_files_of_tasks() {
    with(Late::Shown, async |mut world| {
        assert_eq!(world.read("a.txt").await, ("unsaved".to_owned(), 0));
        assert_eq!(world.write("a.txt", "new").await, (Ok(()), 0));
        assert_eq!(world.editor.asked(), ["read parent a.txt", "write parent a.txt"]);
        assert_eq!(world.disk("a.txt"), "on disk");
        // What it refuses to read the disk has; what it refuses to write is not written.
        world.editor.does(Does::Refuses);
        assert_eq!(world.read("a.txt").await, ("on disk".to_owned(), 0));
        let (refused, _) = world.write("a.txt", "new").await;
        assert!(refused.unwrap_err().to_string().contains("the editor said: it is locked"));
        assert_eq!(world.disk("a.txt"), "on disk");
        assert_eq!(world.editor.asked().len(), 2);
        // A client that shows the sessions of tasks is told which one asks, also below another one.
        world.editor.does(Does::Answers);
        world.host.viewer.subagents = true;
        let below = world.task().of_task(&SessionId::new("below"));
        below.read_text(&world.file("a.txt")).await.unwrap();
        world.read("a.txt").await;
        assert_eq!(world.editor.asked(), ["read below a.txt", "read child a.txt"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_asked() {
    with(Late::Lost, async |mut world| {
        let outside = world.folder.path().parent().unwrap().join("outside.txt");
        let prompt = world.host.reach.open_prompt();
        assert_eq!(world.read("a.txt").await, ("unsaved".to_owned(), 0));
        assert!(world.task().read_text(&outside).await.is_err());
        drop(prompt);
        assert_eq!(world.editor.asked(), ["read parent a.txt"]);
        // It may never answer now.
        assert_eq!(world.read("a.txt").await, ("on disk".to_owned(), 0));
        assert_eq!(world.write("a.txt", "new").await, (Ok(()), 0));
        assert_eq!(world.disk("a.txt"), "new");
        let _prompt = world.host.reach.open_prompt();
        world.host.features = Features::default();
        assert_eq!(world.read("a.txt").await, ("new".to_owned(), 0));
        assert_eq!(world.editor.asked(), [""; 0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_editor_costs_five_seconds_once_for_each_prompt() {
    with(Late::Shown, async |world| {
        world.editor.does(Does::Nothing);
        assert_eq!(world.read("a.txt").await, ("on disk".to_owned(), 5));
        assert_eq!(world.read("a.txt").await, ("on disk".to_owned(), 0));
        assert_eq!(world.write("a.txt", "new").await, (Ok(()), 0));
        assert_eq!(world.disk("a.txt"), "new");
        assert_eq!(world.editor.asked(), ["read parent a.txt", "taken back"]);
        let prompt = world.host.reach.open_prompt();
        assert_eq!(world.read("a.txt").await, ("new".to_owned(), 5));
        drop(prompt);
        assert_eq!(world.read("a.txt").await, ("new".to_owned(), 0));
        world.editor.does(Does::Answers);
        let _prompt = world.host.reach.open_prompt();
        assert_eq!(world.read("a.txt").await, ("unsaved".to_owned(), 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_that_ask_at_once_wait_at_once() {
    with(Late::Shown, async |world| {
        world.editor.does(Does::Nothing);
        let begun = Instant::now();
        let path = world.file("a.txt");
        let task = world.task();
        let reads = (0..10).map(|_| task.read_text(&path));
        for read in futures::future::join_all(reads).await {
            assert_eq!(read.unwrap(), "on disk");
        }
        assert_eq!(begun.elapsed().as_secs(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_happens_once_whoever_does_it() {
    // What a slow editor does, what the disk has in the end, how the call ends.
    let cases = [
        (Does::Nothing, "new", true),
        (Does::GaveUp, "new", true),
        (Does::DidIt, "on disk", true),
        (Does::RefusesLate, "on disk", false),
        (Does::WritesSilently, "new", true),
        (Does::Later(Duration::from_secs(4)), "on disk", true),
        (Does::Later(Duration::from_mins(1)), "new", true),
    ];
    for (does, disk, is_written) in cases {
        with(Late::Shown, async |world| {
            world.editor.does(does);
            let (written, seconds) = world.write("a.txt", "new").await;
            assert_eq!(written.is_ok(), is_written, "{does:?}");
            assert_eq!(world.disk("a.txt"), disk, "{does:?}");
            assert_eq!(seconds, if does == Does::Later(Duration::from_secs(4)) { 4 } else { 5 });
            let asked = world.editor.asked().into_iter().filter(|asked| asked != "taken back");
            assert_eq!(asked.collect::<Vec<_>>(), ["write parent a.txt"], "{does:?}");
            // An answer that comes later changes nothing.
            tokio::time::sleep(Duration::from_mins(2)).await;
            assert_eq!(world.disk("a.txt"), disk, "{does:?}");
        })
        .await;
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn what_the_editor_wrote_without_saying_so_is_not_written_again() {
    use std::os::unix::fs::MetadataExt as _;

    with(Late::Shown, async |world| {
        let number = |world: &World| std::fs::metadata(world.file("a.txt")).unwrap().ino();
        let before = number(&world);
        world.editor.does(Does::WritesSilently);
        assert_eq!(world.write("a.txt", "new").await, (Ok(()), 5));
        // This machine's own write would have put another file in its place.
        assert_eq!((world.disk("a.txt").as_str(), number(&world)), ("new", before));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_session_itself_waits_for_its_user_and_for_nobody_else() {
    with(Late::Shown, async |world| {
        let path = world.file("a.txt");
        world.editor.does(Does::Later(Duration::from_mins(1)));
        let prompt = world.host.reach.open_prompt();
        assert_eq!(world.host.read_text(&path).await.unwrap(), "unsaved");
        drop(prompt);
        // A turn that a report started.
        assert_eq!(world.host.read_text(&path).await.unwrap(), "on disk");
        world.host.write_text(&path, "new").await.unwrap();
        assert_eq!(world.disk("a.txt"), "new");
    })
    .await;
}
