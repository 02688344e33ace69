//! Ends that cross each other: holds, cancels, commands, clocks and other processes, each in the order in
//! which something was once lost, said twice or said to nobody.

use super::follow::{cancel, card, delegated, new, of, report, tells, tells_usual, with};
use super::lives;
use super::tasks::{asked, task_asks};
use super::*;
use crate::config::CancelWithTurn;
use crate::store::Trouble;
use crate::tasks::Origin;
use crate::tasks::engine::State;

fn always() -> TasksSection {
    TasksSection { cancel_with_turn: CancelWithTurn::Always, ..TasksSection::default() }
}

fn taken_over() -> Input {
    Input::Store(Some(Trouble::TakenOver))
}

fn two_tasks() -> Vec<Input> {
    vec![prompt(1, "go"), card(1, State::Running), card(2, State::Running), ended(End::Finished)]
}

#[test]
fn a_report_that_waits_for_others_starts_nothing_where_nobody_waits_any_more() {
    let more = vec![report(1), prompt(2, "/detach"), Input::FollowUpDue, prompt(3, "well?")];
    tells_usual(
        Late::Lost,
        with(two_tasks(), more),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        call task-t2 "`t2` · look 2" Some(InProgress)
        title "go" · hold for 90s
        follow up soon
        hold ends · reply 1 Finished · say "In the background from now on: `t1` (look 1) and `t2` (look 2). What is reported comes with your next prompt." · reply 2 Finished

        call task-t1 "`t1` · look 1" Some(InProgress) · call task-t2 "`t2` · look 2" Some(InProgress) · start 3 after 1 turns with m2
    "#]],
    );
}

#[test]
fn a_held_prompt_waits_for_its_own_tasks_also_behind_a_step_on_others() {
    let own = || Origin { prompt: MessageId::new("m4"), generation: 0 };
    let more = vec![
        prompt(2, "/detach"),
        prompt(3, "more"),
        lives::card(2, State::Running, own(), true),
        ended(End::Finished),
        report(1),
        card(1, State::Completed),
        Input::FollowUpDue,
        ended(End::Finished),
        Input::HoldOver,
    ];
    tells_usual(
        Late::Lost,
        with(delegated(), more),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
        hold ends · reply 1 Finished · say "In the background from now on: `t1` (look 1). What is reported comes with your next prompt." · reply 2 Finished
        call task-t1 "`t1` · look 1" Some(InProgress) · start 3 after 1 turns
        call task-t2 "`t2` · look 2" Some(InProgress)
        hold for 90s
        follow up soon
        call task-t1 Some(Completed) · [once told: shown [1]]
        hold ends · start 0 after 2 turns with m5 generation 1 of m4
        hold for 90s
        say "In the background from now on: `t2` (look 2). What is reported comes with your next prompt; `/tasks` shows how it stands." · hold ends · reply 3 Finished
    "#]],
    );
}

#[test]
fn what_is_held_is_answered_when_the_session_is_taken_over() {
    tells_usual(
        Late::Lost,
        with(delegated(), vec![taken_over(), prompt(2, "hm")]),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
        hold ends · reply 1 error Another Talaria has taken this session over. Load the session again to go on with it here. · stop
        reply 2 Cancelled
    "#]],
    );
}

#[test]
fn a_session_that_was_taken_over_starts_nothing_by_itself() {
    let more = vec![report(1), taken_over(), Input::FollowUpDue, card(1, State::Completed)];
    tells_usual(
        Late::Shown,
        with(two_tasks(), more),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        call task-t2 "`t2` · look 2" Some(InProgress)
        title "go" · reply 1 Finished
        follow up soon


        call task-t1 Some(Completed) · [once told: shown [1]]
    "#]],
    );
}

