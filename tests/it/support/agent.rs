//! The built binary on the other end of a raw connection: lines go in, lines come out, nothing is
//! interpreted. When it is dropped it has answered every request exactly once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Home;
use super::process;

/// How long any single message may take to come. Far above what is needed: it only ends a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client does with the reading end of the agent's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    Held,
    /// Closed as soon as the next line is here.
    Closed,
}

type Reader = Arc<(Mutex<Reading>, Condvar)>;

/// What a client says of itself. How it takes what comes while no prompt is open follows from that.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    /// No `clientInfo`: it may lose what comes late.
    Unknown,
    Named {
        name: &'static str,
        version: &'static str,
    },
}

impl Client {
    /// It shows what comes while no prompt is open, and answers what it is asked then.
    pub const GOOD: Self = Self::Named { name: "talaria", version: "1" };
    /// It shows it, and may lose it with its next prompt.
    pub const FORGETFUL: Self = Self::Named { name: "vscode-acp-client", version: "0.2.0" };
}

/// A running `talaria acp`.
pub struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    reader: Reader,
    lines: Receiver<String>,
    heard: Vec<String>,
    next_id: u64,
    /// Ids of requests that were sent, and how often each was answered.
    asked: BTreeMap<String, usize>,
    /// Whether dropping it checks that all was answered.
    checked: bool,
}

/// The answer to a request, with everything that came before it.
#[derive(Debug)]
pub struct Answer {
    pub before: Vec<Value>,
    pub response: Value,
}

impl Answer {
    /// The result; panics on an error.
    pub fn result(&self) -> &Value {
        assert!(self.response.get("error").is_none(), "an error came: {}", self.response);
        &self.response["result"]
    }

    /// The error's code; panics on a result.
    pub fn code(&self) -> i64 {
        self.response["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no error: {}", self.response))
    }

    pub fn message(&self) -> &str {
        self.response["error"]["message"].as_str().unwrap_or_default()
    }

    pub fn stop_reason(&self) -> &str {
        self.result()["stopReason"].as_str().unwrap_or_default()
    }

    /// The updates of one kind that came before the answer.
    pub fn updates(&self, kind: &str) -> Vec<&Value> {
        self.before
            .iter()
            .map(|message| &message["params"]["update"])
            .filter(|update| update["sessionUpdate"] == kind)
            .collect()
    }

    /// All text of the agent before the answer.
    pub fn text(&self) -> String {
        self.updates("agent_message_chunk")
            .iter()
            .filter_map(|update| update["content"]["text"].as_str())
            .collect()
    }

    /// The updates of one call, creation first.
    pub fn call(&self, id: &str) -> Vec<&Value> {
        self.before
            .iter()
            .map(|message| &message["params"]["update"])
            .filter(|update| update["toolCallId"] == id)
            .collect()
    }

    /// The last status of a call.
    pub fn status(&self, id: &str) -> &str {
        self.call(id).iter().rev().find_map(|update| update["status"].as_str()).unwrap_or("pending")
    }
}

impl Agent {
    pub fn start(home: &Home) -> Self {
        Self::spawn(home.command())
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        let reader: Reader = Arc::new((Mutex::new(Reading::On), Condvar::new()));
        let reading = reader.clone();
        thread::spawn(move || read_lines(stdout, &reading, &sender));
        Self {
            child,
            stdin,
            reader,
            lines,
            heard: Vec::new(),
            next_id: 0,
            asked: BTreeMap::new(),
            checked: true,
        }
    }

    /// An agent that was greeted by a client without any capability.
    pub fn ready(home: &Home) -> Self {
        Self::ready_with(home, &json!({}))
    }

    /// An agent that was greeted by this client, without any capability.
    pub fn ready_as(home: &Home, client: Client) -> Self {
        let mut agent = Self::start(home);
        agent.initialize_as(client, &json!({}));
        agent
    }

    /// An agent that was greeted by a client with `capabilities`.
    pub fn ready_with(home: &Home, capabilities: &Value) -> Self {
        let mut agent = Self::start(home);
        agent.initialize(capabilities);
        agent
    }

    pub fn initialize(&mut self, capabilities: &Value) -> Answer {
        self.initialize_as(Client::GOOD, capabilities)
    }

    /// Greets it as this client.
    pub fn initialize_as(&mut self, client: Client, capabilities: &Value) -> Answer {
        let mut params = json!({ "protocolVersion": 1, "clientCapabilities": capabilities });
        if let Client::Named { name, version } = client {
            params["clientInfo"] = json!({ "name": name, "version": version });
        }
        let answer = self.call("initialize", &params);
        answer.result();
        answer
    }

