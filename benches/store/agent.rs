//! The release binary with a store that holds something: loads, lists, starts and turns. Times are a
//! client's, from before its request is written to after the answer's line has come.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use talaria::store::Query;

use super::fill;
use super::support::agent::{Agent, Answer, Home};
use super::support::table::Row;

const SCRIPT: &str = "when prompt \"run\"\n  call terminal {\"command\": \"true\"}\nthen\n  say \"It ran.\"\nwhen any\n  say \"Hello.\"\n";

/// A session that is replayed, in a process that has answered to `initialize`.
pub(crate) fn load() -> Vec<Row> {
    let (short, short_floor) = loaded(10_000, 10);
    let (long, long_floor) = loaded(100_000, 5);
    vec![
        Row::milliseconds("`session/load`, 10 000 updates", short).at_most(100.0),
        Row::milliseconds("… the same lines through `cat`", short_floor).note("the floor"),
        Row::milliseconds("`session/load`, 100 000 updates", long),
        Row::milliseconds("… the same lines through `cat`", long_floor).note("the floor"),
    ]
}

fn loaded(updates: usize, runs: usize) -> (Vec<Duration>, Vec<Duration>) {
    let home = Home::new();
    let session = fill::long_session(&home.state(), &home.work(), updates);
    let params = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] });
    let (mut times, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut agent = home.scripted(SCRIPT);
        agent.initialize();
        let (id, asked) = agent.request("session/load", &params);
        let answer = agent.wait(id);
        times.push(answer.at - asked);
        assert!(answer.response.get("error").is_none(), "{}", answer.response);
        let replayed = answer.before.iter().filter(|line| line.is_update()).count();
        assert!((updates..updates + 10).contains(&replayed), "{replayed} updates");
        agent.end();
        floor.push(through_cat(&answer));
    }
    (times, floor)
}

/// A process that copies what the agent wrote, read in the same way.
fn through_cat(answer: &Answer) -> Duration {
    let text: String = answer.before.iter().map(|line| line.text.as_str()).collect();
    let mut cat =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`cat`");
    let mut into = cat.stdin.take().expect("a pipe");
    let mut lines = BufReader::with_capacity(256 * 1024, cat.stdout.take().expect("a pipe"));
    let begun = Instant::now();
    let writer = std::thread::spawn(move || into.write_all(text.as_bytes()).expect("`cat` reads"));
    let mut line = String::new();
    while lines.read_line(&mut line).expect("`cat` writes") > 0 {
        assert!(line.contains("\"method\""), "{line}");
        line.clear();
    }
    let took = begun.elapsed();
    writer.join().expect("the writer ends");
    drop(cat.wait());
    took
}

/// 10 000 sessions: a page, and all of them.
pub(crate) fn list() -> Vec<Row> {
    let home = Home::new();
    fill::many_sessions(&home.state(), &home.work(), 10_000);
    let (store_page, store_all) = listed_by_the_store(&home);
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let (mut page, mut all) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let begun = Instant::now();
        let mut cursor = json!(null);
        let mut count = 0;
        loop {
            let (id, asked) = agent.request("session/list", &json!({ "cursor": cursor }));
            let answer = agent.wait(id);
            if cursor.is_null() {
                page.push(answer.at - asked);
            }
            let result = &answer.response["result"];
            count += result["sessions"].as_array().expect("sessions").len();
            cursor = result["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(count, 10_000);
        all.push(begun.elapsed());
    }
    vec![
        Row::milliseconds("list of 10 000 sessions: the first page, by the store", store_page),
        Row::milliseconds("… all pages", store_all),
        Row::milliseconds("`session/list`, 10 000 sessions: the first page", page).at_most(5.0),
        Row::milliseconds("… all pages", all),
    ]
}

fn listed_by_the_store(home: &Home) -> (Vec<Duration>, Vec<Duration>) {
    fill::runtime().block_on(async {
        let (store, guard) = fill::store(&home.state());
        let (mut page, mut all) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let begun = Instant::now();
            let mut query = Query::default();
            let mut count = 0;
            loop {
                let found = store.list(query).await.unwrap();
                if count == 0 {
                    page.push(begun.elapsed());
                }
                count += found.sessions.len();
                let Some(cursor) = found.next else { break };
                query = Query { cursor: Some(cursor), ..Query::default() };
            }
            assert_eq!(count, 10_000);
            all.push(begun.elapsed());
        }
        drop(store);
        drop(guard);
        (page, all)
    })
}

