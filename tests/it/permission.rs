//! Who decides that a call runs. Checklist 63–64: here the questions and what counts as an answer;
//! `rules` is what is remembered and configured, `modes` what each mode lets pass.

mod modes;
mod rules;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::{Says, nothing_asked, selected};
use crate::support::home::Home;

/// A model that makes the call that the prompt is (`TOOL {…}`), and says its outcome.
const OBEYS: &str = r#"
    when prompt "write *"
      call write {"path": "${1}", "content": "new\n"}
    then
      say "${outcome}"
    when prompt "run *"
      call terminal {"command": "${1}"}
    then
      say "${outcome}"
    when prompt "read *"
      call read {"path": "${1}"}
    then
      say "${outcome}"
    when prompt "list *"
      call list {"path": "${1}"}
    then
      say "${outcome}"
    when prompt "grep *"
      call grep {"pattern": "SECRET", "path": "${1}"}
    then
      say "${outcome}"
    when prompt "glob *"
      call glob {"pattern": "**", "path": "${1}"}
    then
      say "${outcome}"
    when prompt "edit *"
      call edit {"path": "${1}", "edits": [{"old_text": "nowhere in it", "new_text": "x"}]}
    then
      say "${outcome}"
"#;

fn obeying() -> (Home, Agent, String) {
    obeying_with("")
}

fn obeying_with(config: &str) -> (Home, Agent, String) {
    let home = Home::scripted(OBEYS);
    home.write_config(config);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    (home, agent, session)
}

/// What became of a turn in which `option` is the answer to every question.
struct Became {
    answer: Answer,
    asked: usize,
}

impl Became {
    fn said(&self) -> String {
        self.answer.text()
    }
}

fn turn(agent: &mut Agent, session: &str, prompt: &str, option: &str) -> Became {
    let mut asked = 0;
    let answer = agent.turn(session, prompt, |request| {
        assert_eq!(request["method"], "session/request_permission", "{request}");
        asked += 1;
        selected(option)
    });
    assert_eq!(answer.stop_reason(), "end_turn");
    Became { answer, asked }
}

/// Whether `prompt` is asked for; it is refused then.
fn is_asked(agent: &mut Agent, session: &str, prompt: &str) -> bool {
    let became = turn(agent, session, prompt, "reject_once");
    assert!(became.asked <= 1);
    assert_eq!(
        became.asked == 1,
        became.said().starts_with("denied: the user refused"),
        "{}",
        became.said()
    );
    became.asked == 1
}

/// Asserts that `prompt` is refused without a question; why.
fn refused(agent: &mut Agent, session: &str, prompt: &str) -> String {
    let answer = agent.turn(session, prompt, nothing_asked);
    let text = answer.text();
    assert!(text.starts_with("denied: "), "{prompt}: {text}");
    assert_eq!(answer.only_card()["status"], "failed");
    text
}

#[test]
fn c63_the_question_comes_before_the_effect_and_offers_four_answers() {
    for (prompt, kind, always) in [
        ("write made", "edit", "edits of files in this project"),
        ("run touch made", "execute", "`touch made` commands"),
    ] {
        let (home, mut agent, session) = obeying();
        let id = agent.prompt(&session, prompt);
        let (mut before, request) = agent.asked();
        let params = &request["params"];
        assert_eq!(params["sessionId"], json!(session));
        let options: Vec<(&Value, &Value)> = params["options"]
            .as_array()
            .unwrap()
            .iter()
            .map(|option| (&option["optionId"], &option["kind"]))
            .collect();
        let ids =
            ["allow_once", "allow_always", "reject_once", "reject_always"].map(|id| json!(id));
        assert_eq!(options, ids.iter().map(|id| (id, id)).collect::<Vec<_>>());
        // What "always" means is said.
        assert_eq!(params["options"][1]["name"], format!("Always allow {always} in this session"));
        assert_eq!(params["options"][3]["name"], format!("Always reject {always} in this session"));
        let call = &params["toolCall"];
        assert_eq!((&call["kind"], &call["status"]), (&json!(kind), &json!("pending")));
        assert!(call["rawInput"].is_object(), "{call}");
        // The client knows the call already, and it has not begun.
        let updates: Vec<&Value> =
            before.iter().map(|message| &message["params"]["update"]).collect();
        assert!(updates.iter().any(|update| update["toolCallId"] == call["toolCallId"]));
        assert!(
            updates
                .iter()
                .all(|update| update["status"].is_null() || update["status"] == "pending")
        );
        before.extend(agent.settle(&session));
        assert!(!home.exists("made"));
        agent.say(&request, selected("allow_once"));
        let answer = agent.wait(&id).after(before);
        assert_eq!(answer.only_card()["status"], "completed");
        assert!(home.exists("made"));
    }
}

#[test]
fn c63_once_is_once() {
    let (home, mut agent, session) = obeying();
    let became = turn(&mut agent, &session, "write a.txt", "reject_once");
    assert!(became.said().starts_with("denied: the user refused"), "{}", became.said());
    assert_eq!(became.answer.only_card()["status"], "failed");
    assert!(!home.exists("a.txt"));
    assert_eq!(turn(&mut agent, &session, "write a.txt", "allow_once").asked, 1);
    assert!(home.exists("a.txt"));
    assert!(is_asked(&mut agent, &session, "write b.txt"));
    assert_eq!(turn(&mut agent, &session, "run true", "allow_once").asked, 1);
    assert!(is_asked(&mut agent, &session, "run true"));
}

