//! What a cancel does with tasks, and what is said before its answer. Checklist 48 and 85.

use super::*;

const GOES_ON: &str =
    "In the background still: `t1` (work a). `/stop` ends all of them, `/cancel` and a name one.";

/// The user cancels a prompt, and the task goes on: before the answer that is said, and its card is shown as
/// running, since clients mark all open cards as cancelled then. Behind the answer nothing comes.
fn assert_goes_on(chat: &mut Chat, turn: &Value) {
    let from = chat.came().len();
    chat.stop();
    assert_eq!(chat.answer(turn).stop, "cancelled");
    let at = chat.response(turn).unwrap();
    let came = &chat.came()[from..at];
    let line = came.iter().position(|message| {
        let text = message["params"]["update"]["content"]["text"].as_str();
        text.is_some_and(|text| text.ends_with(GOES_ON))
    });
    let card = came.iter().rposition(|message| {
        let update = &message["params"]["update"];
        update["toolCallId"] == "task-t1" && update["status"] == "in_progress"
    });
    assert!(line.is_some() && line < card, "{came:#?}");
    chat.settle();
    assert_quiet(&chat.came()[at..]);
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
    // Nothing is left to be cancelled.
    chat.agent.cancel(&chat.session);
    chat.settle();
    assert_quiet(&chat.came()[at..]);
}

#[test]
fn c48_a_cancelled_turn_says_what_goes_on_before_its_answer() {
    for client in [Client::GOOD, Client::FORGETFUL, Client::Unknown] {
        let home = home("");
        let mut chat = chat_of(&home, client);
        let turn = chat.prompt("hold go");
        chat.until_said("Holding go.");
        chat.say("/task work a");
        chat.until("t1", "running");
        chat.wait("what the task said first", |chat| {
            let card = chat.card("task-t1")?;
            crate::support::tasks::content(&card).contains("Begun").then_some(())
        });
        assert_goes_on(&mut chat, &turn);
    }
}

#[test]
fn c85_a_held_prompt_is_cancelled_and_its_task_is_not() {
    let home = home("");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = held(&mut chat, "async work a");
    assert_goes_on(&mut chat, &turn);
    home.open_gate("a");
    chat.until_listed("completed", 1);
}

#[test]
fn where_the_configuration_says_so_a_cancel_ends_the_tasks_before_its_answer() {
    for client in [Client::GOOD, Client::Unknown] {
        let home = home("tasks:\n  cancel_with_turn: always\n");
        let mut chat = chat_of(&home, client);
        let turn = chat.prompt("both work a; work b");
        chat.until("t1", "running");
        chat.until("t2", "running");
        chat.stop();
        assert_eq!(chat.answer(&turn).stop, "cancelled");
        for task in ["t1", "t2"] {
            assert_eq!(chat.state(task).as_deref(), Some("cancelled"), "{task}");
            assert_eq!(chat.card(&format!("task-{task}")).unwrap()["status"], "failed");
        }
        let at = chat.response(&turn).unwrap();
        assert!(!text_of(&chat.came()[..at]).contains("In the background still"));
        chat.settle();
        assert_quiet(&chat.came()[at..]);
        assert_no_follow_up(&chat);
    }
}

#[test]
fn where_the_configuration_says_so_a_cancel_ends_the_tasks_of_a_held_prompt() {
    let home = home("tasks:\n  cancel_with_turn: always\n");
    let mut chat = chat_of(&home, Client::Unknown);
    let turn = held(&mut chat, "async work a");
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    assert_eq!(chat.state("t1").as_deref(), Some("cancelled"));
    let at = chat.response(&turn).unwrap();
    chat.settle();
    assert_quiet(&chat.came()[at..]);
}