    /// Leaves the check for unanswered requests out: the test ends the agent on purpose.
    pub fn unchecked(&mut self) {
        self.checked = false;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Writes from a thread, where the pipe may push back.
    pub fn send_beside(&mut self, bytes: Vec<u8>) -> thread::JoinHandle<()> {
        let stdin = self.stdin.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
        let mut stdin = File::from(stdin);
        thread::spawn(move || stdin.write_all(&bytes).unwrap())
    }

    pub fn send(&mut self, message: &Value) {
        if message.get("method").is_some()
            && let Some(id) = message.get("id")
        {
            self.asked.insert(id.to_string(), 0);
        }
        let mut line = message.to_string();
        line.push('\n');
        self.send_bytes(line.as_bytes());
    }

    /// Sends a request and does not wait; its id.
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        let id = json!(self.next_id);
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Answers a request of the agent.
    pub fn respond(&mut self, request: &Value, result: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }));
    }

    /// Sends a request and waits for its answer.
    pub fn call(&mut self, method: &str, params: &Value) -> Answer {
        let id = self.request(method, params);
        self.wait(&id)
    }

    /// Starts a session in the home's work folder; its id.
    pub fn new_session(&mut self, home: &Home) -> String {
        let answer = self.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        answer.result()["sessionId"].as_str().unwrap().to_owned()
    }

    /// Sends a prompt of one text and does not wait; its id.
    pub fn prompt(&mut self, session: &str, text: &str) -> Value {
        self.request(
            "session/prompt",
            &json!({ "sessionId": session, "prompt": [{ "type": "text", "text": text }] }),
        )
    }

    /// Sends a prompt of one text and waits for its answer.
    pub fn ask(&mut self, session: &str, text: &str) -> Answer {
        let id = self.prompt(session, text);
        self.wait(&id)
    }

    pub fn cancel(&mut self, session: &str) {
        self.notify("session/cancel", &json!({ "sessionId": session }));
    }

    /// The next message, whatever it is.
    pub fn next(&mut self) -> Value {
        self.next_within(PATIENCE).expect("a message within the time")
    }

    /// The next message, or `None` when none comes in time or the agent has ended.
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        let line = match self.lines.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        self.heard.push(line.clone());
        let message: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in the line {line:?}"));
        if message.get("method").is_none()
            && let Some(times) = self.asked.get_mut(&message["id"].to_string())
        {
            *times += 1;
            assert_eq!(*times, 1, "a request was answered twice: {message}");
        }
        Some(message)
    }

    /// Reads until `found` says yes; what came before, and the message that was found.
    pub fn until(&mut self, found: impl Fn(&Value) -> bool) -> (Vec<Value>, Value) {
        let mut before = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(message) = self.next_within(left) else {
                panic!("what was waited for did not come; this came: {before:#?}");
            };
            if found(&message) {
                return (before, message);
            }
            before.push(message);
        }
    }

    /// Waits for the answer to a request.
    pub fn wait(&mut self, id: &Value) -> Answer {
        let (before, response) =
            self.until(|message| message.get("method").is_none() && message["id"] == *id);
        Answer { before, response }
    }

    /// Waits for a request or notification of the agent.
    pub fn wait_for(&mut self, method: &str) -> (Vec<Value>, Value) {
        self.until(|message| message["method"] == method)
    }

    /// Waits for an update of one kind.
    pub fn wait_for_update(&mut self, kind: &str) -> (Vec<Value>, Value) {
        self.until(|message| message["params"]["update"]["sessionUpdate"] == kind)
    }

    /// Waits for a command that says `group=` and its process group, which must be alive.
    pub fn wait_for_group(&mut self) -> u32 {
        let group_of = |message: &Value| {
            let text = message["params"]["update"]["content"].to_string();
            let (_, rest) = text.split_once("group=")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()
        };
        let (_, update) = self.until(|message| group_of(message).is_some());
        let group = group_of(&update).unwrap();
        assert!(process::living(group) > 0, "the command runs");
        group
    }

    /// Every line so far, as it came.
    pub fn heard(&self) -> &[String] {
        &self.heard
    }

    /// Asserts that nothing comes before the answer to a request that is sent now.
    pub fn assert_silent(&mut self) {
        let answer = self.call("talaria_test/nothing", &json!({}));
        assert_eq!(answer.before, Vec::<Value>::new());
        assert_eq!(answer.code(), -32601);
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Stops reading what the agent says, but for one more line where one is awaited.
    pub fn hold_stdout(&self) {
        self.set_reading(Reading::Held);
    }

    pub fn read_stdout(&self) {
        self.set_reading(Reading::On);
    }

    /// Closes the reading end, as a client does whose window is gone.
    pub fn close_stdout(&mut self) {
        self.set_reading(Reading::Closed);
        // A reader that waits for a line leaves when it has come.
        self.request("talaria_test/nothing", &json!({}));
        let end = Instant::now() + PATIENCE;
        while self.next_within(end.saturating_duration_since(Instant::now())).is_some() {}
    }

    fn set_reading(&self, reading: Reading) {
        *self.reader.0.lock().unwrap() = reading;
        self.reader.1.notify_all();
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn exit(&mut self, time: Duration) -> ExitStatus {
        let end = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the agent did not end in {time:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it wrote to standard error, after its end.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stdin = None;
        self.read_stdout();
        let end = Instant::now() + Duration::from_secs(5);
        while self.checked
            && Instant::now() < end
            && self.next_within(Duration::from_secs(5)).is_some()
        {}
        drop(self.child.kill());
        drop(self.child.wait());
        if self.checked && !thread::panicking() {
            let open: Vec<_> = self.asked.iter().filter(|(_, times)| **times == 0).collect();
            assert!(open.is_empty(), "these requests were never answered: {open:?}");
        }
    }
}

fn read_lines(stdout: ChildStdout, reader: &Reader, sender: &Sender<String>) {
    let mut lines = BufReader::new(stdout).lines();
    loop {
        let mut reading = reader.0.lock().unwrap();
        while *reading == Reading::Held {
            reading = reader.1.wait(reading).unwrap();
        }
        if *reading == Reading::Closed {
            return;
        }
        drop(reading);
        let Some(line) = lines.next() else { return };
        if sender.send(line.unwrap()).is_err() {
            return;
        }
    }
}
