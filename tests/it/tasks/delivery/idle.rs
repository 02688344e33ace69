//! A client that shows what comes at any time: a report starts a turn by itself, once, and a user goes first.

use serde_json::Value;

use super::*;
use crate::tasks::reports::given;

#[test]
fn a_report_while_idle_starts_a_turn_by_itself() {
    let (served, mut chat, gates) = delegated(&["child one"], Client::GOOD, "");
    served.says("Gone on.");
    let before = chat.came().len();
    gates[0].open();
    until_over(&mut chat, 1);
    let came = &chat.came()[before..];
    // There is nothing to answer, nobody is asked, and nobody else spoke.
    for message in came {
        assert_eq!(message["method"], "session/update", "{message}");
        assert!(message.get("id").is_none(), "{message}");
        assert_ne!(message["params"]["update"]["sessionUpdate"], "user_message_chunk");
    }
    let expected = "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n\
                    Gone on.\n\nThe follow-up to `t1` is over.";
    assert_eq!(text_of(came), expected);
    let chunks = came
        .iter()
        .filter(|message| message["params"]["update"]["sessionUpdate"] == "agent_message_chunk");
    let overs: Vec<bool> = chunks
        .map(|chunk| {
            let mark = mark(chunk).unwrap_or_else(|| panic!("{chunk}"));
            assert_eq!((&mark["generation"], &mark["tasks"]), (&1.into(), &json!(["t1"])));
            is_over(chunk)
        })
        .collect();
    // The last one says so, and no other.
    assert_eq!(overs.iter().position(|over| *over), Some(overs.len() - 1));
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 3);
    assert_eq!(given(&parent[2], "t1"), 1);
    // It was given: the next prompt has nothing new.
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    assert_eq!(given(of_parent(&served).last().unwrap(), "t1"), 1);
    assert_eq!(of_parent(&served).len(), 4);
}

#[test]
fn reports_that_come_together_are_read_in_one_request() {
    let (served, mut chat, gates) =
        delegated(&["child one", "child two", "child three"], Client::GOOD, "");
    served.says("Gone on.");
    for gate in &gates {
        gate.open();
    }
    until_over(&mut chat, 1);
    assert_eq!(follow_ups(&chat), [["t1", "t2", "t3"]]);
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 3);
    assert!(["t1", "t2", "t3"].iter().all(|task| given(&parent[2], task) == 1));
}

#[test]
fn a_report_does_not_wait_for_tasks_that_go_on() {
    let (served, mut chat, gates) = delegated(&["child one", "child two"], Client::GOOD, "");
    served.says("First.");
    gates[0].open();
    until_over(&mut chat, 1);
    let said = text_of(chat.came());
    assert!(said.ends_with("is over. In the background: `t2` (child two)."), "{said}");
    served.says("Second.");
    gates[1].open();
    until_over(&mut chat, 2);
    assert_eq!(follow_ups(&chat), [["t1"], ["t2"]]);
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 4);
    assert_eq!((given(&parent[2], "t1"), given(&parent[2], "t2")), (1, 0));
    assert_eq!((given(&parent[3], "t1"), given(&parent[3], "t2")), (1, 1));
}

#[test]
fn a_users_prompt_goes_first_and_takes_the_report_along() {
    let (served, mut chat, gates) = delegated(&["child one", "child two"], Client::GOOD, "");
    gates[0].open();
    chat.until("t1", "completed");
    // Within the moment in which others may join in.
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    assert_no_follow_up(&chat);
    served.says("Gone on.");
    gates[1].open();
    until_over(&mut chat, 1);
    assert_eq!(follow_ups(&chat), [["t2"]]);
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 4);
    assert_eq!(given(&parent[2], "t1"), 1);
    assert_eq!((given(&parent[3], "t1"), given(&parent[3], "t2")), (1, 1));
}

#[test]
fn a_cancel_before_it_starts_leaves_the_report_for_the_next_prompt() {
    let (served, mut chat, gates) = delegated(&["child one", "child two"], Client::GOOD, "");
    gates[0].open();
    chat.until("t1", "completed");
    chat.agent.cancel(&chat.session);
    // With the last task a turn would begin at once; the report of one that its user cancelled starts none.
    chat.say("/cancel t2");
    chat.until("t2", "cancelled");
    chat.settle();
    assert_no_follow_up(&chat);
    assert_eq!(of_parent(&served).len(), 2);
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 3);
    assert_eq!(given(&parent[2], "t1"), 1);
    assert_no_follow_up(&chat);
}

#[test]
fn stop_ends_the_turn_and_every_task_and_keeps_the_report() {
    let (served, mut chat, gates) = delegated(&["child one", "child two"], Client::GOOD, "");
    let never = Gate::new();
    served.provider.queue(served.reply().gate(&never).text("NEVER SAID"));
    gates[0].open();
    served.wait(never.reached());
    let number = served.provider.requests().len() - 1;
    let stopped = chat.say("/stop");
    assert!(stopped.contains("`t2`"), "{stopped}");
    served.wait(served.provider.closed(number));
    until_over(&mut chat, 1);
    chat.until("t2", "cancelled");
    chat.settle();
    let said = text_of(chat.came());
    assert!(said.contains("The follow-up to `t1` was stopped."), "{said}");
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 4);
    assert_eq!((given(&parent[2], "t1"), given(&parent[3], "t1")), (1, 1));
    assert_eq!(follow_ups(&chat).len(), 1);
    never.open();
}

#[test]
fn stop_drops_what_is_about_to_begin_and_keeps_the_report() {
    let (served, mut chat, gates) = delegated(&["child one", "child two"], Client::GOOD, "");
    gates[0].open();
    chat.until("t1", "completed");
    chat.say("/stop");
    chat.until("t2", "cancelled");
    chat.settle();
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    assert_no_follow_up(&chat);
    let parent = of_parent(&served);
    assert_eq!(parent.len(), 3);
    assert_eq!(given(&parent[2], "t1"), 1);
}

/// A model that writes a file when it reads a report.
const WRITES: &str = r#"
    when prompt "*their reports follow*"
      call write {"path": "x.txt", "content": "new\n"}
    then
      say "${outcome}"
"#;

fn writing(config: &str) -> (Home, Chat) {
    let home = Home::scripted(&format!("{MODEL}{WRITES}"));
    home.write_config(config);
    let mut chat = chat_of(&home, Client::GOOD);
    chat.set_mode("bypass");
    chat.say("async work a");
    home.open_gate("a");
    (home, chat)
}

#[test]
fn c83_what_nobody_asked_for_is_asked_for_in_a_session_that_asks_nobody() {
    let (home, mut chat) = writing("");
    let dialog = chat.asked();
    assert!(!home.exists("x.txt"));
    chat.choose(&dialog, "allow_once");
    until_over(&mut chat, 1);
    assert_eq!(home.read("x.txt"), "new\n");
    // The session's own mode is as it was.
    chat.say("write y.txt");
    assert!(home.exists("y.txt"));
    assert_eq!(chat.dialogs().len(), 1);
}

#[test]
fn where_the_configuration_says_so_its_mode_is_that_of_the_session() {
    let (home, mut chat) = writing("tasks:\n  follow_up_mode: same\n");
    until_over(&mut chat, 1);
    assert_eq!(home.read("x.txt"), "new\n");
    assert_eq!(chat.dialogs(), Vec::<Value>::new());
}
