//! A client with a panel of tasks: it calls the methods of the extension and follows its events. Whatever it sends and
//! gets is compared with the committed schema; a field that the schema does not name is no part of an answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::tasks::Chat;

pub(super) const EVENT: &str = "_talaria/task/event";

/// The committed schema.
pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn read() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/schema/talaria.schema.json");
        let mut schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        // Who writes a client lets unknown fields through; here they are mistakes.
        for definition in schema["$defs"].as_object_mut().unwrap().values_mut() {
            if definition["type"] == "object" {
                definition["additionalProperties"] = json!(false);
            }
        }
        Self(schema)
    }

    pub(super) fn assert_is(&self, reference: &Value, value: &Value) {
        let problems = self.problems(reference, value);
        assert!(problems.is_empty(), "{reference}: {value:#}\n{problems:#?}");
    }

    pub(super) fn problems(&self, reference: &Value, value: &Value) -> Vec<String> {
        assert!(reference["$ref"].is_string() || reference["type"].is_string(), "{reference}");
        let mut schema = self.0.clone();
        for (key, of) in reference.as_object().unwrap() {
            schema[key] = of.clone();
        }
        let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
        compiler.use_loader(Box::new(boon::SchemeUrlLoader::new()));
        compiler.add_resource("talaria:///schema", schema).unwrap();
        let index = compiler.compile("talaria:///schema", &mut schemas).unwrap();
        let found = schemas.validate(value, index);
        found.err().map(|error| error.to_string()).into_iter().collect()
    }

    /// What a method is asked and answers.
    pub(super) fn method(&self, method: &str) -> &Value {
        let found = &self.0["x-methods"][method];
        assert!(found.is_object(), "{method}");
        found
    }

    /// The methods on the connection of ACP that have Talaria's prefix.
    pub(super) fn requests(&self) -> Vec<&str> {
        let is_there = |of: &Value| of["kind"] == "request" && of["doors"][0] == "acp";
        let all = self.0["x-methods"].as_object().unwrap().iter();
        let all = all.filter(|(name, of)| name.starts_with("_talaria/") && is_there(of));
        all.map(|(name, _)| &**name).collect()
    }

    /// An error of the extension: its code, its message and its data.
    pub(super) fn assert_error(&self, kind: &str, error: &Value) {
        let errors = &self.0["x-errors"];
        self.assert_is(&errors["data"], &error["data"]);
        assert_eq!(error["data"]["kind"], kind, "{error:#}");
        assert_eq!(error["code"], errors["codes"][kind], "{error:#}");
        assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{error:#}");
    }

    pub(super) fn meta(&self, place: &str) -> &Value {
        &self.0["x-meta"][place]
    }
}

/// One session of a client that shows tasks.
pub(super) struct Panel {
    pub(super) chat: Chat,
    pub(super) schema: Schema,
    /// How many of the messages that came were events that are checked.
    checked: usize,
}

/// What a client declares that wants events.
pub(super) fn capabilities() -> Value {
    json!({ "_meta": { "talaria": { "events": true } } })
}

impl Panel {
    pub(super) fn new(home: &Home) -> Self {
        Self::of(Chat::of(Agent::ready_with(home, &capabilities()), home))
    }

    pub(super) fn of(chat: Chat) -> Self {
        Self { chat, schema: Schema::read(), checked: 0 }
    }

    /// Sends a request of `task`, whose session is this one, and does not wait; its id.
    pub(super) fn begin(&mut self, verb: &str, mut params: Value) -> Value {
        params["sessionId"] = json!(self.chat.session);
        let method = format!("_talaria/task/{verb}");
        self.schema.assert_is(&self.schema.method(&method)["params"], &params);
        self.chat.agent.request(&method, &params)
    }

    /// Waits for the answer to a request; its result.
    pub(super) fn result(&mut self, verb: &str, id: &Value) -> Value {
        let at = self.chat.wait(verb, |chat| chat.response(id));
        let response = self.chat.came()[at].clone();
        assert!(response.get("error").is_none(), "{response:#}");
        let method = format!("_talaria/task/{verb}");
        self.schema.assert_is(&self.schema.method(&method)["result"], &response["result"]);
        response["result"].clone()
    }

    /// Calls a method of `task`; its result.
    pub(super) fn call(&mut self, verb: &str, params: Value) -> Value {
        let id = self.begin(verb, params);
        self.result(verb, &id)
    }

    /// Calls a method of `task` that refuses; the error.
    pub(super) fn refused(&mut self, kind: &str, verb: &str, params: Value) -> Value {
        let mut params = params;
        if params.get("sessionId").is_none() {
            params["sessionId"] = json!(self.chat.session);
        }
        self.error(kind, verb, &params)
    }

    /// The same with parameters that may be anything.
    pub(super) fn error(&mut self, kind: &str, verb: &str, params: &Value) -> Value {
        let response = self.chat.call(&format!("_talaria/task/{verb}"), params);
        let error = &response["error"];
        assert!(error.is_object(), "{verb} {params} was not refused: {response:#}");
        self.schema.assert_error(kind, error);
        error.clone()
    }

    /// Starts one task with this goal; its id.
    pub(super) fn spawn(&mut self, goal: &str) -> String {
        self.spawn_with(json!({ "goal": goal }))
    }

    pub(super) fn spawn_with(&mut self, task: Value) -> String {
        let started = self.call("spawn", json!({ "tasks": [task] }));
        started["tasks"][0]["taskId"].as_str().unwrap().to_owned()
    }

    /// The tasks as the events of this session say, which are compared with the schema.
    pub(super) fn shown(&mut self) -> BTreeMap<String, Value> {
        let event = &self.schema.method(EVENT)["params"];
        let came = self.chat.came();
        for message in &came[self.checked..] {
            if message["method"] == EVENT {
                assert!(message.get("id").is_none(), "{message}");
                self.schema.assert_is(event, &message["params"]);
            }
        }
        self.checked = came.len();
        shown(&self.chat)
    }

    /// Waits until the events say of a task what is wanted.
    pub(super) fn until(&mut self, task: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let found = |chat: &Chat| shown(chat).remove(task).filter(|row| is_so(row));
        let row = self.chat.wait(&format!("an event of {task}"), found);
        self.shown();
        row
    }

    pub(super) fn until_state(&mut self, task: &str, state: &str) -> Value {
        self.until(task, |row| row["state"] == state)
    }
}

/// What a panel shows: of each task the last event.
fn shown(chat: &Chat) -> BTreeMap<String, Value> {
    let events = chat.came().iter().filter(|message| message["method"] == EVENT);
    let own = events.filter(|message| message["params"]["sessionId"] == *chat.session);
    let row = |message: &Value| {
        let task = &message["params"]["task"];
        (task["taskId"].as_str().unwrap().to_owned(), task.clone())
    };
    own.map(row).collect()
}
