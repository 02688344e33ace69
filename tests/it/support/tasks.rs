//! A client that chats while tasks run. It keeps everything that comes, so that nothing is lost whatever is
//! waited for first; and a model whose prompts and goals say what is to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::Agent;
use super::home::Home;

/// How long nothing may come while something is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A model that does what the prompt, or the task's goal, says. The parent: `async GOAL`, `empty`, `sync GOAL`,
/// `all GOAL; GOAL; GOAL`, `check t1`, `steer t1 with TEXT`, `collect t1`, `glance t1`, `any t1 t2`,
/// `cancel t1`, `list`, `hold GATE`. A child: `work GATE`, `step GATE`, `write FILE`, `later GATE FILE`, `run COMMAND`, `fail`,
/// `nest GOAL`. What a call gave is what the turn says.
pub(crate) const MODEL: &str = r#"
    when steer "*"
      say "heard ${1}; ${outcome}"

    when prompt "async *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "${outcome}"
    when prompt "empty"
      call delegate_task_async {"goal": " "}
    then
      say "${outcome}"
    when prompt "sync *"
      call delegate_task {"goal": "${1}"}
    then
      say "${outcome}"
    when prompt "both *; *"
      call delegate_task_async {"goal": "${1}"}
      call delegate_task {"goal": "${2}"}
    then
      say "${outcome}"
    when prompt "all *; *; *"
      call delegate_task_async {"tasks": [{"goal": "${1}"}, {"goal": "${2}"}, {"goal": "${3}"}]}
    then
      say "${outcome}"
    when prompt "check *"
      call check_task {"task_id": "${1}"}
    then
      say "${outcome}"
    when prompt "steer * with *"
      call steer_task {"task_id": "${1}", "message": "${2}"}
    then
      say "${outcome}"
    when prompt "any * *"
      call collect_task {"task_ids": ["${1}", "${2}"], "wait": "any"}
    then
      say "${outcome}"
    when prompt "glance *"
      call collect_task {"task_ids": ["${1}"], "timeout_seconds": 0}
    then
      say "${outcome}"
    when prompt "collect *"
      call collect_task {"task_ids": ["${1}"]}
    then
      say "${outcome}"
    when prompt "cancel *"
      call cancel_task {"task_id": "${1}", "reason": "enough"}
    then
      say "${outcome}"
    when prompt "list"
      call list_tasks {}
    then
      say "${outcome}"
    when prompt "hold *"
      say "Holding ${1}."
      gate ${1}
      say " Held ${1}."

    when prompt "work *"
      say "Begun ${1}."
      gate ${1}
      say " Ended ${1}."
      usage input=100 output=10
    when prompt "step *"
      say "Begun ${1}."
      gate ${1}
      call list {}
    then
      say "Nobody said anything."
    when prompt "write *"
      call write {"path": "${1}", "content": "new\n"}
    then
      say "${outcome}"
    when prompt "later * *"
      gate ${1}
      call write {"path": "${2}", "content": "new\n"}
    then
      say "${outcome}"
    when prompt "fix * *"
      say "I begin with ${1}."
      call write {"path": "${1}", "content": "new\n"}
    then
      gate ${2}
      say "Fixed."
    when prompt "run *"
      call terminal {"command": "${1}"}
    then
      say "${outcome}"
    when prompt "given"
      say "${reports}"
    when prompt "fail"
      say "Half of it."
      fail 400 "there is no such thing"
    when prompt "nest *"
      call delegate_task {"goal": "${1}"}
    then
      say "${outcome}"
    when prompt "*nterrupted*"
      say "Went on."
    when any
      say "You said ${prompt}."
"#;

/// Reports start no turn by themselves, so that each turn is one that a test asked for; but where a test's
/// configuration speaks of it.
fn leave_reports(home: &Home) {
    let path = home.state().join("config.yaml");
    let yaml = fs::read_to_string(&path).unwrap_or_default();
    if yaml.contains("follow_up") {
        return;
    }
    let yaml = match yaml.split_once("tasks:\n") {
        Some((before, behind)) => format!("{before}tasks:\n  follow_up: off\n{behind}"),
        None => format!("{yaml}\ntasks:\n  follow_up: off\n"),
    };
    fs::write(path, yaml).unwrap();
}

/// One session of an agent, and everything that came.
pub(crate) struct Chat {
    pub(crate) agent: Agent,
    pub(crate) session: String,
    came: Vec<Value>,
    /// Where a prompt of ours began, by its id.
    begun: BTreeMap<String, usize>,
    /// Requests of the agent that were answered.
    answered: BTreeSet<String>,
}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) stop: String,
    /// What the agent said from the prompt on.
    pub(crate) text: String,
}

impl Chat {
    /// A new session of a new agent.
    pub(crate) fn new(home: &Home) -> Self {
        Self::of(Agent::ready(home), home)
    }