/// What a start takes.
#[derive(Default)]
struct Started {
    greeted: Vec<Duration>,
    ready: Vec<Duration>,
    answered: Vec<Duration>,
}

impl Started {
    fn once(&mut self, home: &Home) {
        let mut agent = home.scripted(SCRIPT);
        self.greeted.push(agent.initialize().at - agent.started);
        let answer = agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        self.ready.push(answer.at - agent.started);
        let session = answer.response["result"]["sessionId"].as_str().expect("a session");
        let answer = agent.ask(session, "hello");
        self.answered.push(answer.at - agent.started);
        assert_eq!(answer.text(), "Hello.");
        agent.end();
    }
}

/// A start with a database of a gigabyte, and with one that has nothing in it.
pub(crate) fn start() -> Vec<Row> {
    let (empty, large) = (Home::new(), Home::new());
    fill::mebibytes(&large.state(), &large.work(), 1_024);
    let size = std::fs::metadata(large.state().join("talaria.db")).unwrap().len();
    assert!(size > 1_000_000_000, "{size} bytes are no gigabyte");
    let (mut of_empty, mut of_large) = (Started::default(), Started::default());
    // The first makes the database.
    Started::default().once(&empty);
    for _ in 0..30 {
        of_empty.once(&empty);
        of_large.once(&large);
    }
    vec![
        Row::milliseconds("start → `initialize` response, empty database", of_empty.greeted)
            .at_most(5.0),
        Row::milliseconds("… with 1 GB", of_large.greeted).at_most(5.0),
        Row::milliseconds("start → first session ready, empty database", of_empty.ready)
            .at_most(8.0),
        Row::milliseconds("… with 1 GB", of_large.ready).at_most(8.0),
        Row::milliseconds("start → first prompt answered, empty database", of_empty.answered),
        Row::milliseconds("… with 1 GB", of_large.answered),
    ]
}

/// The same turns with the store and without it, one after the other.
pub(crate) fn turn() -> Vec<Row> {
    let (with, without) = (Home::new(), Home::new());
    let bypass = "permissions: {mode: bypass}\n";
    std::fs::write(with.state().join("config.yaml"), bypass).unwrap();
    let off = format!("{bypass}store: {{enabled: false}}\n");
    std::fs::write(without.state().join("config.yaml"), off).unwrap();
    let (mut on, mut off) = (Chat::begin(&with), Chat::begin(&without));
    let (mut said, mut ran) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for run in 0..220 {
        let (with, without) = (on.ask("hello", "Hello."), off.ask("hello", "Hello."));
        if run >= 20 {
            said.0.push(with);
            said.1.push(without);
        }
    }
    for _ in 0..50 {
        ran.0.push(on.ask("run", "It ran."));
        ran.1.push(off.ask("run", "It ran."));
    }
    assert!(
        with.state().join("talaria.db").exists() && !without.state().join("talaria.db").exists()
    );
    let cost = difference(&said.0, &said.1);
    let cost_of_a_command = difference(&ran.0, &ran.1);
    vec![
        Row::milliseconds("prompt → answer, scripted, with the store", said.0),
        Row::milliseconds("… `store.enabled: false`", said.1),
        Row::new("… the difference of neighbours", "ms", cost),
        Row::milliseconds("prompt → command → answer, with the store", ran.0)
            .note("the command is synchronised to the disk before it begins"),
        Row::milliseconds("… `store.enabled: false`", ran.1),
        Row::new("… the difference of neighbours", "ms", cost_of_a_command),
    ]
}

fn difference(with: &[Duration], without: &[Duration]) -> Vec<f64> {
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
    with.iter()
        .zip(without)
        .map(|(with, without)| milliseconds(with) - milliseconds(without))
        .collect()
}

struct Chat {
    agent: Agent,
    session: String,
}

impl Chat {
    fn begin(home: &Home) -> Self {
        let mut agent = home.scripted(SCRIPT);
        let session = agent.ready(home);
        Self { agent, session }
    }

    fn ask(&mut self, prompt: &str, expected: &str) -> Duration {
        let (id, asked) = self.agent.prompt(&self.session, prompt);
        let answer = self.agent.wait(id);
        assert_eq!(answer.text(), expected);
        answer.at - asked
    }
}
