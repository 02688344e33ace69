//! The agent is killed at a defined moment and started again in the same home: nothing that was told is
//! lost, and nothing is done twice.

use serde_json::{Value, json};

use super::{BYPASS, kill, load, said, texts};
use crate::support::agent::Agent;
use crate::support::client::{Says, nothing_asked, shown};
use crate::support::home::Home;
use crate::support::served::{Dialect, Served};

/// A command that counts its effects in a file, says that it has begun, and waits to be let go.
const HELD: &str = "echo x >> effects; echo begun; while [ ! -e go ]; do sleep 0.02; done";

const SCRIPT: &str = r#"
    when prompt "stream"
      say "One, "
      gate never
      say "two."
    when prompt "run *"
      say "I run it."
      call terminal {"command": "${1}"}
    then
      say "It ran: "
      gate never
      say "${outcome}"
    when steer "what happened"
      say "${outcome}"
    when prompt "write"
      call write {"path": "new.txt", "content": "new\n"}
    then
      say "${outcome}"
    when prompt "what happened"
      say "${outcome}"
    when any
      say "You said ${prompt}."
"#;

fn home(config: &str) -> Home {
    let home = Home::scripted(SCRIPT);
    home.write_config(config);
    home
}

fn effects(home: &Home) -> usize {
    home.read("effects").lines().count()
}

fn is_completed(message: &Value) -> bool {
    message["params"]["update"]["status"] == "completed"
}

#[test]
fn killed_while_it_streams() {
    let home = home("");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let first = agent.ask(&session, "hello");
    let [(_, id, text)] = &said(&first.before)[..] else { panic!("{:#?}", first.before) };
    assert_eq!(text, "You said hello.");
    agent.prompt(&session, "stream");
    agent.wait_for_text("One, ");
    kill(&mut agent);

    let mut agent = Agent::ready(&home);
    let replay = load(&mut agent, &home, &session);
    assert_eq!(texts(&replay.before, "user"), ["hello", "stream"]);
    let answers = texts(&replay.before, "agent");
    assert_eq!(answers[0], "You said hello.");
    assert!(answers.last().unwrap().contains("interrupted"), "{answers:?}");
    assert!(said(&replay.before).iter().any(|(_, same, text)| same == id && text == &answers[0]));
    // New ids are none of the old ones.
    let next = agent.ask(&session, "again");
    assert_eq!(texts(&next.before, "agent"), ["You said again."]);
    let old: Vec<String> = said(&replay.before).into_iter().map(|(_, id, _)| id).collect();
    assert!(said(&next.before).iter().all(|(_, id, _)| !old.contains(id)), "{old:?}");
}

#[test]
fn killed_while_a_command_runs() {
    let home = home(BYPASS);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.prompt(&session, &format!("run {HELD}"));
    let (_, call) = agent.wait_for_update("tool_call");
    let id = call["params"]["update"]["toolCallId"].as_str().unwrap().to_owned();
    agent.until(|message| message["params"]["update"]["content"].to_string().contains("begun"));
    kill(&mut agent);
    home.write("go", "");

    let mut agent = Agent::ready(&home);
    let replay = load(&mut agent, &home, &session);
    assert_eq!(replay.calls(), [&id]);
    let card = replay.only_card();
    assert_eq!(card["status"], "failed");
    assert!(shown(&card).contains("interrupted: Talaria ended while this ran"), "{card:#}");
    assert!(!card["content"].to_string().contains("terminalId"), "{card:#}");
    let next = agent.turn(&session, "what happened", nothing_asked);
    assert!(next.text().contains("cancelled: interrupted"), "{}", next.text());
    assert_eq!(next.calls(), Vec::<&str>::new());
    // Loading it once more shows the same, and what was said since.
    let again = load(&mut agent, &home, &session);
    assert_eq!(again.only_card(), card);
    let before = said(&replay.before);
    assert_eq!(&said(&again.before)[..before.len()], before);
    assert_eq!(effects(&home), 1);
}

#[test]
fn killed_before_a_call_is_permitted() {
    let home = home("");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.prompt(&session, "run echo x >> effects");
    agent.asked();
    kill(&mut agent);

    let mut agent = Agent::ready(&home);
    let replay = load(&mut agent, &home, &session);
    let card = replay.only_card();
    assert_eq!(card["status"], "failed");
    assert!(shown(&card).contains("it did not run"), "{card:#}");
    assert!(agent.turn(&session, "what happened", nothing_asked).text().contains("interrupted"));
    assert!(!home.exists("effects"));
}

