//! A provider on loopback: a small HTTP server that plays replies in both dialects and can stop in
//! the middle of one.
//!
//! ```ignore
//! let provider = Provider::start().await;              // provider.url() is the base URL
//! let gate = Gate::new();
//! provider.queue(Reply::openai().text("Hel").gate(&gate).text("lo").usage(10, 2, 0));
//! provider.queue(Reply::status(429).header("retry-after", "1").body("slow down"));
//! provider.rule(|request| request.last_user().contains("child"), Reply::openai().text("ok"));
//! gate.reached().await;                                // the first half was sent
//! gate.open();
//! provider.arrived(2).await;                           // two requests came
//! provider.closed(0).await;                            // the client hung up on the first
//! provider.requests()[0].body["messages"];
//! provider.finish();                                   // panics if a queued reply was not asked for
//! ```
//!
//! `rule`s may look at the key and the model of a request; `once` is a rule for one request.
//!
//! A request is answered by the first rule that fits, else by the next queued reply, else with status
//! 400. Every request is checked: each call has exactly one outcome, call ids are unique, no two user
//! messages follow each other. What is wrong makes `finish` and dropping the provider panic.
//! Every wait panics after ten seconds.

mod reply;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(crate) use reply::Reply;
use reply::{Output, Play};

const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The server. It stops when it is dropped.
pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

/// A place in a reply where the server waits.
#[derive(Clone)]
pub(crate) struct Gate {
    opened: Arc<watch::Sender<bool>>,
    reached: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Rule {
    fits: Box<dyn Fn(&Request) -> bool + Send>,
    reply: Reply,
    /// It is for one request.
    is_once: bool,
}

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    queue: VecDeque<Reply>,
    requests: Vec<Request>,
    /// The numbers of requests whose client hung up within the reply.
    closed: Vec<usize>,
    violations: Vec<String>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// The base URL, with `/v1/`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/", self.address)
    }

    /// Answers one request, after those that are queued already.
    pub(crate) fn queue(&self, reply: Reply) {
        self.state.lock().queue.push_back(reply);
    }

    /// Answers every request that `fits`.
    pub(crate) fn rule(&self, fits: impl Fn(&Request) -> bool + Send + 'static, reply: Reply) {
        self.state.lock().rules.push(Rule { fits: Box::new(fits), reply, is_once: false });
    }

    /// Answers one request that `fits`, if no earlier rule does.
    pub(crate) fn once(&self, fits: impl Fn(&Request) -> bool + Send + 'static, reply: Reply) {
        self.state.lock().rules.push(Rule { fits: Box::new(fits), reply, is_once: true });
    }

    /// The keys of all requests so far, in their order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().requests.iter().map(|request| request.key().to_owned()).collect()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// Waits until `count` requests came.
    pub(crate) async fn arrived(&self, count: usize) {
        self.state.wait("requests", |inner| inner.requests.len() >= count).await;
    }

    /// Waits until the client hung up within the reply to request `number`, from 0.
    pub(crate) async fn closed(&self, number: usize) {
        self.state.wait("a closed connection", |inner| inner.closed.contains(&number)).await;
    }

    /// Takes what broke the rules, so that dropping the provider does not panic.
    pub(crate) fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().violations)
    }

    /// Checks that all queued replies were asked for and that no request broke a rule.
    pub(crate) fn finish(self) {
        let left = self.state.lock().queue.len();
        assert_eq!(left, 0, "queued replies that nobody asked for");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let violations = self.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "requests broke the rules:\n{}", violations.join("\n"));
        }
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(of, _)| of.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The key that it was sent with, in either dialect; empty where there is none.
    pub(crate) fn key(&self) -> &str {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.header("x-api-key")).unwrap_or_default()
    }

    /// The model that it asks for.
    pub(crate) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    pub(crate) fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The text of the last user message.
    pub(crate) fn last_user(&self) -> String {
        let last = self.messages().iter().rev().find(|message| message["role"] == "user");
        match last.map(|message| &message["content"]) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            opened: Arc::new(watch::Sender::new(false)),
            reached: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Lets the reply go on, also one that is not there yet.
    pub(crate) fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Holds replies that come to it from now on.
    pub(crate) fn close(&self) {
        self.opened.send_replace(false);
    }

    /// Waits until a reply is at the gate.
    pub(crate) async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let wait = reached.wait_for(|reached| *reached);
        tokio::time::timeout(LONGEST_WAIT, wait).await.expect("no reply came to the gate").unwrap();
    }

    async fn pass(&self) {
        self.reached.send_replace(true);
        let mut opened = self.opened.subscribe();
        opened.wait_for(|opened| *opened).await.unwrap();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    async fn wait(&self, what: &str, is_met: impl Fn(&Inner) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if is_met(&self.lock()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(LONGEST_WAIT, wait)
            .await
            .unwrap_or_else(|_| panic!("waited for {what}"));
    }

    /// Records a request and says what answers it.
    fn take(&self, request: Request) -> (usize, Reply) {
        let mut inner = self.lock();
        let number = inner.requests.len();
        let broken = violations(&request);
        inner.violations.extend(broken.into_iter().map(|what| format!("request {number}: {what}")));
        let at = inner.rules.iter().position(|rule| (rule.fits)(&request));
        let rule = at.map(|at| {
            let reply = inner.rules[at].reply.clone();
            if inner.rules[at].is_once {
                inner.rules.remove(at);
            }
            reply
        });
        let reply = rule.or_else(|| inner.queue.pop_front()).unwrap_or_else(|| {
            Reply::status(400).body(format!("no reply is queued for request {number}"))
        });
        inner.requests.push(request);
        drop(inner);
        self.changed.notify_waiters();
        (number, reply)
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(request) = read(&mut reader).await {
        let (number, reply) = state.take(request);
        // A client sends nothing more within a reply, so anything to read there is its end.
        let goes_on = tokio::select! {
            biased;
            _ = reader.fill_buf() => None,
            goes_on = play(reply, &mut writer) => Some(goes_on),
        };
        match goes_on {
            Some(true) => {}
            Some(false) => return,
            None => {
                state.lock().closed.push(number);
                state.changed.notify_waiters();
                return;
            }
        }
    }
}

async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Request { path, headers, body })
}

