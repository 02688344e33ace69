//! Conversations with an agent in memory that the tests play: what comes beside the prompts, and when a
//! conversation is over.

use std::future::Future;
use std::time::Duration;

use expect_test::{Expect, expect};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

use super::*;
use crate::headless::policy::Policy;

struct Agent {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    out: WriteHalf<DuplexStream>,
}

impl Agent {
    async fn receive(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.expect("reads")?;
        Some(serde_json::from_str(&line).expect("a message"))
    }

    async fn expect(&mut self, method: &str) -> Value {
        let message = self.receive().await.expect("a message");
        assert_eq!(field(&message, "method"), method, "{message}");
        message
    }

    async fn send(&mut self, message: Value) {
        self.out.write_all(format!("{message}\n").as_bytes()).await.expect("writes");
    }

    async fn answer(&mut self, request: &Value, result: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    async fn update(&mut self, update: Value, mark: Value) {
        let mut params = json!({"sessionId": "s", "update": update});
        if !mark.is_null() {
            params["_meta"] = json!({"talaria": {"followUp": mark}});
        }
        let message = json!({"jsonrpc": "2.0", "method": "session/update", "params": params});
        self.send(message).await;
    }

    async fn say(&mut self, text: &str, mark: Value) {
        let content = json!({"type": "text", "text": text});
        let update = json!({"sessionUpdate": "agent_message_chunk", "messageId": text,
            "content": content});
        self.update(update, mark).await;
    }

    async fn card(&mut self, kind: &str, task: &str, state: &str) {
        let status = match state {
            "completed" => "completed",
            _ => "in_progress",
        };
        let update = json!({"sessionUpdate": kind, "toolCallId": format!("task-{task}"),
            "title": format!("`{task}`"), "status": status,
            "content": [{"type": "content", "content": {"type": "text", "text": state}}],
            "_meta": {"talaria": {"task": {"id": task, "state": state}}}});
        self.update(update, Value::Null).await;
    }

    /// A permission request; of a task where one is named.
    async fn ask(&mut self, id: &str, title: &str, task: Option<&str>) {
        let mut call = json!({"toolCallId": id, "title": title});
        if let Some(task) = task {
            call["_meta"] = json!({"talaria": {"task": {"id": task, "state": "waiting"}}});
        }
        let options = json!([
            {"optionId": "yes", "kind": "allow_once", "name": "Yes"},
            {"optionId": "no", "kind": "reject_once", "name": "No"},
        ]);
        let params = json!({"sessionId": "s", "toolCall": call, "options": options});
        let method = "session/request_permission";
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    }

    /// What a permission request was answered.
    async fn said(&mut self) -> (String, String) {
        let answer = self.receive().await.expect("an answer");
        let outcome = &answer["result"]["outcome"];
        let said = outcome["optionId"].as_str().or(outcome["outcome"].as_str());
        (answer["id"].to_string(), said.unwrap_or_default().to_owned())
    }

    /// Opens the session and takes its prompt; `client` is how it presented itself.
    async fn prompted(&mut self) -> Value {
        let initialize = self.expect("initialize").await;
        assert_eq!(initialize["params"]["clientInfo"]["name"], "talaria");
        self.answer(&initialize, json!({"protocolVersion": 1})).await;
        let new = self.expect("session/new").await;
        self.answer(&new, json!({"sessionId": "s"})).await;
        self.expect("session/prompt").await
    }

    /// A prompt that starts `t1` and ends.
    async fn delegated(&mut self) {
        let prompt = self.prompted().await;
        self.card("tool_call", "t1", "running").await;
        self.answer(&prompt, json!({"stopReason": "end_turn"})).await;
    }

    /// Stays until the other side has closed.
    async fn stay(mut self) {
        while self.receive().await.is_some() {}
    }
}

fn mark(task: &str) -> Value {
    json!({"generation": 1, "tasks": [task]})
}

fn over(task: &str) -> Value {
    json!({"generation": 1, "tasks": [task], "over": true})
}

fn ended() -> Value {
    json!({"sessionUpdate": "session_info_update"})
}

/// How a conversation of one prompt went: what was left, how long the wait for it was, what was printed.
#[derive(Debug)]
struct Went {
    left: Left,
    waited: Duration,
    printed: String,
}

struct Person {
    answering: Answering,
    interrupts: mpsc::Receiver<()>,
    format: Format,
}

impl Person {
    /// Nobody is there.
    fn absent() -> Self {
        // Without a sender there is no interrupt.
        let (_, interrupts) = mpsc::channel(1);
        Self { answering: Answering::Nobody, interrupts, format: Format::Plain }
    }
}

async fn talk<F: Future<Output = ()>>(person: Person, play: impl FnOnce(Agent) -> F) -> Went {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (read, out) = tokio::io::split(theirs);
    let agent = Agent { lines: BufReader::new(read).lines(), out };
    let (read, write) = tokio::io::split(ours);
    let editor = Editor::over(read, write, Policy::Manual);
    let mut printed = Vec::new();
    let to = Printer::new(&mut printed, person.format);
    let mut chat = Chat::new(editor, to, person.answering, person.interrupts);
    let ours = async move {
        chat.open("/", &Which::New).await.expect("opens");
        chat.prompt("go").await.expect("is answered");
        let start = Instant::now();
        let left = chat.until_tasks_rest().await.expect("rests");
        let waited = start.elapsed();
        assert_eq!(chat.close().await, Vec::<String>::new());
        (left, waited)
    };
    let ((left, waited), ()) = tokio::join!(ours, play(agent));
    Went { left, waited, printed: String::from_utf8(printed).expect("text") }
}

fn check(went: &Went, left: &Left, seconds: f64, printed: &Expect) {
    assert_eq!(went.left, *left, "{went:?}");
    let difference = went.waited.as_secs_f64() - seconds;
    assert!(difference.abs() < 0.1, "{went:?}");
    printed.assert_eq(&went.printed);
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_starts_by_itself_is_shown_and_waited_for() {
    let went = talk(Person::absent(), async |mut agent: Agent| {
        agent.delegated().await;
        seconds(5).await;
        agent.card("tool_call_update", "t1", "completed").await;
        seconds(2).await;
        agent.say("`t1` has reported.", mark("t1")).await;
        seconds(60).await;
        agent.say("It is good.", mark("t1")).await;
        let usage = json!({"sessionUpdate": "usage_update", "used": 5, "size": 10});
        agent.update(usage, mark("t1")).await;
        seconds(30).await;
        agent.update(ended(), over("t1")).await;
        agent.stay().await;
    })
    .await;
    check(
        &went,
        &Left::Nothing,
        97.0,
        &expect![[r#"

            › go

            ◦ `t1` … started
            ● `t1` … completed
            `t1` has reported.
            It is good.
            5 of 10 tokens
        "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_turn_of_itself_starts_is_waited_for() {
    let went = talk(Person::absent(), async |mut agent: Agent| {
        agent.delegated().await;
        agent.say("`t1` has reported.", mark("t1")).await;
        // Its card is later than the turn, and no reason for another one.
        agent.card("tool_call_update", "t1", "completed").await;
        agent.card("tool_call", "t2", "queued").await;
        agent.say("Over.", over("t1")).await;
        seconds(100).await;
        agent.card("tool_call_update", "t2", "completed").await;
        agent.say("`t2` has reported.", mark("t2")).await;
        agent.update(ended(), over("t2")).await;
        agent.stay().await;
    })
    .await;
    assert_eq!(went.left, Left::Nothing);
    assert_eq!(went.waited.as_secs(), 100, "{went:?}");
    assert!(went.printed.ends_with("`t2` has reported.\n"), "{went:?}");
}

#[tokio::test(start_paused = true)]
async fn no_turn_is_waited_for_longer_than_it_may_take_to_begin() {
    let nothing = expect![[r#"

        › go

        Hello.
    "#]];
    let went = talk(Person::absent(), async |mut agent: Agent| {
        let prompt = agent.prompted().await;
        agent.say("Hello.", Value::Null).await;
        agent.answer(&prompt, json!({"stopReason": "end_turn"})).await;
        agent.stay().await;
    })
    .await;
    check(&went, &Left::Nothing, 0.0, &nothing);

    let told = expect![[r#"

        › go

        ◦ `t1` … started
        ● `t1` … completed
        `t1` has reported.
    "#]];
    let ended = expect![[r#"

        › go

        ◦ `t1` … started
        ● `t1` … completed
    "#]];
    let went = talk(Person::absent(), async |mut agent: Agent| {
        agent.delegated().await;
        seconds(5).await;
        agent.card("tool_call_update", "t1", "completed").await;
        agent.say("`t1` has reported.", Value::Null).await;
        agent.stay().await;
    })
    .await;
    check(&went, &Left::Nothing, 8.0, &told);

    // The turn was given the report, or just missed it.
    let went = talk(Person::absent(), async |mut agent: Agent| {
        let prompt = agent.prompted().await;
        agent.card("tool_call", "t1", "running").await;
        agent.card("tool_call_update", "t1", "completed").await;
        agent.answer(&prompt, json!({"stopReason": "end_turn"})).await;
        agent.stay().await;
    })
    .await;
    check(&went, &Left::Nothing, 1.0, &ended);
}

#[tokio::test(start_paused = true)]
async fn what_a_task_asks_for_while_nobody_is_there_stays_open() {
    let went = talk(Person::absent(), async |mut agent: Agent| {
        let prompt = agent.prompted().await;
        agent.card("tool_call", "t1", "running").await;
        agent.ask("q1", "`t1` · first", Some("t1")).await;
        assert_eq!(agent.said().await.1, "no", "a turn must not wait for nobody");
        agent.answer(&prompt, json!({"stopReason": "end_turn"})).await;
        agent.say("`t9` has reported.", mark("t9")).await;
        agent.ask("q2", "the turn's own", None).await;
        assert_eq!(agent.said().await.1, "no");
        agent.update(ended(), over("t9")).await;
        agent.card("tool_call_update", "t1", "waiting").await;
        agent.ask("q3", "`t1` · second", Some("t1")).await;
        assert_eq!(agent.said().await.1, "cancelled");
        agent.stay().await;
    })
    .await;
    check(
        &went,
        &Left::Waiting(vec!["t1".to_owned()]),
        2.0,
        &expect![[r#"

            › go

            ◦ `t1` … started
            ? `t1` · first
              → refused
            `t9` has reported.
            ? the turn's own
              → refused
            ◦ `t1` … waiting
            ? `t1` · second
              → not answered
        "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_is_asked_while_no_prompt_is_open() {
    let (shown, mut questions) = mpsc::channel(4);
    let asker: Asker = Box::new(move || {
        let (sender, receiver) = oneshot::channel();
        shown.try_send(sender).expect("room");
        receiver
    });
    let person = Person { answering: Answering::Person(asker), ..Person::absent() };
    let went = talk(person, async move |mut agent: Agent| {
        agent.delegated().await;
        agent.card("tool_call_update", "t1", "waiting").await;
        agent.ask("q1", "`t1` · first", Some("t1")).await;
        let first = questions.recv().await.expect("a question");
        // The person takes long, and the agent asks for something else.
        seconds(300).await;
        let params = json!({"requestId": "q1"});
        agent.send(json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": params})).await;
        assert_eq!(agent.said().await, ("\"q1\"".to_owned(), "cancelled".to_owned()));
        agent.ask("q2", "`t1` · second", Some("t1")).await;
        let second = questions.recv().await.expect("a question");
        first.send(Answer::AllowOnce).expect_err("it is not asked any more");
        seconds(60).await;
        second.send(Answer::RejectOnce).expect("it is asked");
        assert_eq!(agent.said().await, ("\"q2\"".to_owned(), "no".to_owned()));
        agent.card("tool_call_update", "t1", "completed").await;
        agent.stay().await;
    })
    .await;
    check(
        &went,
        &Left::Nothing,
        363.0,
        &expect![[r#"

            › go

            ◦ `t1` … started
            ◦ `t1` … waiting
            ? `t1` · first
              → not answered
            ? `t1` · second
              → refused
            ● `t1` … completed
        "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_breaks_off_a_turn_that_runs_by_itself() {
    let interrupted = |says_that_it_is_over: bool, leaves_a_task: bool| async move {
        let (interrupt, interrupts) = mpsc::channel(1);
        let person = Person { interrupts, ..Person::absent() };
        talk(person, async move |mut agent: Agent| {
            agent.delegated().await;
            agent.card("tool_call_update", "t1", "completed").await;
            agent.say("`t1` has reported.", mark("t1")).await;
            if leaves_a_task {
                agent.card("tool_call", "t2", "running").await;
            }
            seconds(1).await;
            interrupt.send(()).await.expect("heard");
            agent.expect("session/cancel").await;
            if says_that_it_is_over {
                agent.say("Broken off.", over("t1")).await;
            }
            agent.stay().await;
        })
        .await
    };
    let printed = expect![[r#"

        › go

        ◦ `t1` … started
        ● `t1` … completed
        `t1` has reported.
        Cancelling; once more ends the agent.
        Broken off.
    "#]];
    check(&interrupted(true, false).await, &Left::Given(Vec::new()), 1.0, &printed);
    let went = interrupted(true, true).await;
    assert_eq!(went.left, Left::Given(vec!["t2".to_owned()]), "{went:?}");
    let went = interrupted(false, false).await;
    assert_eq!((went.left, went.waited.as_secs()), (Left::Given(Vec::new()), 6));
}

#[tokio::test(start_paused = true)]
async fn a_program_reads_which_updates_are_of_such_a_turn() {
    let person = Person { format: Format::Json, ..Person::absent() };
    let went = talk(person, async |mut agent: Agent| {
        agent.delegated().await;
        agent.card("tool_call_update", "t1", "completed").await;
        agent.say("New.", mark("t1")).await;
        agent.update(ended(), over("t1")).await;
        agent.stay().await;
    })
    .await;
    let lines: Vec<&str> = went.printed.lines().skip(3).collect();
    expect![[r#"
        {"sessionUpdate":"agent_message_chunk","messageId":"New.","content":{"type":"text","text":"New."},"_meta":{"talaria":{"followUp":{"generation":1,"tasks":["t1"]}}}}
        {"sessionUpdate":"session_info_update","_meta":{"talaria":{"followUp":{"generation":1,"tasks":["t1"],"over":true}}}}"#]]
    .assert_eq(&lines.join("\n"));
}