#[test]
fn answers_keep_their_order_while_tasks_are_cancelled() {
    let inputs = vec![
        prompt(1, "go"),
        card(1, State::Running),
        // The turn does not take it.
        prompt(2, "also"),
        cancel(4),
        ended(End::Cancelled),
        prompt(3, "was on its way"),
        prompt(5, "and now?"),
        cancel(5),
        task_asks("task-t1/c1", "edit"),
        card(1, State::Cancelled),
        Input::TasksCancelled,
    ];
    tells(
        of(Late::Shown),
        always(),
        inputs,
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        steer 2
        cancel tasks · cancel turn
        title "go"




        call task-t1 Some(Failed) · [once told: shown [1]] · hold ends · reply 1 Cancelled · reply 2 Cancelled · reply 3 Cancelled · reply 5 Cancelled · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1

    "#]],
    );
}

#[test]
fn a_session_is_handed_over_behind_tasks_that_are_being_cancelled() {
    let inputs = vec![
        prompt(1, "go"),
        card(1, State::Running),
        cancel(1),
        ended(End::Cancelled),
        prompt(2, "and now?"),
        Input::HandOver,
        card(1, State::Cancelled),
        ended(End::Finished),
    ];
    tells(
        of(Late::Shown),
        always(),
        inputs,
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        cancel tasks · cancel turn
        title "go"


        call task-t1 Some(Failed) · [once told: shown [1]] · hold ends · reply 1 Cancelled · start 2 after 1 turns
        reply 2 Finished · stop
    "#]],
    );
}

#[test]
fn what_ends_just_before_it_is_stopped_starts_nothing() {
    let done = Input::CommandDone { prompt: PromptId(2), text: "All have ended.".to_owned() };
    let more = vec![
        prompt(2, "/stop"),
        report(1),
        card(1, State::Completed),
        card(2, State::Cancelled),
        done,
        prompt(3, "well?"),
    ];
    tells_usual(
        Late::Shown,
        with(two_tasks(), more),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        call task-t2 "`t2` · look 2" Some(InProgress)
        title "go" · reply 1 Finished
        command 2 Stop

        call task-t1 Some(Completed) · [once told: shown [1]]
        call task-t2 Some(Failed) · [once told: shown [2]]
        say "All have ended." · reply 2 Finished
        start 3 after 1 turns with m3
    "#]],
    );
}

#[test]
fn a_clock_of_reports_that_are_gone_starts_nothing() {
    let more =
        vec![report(1), prompt(2, "hm"), ended(End::Finished), report(2), Input::FollowUpDue];
    tells_usual(
        Late::Shown,
        with(two_tasks(), with(vec![card(3, State::Running)], more)),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            call task-t2 "`t2` · look 2" Some(InProgress)
            title "go" · reply 1 Finished
            call task-t3 "`t3` · look 3" Some(InProgress)
            follow up soon
            start 2 after 1 turns with m2
            reply 2 Finished
            follow up soon
            tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t2"] })) · say "`t2` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 2 turns with m2, m4 generation 1 of m1 at most ask
        "#]],
    );
}

#[test]
fn a_client_that_loses_it_hears_of_the_board_and_of_calls_with_the_next_prompt() {
    let viewer = Viewer { plans: true, ..Viewer::default() };
    let inputs = vec![
        prompt(1, "go"),
        card(1, State::Running),
        task_asks("task-t1/c1", "edit"),
        ended(End::Finished),
        Input::HoldOver,
        asked("task-t1/c1"),
        card(1, State::Completed),
        prompt(2, "well?"),
        Input::TasksStopped,
    ];
    tells(
        viewer,
        TasksSection::default(),
        inputs,
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress) · tell Board([PlanEntry { content: "`t1` · look 1", status: InProgress, priority: Medium }])
        call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
        title "go" · hold for 90s
        say "In the background from now on: `t1` (look 1). What is reported comes with your next prompt; `/tasks` shows how it stands." · hold ends · withdraw task-t1/c1 · reply 1 Finished


        call task-t1 "`t1` · look 1" Some(Completed) · [once told: shown [1]] · call task-t1/c1 Some(Completed) · tell Board([PlanEntry { content: "`t1` · look 1", status: Completed, priority: Medium }]) · start 2 after 1 turns

    "#]],
    );
}

