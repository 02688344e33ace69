//! What leaves a session while its journal is slow or in trouble, with a model, tools and a real actor.

use std::sync::Arc;

use futures::FutureExt;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::{self, Config};
use crate::event::{CallContent, Role, TaskMark};
use crate::ids::MessageId;
use crate::model::catalog;
use crate::model::provider::HttpClient;
use crate::session::outbox::{Item, Outbox};
use crate::session::written::Written;
use crate::session::{
    self, Opening, Outgoing, Outlet, PromptWaiter, SessionHandle, restore::RestoredSettings,
};
use crate::store::{Disk, Journal, Trouble};
use crate::tools::local::Local;
use crate::tools::permission::Policy;
use crate::tools::roots::Roots;
use crate::tools::{ToolSettings, Toolbox};
use crate::turn::{Environment, Go, Stopper};
use crate::viewer::{Late, Viewer};

/// The client's side: takes as many events as there is room for.
struct Client {
    said: mpsc::Sender<String>,
    room: Arc<Semaphore>,
}

impl Outlet for Client {
    async fn ready(&self) -> bool {
        self.room.acquire().await.unwrap().forget();
        true
    }

    fn say(&mut self, outgoing: Outgoing) -> bool {
        let line = match outgoing {
            Outgoing::Event(event) => line(&Effect::Tell(event)).unwrap(),
            Outgoing::Answered { reply, answer } => {
                let line = format!("answered {answer:?}");
                reply(answer);
                line
            }
            Outgoing::Set { reply, answer } => {
                reply(answer);
                "set".to_owned()
            }
            Outgoing::Titled { reply, answer } => {
                let line = format!("titled {answer:?}");
                reply(answer);
                line
            }
            Outgoing::Steered { reply, answer } => {
                let line = format!("steered {answer:?}");
                reply(answer);
                line
            }
            Outgoing::Delivered(prompts) => format!("delivered {prompts:?}"),
            Outgoing::Replied { text, .. } => format!("replied {text:?}"),
            Outgoing::Ask(question) => format!("ask {}", question.id()),
            Outgoing::Withdraw(call) => format!("withdraw {call}"),
            Outgoing::Closed(reply) => {
                if let Some(reply) = reply {
                    reply(());
                }
                "closed".to_owned()
            }
        };
        self.said.try_send(line).is_ok()
    }
}

struct World {
    folder: TempDir,
    session: SessionHandle,
    disk: Disk,
    room: Arc<Semaphore>,
    said: mpsc::Receiver<String>,
    tasks: TaskTracker,
}

impl World {
    /// A session on a scripted model, whose journal handles nothing yet.
    fn open(script: &str) -> Self {
        let (session, inbox) = session::handle();
        Self::open_as(session, inbox, script, Restored::default())
    }

    fn open_as(
        session: SessionHandle,
        inbox: session::Inbox,
        script: &str,
        restored: Restored,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.script");
        std::fs::write(&path, script).unwrap();
        let mut config = Config::default();
        config.model.name = Some(format!("scripted:{}", path.display()));
        let choice =
            catalog::resolve(&config, &config::Environment::default(), &HttpClient::start())
                .unwrap();
        let environment = Environment {
            config: Arc::new(config),
            roots: Arc::new(Roots::new(folder.path().to_owned(), &[])),
            host: Arc::new(Local::new()),
            toolbox: Toolbox::builtin(&ToolSettings::default()),
            policy: Arc::new(Policy::default()),
            cache_key: String::new(),
            system: OnceCell::new_with(Some("system".into())),
            tasks: None,
        };
        let settings = Settings {
            mode: Mode::Bypass,
            model: "model".to_owned(),
            models: vec!["model".to_owned()],
            thought: ThoughtLevel::Auto,
        };
        let (journal, disk) = Journal::scripted();
        let opening = Opening {
            viewer: Viewer { late: Late::Shown, ..Viewer::default() },
            environment: Arc::new(environment),
            choice,
            settings,
            version: "1.2.3",
            journal,
            restored,
            is_shown: true,
            notice: None,
            inherited: None,
            parent: None,
        };
        let (sender, said) = mpsc::channel(256);
        let room = Arc::new(Semaphore::new(256));
        let client = Client { said: sender, room: room.clone() };
        let tasks = TaskTracker::new();
        session::start(opening, inbox, client, &tasks, CancellationToken::new());
        Self { folder, session, disk, room, said, tasks }
    }