#[test]
fn c63_only_a_selected_option_that_was_offered_permits() {
    let (home, mut agent, session) = obeying();
    let outcome = |outcome: Value| Says::Result(json!({ "outcome": outcome }));
    let answers = [
        selected("yes"),
        selected(""),
        selected("ALLOW_ONCE"),
        selected("unanswered"),
        outcome(json!({ "outcome": "cancelled" })),
        outcome(json!({ "outcome": "cancelled", "optionId": "allow_once" })),
        outcome(json!({ "outcome": "selected" })),
        outcome(json!({ "outcome": "selected", "optionId": null })),
        outcome(json!({ "outcome": "selected", "optionId": ["allow_once"] })),
        outcome(json!({ "outcome": "allowed", "optionId": "allow_once" })),
        outcome(json!({ "outcome": "allow_once" })),
        outcome(json!({ "optionId": "allow_once" })),
        outcome(json!("selected")),
        outcome(json!("allow_once")),
        outcome(Value::Null),
        Says::Result(json!({ "optionId": "allow_once" })),
        Says::Result(json!("allow_once")),
        Says::Result(json!({})),
        Says::Result(json!(true)),
        Says::Result(Value::Null),
        Says::Error(-32603),
        Says::Error(-32601),
        Says::Error(-32800),
    ];
    for says in answers {
        let mut says = Some(says);
        let answer = agent.turn(&session, "write a.txt", |_| says.take().expect("one question"));
        assert!(says.is_none(), "nobody was asked");
        assert_eq!(answer.stop_reason(), "end_turn");
        let text = answer.text();
        // Nobody refused anything, and the model must not think so.
        assert!(text.starts_with("cancelled: ") && !text.contains("refused"), "{text}");
        assert_eq!(answer.only_card()["status"], "failed");
        assert!(!home.exists("a.txt"));
    }
    assert_eq!(turn(&mut agent, &session, "write a.txt", "allow_once").asked, 1);
}

#[test]
fn c63_the_end_of_input_permits_nothing() {
    for prompt in ["write made", "run touch made"] {
        let (home, mut agent, session) = obeying();
        let id = agent.prompt(&session, prompt);
        agent.asked();
        agent.close_stdin();
        assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
        assert!(agent.exit(Duration::from_secs(5)).success());
        assert!(!home.exists("made"));
    }
}

#[test]
fn c63_an_answer_counts_once_and_not_after_the_turn() {
    let (home, mut agent, session) = obeying();
    let id = agent.prompt(&session, "write a.txt");
    let (_, request) = agent.asked();
    agent.say(&request, selected("reject_once"));
    agent.say(&request, selected("allow_always"));
    assert!(agent.wait(&id).text().starts_with("denied: "));
    let id = agent.prompt(&session, "write a.txt");
    let (_, request) = agent.asked();
    agent.cancel(&session);
    agent.say(&request, selected("allow_always"));
    assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
    assert!(is_asked(&mut agent, &session, "write a.txt"));
    assert!(!home.exists("a.txt"));
}

/// Three reads outside the project in one step: two in one folder, one in another.
const THREE: &str = r#"
    when any
      call read {"path": "../one/a.txt"}
      call read {"path": "../two/b.txt"}
      call read {"path": "../one/c.txt"}
    then
      say "${outcome}"
"#;

fn three() -> (Home, Agent, String) {
    let home = Home::scripted(THREE);
    for name in ["one/a.txt", "two/b.txt", "one/c.txt"] {
        home.write_outside(name, &format!("the text of {name}\n"));
    }
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    (home, agent, session)
}

#[test]
fn c63_one_question_is_open_at_a_time() {
    let (_home, mut agent, session) = three();
    let id = agent.prompt(&session, "go");
    let mut before = Vec::new();
    for _ in 0..3 {
        let (more, request) = agent.asked();
        before.extend(more);
        let quiet = agent.settle(&session);
        assert!(
            quiet.iter().all(|message| message["method"] != "session/request_permission"),
            "{quiet:#?}"
        );
        before.extend(quiet);
        agent.say(&request, selected("allow_once"));
    }
    let answer = agent.wait(&id).after(before);
    assert!(answer.calls().iter().all(|id| answer.status(id) == "completed"));
}

#[test]
fn c63_a_cancel_asks_none_of_what_waits() {
    let (_home, mut agent, session) = three();
    let id = agent.prompt(&session, "go");
    let (before, request) = agent.asked();
    agent.cancel(&session);
    agent.say(&request, selected("allow_always"));
    let answer = agent.wait(&id).after(before);
    assert_eq!(answer.stop_reason(), "cancelled");
    assert!(answer.requests("session/request_permission").is_empty(), "{answer:#?}");
    assert!(answer.calls().iter().all(|id| answer.status(id) == "failed"));
}
