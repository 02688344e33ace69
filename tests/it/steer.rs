//! A second prompt while a turn runs: steered into it, queued behind it, or in its place. Checklist 53.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::client::{nothing_asked, selected};
use crate::support::home::Home;
use crate::support::provider::Gate;
use crate::support::served::{Dialect, Served};

const TALK: &str = r#"
    when prompt "first"
      say "one "
      gate go
      say "two "
    when steer "second"
      say "steered"
    when any
      say "fresh: ${prompt}"
"#;

fn home(busy: &str) -> Home {
    let home = Home::scripted(TALK);
    if !busy.is_empty() {
        home.write_config(&format!("session:\n  busy: {busy}\n"));
    }
    home
}

/// A turn that waits at the gate; its prompt's id.
fn first(agent: &mut Agent, session: &str) -> Value {
    let id = agent.prompt(session, "first");
    agent.wait_for_text("one ");
    id
}

#[test]
fn c53_by_default_the_running_turn_takes_a_second_prompt() {
    let home = home("");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    assert!(agent.settle(&session).is_empty(), "nothing is said of it before it is delivered");
    home.open_gate("go");
    let answer = agent.wait(&one);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "two fresh: second"));
    // Answered with the turn that took it: behind the first, with nothing between them.
    let answer = agent.wait(&two);
    assert_eq!(answer.stop_reason(), "end_turn");
    assert!(answer.before.is_empty(), "{:?}", answer.before);
    assert_eq!(agent.turn(&session, "third", nothing_asked).text(), "fresh: third");
}

#[test]
fn c53_a_steered_prompt_reaches_the_next_request_behind_the_outcomes() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write("a.txt", "content\n");
        let gate = Gate::new();
        served.provider.queue(served.reply().gate(&gate).call(
            "x",
            "read",
            json!({ "path": "a.txt" }),
        ));
        served.says("Both.");
        served.says("More.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let one = agent.prompt(&session, "look at it");
        served.wait(gate.reached());
        let two = agent.prompt(&session, "and hurry");
        agent.settle(&session);
        gate.open();
        let answer = agent.wait(&one);
        assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Both."));
        assert_eq!(agent.wait(&two).stop_reason(), "end_turn");
        assert!(served.provider.requests()[1].last_user().contains("and hurry"));
        // It stays where it was delivered.
        agent.turn(&session, "go on", nothing_asked);
        let body = served.body(2).to_string();
        assert_eq!(body.matches("and hurry").count(), 1, "{body}");
        served.provider.finish();
    }
}

#[test]
fn c53_a_prompt_during_a_call_is_steered_behind_it() {
    let home = Home::scripted(
        r#"
        when prompt "first"
          call terminal {"command": "true"}
        when steer "second"
          say "steered"
        when any
          say "never"
        "#,
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = agent.prompt(&session, "first");
    let (mut before, request) = agent.asked();
    let two = agent.prompt(&session, "second");
    before.extend(agent.settle(&session));
    agent.say(&request, selected("allow_once"));
    let answer = agent.wait(&one);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "steered"));
    assert_eq!(agent.wait(&two).stop_reason(), "end_turn");
    assert!(before.iter().all(|message| message.get("result").is_none()));
}

#[test]
fn c53_with_queue_it_becomes_a_turn_of_its_own() {
    let home = home("queue");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    let three = agent.prompt(&session, "third");
    agent.settle(&session);
    home.open_gate("go");
    let answer = agent.wait(&one);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "two "));
    let answer = agent.wait(&two);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fresh: second"));
    let answer = agent.wait(&three);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fresh: third"));
}

#[test]
fn c53_with_interrupt_it_takes_the_place_of_the_running_turn() {
    let home = home("interrupt");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    let answer = agent.wait(&one);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("cancelled", ""));
    let answer = agent.wait(&two);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fresh: second"));
}