    fn prompt(&self, text: &str) {
        let waiter = PromptWaiter { reply: Box::new(|_| {}), open: Box::new(()) };
        self.session.prompt(vec![Content::text(text)], waiter);
    }

    /// Waits until the record is appended that a call begins; what is before it is told meanwhile, since the
    /// call is judged behind that.
    async fn begun(&mut self) -> u64 {
        let reply = self.disk.appended("reply").await;
        self.disk.handle(reply);
        self.disk.appended("begun").await
    }

    /// What is said from now on, up to and with what begins with `last`.
    async fn hear(&mut self, last: &str) -> String {
        let mut lines = String::new();
        while let Some(line) = self.said.recv().await {
            lines.push_str(&format!("{line}\n"));
            if line.starts_with(last) {
                return lines;
            }
        }
        panic!("it ended: {lines}");
    }

    /// Nothing is said and nothing more comes about: all tasks had their turns.
    async fn is_silent(&mut self) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            // Files are written in threads of their own.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        self.said.try_recv().is_err()
    }
}

/// A reply, and how to see that it was called.
fn reply() -> (session::Reply<()>, oneshot::Receiver<()>) {
    let (called, calls) = oneshot::channel();
    (Box::new(move |()| called.send(()).unwrap()), calls)
}

const SAY: &str = "when any\n  say \"Hello\"\n";
const WRITE: &str =
    "when any\n  call write {\"path\": \"a.txt\", \"content\": \"new\"}\nthen\n  say \"Done.\"\n";

#[tokio::test]
async fn nothing_leaves_before_it_is_handled() {
    let mut world = World::open(SAY);
    world.prompt("go");
    world.disk.appended("end").await;
    assert_eq!(world.hear("tell Commands").await.lines().count(), 1);
    assert!(world.is_silent().await);
    let reply = world.disk.appended("reply").await;
    // The words came behind the turn's record, the usage behind the reply's.
    world.disk.handle(reply - 1);
    let mut heard = world.hear("say").await;
    assert!(world.is_silent().await);
    world.disk.handle(reply);
    heard.push_str(&world.hear("tell Usage").await);
    assert!(world.is_silent().await);
    world.disk.handle_all();
    heard.push_str(&world.hear("answered").await);
    expect![[r#"
        say "Hello"
        tell Usage(UsageReport { used: 0, size: 128000, cost: None })
        title "go"
        answered Ok(Finished)
    "#]]
    .assert_eq(&heard);
    expect!["prompt turn title reply end"].assert_eq(&world.disk.kinds().join(" "));
}

#[tokio::test]
async fn a_writing_call_does_not_begin_before_that_is_written() {
    let mut world = World::open(WRITE);
    world.prompt("go");
    let begun = world.begun().await;
    world.disk.handle(begun - 1);
    world.hear("call c1 Some(InProgress)").await;
    let file = world.folder.path().join("a.txt");
    assert!(world.is_silent().await);
    assert!(!file.exists());
    world.disk.handle_all();
    world.hear("answered").await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "new");
    expect!["prompt turn title reply call begun saw outcome reply end"]
        .assert_eq(&world.disk.kinds().join(" "));
}

/// What comes next in the outbox; a call goes on.
fn pop(outbox: &mut Outbox) -> &'static str {
    match outbox.pop() {
        None => "nothing",
        Some(Item::Say(_)) => "said",
        Some(Item::Append(_)) => "written",
        Some(Item::LetGo(go)) => {
            go.now();
            "let go"
        }
    }
}

