//! `terminal/*` as an editor answers it: real processes, each in a group of its own, with output that
//! is limited in bytes.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::process;
use super::seen::RpcError;
use crate::tools::local::own_variables;

/// How much output is kept where the agent names no limit.
const DEFAULT_LIMIT: u64 = 1024 * 1024;

/// What a terminal shows.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    output: Vec<u8>,
    truncated: bool,
    /// The exit status, once it has ended and its output is complete.
    exit: Option<Value>,
}

impl Screen {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// `{exitCode, signal}` after the end.
    pub fn exit(&self) -> Option<&Value> {
        self.exit.as_ref()
    }

    /// Keeps the end of the output, from the start of a character on.
    fn add(&mut self, bytes: &[u8], limit: usize) {
        self.output.extend_from_slice(bytes);
        let mut surplus = self.output.len().saturating_sub(limit);
        if surplus > 0 {
            let continues = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
            surplus += self.output.iter().skip(surplus).take_while(continues).count();
            self.output.drain(..surplus.min(self.output.len()));
            self.truncated = true;
        }
    }
}

struct Terminal {
    screen: watch::Receiver<Screen>,
    kill: CancellationToken,
    released: bool,
    session: String,
}

/// The terminals of a connection. A released one can still be looked at, not used.
#[derive(Default)]
pub(crate) struct Terminals {
    known: BTreeMap<String, Terminal>,
    made: usize,
    work: JoinSet<()>,
}

impl Terminals {
    pub(crate) fn screen(&self, id: &str) -> Option<Screen> {
        self.known.get(id).map(|terminal| terminal.screen.borrow().clone())
    }