/// Whether the connection may be used again.
async fn play(reply: Reply, writer: &mut OwnedWriteHalf) -> bool {
    let mut play = Play::new(reply);
    for gate in play.gates() {
        gate.pass().await;
    }
    if writer.write_all(play.head().as_bytes()).await.is_err() {
        return false;
    }
    for output in play.outputs() {
        let written = match output {
            Output::Bytes(bytes) => writer.write_all(&bytes).await,
            Output::Gate(gate) => {
                gate.pass().await;
                Ok(())
            }
            Output::Delay(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Output::Close => return false,
        };
        if written.is_err() {
            return false;
        }
    }
    true
}

/// What is wrong with a request, whatever it asks.
fn violations(request: &Request) -> Vec<String> {
    let mut found = Vec::new();
    let mut all: Vec<String> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut before = "";
    for message in request.messages() {
        let role = message["role"].as_str().unwrap_or_default();
        let answered = answers(message);
        for id in &answered {
            match open.iter().position(|call| call == id) {
                Some(at) => drop(open.remove(at)),
                None => found.push(format!("an outcome for `{id}`, which is no open call")),
            }
        }
        if role != "tool" {
            found.extend(open.drain(..).map(|id| format!("the call `{id}` has no outcome")));
        }
        for id in calls(message) {
            if all.contains(&id) {
                found.push(format!("the call id `{id}` twice"));
            }
            all.push(id.clone());
            open.push(id);
        }
        if role == "user" && before == "user" {
            found.push("two user messages in a row".to_owned());
        }
        before = role;
    }
    found.extend(open.into_iter().map(|id| format!("the call `{id}` has no outcome")));
    found
}

/// The ids of the calls of a message, in either dialect.
fn calls(message: &Value) -> Vec<String> {
    let chat = message["tool_calls"].as_array().into_iter().flatten();
    let blocks = message["content"].as_array().into_iter().flatten();
    chat.chain(blocks.filter(|block| block["type"] == "tool_use")).filter_map(id("id")).collect()
}

/// The ids of the calls that a message answers, in either dialect.
fn answers(message: &Value) -> Vec<String> {
    let chat = std::iter::once(message).filter(|message| message["role"] == "tool");
    let blocks = message["content"].as_array().into_iter().flatten();
    chat.filter_map(id("tool_call_id"))
        .chain(blocks.filter(|block| block["type"] == "tool_result").filter_map(id("tool_use_id")))
        .collect()
}

fn id(name: &'static str) -> impl Fn(&Value) -> Option<String> {
    move |value| value[name].as_str().map(str::to_owned)
}