#[tokio::test]
async fn calls_go_on_in_order_each_behind_its_record_and_what_was_said() {
    let told = |text: &str| {
        Outgoing::Event(Event::Said {
            message: MessageId::new("m1"),
            role: Role::Agent,
            content: Content::text(text),
        })
    };
    let cancel = CancellationToken::new();
    let mut outbox = Outbox::default();
    let ((first, first_gone), (second, second_gone)) = (Go::new(), Go::new());
    outbox.push(1, told("a"));
    outbox.let_go(2, first);
    // No text is joined across a call that waits.
    outbox.push(2, told("b"));
    outbox.let_go(3, second);
    let (mut first, mut second) = (
        Box::pin(first_gone.wait(&cancel, Stopper::User)),
        Box::pin(second_gone.wait(&cancel, Stopper::User)),
    );
    assert_eq!((outbox.waits_for(), pop(&mut outbox)), (Some(1), "said"));
    assert!((&mut first).now_or_never().is_none());
    assert_eq!((outbox.waits_for(), pop(&mut outbox)), (Some(2), "let go"));
    assert_eq!(first.now_or_never(), Some(Ok(())));
    assert_eq!((outbox.waits_for(), pop(&mut outbox)), (Some(2), "said"));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!((outbox.waits_for(), pop(&mut outbox)), (Some(3), "let go"));
    assert_eq!(second.now_or_never(), Some(Ok(())));
    assert_eq!((outbox.waits_for(), pop(&mut outbox)), (None, "nothing"));
    assert_eq!(outbox.bytes(), 0);
}

#[tokio::test]
async fn what_came_about_unseen_is_neither_missed_nor_waited_for() {
    let (journal, disk) = Journal::scripted();
    let mut written = Written::new(journal);
    written.append(Record::Begun { call: CallId::new("c1") }, Durability::Process);
    written.look();
    disk.trouble(Some(Trouble::Full));
    disk.handle(1);
    // Until the next look nothing changes, so that somebody waits for what came about.
    assert!(!written.is_handled(1) && written.is_waiting());
    written.look();
    assert!(written.is_handled(1));
    assert_eq!(written.trouble(), Some(&Trouble::Full));
    written.changed().await;
    // The end of trouble is waited for, too.
    assert!(written.is_waiting());
    disk.trouble(None);
    written.changed().await;
    assert!(written.trouble().is_none() && !written.is_waiting());
}

const READ: &str = "when any\n  call read {\"path\": \"a.txt\"}\nthen\n  say \"Done.\"\n";
const TWO_READS: &str =
    "when any\n  call read {\"path\": \"a.txt\"}\n  call list {}\nthen\n  say \"Done.\"\n";
const LIST: &str = "when any\n  call list {}\nthen\n  say \"Done.\"\n";

#[tokio::test]
async fn no_call_begins_before_the_client_took_that_it_does() {
    for (script, written) in [
        (READ, "prompt turn title reply call"),
        (LIST, "prompt turn title reply call"),
        (WRITE, "prompt turn title reply call begun"),
    ] {
        let mut world = World::open(script);
        world.room.forget_permits(256);
        world.disk.handle_all();
        world.prompt("go");
        // The commands, the call as it is announced, the usage, the call's input.
        for event in ["tell Commands", "call c1 Some(Pending)", "tell Usage", "call c1 None"] {
            assert!(world.is_silent().await);
            assert!(written.starts_with(&world.disk.kinds().join(" ")));
            world.room.add_permits(1);
            let heard = world.hear(event).await;
            assert_eq!(heard.lines().count(), 1, "{heard}");
        }
        world.disk.appended("call").await;
        assert!(world.is_silent().await);
        assert_eq!(world.disk.kinds().join(" "), written);
        world.room.add_permits(1);
        world.hear("call c1 Some(InProgress)").await;
        world.disk.appended("outcome").await;
        world.room.add_permits(256);
        world.hear("answered").await;
    }
}