#[test]
fn what_goes_on_is_told_once_to_who_waits() {
    let inputs = vec![
        prompt(1, "go"),
        card(1, State::Running),
        cancel(1),
        ended(End::Cancelled),
        prompt(2, "hm"),
    ];
    tells_usual(
        Late::ShownTwice,
        inputs,
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        cancel turn
        title "go" · say "In the background still: `t1` (look 1). `/stop` ends all of them, `/cancel` and a name one." · call task-t1 Some(InProgress) · reply 1 Cancelled
        start 2 after 1 turns
    "#]],
    );
}

/// A session that does a task.
fn child() -> SessionState {
    let initial = Initial {
        settings: state(Busy::Steer).settings().clone(),
        busy: Busy::Steer,
        version: "1.2.3",
        is_shown: true,
        has_tasks: true,
        notice: None,
        is_child: true,
        viewer: Viewer::default(),
        tasks: always(),
    };
    SessionState::new(initial, Restored::default(), IdSource::default())
}

#[test]
fn a_task_takes_all_that_is_said_to_it() {
    let inputs = (1..=100).map(|id| prompt(id, "go on")).collect();
    let told = story(child(), inputs, line);
    assert_eq!((told.matches("steer ").count(), told.matches("error").count()), (99, 0), "{told}");
}

#[test]
fn a_task_holds_nothing_and_says_nothing_of_its_own_tasks() {
    let inputs = vec![
        prompt(1, "go"),
        card(1, State::Running),
        ended(End::Finished),
        report(1),
        card(1, State::Completed),
        prompt(2, "on"),
        card(2, State::Running),
        cancel(2),
        ended(End::Cancelled),
    ];
    expect![[r#"
        attach · delivered [PromptId(1)] · start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)
        reply 1 Finished


        delivered [PromptId(2)] · start 2 after 1 turns with m2
        call task-t2 "`t2` · look 2" Some(InProgress)
        cancel turn
        reply 2 Cancelled
    "#]]
    .assert_eq(&story(child(), inputs, line));
}

/// Thousands of tasks cost each card no more than the last ones do.
#[test]
fn the_board_has_its_bounds() {
    let mut state = new(Viewer { late: Late::Shown, plans: true, ..Viewer::default() }, always());
    state.handle(prompt(1, "go"));
    state.handle(card(1, State::Running));
    for task in 2..200 {
        for input in [card(task, State::Running), card(task, State::Completed)] {
            for effect in state.handle(input) {
                let Effect::Tell(Event::Board(entries)) = effect else { continue };
                assert!(entries.len() <= 50, "{}", entries.len());
                assert!(entries[0].content.starts_with("`t1`"), "{entries:?}");
            }
        }
    }
}

#[test]
fn a_prompt_is_not_steered_past_those_that_wait() {
    let inputs = vec![
        prompt(1, "go"),
        prompt(2, "also"),
        prompt(3, "and"),
        ended(End::Finished),
        prompt(4, "too"),
        ended(End::Finished),
        prompt(5, "more"),
        ended(End::Finished),
    ];
    check(
        Busy::Steer,
        inputs,
        &expect![[r#"
            start 1 after 0 turns
            steer 2
            steer 3
            title "go" · reply 1 Finished · start 2 after 1 turns · prompt waits
            prompt waits
            reply 2 Finished · start 3 after 2 turns · prompt waits
            prompt waits
            reply 3 Finished · start 4 after 3 turns · prompt waits
        "#]],
    );
}

#[test]
fn a_task_that_has_no_card_yet_is_cancelled_with_the_turn() {
    let inputs = vec![
        prompt(1, "go"),
        cancel(1),
        card(1, State::Running),
        ended(End::Cancelled),
        card(1, State::Cancelled),
        Input::TasksCancelled,
    ];
    tells(
        of(Late::Shown),
        always(),
        inputs,
        &expect![[r#"
        start 1 after 0 turns
        cancel tasks · cancel turn
        call task-t1 "`t1` · look 1" Some(InProgress)
        title "go"
        call task-t1 Some(Failed) · [once told: shown [1]] · hold ends · reply 1 Cancelled

    "#]],
    );
}
