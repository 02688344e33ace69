//! What a client that may lose late updates is not sent while no prompt is open, and is told with its next one,
//! once, also over a kill. Checklist 84.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// One task at a time: where the second one runs the first one is over for sure.
const ONE_AT_A_TIME: &str = "delegation:\n  max_concurrent_children: 1\n";

/// Waits for a file of the work folder: nothing is told now that could be waited for.
fn until_there(home: &Home, name: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !home.exists(name) {
        assert!(Instant::now() < end, "`{name}` does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A chat whose first task ended while no prompt was open, and whose second one runs until the gate `b` opens;
/// of neither end anything came.
fn ended_late() -> (Home, Chat) {
    let home = home(ONE_AT_A_TIME);
    let mut chat = chat_of(&home, Client::Unknown);
    chat.set_mode("bypass");
    chat.say("/task work a");
    chat.say("/task run touch there; while [ ! -e ../b ]; do sleep 0.01; done");
    let at = chat.came().len();
    home.open_gate("a");
    until_there(&home, "there");
    chat.settle();
    assert_quiet(&chat.came()[at..]);
    (home, chat)
}

#[test]
fn c84_what_ended_while_no_prompt_was_open_is_told_with_the_next_one_once() {
    let (home, mut chat) = ended_late();
    let at = chat.came().len();
    chat.say("hello");
    let came = chat.came()[at..].to_vec();
    let [ended] = &whole_cards(&came, "t1")[..] else { panic!("{came:#?}") };
    assert_eq!(ended["status"], "completed");
    assert!(crate::support::tasks::content(ended).contains("Ended a."), "{ended}");
    let [live] = &whole_cards(&came, "t2")[..] else { panic!("{came:#?}") };
    // Its card may be a second behind, and still say that it is queued.
    assert!(
        ["queued", "running"]
            .contains(&live["_meta"]["talaria"]["task"]["state"].as_str().unwrap())
    );
    // The end was shown; what lives is told with each prompt.
    let at = chat.came().len();
    chat.say("hello");
    assert_eq!(whole_cards(&chat.came()[at..], "t1"), Vec::<Value>::new());
    assert_eq!(whole_cards(&chat.came()[at..], "t2").len(), 1);
    home.open_gate("b");
    chat.until_listed("completed", 2);
    // And by command.
    assert!(chat.say("/collect t1").contains("Ended a."));
}

#[test]
fn c84_what_was_not_told_before_a_kill_is_told_after_it_once() {
    let (home, chat) = ended_late();
    let session = chat.kill();
    home.open_gate("b");
    let resumed = || Chat::resumed(Agent::ready_as(&home, Client::Unknown), &home, &session);
    let mut chat = resumed();
    chat.settle();
    assert_quiet(chat.came());
    // A command: what the model is given counts as shown, too.
    chat.say("/tasks");
    let [ended] = &whole_cards(chat.came(), "t1")[..] else { panic!("{:#?}", chat.came()) };
    assert_eq!(ended["status"], "completed");
    chat.settle();
    // It was shown, which is known after another kill, too.
    chat.kill();
    let mut chat = resumed();
    chat.say("hello");
    chat.say("hello");
    assert_eq!(whole_cards(chat.came(), "t1"), Vec::<Value>::new());
}

#[test]
fn c84_a_client_that_forgets_is_told_when_it_happens_and_again_once() {
    let home = home("");
    let mut chat = chat_of(&home, Client::FORGETFUL);
    chat.say("async work a");
    let at = chat.came().len();
    home.open_gate("a");
    until_over(&mut chat, 1);
    let first = messages(&chat.came()[at..]);
    assert!(first.iter().any(|(_, text)| text.contains("I have read")), "{first:#?}");
    assert_eq!(chat.state("t1").as_deref(), Some("completed"));
    let at = chat.came().len();
    chat.say("hello");
    let came = chat.came()[at..].to_vec();
    let [card] = &whole_cards(&came, "t1")[..] else { panic!("{came:#?}") };
    assert_eq!(card["status"], "completed");
    // Under the same ids, so that a repeat takes the place of the first one.
    let again = messages(&came);
    // The blank lines around each go by what it stands behind now.
    let trimmed = |all: &[(String, String)]| {
        all.iter().map(|(id, text)| (id.clone(), text.trim().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(trimmed(&again[..first.len()]), trimmed(&first));
    assert_eq!(
        again[first.len()..].iter().map(|(_, text)| text.as_str()).collect::<String>(),
        "You said hello."
    );
    let at = chat.came().len();
    assert_eq!(chat.say("hello"), "You said hello.");
    assert_eq!(whole_cards(&chat.came()[at..], "t1"), Vec::<Value>::new());
}

/// The messages of the agent, each once: id and text.
fn messages(came: &[Value]) -> Vec<(String, String)> {
    let mut messages: Vec<(String, String)> = Vec::new();
    for update in came.iter().map(|message| &message["params"]["update"]) {
        if update["sessionUpdate"] != "agent_message_chunk" {
            continue;
        }
        let (id, text) =
            (update["messageId"].as_str().unwrap(), update["content"]["text"].as_str().unwrap());
        match messages.last_mut() {
            Some((last, whole)) if last == id => whole.push_str(text),
            _ => messages.push((id.to_owned(), text.to_owned())),
        }
    }
    messages
}
