//! A client that may lose what comes while no prompt is open: a prompt stays open for its tasks, and what they
//! report is one more step of it. Checklist 85.

use super::*;
use crate::tasks::reports::given;

#[test]
fn c85_a_prompt_is_answered_behind_its_tasks_and_what_they_report() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = held(&mut chat, "async work a");
    // A command does not end it.
    chat.say("/tasks");
    assert_eq!(chat.response(&turn), None);
    home.open_gate("a");
    let answer = chat.answer(&turn);
    assert_eq!(answer.stop, "end_turn");
    assert_eq!(
        answer.text.matches("I have read <task_report id=\"t1\"").count(),
        1,
        "{}",
        answer.text
    );
    assert_eq!(chat.state("t1").as_deref(), Some("completed"));
    let at = chat.response(&turn).unwrap();
    chat.settle();
    assert_quiet(&chat.came()[at..]);
    // It is a turn of the prompt, and no other.
    assert_no_follow_up(&chat);
    // The end was shown: it is not told again.
    let before = chat.came().len();
    chat.say("hello");
    assert_eq!(whole_cards(&chat.came()[before..], "t1"), Vec::<Value>::new());
}

#[test]
fn c85_each_report_is_one_step_more_of_the_same_prompt() {
    let (served, mut chat, gates) = delegating(&["child one", "child two"], Client::Unknown, "");
    let turn = held(&mut chat, "PARENT");
    served.says("First.");
    gates[0].open();
    chat.until_said("First.");
    chat.settle();
    assert_eq!(chat.response(&turn), None);
    served.says("Second.");
    gates[1].open();
    let answer = chat.answer(&turn);
    assert_eq!(answer.stop, "end_turn");
    assert!(answer.text.contains("Done.") && answer.text.ends_with("Second."), "{}", answer.text);
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 4);
    assert_eq!((given(&parent[2], "t1"), given(&parent[2], "t2")), (1, 0));
    assert_eq!((given(&parent[3], "t1"), given(&parent[3], "t2")), (1, 1));
}

#[test]
fn c83_tasks_of_a_held_prompt_may_ask() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = held(&mut chat, "async later a x.txt");
    home.open_gate("a");
    let dialog = chat.asked();
    assert_eq!(chat.response(&turn), None);
    chat.choose(&dialog, "allow_once");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
    assert_eq!(home.read("x.txt"), "new\n");
}

#[test]
fn c85_detach_answers_the_prompt_and_the_task_goes_on() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = held(&mut chat, "async work a");
    let detached = chat.say("/detach");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
    assert!(detached.contains("In the background from now on: `t1` (work a)."), "{detached}");
    let at = chat.came().len();
    home.open_gate("a");
    chat.until_listed("completed", 1);
    let before = chat.came().len();
    // What it reported comes with the prompt, which is not held for what is over.
    let said = chat.say("check t1");
    assert!(said.contains("completed"), "{said}");
    assert_eq!(text_of(&chat.came()[at..]).matches("I have read").count(), 0);
    assert_eq!(whole_cards(&chat.came()[before..], "t1"), Vec::<Value>::new());
    assert_no_follow_up(&chat);
}

#[test]
fn c85_detach_in_the_turn_keeps_its_prompt_from_being_held() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    // Only a task of the model's own call belongs to the prompt.
    let turn = chat.prompt("both work a; work b");
    chat.until("t2", "running");
    chat.say("/detach");
    home.open_gate("b");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
}

#[test]
fn c85_a_prompt_is_held_for_a_time_and_then_says_what_goes_on() {
    let home = home("tasks:\n  hold_seconds: 1\n");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = chat.prompt("async work a");
    let answer = chat.answer(&turn);
    assert_eq!(answer.stop, "end_turn");
    let line = "In the background from now on: `t1` (work a). What is reported comes with your next \
                prompt; `/tasks` shows how it stands.";
    assert!(answer.text.ends_with(line), "{}", answer.text);
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
}

#[test]
fn c85_a_new_prompt_is_answered_behind_the_one_that_was_held() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    let first = held(&mut chat, "async work a");
    let second = chat.prompt("hello");
    let turn = chat.answer(&second);
    assert_eq!((turn.stop.as_str(), turn.text.as_str()), ("end_turn", "You said hello."));
    let at = chat.response(&first).unwrap();
    assert_eq!(chat.came()[at]["result"]["stopReason"], "end_turn");
    let said =
        |message: &Value| message["params"]["update"]["sessionUpdate"] == "agent_message_chunk";
    let text = chat.came().iter().rposition(said).unwrap();
    assert!(at < text, "it is answered before anything of the new one");
    // The task is the earlier prompt's: this one is not held for it.
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
}

#[test]
fn the_configuration_decides_whether_prompts_are_held() {
    let detached = home("tasks:\n  delivery: detached\n");
    let mut chat = chat_of(&detached, Client::Unknown);
    chat.say("async work a");
    assert_eq!(chat.state("t1").as_deref(), Some("running"));

    let attached = home("tasks:\n  delivery: attached\n");
    let mut chat = chat_of(&attached, Client::GOOD);
    let turn = held(&mut chat, "async work a");
    attached.open_gate("a");
    assert!(chat.answer(&turn).text.contains("I have read"));
    assert_no_follow_up(&chat);
}