/// The effect is the editor's, so this process sees it, and the agent never hears of it.
#[test]
fn killed_between_an_effect_and_its_outcome() {
    let home = home(BYPASS);
    let editor = json!({ "fs": { "readTextFile": true, "writeTextFile": true } });
    let mut agent = Agent::ready_with(&home, &editor);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "write");
    loop {
        let message = agent.next();
        assert_ne!(message["id"], id, "the turn ended: {message}");
        match message["method"].as_str() {
            Some("fs/write_text_file") => break,
            Some("fs/read_text_file") => agent.say(&message, Says::Error(-32002)),
            _ => {}
        }
    }
    kill(&mut agent);

    let mut agent = Agent::ready_with(&home, &editor);
    let replay = load(&mut agent, &home, &session);
    let card = replay.only_card();
    assert_eq!(card["status"], "failed");
    assert!(shown(&card).contains("may have taken effect"), "{card:#}");
    let next = agent.turn(&session, "what happened", nothing_asked);
    assert!(next.text().contains("cancelled: interrupted"), "{}", next.text());
}

#[test]
fn killed_right_after_an_outcome() {
    let home = home(BYPASS);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.prompt(&session, "run echo x >> effects; echo all of it");
    agent.until(is_completed);
    kill(&mut agent);

    let mut agent = Agent::ready(&home);
    let replay = load(&mut agent, &home, &session);
    let card = replay.only_card();
    assert_eq!(card["status"], "completed");
    assert!(shown(&card).contains("all of it"), "{card:#}");
    let next = agent.turn(&session, "what happened", nothing_asked);
    assert!(next.text().contains("all of it"), "{}", next.text());
    assert_eq!(effects(&home), 1);
}

/// A turn with a call, killed behind each of its lines in turn: whatever was told is there, and a load
/// after the next is the same.
#[test]
fn killed_behind_any_line_nothing_told_is_lost() {
    let home = home(BYPASS);
    let mut lines = 0;
    for kept in 0.. {
        home.write("effects", "");
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let id = agent.prompt(&session, "run echo x >> effects; echo all of it");
        let mut told = Vec::new();
        let mut reached_the_end = false;
        while told.len() < kept && !reached_the_end {
            let message = agent.next();
            assert_ne!(message["id"], id, "the turn is held");
            let said = message["params"]["update"]["content"]["text"].as_str();
            reached_the_end = said == Some("It ran: ");
            told.push(message);
        }
        lines = lines.max(told.len());
        kill(&mut agent);

        let mut agent = Agent::ready(&home);
        let replay = super::try_load(&mut agent, &home, &session);
        if told.is_empty() && replay.response.get("error").is_some() {
            // Killed before the session was written; nothing of it was told.
            continue;
        }
        replay.result();
        check_told(&told, &replay.before);
        let ran = home.read("effects").lines().count();
        assert!(ran <= 1, "it ran {ran} times");
        if replay.calls().iter().any(|call| replay.status(call) == "completed") {
            assert_eq!(ran, 1, "killed behind {kept} lines");
        }
        let again = load(&mut agent, &home, &session);
        assert_eq!(again.before, replay.before, "killed behind {kept} lines");
        assert_eq!(home.read("effects").lines().count(), ran);
        if reached_the_end {
            break;
        }
    }
    assert!(lines > 4, "{lines} lines are no turn");
}

/// Every call that was final is so in the replay, and every call that was shown is there.
fn check_told(told: &[Value], replay: &[Value]) {
    let updates = |messages: &[Value]| -> Vec<Value> {
        let updates = messages.iter().map(|message| message["params"]["update"].clone());
        updates.filter(|update| update["toolCallId"].is_string()).collect()
    };
    let replayed = updates(replay);
    for update in updates(told) {
        let found = replayed.iter().find(|found| found["toolCallId"] == update["toolCallId"]);
        // A call is announced while the model still writes it; it is told when it has a status.
        let is_told = matches!(update["status"].as_str(), Some("in_progress" | "completed"));
        match found {
            None => assert!(!is_told, "lost: {update}"),
            Some(found) if update["status"] == "completed" => {
                assert_eq!(found["status"], "completed", "{update} became {found}");
            }
            Some(_) => {}
        }
    }
}

/// The provider's side: each call has one outcome, and the interrupted one says so.
#[test]
fn the_model_is_told_of_what_was_interrupted() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write_config(BYPASS);
        let input = json!({ "command": HELD });
        served.provider.queue(
            served.reply().text("I run it.").call("call_1", "terminal", input).usage(10, 5, 0),
        );
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        agent.prompt(&session, "run it");
        agent.until(|message| message["params"]["update"]["content"].to_string().contains("begun"));
        kill(&mut agent);
        served.home.write("go", "");

        let mut agent = served.agent();
        load(&mut agent, &served.home, &session);
        served.says("I see.");
        assert_eq!(agent.ask(&session, "go on").text(), "I see.");
        let body = served.body(1)["messages"].to_string();
        for part in ["run it", "I run it.", "interrupted: Talaria ended while this ran", "go on"] {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert_eq!(served.home.read("effects"), "x\n");
    }
}