#[tokio::test]
async fn what_reaches_outside_is_known_after_a_power_cut() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("there.txt"), "old").unwrap();
    let there = elsewhere.path().display();
    for (call, durability) in [
        (
            r#"edit {"path": "here.txt", "edits": [{"old_text": "old", "new_text": "new"}]}"#
                .to_owned(),
            Durability::Process,
        ),
        (r#"write {"path": "new.txt", "content": "new"}"#.to_owned(), Durability::Process),
        (r#"terminal {"command": "true"}"#.to_owned(), Durability::Power),
        (format!(r#"write {{"path": "{there}/new.txt", "content": "new"}}"#), Durability::Power),
        (r#"write {"path": "away/newer.txt", "content": "new"}"#.to_owned(), Durability::Power),
    ] {
        let mut world = World::open(&format!(
            "when any\n  call read {{\"path\": \"here.txt\"}}\n  call {call}\nthen\n  say \"Done.\"\n"
        ));
        std::fs::write(world.folder.path().join("here.txt"), "old").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), world.folder.path().join("away")).unwrap();
        world.disk.handle_all();
        world.prompt("go");
        world.hear("answered").await;
        assert_eq!(world.disk.durabilities("begun"), [durability], "{call}");
        let others = world.disk.kinds().into_iter().filter(|kind| *kind != "begun");
        for kind in others {
            assert!(!world.disk.durabilities(kind).contains(&Durability::Power), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_change_is_not_looked_at_before_the_call_is_announced() {
    let mut world = World::open(WRITE);
    world.disk.handle_all();
    world.room.forget_permits(256);
    world.prompt("go");
    world.disk.appended("reply").await;
    world.room.add_permits(3);
    world.hear("tell Usage").await;
    assert!(world.is_silent().await);
    expect!["prompt turn title reply"].assert_eq(&world.disk.kinds().join(" "));
    world.room.add_permits(1);
    world.hear("call c1 None").await;
    world.disk.appended("begun").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_up_neither_a_cancel_nor_a_close() {
    for script in [READ, WRITE, TWO_READS] {
        for closes in [false, true] {
            for taken in [0, 4] {
                let mut world = World::open(script);
                world.disk.handle_all();
                world.room.forget_permits(256 - taken);
                world.prompt("go");
                world.disk.appended(if taken == 0 { "reply" } else { "call" }).await;
                world.is_silent().await;
                if closes {
                    world.session.close(Box::new(|()| {})).await;
                } else {
                    world.session.cancel();
                }
                world.disk.appended("end").await;
                let kinds = world.disk.kinds();
                assert!(!kinds.contains(&"saw"), "{kinds:?}");
                world.room.add_permits(256);
                let heard = world.hear("answered").await;
                assert!(heard.contains("call c1 Some(Failed)"), "{heard}");
                assert!(heard.ends_with("answered Ok(Cancelled)\n"), "{heard}");
                assert!(!world.folder.path().join("a.txt").exists());
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_waits_to_begin_can_be_cancelled() {
    let mut world = World::open(WRITE);
    world.prompt("go");
    let begun = world.begun().await;
    world.disk.handle(begun - 1);
    world.hear("call c1 Some(InProgress)").await;
    world.session.cancel();
    world.disk.appended("end").await;
    world.disk.handle_all();
    expect![[r#"
        call c1 Some(Failed)
        title "go"
        answered Ok(Cancelled)
    "#]]
    .assert_eq(&world.hear("answered").await);
    assert!(!world.folder.path().join("a.txt").exists());
}

#[tokio::test]
async fn a_write_that_failed_lets_the_session_go_on_and_is_said_once() {
    let mut world = World::open(WRITE);
    world.disk.trouble(Some(Trouble::Full));
    world.prompt("go");
    world.begun().await;
    // Tried, and not written.
    world.disk.handle_all();
    let mut heard = world.hear("answered").await;
    assert_eq!(std::fs::read_to_string(world.folder.path().join("a.txt")).unwrap(), "new");
    world.disk.trouble(None);
    assert!(world.is_silent().await);
    world.prompt("again");
    heard.push_str(&world.hear("answered").await);
    expect![[r#"
        tell Commands([CommandSpec { name: "help", description: "List the commands and what they do", hint: None }, CommandSpec { name: "model", description: "Show the model, or switch to another one", hint: Some("name of a model") }, CommandSpec { name: "mode", description: "Show the mode, or switch to another one", hint: Some("ask, accept-edits, plan or bypass") }, CommandSpec { name: "usage", description: "Show tokens and cost of this session", hint: None }, CommandSpec { name: "version", description: "Show Talaria's version", hint: None }])
        say "This session is not being saved at the moment. The disk is full. Free some space. What is said meanwhile is kept in memory, and saved as soon as that is possible.\n\n"
        call c1 Some(Pending)
        tell Usage(UsageReport { used: 0, size: 128000, cost: None })
        call c1 None
        call c1 Some(InProgress)
        call c1 Some(Completed)
        say "Done."
        tell Usage(UsageReport { used: 0, size: 128000, cost: None })
        title "go"
        answered Ok(Finished)
        say "This session is saved again, with all that was said.\n\n"
        call c2 Some(Pending)
        tell Usage(UsageReport { used: 0, size: 128000, cost: None })
        call c2 None
        call c2 Some(InProgress)
        call c2 Some(Completed)
        say "Done."
        tell Usage(UsageReport { used: 0, size: 128000, cost: None })
        answered Ok(Finished)
    "#]]
    .assert_eq(&heard);
}

#[tokio::test]
async fn a_write_that_fails_behind_the_turn_is_said_before_its_answer() {
    let mut world = World::open(SAY);
    world.prompt("go");
    // The turn is over; that its end is not written becomes known only now.
    world.disk.appended("end").await;
    world.disk.trouble(Some(Trouble::Locked));
    world.disk.handle_all();
    let heard = world.hear("answered").await;
    let said: Vec<&str> = heard
        .lines()
        .filter(|line| ["say", "answered"].iter().any(|kind| line.starts_with(kind)))
        .collect();
    expect![[r#"
        [
            "say \"Hello\"",
            "say \"\\n\\nThis session is not being saved at the moment. The database is locked by another program. If it is no other Talaria that is busy for a moment, end the program that has `talaria.db` open. What is said meanwhile is kept in memory, and saved as soon as that is possible.\"",
            "answered Ok(Finished)",
        ]
    "#]]
    .assert_debug_eq(&said);
}

#[tokio::test]
async fn a_title_is_answered_behind_its_update_and_when_it_is_written() {
    let mut world = World::open(SAY);
    world.session.set_title(" My  title ".to_owned(), Box::new(|_| {}));
    let title = world.disk.appended("title").await;
    assert!(world.is_silent().await);
    world.disk.handle(title);
    expect![[r#"
        title "My title"
        titled Ok("My title")
    "#]]
    .assert_eq(&world.hear("titled").await);
}

#[tokio::test]
async fn a_close_is_answered_when_all_is_written_and_the_journal_given_back() {
    let mut world = World::open("when any\n  say \"Hello\"\n  gate never\n");
    world.prompt("go");
    world.disk.appended("turn").await;
    world.hear("tell Commands").await;
    let (reply, mut closed) = reply();
    world.session.close(reply).await;
    let title = world.disk.appended("title").await;
    assert!(world.is_silent().await);
    assert!(closed.try_recv().is_err() && !world.disk.is_given_back());
    // The answer is behind the last record.
    world.disk.handle(title - 1);
    world.is_silent().await;
    assert!(closed.try_recv().is_err() && !world.disk.is_given_back());
    world.disk.handle_all();
    closed.await.unwrap();
    assert!(world.disk.is_given_back());
    world.tasks.close();
    world.tasks.wait().await;
}

#[tokio::test]
async fn a_client_that_is_gone_costs_no_record() {
    let mut world = World::open(SAY);
    world.prompt("go");
    world.hear("tell Commands").await;
    let (_, nobody) = mpsc::channel(1);
    world.said = nobody;
    world.disk.appended("end").await;
    let reply = world.disk.appended("reply").await;
    // The words may leave; nobody takes them, and the session closes.
    world.disk.handle(reply - 1);
    world.is_silent().await;
    assert!(!world.session.is_open() && !world.disk.is_given_back());
    world.disk.handle_all();
    world.tasks.close();
    world.tasks.wait().await;
    assert!(world.disk.is_given_back());
}

#[test]
fn joined_text_waits_for_the_newer_record() {
    let text = |text: &str| {
        Outgoing::Event(Event::Said {
            message: MessageId::new("m1"),
            role: Role::Agent,
            content: Content::text(text),
        })
    };
    let mut outbox = Outbox::default();
    outbox.push(1, text("a"));
    outbox.push(2, text("b"));
    assert_eq!(outbox.waits_for(), Some(2));
    assert!(outbox.pop().is_some() && outbox.waits_for().is_none());
}

#[tokio::test]
async fn a_session_that_hands_over_finishes_its_turn_and_is_reached_until_then() {
    let mut world = World::open("when any\n  say \"Hello\"\n  gate never\n");
    world.disk.handle_all();
    world.prompt("go");
    world.hear("say \"Hello\"").await;
    let (reply, mut over) = reply();
    world.session.hand_over(reply).await;
    assert!(world.is_silent().await);
    assert!(over.try_recv().is_err() && world.session.is_open());
    world.session.cancel();
    expect![[r#"
        title "go"
        answered Ok(Cancelled)
        closed
    "#]]
    .assert_eq(&world.hear("closed").await);
    over.await.unwrap();
    assert!(world.disk.is_given_back() && !world.session.is_open());
}

#[tokio::test]
async fn a_hand_over_is_taken_back_unless_the_session_has_ended() {
    let mut world = World::open("when any\n  say \"Hello\"\n  gate never\n");
    world.disk.handle_all();
    world.prompt("go");
    world.hear("say \"Hello\"").await;
    let (first, _over) = reply();
    world.session.hand_over(first).await;
    assert!(world.session.stay().await);
    world.session.cancel();
    world.hear("answered Ok(Cancelled)").await;
    assert!(world.is_silent().await && world.session.is_open());
    let (second, over) = reply();
    world.session.hand_over(second).await;
    world.hear("closed").await;
    over.await.unwrap();
    assert!(!world.session.stay().await);
}

#[tokio::test]
async fn a_session_takes_its_last_settings_where_they_still_hold() {
    let settings = |model: &str| {
        let last = RestoredSettings {
            mode: Mode::Plan,
            model: model.to_owned(),
            thought: ThoughtLevel::High,
        };
        Restored { settings: Some(last), ..Restored::default() }
    };
    let (session, inbox) = session::handle();
    let mut world = World::open_as(session, inbox, SAY, settings("scripted:/no/such/file"));
    world.disk.handle_all();
    world.prompt("/mode");
    let heard = world.hear("answered").await;
    assert!(heard.contains("The mode is `plan`"), "{heard}");
    world.prompt("go");
    let heard = world.hear("answered").await;
    assert!(heard.contains("This session goes on with the model `scripted:"), "{heard}");
}

#[test]
fn progress_of_a_card_that_waits_is_replaced_by_newer_progress_alone() {
    let card = |id: &str, tool: Option<&str>, status: CallStatus, text: &str| {
        let task = Some(TaskMark { id: "t1".to_owned(), state: "running".to_owned() });
        let content = Some(vec![CallContent::Content(Content::text(text))]);
        let tool = tool.map(str::to_owned);
        let call = CallUpdate { tool, content, task, ..CallUpdate::new(CallId::new(id)) };
        Outgoing::Event(Event::Call(call.with_status(status)))
    };
    let mut outbox = Outbox::default();
    outbox.push(1, card("a", Some("tool"), CallStatus::Pending, "whole"));
    outbox.push(1, card("a", None, CallStatus::InProgress, "old and long"));
    outbox.push(1, card("b", None, CallStatus::InProgress, "other"));
    outbox.push(2, card("a", None, CallStatus::InProgress, "new"));
    outbox.push(3, card("a", None, CallStatus::Completed, "end"));
    outbox.push(3, card("a", None, CallStatus::InProgress, "behind"));
    let mut told = String::new();
    while let Some(item) = outbox.pop() {
        let Item::Say(Outgoing::Event(Event::Call(call))) = item else { panic!("a card") };
        let Some([CallContent::Content(Content::Text { text })]) = call.content.as_deref() else {
            panic!("text")
        };
        told.push_str(&format!("{} {text} · ", call.id));
    }
    assert_eq!(told, "a whole · a new · b other · a end · a behind · ");
    assert_eq!(outbox.bytes(), 0);
}