#[test]
fn c53_what_was_not_delivered_at_a_cancel_is_cancelled_with_it() {
    for busy in ["steer", "queue"] {
        let home = home(busy);
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let ids = [
            first(&mut agent, &session),
            agent.prompt(&session, "second"),
            agent.prompt(&session, "third"),
        ];
        agent.settle(&session);
        agent.cancel(&session);
        let after = agent.prompt(&session, "fourth");
        for id in ids {
            let answer = agent.wait(&id);
            assert_eq!((answer.stop_reason(), answer.text().as_str()), ("cancelled", ""));
        }
        let answer = agent.wait(&after);
        assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fresh: fourth"));
    }
}

#[test]
fn c53_what_was_not_delivered_never_reaches_the_model() {
    let served = Served::new(Dialect::Openai);
    let gate = Gate::new();
    served.provider.queue(served.reply().text("Hel").gate(&gate).text("lo"));
    served.says("Fine.");
    let mut agent = served.agent();
    let session = agent.new_session(&served.home);
    let one = agent.prompt(&session, "talk");
    agent.wait_for_text("Hel");
    let two = agent.prompt(&session, "and hurry");
    agent.settle(&session);
    agent.cancel(&session);
    assert_eq!(agent.wait(&one).stop_reason(), "cancelled");
    assert_eq!(agent.wait(&two).stop_reason(), "cancelled");
    assert_eq!(agent.turn(&session, "go on", nothing_asked).text(), "Fine.");
    let body = served.body(1).to_string();
    assert!(body.contains("Hel") && !body.contains("and hurry"), "{body}");
    served.provider.finish();
}

#[test]
fn c53_at_most_32_prompts_wait() {
    for busy in ["steer", "queue"] {
        let home = home(busy);
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let mut ids = vec![first(&mut agent, &session)];
        ids.extend((0..32).map(|number| agent.prompt(&session, &format!("waiting {number}"))));
        let refused = agent.ask(&session, "one too many");
        assert_eq!(refused.code(), -32602);
        assert!(refused.message().contains("32 prompts wait"), "{}", refused.message());
        // A command waits for nothing.
        assert_eq!(agent.ask(&session, "/help").stop_reason(), "end_turn");
        agent.cancel(&session);
        for id in ids {
            assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
        }
        assert_eq!(agent.ask(&session, "last").text(), "fresh: last");
    }
}

#[test]
fn c53_one_waiting_prompt_can_be_taken_back() {
    let home = home("queue");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    let three = agent.prompt(&session, "third");
    agent.notify("$/cancel_request", &json!({ "requestId": two }));
    assert_eq!(agent.wait(&two).stop_reason(), "cancelled");
    home.open_gate("go");
    assert_eq!(agent.wait(&one).stop_reason(), "end_turn");
    assert_eq!(agent.wait(&three).text(), "fresh: third");
}

#[test]
fn c53_one_steered_prompt_that_is_taken_back_is_still_answered_once() {
    let home = home("");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    agent.notify("$/cancel_request", &json!({ "requestId": two }));
    agent.settle(&session);
    home.open_gate("go");
    assert_eq!(agent.wait(&one).stop_reason(), "end_turn");
    agent.wait(&two).result();
}

#[test]
fn c53_what_waits_when_the_turn_fails_is_answered() {
    let home = Home::scripted(
        r#"
        when prompt "first"
          say "one "
          gate go
          fail drop
        when any
          say "fresh: ${prompt}"
        "#,
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let one = first(&mut agent, &session);
    let two = agent.prompt(&session, "second");
    agent.settle(&session);
    home.open_gate("go");
    assert_eq!(agent.wait(&one).code(), -32603);
    let answer = agent.wait(&two);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fresh: second"));
}

#[test]
fn c53_closing_answers_all_that_run_and_wait() {
    for busy in ["steer", "queue"] {
        let home = home(busy);
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let one = first(&mut agent, &session);
        let two = agent.prompt(&session, "second");
        let closed = agent.request("session/close", &json!({ "sessionId": session }));
        assert_eq!(agent.wait(&one).stop_reason(), "cancelled");
        assert_eq!(agent.wait(&two).stop_reason(), "cancelled");
        agent.wait(&closed).result();
    }
}