    /// A new session of this agent.
    pub(crate) fn of(mut agent: Agent, home: &Home) -> Self {
        leave_reports(home);
        let session = agent.new_session(home);
        Self::on(agent, session, Vec::new())
    }

    /// A new session of this agent, whose reports start turns as the configuration says.
    pub(crate) fn as_configured(mut agent: Agent, home: &Home) -> Self {
        let session = agent.new_session(home);
        Self::on(agent, session, Vec::new())
    }

    /// The same with a stored session, of which this client is shown nothing.
    pub(crate) fn resumed(mut agent: Agent, home: &Home, session: &str) -> Self {
        agent.call("session/resume", &super::stored::params(home, session)).result();
        Self::on(agent, session.to_owned(), Vec::new())
    }

    /// A stored session, loaded by a new agent; what the load showed has come.
    pub(crate) fn load(home: &Home, session: &str) -> Self {
        Self::load_in(Agent::ready(home), home, session)
    }

    /// The same in this agent.
    pub(crate) fn load_in(mut agent: Agent, home: &Home, session: &str) -> Self {
        leave_reports(home);
        let shown = super::stored::load(&mut agent, home, session).before;
        Self::on(agent, session.to_owned(), shown)
    }

    fn on(agent: Agent, session: String, came: Vec<Value>) -> Self {
        let (begun, answered) = (BTreeMap::new(), BTreeSet::new());
        Self { agent, session, came, begun, answered }
    }

    /// Everything that came, in order.
    pub(crate) fn came(&self) -> &[Value] {
        &self.came
    }

