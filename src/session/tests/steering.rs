//! What is said to the running turn without waiting for an answer.

use super::follow::{cancel, card, delegated, report, tells_usual, with};
use super::*;
use crate::session::Idle;
use crate::tasks::engine::State;

fn steering(id: u64, text: &str, idle: Idle) -> Input {
    Input::Steering { id: PromptId(id), content: vec![Content::text(text)], idle }
}

fn steers(id: u64, text: &str) -> Input {
    steering(id, text, Idle::Begin)
}

#[test]
fn a_running_turn_takes_it_and_no_answer_follows() {
    for busy in [Busy::Steer, Busy::Queue, Busy::Interrupt] {
        check(
            busy,
            vec![
                prompt(1, "go"),
                steering(2, "also", Idle::Refuse),
                delivered(vec![MessageId::new("m2")]),
                ended(End::Finished),
            ],
            &expect![[r#"
                start 1 after 0 turns
                steer 2 · steering Injected

                title "go" · reply 1 Finished
            "#]],
        );
    }
}

#[test]
fn where_nothing_runs_it_begins_a_turn_or_is_not_taken() {
    check_records(
        state(Busy::Steer),
        vec![
            steering(1, "hm", Idle::Refuse),
            steers(2, "go"),
            ended(End::Finished),
            steers(3, "/version"),
            steering(4, "/version", Idle::Refuse),
        ],
        &expect![[r#"
            steering NothingRuns
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 2 after 0 turns · steering Began
            [end Finished] · title "go"
            [aside m2 "/version" m3 "Talaria 1.2.3"] · say "Talaria 1.2.3" · steering Began
            steering NothingRuns
        "#]],
    );
}

#[test]
fn commands_are_carried_out_while_a_turn_runs() {
    check(
        Busy::Steer,
        vec![prompt(1, "go"), steers(2, "/version"), steers(3, "/tasks"), ended(End::Finished)],
        &expect![[r#"
            start 1 after 0 turns
            say "Talaria 1.2.3" · steering Injected
            command 3 List(None) · steering Injected
            title "go" · reply 1 Finished
        "#]],
    );
}

#[test]
fn what_the_turn_did_not_take_is_not_delivered_when_that_is_cancelled() {
    check_records(
        state(Busy::Steer),
        vec![
            prompt(1, "go"),
            steers(2, "also"),
            cancel(2),
            // The turn is being stopped.
            steering(3, "and", Idle::Refuse),
            steers(4, "then"),
            ended(End::Cancelled),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [prompt m2 "also"] · steer 2 · steering Injected
            cancel turn
            steering NothingRuns
            [prompt m3 "then"] · steering Began
            [end Cancelled] · title "go" · reply 1 Cancelled · [not_delivered m2] · [turn m3] · start 4 after 1 turns
        "#]],
    );
}

#[test]
fn what_the_turn_did_not_take_runs_as_its_own_otherwise() {
    check(
        Busy::Steer,
        vec![prompt(1, "go"), steers(2, "also"), ended(End::MaxSteps), ended(End::Finished)],
        &expect![[r#"
            start 1 after 0 turns
            steer 2 · steering Injected
            title "go" · reply 1 MaxSteps · start 2 after 1 turns

        "#]],
    );
}

#[test]
fn what_a_cancel_covers_before_it_came_is_refused_and_not_kept() {
    check_records(
        state(Busy::Steer),
        vec![cancel(2), steers(1, "a"), steering(2, "b", Idle::Refuse)],
        &expect![[r#"

            steering error It was cancelled before the session took it.
            steering NothingRuns
        "#]],
    );
}

#[test]
fn what_a_prompt_would_be_refused_for_is_refused() {
    let many = (2..35).map(|id| steers(id, "also"));
    let inputs = std::iter::once(prompt(1, "go")).chain(many).collect();
    let told = story(state(Busy::Steer), inputs, line);
    assert_eq!(told.matches("Injected").count(), 32);
    assert!(
        told.ends_with(
            "steering error 32 prompts wait already. Wait for the running turn, or cancel it.\n"
        ),
        "{told}"
    );
    let empty = Input::Steering { id: PromptId(1), content: Vec::new(), idle: Idle::Begin };
    check(
        Busy::Steer,
        vec![empty, prompt(2, "go")],
        &expect![[r#"
        steering error The prompt is empty. Send at least one block.
        start 2 after 0 turns
    "#]],
    );
}

#[test]
fn a_prompt_that_is_held_goes_on_with_it_and_still_waits_for_its_tasks() {
    tells_usual(
        Late::Lost,
        with(
            delegated(),
            vec![
                steering(2, "and in short", Idle::Refuse),
                ended(End::Finished),
                report(1),
                card(1, State::Completed),
                ended(End::Finished),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            hold ends · start 2 after 1 turns · steering Injected
            hold for 90s
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · hold ends · start 0 after 2 turns with m3 generation 1 of m1
            reply 1 Finished
        "#]],
    );
}

#[test]
fn what_began_without_a_prompt_is_not_held() {
    tells_usual(
        Late::Lost,
        vec![steers(1, "go"), card(1, State::Running), ended(End::Finished), prompt(2, "well?")],
        &expect![[r#"
            start 1 after 0 turns · steering Began
            call task-t1 "`t1` · look 1" Some(InProgress)
            title "go"
            call task-t1 "`t1` · look 1" Some(InProgress) · start 2 after 1 turns
        "#]],
    );
}

#[test]
fn at_the_end_it_is_refused() {
    check(
        Busy::Steer,
        vec![Input::Close, steers(1, "go")],
        &expect![[r#"
        stop
        steering error It was cancelled before the session took it.
    "#]],
    );
}