    /// The ids of a session's terminals that were not released.
    pub(crate) fn held(&self, session: &str) -> Vec<String> {
        let held = |entry: &(&String, &Terminal)| !entry.1.released && entry.1.session == session;
        self.known.iter().filter(held).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn create(&mut self, params: &Value) -> Result<Value, RpcError> {
        let Some(line) = params.get("command").and_then(Value::as_str) else {
            return Err(RpcError::new(-32602, "`command` is missing"));
        };
        let mut command = command_of(line, params);
        let child = command
            .spawn()
            .map_err(|error| RpcError::new(-32603, format!("cannot run `{line}`: {error}")))?;
        let limit = params.get("outputByteLimit").and_then(Value::as_u64).unwrap_or(DEFAULT_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (sender, screen) = watch::channel(Screen::default());
        let kill = CancellationToken::new();
        self.work.spawn(attend(child, sender, limit, kill.clone()));
        self.made += 1;
        let id = format!("term{}", self.made);
        let session =
            params.get("sessionId").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.known.insert(id.clone(), Terminal { screen, kill, released: false, session });
        Ok(json!({"terminalId": id}))
    }

    pub(crate) fn output(&self, params: &Value) -> Result<Value, RpcError> {
        let screen = self.find(params)?.screen.borrow().clone();
        let mut answer = json!({"output": screen.text(), "truncated": screen.truncated});
        if let (Some(exit), Some(fields)) = (&screen.exit, answer.as_object_mut()) {
            fields.insert("exitStatus".to_owned(), exit.clone());
        }
        Ok(answer)
    }

    /// The exit status, when it comes.
    pub(crate) fn wait(
        &self,
        params: &Value,
    ) -> Result<impl Future<Output = Result<Value, RpcError>> + use<>, RpcError> {
        let mut screen = self.find(params)?.screen.clone();
        Ok(async move {
            let gone = |_| RpcError::new(-32603, "the terminal is gone");
            let ended = screen.wait_for(|screen| screen.exit.is_some()).await.map_err(gone)?;
            Ok(ended.exit.clone().unwrap_or_default())
        })
    }

    pub(crate) fn kill(&self, params: &Value) -> Result<Value, RpcError> {
        self.find(params)?.kill.cancel();
        Ok(json!({}))
    }

    pub(crate) fn release(&mut self, params: &Value) -> Result<Value, RpcError> {
        self.find(params)?;
        if let Some(terminal) = self.known.get_mut(id_of(params)) {
            terminal.released = true;
            terminal.kill.cancel();
        }
        Ok(json!({}))
    }

    fn find(&self, params: &Value) -> Result<&Terminal, RpcError> {
        let id = id_of(params);
        self.known
            .get(id)
            .filter(|terminal| !terminal.released)
            .ok_or_else(|| RpcError::new(-32002, format!("there is no terminal `{id}`")))
    }
}

fn id_of(params: &Value) -> &str {
    params.get("terminalId").and_then(Value::as_str).unwrap_or_default()
}

/// A program with arguments runs as it is; a whole command line runs in a shell, as in editors.
fn command_of(line: &str, params: &Value) -> Command {
    let arguments: Vec<&str> = params
        .get("args")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut command = if arguments.is_empty() && line.contains(char::is_whitespace) {
        let mut shell = process::command("sh");
        shell.args(["-c", line]);
        shell
    } else {
        process::command(line)
    };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    for name in own_variables() {
        command.env_remove(name);
    }
    if let Some(folder) = params.get("cwd").and_then(Value::as_str) {
        command.current_dir(folder);
    }
    for variable in
        params.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    {
        let field = |name: &str| variable.get(name).and_then(Value::as_str);
        if let (Some(name), Some(value)) = (field("name"), field("value")) {
            command.env(name, value);
        }
    }
    process::own_group(&mut command);
    command
}

/// Reads a process to its end; kills its group when told to, or when dropped.
async fn attend(
    child: Child,
    screen: watch::Sender<Screen>,
    limit: usize,
    kill: CancellationToken,
) {
    let mut group = Group(child);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let reads = async {
        tokio::join!(read_into(stdout, &screen, limit), read_into(stderr, &screen, limit));
    };
    tokio::pin!(reads);
    let mut read_all = false;
    let status = loop {
        tokio::select! {
            biased;
            () = kill.cancelled() => {
                process::kill_group(&group.0);
                break group.0.wait().await.ok();
            }
            () = &mut reads, if !read_all => read_all = true,
            status = group.0.wait() => break status.ok(),
        }
    };
    if !read_all {
        // What a process left in the pipe is there at once; a grandchild may hold the pipe open.
        tokio::time::timeout(std::time::Duration::from_millis(500), &mut reads).await.ok();
    }
    screen.send_modify(|screen| screen.exit = Some(exit_of(status)));
}

fn exit_of(status: Option<ExitStatus>) -> Value {
    let code = status.and_then(|status| status.code());
    let signal = status.and_then(process::signal).map(|number| number.to_string());
    json!({"exitCode": code, "signal": signal})
}

async fn read_into(
    stream: Option<impl AsyncRead + Unpin>,
    screen: &watch::Sender<Screen>,
    limit: usize,
) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 8192];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        screen.send_modify(|screen| screen.add(bytes, limit));
    }
}

/// A child whose group dies with it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        process::kill_group(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_keeps_its_end_at_a_character() {
        let mut screen = Screen::default();
        screen.add("aäb".as_bytes(), 2);
        assert_eq!((screen.text().as_str(), screen.truncated), ("b", true));
    }

    #[tokio::test]
    async fn a_terminal_runs_answers_and_is_released() {
        let mut terminals = Terminals::default();
        let created = terminals
            .create(&json!({"sessionId": "s", "command": "echo hello; exit 3"}))
            .expect("runs");
        let id = created["terminalId"].clone();
        let exit = terminals.wait(&json!({"terminalId": id})).expect("known").await.expect("ends");
        assert_eq!(exit["exitCode"], 3);
        let output = terminals.output(&json!({"terminalId": id})).expect("known");
        assert_eq!(output["output"], "hello\n");
        assert_eq!(terminals.held("s").len(), 1);
        terminals.release(&json!({"terminalId": id})).expect("known");
        assert!(terminals.held("s").is_empty());
        assert_eq!(
            terminals.output(&json!({"terminalId": id})).expect_err("released").code,
            -32002
        );
    }

    #[tokio::test]
    async fn a_killed_terminal_ends_at_once() {
        let mut terminals = Terminals::default();
        let created = terminals.create(&json!({"command": "sleep", "args": ["30"]})).expect("runs");
        let waits = terminals.wait(&created).expect("known");
        terminals.kill(&created).expect("known");
        let exit = waits.await.expect("ends");
        assert_eq!(exit["exitCode"], Value::Null);
    }
}