    /// Waits until `found` finds something in what came.
    pub(crate) fn wait<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let Some(message) = self.agent.next_within(PATIENCE) else {
                panic!("waited for {what}; this came: {:#?}", self.came);
            };
            self.came.push(message);
        }
    }

    /// Sends a prompt and does not wait; its id.
    pub(crate) fn prompt(&mut self, text: &str) -> Value {
        let id = self.agent.prompt(&self.session, text);
        self.begun.insert(id.to_string(), self.came.len());
        id
    }

    /// How the turn of a prompt ended.
    pub(crate) fn answer(&mut self, id: &Value) -> Turn {
        let at = self.wait("the answer to a prompt", |chat| chat.response(id));
        let stop = self.came[at]["result"]["stopReason"].as_str();
        let stop = stop.unwrap_or_else(|| panic!("{}", self.came[at])).to_owned();
        Turn { stop, text: self.said(self.begun[&id.to_string()], at) }
    }

    /// Where a request of ours was answered, in what came.
    pub(crate) fn response(&self, id: &Value) -> Option<usize> {
        self.came.iter().position(|message| message.get("method").is_none() && message["id"] == *id)
    }

    /// Of this session, without those of its tasks.
    fn updates(&self, from: usize, to: usize) -> impl Iterator<Item = &Value> {
        let own = |message: &&Value| message["params"]["sessionId"] == *self.session;
        self.came[from..to].iter().filter(own).map(|message| &message["params"]["update"])
    }

    fn said(&self, from: usize, to: usize) -> String {
        let updates = self.updates(from, to);
        let chunks = updates.filter(|update| update["sessionUpdate"] == "agent_message_chunk");
        chunks.filter_map(|update| update["content"]["text"].as_str()).collect()
    }

    /// Sends a prompt and waits for its end, which must be an ordinary one; what was said.
    pub(crate) fn say(&mut self, text: &str) -> String {
        let id = self.prompt(text);
        let turn = self.answer(&id);
        assert_eq!(turn.stop, "end_turn", "{}", turn.text);
        turn.text
    }

    /// The same, where what was said is the outcome of a task tool: one line of JSON.
    pub(crate) fn outcome(&mut self, text: &str) -> Value {
        let said = self.say(text);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Asks with `/tasks` until the list holds `text`, so often: a client that is told nothing while no prompt is
    /// open has no other way to know.
    pub(crate) fn until_listed(&mut self, text: &str, times: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let listed = self.say("/tasks");
            if listed.matches(text).count() == times {
                return;
            }
            assert!(Instant::now() < end, "waited for {times} times {text:?} in {listed}");
        }
    }

    /// Waits until the session has handled everything that was sent so far, and told what came of it.
    pub(crate) fn settle(&mut self) {
        let session = &self.session;
        let params = json!({ "sessionId": session, "configId": "thought_level", "value": "auto" });
        let response = self.call("session/set_config_option", &params);
        assert!(response.get("error").is_none(), "{response}");
    }

    /// Kills the agent at once; the session.
    pub(crate) fn kill(mut self) -> String {
        self.agent.unchecked();
        self.agent.signal("-KILL");
        self.session.clone()
    }

    /// A request that is no prompt; its response.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.agent.request(method, params);
        let at = self.wait(method, |chat| chat.response(&id));
        self.came[at].clone()
    }

    pub(crate) fn set_mode(&mut self, mode: &str) {
        let params = json!({ "sessionId": self.session, "modeId": mode });
        let response = self.call("session/set_mode", &params);
        assert!(response.get("error").is_none(), "{response}");
    }

    /// Waits until a piece of a message that holds `text` has come.
    pub(crate) fn until_said(&mut self, text: &str) {
        self.wait(text, |chat| chat.said(0, chat.came.len()).contains(text).then_some(()));
    }

    /// What the client shows of a call now; nothing where it does not know it.
    pub(crate) fn card(&self, id: &str) -> Option<Value> {
        let updates = self.updates(0, self.came.len());
        let mut card: Option<Value> = None;
        for update in updates.filter(|update| update["toolCallId"] == id) {
            let is_new = update["sessionUpdate"] == "tool_call";
            assert!(is_new || card.is_some(), "`{id}` comes to be before it changes: {update}");
            let card = card.get_or_insert_with(|| json!({ "status": "pending" }));
            for (field, value) in update.as_object().unwrap() {
                if !value.is_null() {
                    card[field] = value.clone();
                }
            }
        }
        card
    }

    /// The ids of all calls that came to be, in order, each once.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for update in self.updates(0, self.came.len()) {
            let id =
                update["toolCallId"].as_str().filter(|id| !ids.iter().any(|known| known == id));
            ids.extend(id.map(str::to_owned));
        }
        ids
    }

    /// The state of a task, as its card says: `t1`, or `t1-2` for the second attempt.
    pub(crate) fn state(&self, task: &str) -> Option<String> {
        let card = self.card(&format!("task-{task}"))?;
        card["_meta"]["talaria"]["task"]["state"].as_str().map(str::to_owned)
    }

    /// Waits until a task's card says this state; the card.
    pub(crate) fn until(&mut self, task: &str, state: &str) -> Value {
        let wanted = |chat: &Self| (chat.state(task).as_deref() == Some(state)).then_some(());
        self.wait(&format!("{task} {state}"), wanted);
        self.card(&format!("task-{task}")).unwrap()
    }

    /// The tasks as `list_tasks` gives them, oldest first: name, state, and the place of a queued one.
    pub(crate) fn list(&mut self) -> Vec<(String, String, Option<u64>)> {
        let listed = self.outcome("list");
        let rows = listed["tasks"].as_array().unwrap().iter().rev();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rows.map(|row| (text(&row["task_id"]), text(&row["state"]), row["place"].as_u64()))
            .collect()
    }

    /// All permission requests that came.
    pub(crate) fn dialogs(&self) -> Vec<Value> {
        let asks = |message: &&Value| message["method"] == "session/request_permission";
        self.came.iter().filter(asks).cloned().collect()
    }

    /// Those that are open: neither answered nor taken back.
    pub(crate) fn open_dialogs(&self) -> Vec<Value> {
        let is_taken_back = |request: &Value| {
            self.came.iter().any(|message| {
                message["method"] == "$/cancel_request"
                    && message["params"]["requestId"] == request["id"]
            })
        };
        let mut dialogs = self.dialogs();
        dialogs.retain(|request| {
            !self.answered.contains(&request["id"].to_string()) && !is_taken_back(request)
        });
        dialogs
    }

    /// Waits until a dialog is open. There is one at a time, and on a call that was shown before.
    pub(crate) fn asked(&mut self) -> Value {
        let open =
            self.wait("a dialog", |chat| Some(chat.open_dialogs()).filter(|all| !all.is_empty()));
        let [dialog] = &open[..] else { panic!("{open:#?}") };
        let id = dialog["params"]["toolCall"]["toolCallId"].as_str().unwrap();
        let position = |found: &dyn Fn(&Value) -> bool| self.came.iter().position(found);
        let shown = position(&|message| message["params"]["update"]["toolCallId"] == id);
        let asked = position(&|message| message["id"] == dialog["id"] && *message == *dialog);
        assert!(shown.is_some() && shown < asked, "`{id}` is shown before it is asked for");
        dialog.clone()
    }

    /// Chooses an option of a dialog.
    pub(crate) fn choose(&mut self, dialog: &Value, option: &str) {
        self.reply(dialog, &json!({ "outcome": { "outcome": "selected", "optionId": option } }));
    }

    fn reply(&mut self, dialog: &Value, result: &Value) {
        self.answered.insert(dialog["id"].to_string());
        self.agent.respond(dialog, result);
    }

    /// The user presses Stop: a client cancels, and answers all its dialogs as cancelled.
    pub(crate) fn stop(&mut self) {
        self.agent.cancel(&self.session);
        for dialog in self.open_dialogs() {
            self.reply(&dialog, &json!({ "outcome": { "outcome": "cancelled" } }));
        }
    }
}

/// The texts of a card's content.
pub(crate) fn content(card: &Value) -> String {
    super::client::shown(card)
}
