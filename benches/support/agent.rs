//! The release binary at the other end of a pipe, read as fast as lines come: an update is only looked
//! at, everything else is parsed.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Temporary folders: `TALARIA_HOME` and a folder to work in.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// `TALARIA_HOME`.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The binary with an environment in which only this home and `variables` are set.
    pub(crate) fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
        command
            .arg("acp")
            .current_dir("/")
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TALARIA_HOME", self.state())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// An agent whose model plays `script` (`docs/SCRIPTED.md`).
    pub(crate) fn scripted(&self, script: &str) -> Agent {
        let path = self.folder.path().join("model.script");
        std::fs::write(&path, script).unwrap();
        Agent::start(self.command(&[("TALARIA_MODEL", &format!("scripted:{}", path.display()))]))
    }

    /// An agent whose model is at `url`.
    pub(crate) fn remote(&self, url: &str) -> Agent {
        Agent::start(self.command(&[
            ("TALARIA_PROVIDER", "openai"),
            ("TALARIA_BASE_URL", url),
            ("TALARIA_MODEL", "bench"),
            ("TALARIA_API_KEY", "sk-bench"),
        ]))
    }
}

/// A running agent. It ends when it is dropped.
pub(crate) struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    /// Taken before the process was made.
    pub(crate) started: Instant,
    next_id: u64,
}

/// A line that came, and when.
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn is_update(&self) -> bool {
        self.text.contains("\"session/update\"")
    }

    /// The text of a piece of the reply.
    pub(crate) fn chunk(&self) -> Option<String> {
        if !self.text.contains("agent_message_chunk") {
            return None;
        }
        let message = self.json();
        message["params"]["update"]["content"]["text"].as_str().map(str::to_owned)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// An answer, when it came, and what came before it.
pub(crate) struct Answer {
    pub(crate) at: Instant,
    pub(crate) response: Value,
    pub(crate) before: Vec<Line>,
}

impl Answer {
    pub(crate) fn stop_reason(&self) -> &str {
        self.response["result"]["stopReason"].as_str().unwrap_or("none")
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = (Instant, String)> {
        self.before.iter().filter_map(|line| Some((line.at, line.chunk()?)))
    }

    /// All text of the reply.
    pub(crate) fn text(&self) -> String {
        self.chunks().map(|(_, text)| text).collect()
    }
}

impl Agent {
    pub(crate) fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(|stdout| BufReader::with_capacity(256 * 1024, stdout));
        Self { child, stdin, stdout, started, next_id: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The writing end, for a thread of its own; `give_stdin` brings it back.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub(crate) fn give_stdin(&mut self, stdin: ChildStdin) {
        self.stdin = Some(stdin);
    }

    /// Sends a request; its id, and the moment before it was sent.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> (u64, Instant) {
        self.next_id += 1;
        let id = self.next_id;
        let mut line =
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        line.push('\n');
        let at = Instant::now();
        self.write(line.as_bytes());
        (id, at)
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) -> Instant {
        let mut line = json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string();
        line.push('\n');
        let at = Instant::now();
        self.write(line.as_bytes());
        at
    }

    /// Ends it as an editor does that is closed.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        while self.line().is_some() {}
        self.child.wait().unwrap();
    }

    /// The next line; `None` when the agent has closed its output.
    pub(crate) fn line(&mut self) -> Option<Line> {
        let mut text = String::new();
        let read = self.stdout.as_mut().unwrap().read_line(&mut text).unwrap();
        (read > 0).then(|| Line { at: Instant::now(), text })
    }

    /// Reads until the answer to a request comes.
    pub(crate) fn wait(&mut self, id: u64) -> Answer {
        let mut before = Vec::new();
        loop {
            let line = self.line().expect("the agent goes on until the answer");
            if !line.is_update() {
                let message = line.json();
                if message.get("method").is_none() && message["id"] == id {
                    return Answer { at: line.at, response: message, before };
                }
            }
            before.push(line);
        }
    }

    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Answer {
        let (id, _) = self.request(method, params);
        self.wait(id)
    }

    pub(crate) fn initialize(&mut self) -> Answer {
        // A client that shows what comes while no prompt is open: to others all cards are told again with each
        // prompt.
        let client = json!({ "name": "talaria", "version": "1" });
        let params =
            json!({ "protocolVersion": 1, "clientCapabilities": {}, "clientInfo": client });
        self.call("initialize", &params)
    }

    /// A new session in the home's work folder; its id.
    pub(crate) fn new_session(&mut self, home: &Home) -> String {
        let answer = self.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        answer.response["result"]["sessionId"].as_str().expect("a session").to_owned()
    }

    /// A greeted agent's first session.
    pub(crate) fn ready(&mut self, home: &Home) -> String {
        self.initialize();
        self.new_session(home)
    }

    /// Sends a prompt; its id, and the moment before it was sent.
    pub(crate) fn prompt(&mut self, session: &str, text: &str) -> (u64, Instant) {
        let prompt = json!([{ "type": "text", "text": text }]);
        self.request("session/prompt", &json!({ "sessionId": session, "prompt": prompt }))
    }

    pub(crate) fn ask(&mut self, session: &str, text: &str) -> Answer {
        let (id, _) = self.prompt(session, text);
        self.wait(id)
    }

    pub(crate) fn close(&mut self, session: &str) -> Answer {
        self.call("session/close", &json!({ "sessionId": session }))
    }

    pub(crate) fn cancel(&mut self, session: &str) -> Instant {
        self.notify("session/cancel", &json!({ "sessionId": session }))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
