//! Reports that come while nothing runs: turns that start by themselves, prompts that are held for tasks, and
//! what is told again to clients that may have missed it.

use super::*;
use crate::config::{CancelWithTurn, Delivery, FollowUpMode};
use crate::event::{TaskMark, ToolKind};
use crate::ids::{SessionId, TaskId};
use crate::tasks::engine::State;
use crate::tasks::{About, By, Origin, TaskCard, TaskReport, TaskSaid};
use crate::transcript::Reply;

pub(super) fn of(late: Late) -> Viewer {
    Viewer { late, ..Viewer::default() }
}

pub(super) fn new(viewer: Viewer, tasks: TasksSection) -> SessionState {
    let initial = Initial {
        settings: Settings {
            mode: Mode::Bypass,
            model: "one".to_owned(),
            models: vec!["one".to_owned()],
            thought: ThoughtLevel::Auto,
        },
        busy: Busy::Steer,
        version: "1.2.3",
        is_shown: true,
        has_tasks: true,
        notice: None,
        is_child: false,
        viewer,
        tasks,
    };
    let mut state = SessionState::new(initial, Restored::default(), IdSource::default());
    state.handle(Input::Settle);
    state
}

fn origin(generation: u32) -> Origin {
    Origin { prompt: MessageId::new("m1"), generation }
}

/// The card of a task that a prompt or a follow-up turn of this generation started.
fn card_of(task: u64, state: State, generation: u32) -> Input {
    let about = About {
        child: SessionId::new(format!("child{task}")),
        by: By::Model,
        origin: origin(generation),
        goal: format!("look {task}"),
    };
    let status = match state {
        State::Queued => CallStatus::Pending,
        State::Running | State::Waiting => CallStatus::InProgress,
        State::Completed => CallStatus::Completed,
        State::Failed | State::Cancelled | State::Interrupted => CallStatus::Failed,
    };
    let is_first = matches!(state, State::Queued | State::Running);
    let card = CallUpdate {
        tool: is_first.then(|| "delegate_task_async".to_owned()),
        title: is_first.then(|| format!("`t{task}` · look {task}")),
        kind: is_first.then_some(ToolKind::Think),
        status: Some(status),
        task: Some(TaskMark { id: format!("t{task}"), state: state.name().to_owned() }),
        ..CallUpdate::new(CallId::new(format!("task-t{task}")))
    };
    let keep = is_first || status.is_final();
    Input::Task(TaskSaid::Card(TaskCard { task, about: about.into(), state, card, keep }))
}

pub(super) fn card(task: u64, state: State) -> Input {
    card_of(task, state, 0)
}

fn report_of(task: u64, by: By, generation: u32, is_fresh: bool) -> Input {
    Input::Task(TaskSaid::Report(TaskReport {
        task: TaskId { session: SessionId::new("s"), number: task },
        state: State::Completed,
        by,
        origin: origin(generation),
        text: format!("report of t{task}"),
        is_fresh,
    }))
}

pub(super) fn report(task: u64) -> Input {
    report_of(task, By::Model, 0, true)
}

/// A reply that has seen these messages.
fn replied(steered: &[&str]) -> Input {
    let steered = steered.iter().map(|message| MessageId::new(*message)).collect();
    let reply = Reply { text: "Well.".into(), steered, ..Reply::default() };
    Input::Turn(TurnSaid::Replied { reply, spent: None })
}

fn says(message: &str, text: &str) -> Input {
    Input::Turn(TurnSaid::Event(Event::Said {
        message: MessageId::new(message),
        role: crate::event::Role::Agent,
        content: Content::text(text),
    }))
}

pub(super) fn cancel(upto: u64) -> Input {
    Input::Cancel { upto: PromptId(upto) }
}

/// Without what is the same everywhere: records of prompts and turns, titles.
#[track_caller]
pub(super) fn tells(viewer: Viewer, tasks: TasksSection, inputs: Vec<Input>, expected: &Expect) {
    expected.assert_eq(&story(new(viewer, tasks), inputs, line));
}

pub(super) fn tells_usual(late: Late, inputs: Vec<Input>, expected: &Expect) {
    tells(of(late), TasksSection::default(), inputs, expected);
}

/// A prompt whose turn starts a task and ends.
pub(super) fn delegated() -> Vec<Input> {
    vec![prompt(1, "go"), card(1, State::Running), replied(&[]), ended(End::Finished)]
}

pub(super) fn with(mut inputs: Vec<Input>, more: Vec<Input>) -> Vec<Input> {
    inputs.extend(more);
    inputs
}

#[test]
fn a_report_while_idle_starts_a_turn_by_itself() {
    tells_usual(
        Late::Shown,
        with(
            delegated(),
            vec![
                report(1),
                card(1, State::Completed),
                replied(&["m2"]),
                ended(End::Finished),
                // It was given: nothing is left for the next prompt.
                prompt(2, "and now?"),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2 generation 1 of m1 at most ask

            tell FollowUp(None) · say "The follow-up to `t1` is over."
            start 2 after 2 turns
        "#]],
    );
}

#[test]
fn reports_that_come_within_a_moment_start_one_turn() {
    tells_usual(
        Late::Shown,
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            card(2, State::Running),
            card(3, State::Running),
            ended(End::Finished),
            report(1),
            card(1, State::Completed),
            report(2),
            card(2, State::Completed),
            Input::FollowUpDue,
            // This one is seen by the turn that runs.
            report(3),
            card(3, State::Completed),
            replied(&["m2", "m3", "m6"]),
            ended(End::Finished),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            call task-t2 "`t2` · look 2" Some(InProgress)
            call task-t3 "`t3` · look 3" Some(InProgress)
            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]]

            call task-t2 Some(Completed) · [once told: shown [2]]
            tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1", "t2"] })) · say "`t1` and `t2` have reported; Talaria goes on with them by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2, m3 generation 1 of m1 at most ask
            steer report of t3
            call task-t3 Some(Completed) · [once told: shown [3]]

            tell FollowUp(None) · say "The follow-up to `t1` and `t2` is over."
        "#]],
    );
}

#[test]
fn a_prompt_goes_first_and_takes_the_reports_along() {
    tells_usual(
        Late::Shown,
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            card(2, State::Running),
            ended(End::Finished),
            report(1),
            prompt(2, "wait"),
            replied(&["m2"]),
            ended(End::Finished),
            Input::FollowUpDue,
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            call task-t2 "`t2` · look 2" Some(InProgress)
            title "go" · reply 1 Finished
            follow up soon
            start 2 after 1 turns with m2

            reply 2 Finished

        "#]],
    );
}

#[test]
fn a_cancel_before_it_starts_leaves_the_reports() {
    tells_usual(
        Late::Shown,
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            card(2, State::Running),
            ended(End::Finished),
            report(1),
            cancel(1),
            Input::FollowUpDue,
            prompt(2, "next"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            call task-t2 "`t2` · look 2" Some(InProgress)
            title "go" · reply 1 Finished
            follow up soon


            start 2 after 1 turns with m2
        "#]],
    );
}

#[test]
fn stop_ends_a_follow_up_and_what_is_pending() {
    tells_usual(
        Late::Shown,
        with(
            delegated(),
            vec![
                card(2, State::Running),
                report(1),
                Input::FollowUpDue,
                prompt(2, "/stop"),
                ended(End::Cancelled),
                Input::CommandDone { prompt: PromptId(2), text: "Cancelled.".to_owned() },
                report_of(2, By::Model, 0, true),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            call task-t2 "`t2` · look 2" Some(InProgress)
            follow up soon
            tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2 generation 1 of m1 at most ask
            cancel turn · command 2 Stop
            tell FollowUp(None) · say "The follow-up to `t1` was stopped. In the background: `t1` (look 1) and `t2` (look 2)."
            say "Cancelled." · reply 2 Finished
            follow up soon
        "#]],
    );
}

#[test]
fn a_chain_comes_to_its_end() {
    let tasks = TasksSection { max_follow_ups: 1, ..TasksSection::default() };
    tells(
        of(Late::Shown),
        tasks,
        with(
            delegated(),
            vec![
                report(1),
                card(1, State::Completed),
                card_of(2, State::Running, 1),
                replied(&["m2"]),
                ended(End::Finished),
                report_of(2, By::Model, 1, true),
                card_of(2, State::Completed, 1),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2 generation 1 of m1 at most ask
            call task-t2 "`t2` · look 2" Some(InProgress)

            tell FollowUp(None) · say "The follow-up to `t1` is over. In the background: `t2` (look 2)."
            follow up soon
            call task-t2 Some(Completed) · [once told: shown [2]] · say "`t2` has reported. Talaria does not go on with it by itself: `tasks.max_follow_ups` is 1. Send a prompt to go on."
        "#]],
    );
}

#[test]
fn what_a_user_started_is_only_told() {
    tells_usual(
        Late::Shown,
        with(delegated(), vec![report_of(1, By::User, 0, true), card(1, State::Completed)]),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · say "`t1` has reported. The model reads it with your next prompt; `/collect` shows it."
        "#]],
    );
}

#[test]
fn the_configuration_decides() {
    for (follow_up, expected) in [
        (
            FollowUp::Auto,
            expect![[r#"
                call task-t1 "`t1` · look 1" Some(InProgress)
                follow up soon
                call task-t1 Some(Completed) · [once told: shown [1]] · tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 0 turns with m1 generation 1 of m1
            "#]],
        ),
        (
            FollowUp::Notify,
            expect![[r#"
            call task-t1 "`t1` · look 1" Some(InProgress)
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · say "`t1` has reported. The model reads it with your next prompt; `/collect` shows it."
        "#]],
        ),
        (
            FollowUp::Off,
            expect![[r#"
            call task-t1 "`t1` · look 1" Some(InProgress)

            call task-t1 Some(Completed) · [once told: shown [1]]
        "#]],
        ),
    ] {
        let mode = FollowUpMode::Same;
        let tasks = TasksSection {
            follow_up: Some(follow_up),
            follow_up_mode: mode,
            ..TasksSection::default()
        };
        let inputs = vec![
            card(1, State::Running),
            report_of(1, By::User, 0, true),
            card(1, State::Completed),
        ];
        tells(of(Late::Shown), tasks, inputs, &expected);
    }
}

#[test]
fn what_was_before_the_session_was_opened_starts_nothing() {
    tells_usual(
        Late::Shown,
        vec![report_of(1, By::Model, 0, false), card(1, State::Completed), prompt(1, "hello")],
        &expect![[r#"

            call task-t1 Some(Completed) · [once told: shown [1]]
            start 1 after 0 turns with m1
        "#]],
    );
}

#[test]
fn a_follow_up_that_fails_says_so_and_keeps_the_report() {
    tells_usual(
        Late::Shown,
        with(delegated(), vec![report(1), card(1, State::Completed), died(), prompt(2, "again")]),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2 generation 1 of m1 at most ask
            tell FollowUp(None) · say "The follow-up to `t1` could not go on: Defect."
            start 2 after 2 turns with m2
        "#]],
    );
}

#[test]
fn a_prompt_is_held_for_its_tasks_where_late_updates_are_lost() {
    tells_usual(
        Late::Lost,
        with(
            delegated(),
            vec![report(1), card(1, State::Completed), replied(&["m2"]), ended(End::Finished)],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · hold ends · start 0 after 1 turns with m2 generation 1 of m1

            reply 1 Finished
        "#]],
    );
}

#[test]
fn a_held_prompt_is_cancelled() {
    tells_usual(
        Late::Lost,
        with(
            delegated(),
            vec![
                cancel(1),
                // Nothing more is told, until the next prompt.
                report(1),
                card(1, State::Completed),
                prompt(2, "well?"),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            say "In the background still: `t1` (look 1). `/stop` ends all of them, `/cancel` and a name one." · call task-t1 Some(InProgress) · hold ends · reply 1 Cancelled


            call task-t1 "`t1` · look 1" Some(Completed) · [once told: shown [1]] · start 2 after 1 turns with m3
        "#]],
    );
}

#[test]
fn a_held_prompt_is_answered_before_the_next_one() {
    tells_usual(
        Late::Lost,
        with(delegated(), vec![prompt(2, "well?")]),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
        hold ends · reply 1 Finished · start 2 after 1 turns
    "#]],
    );
}

#[test]
fn a_held_prompt_is_let_go() {
    tells_usual(
        Late::Lost,
        with(delegated(), vec![prompt(2, "/detach"), prompt(3, "/detach")]),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            hold ends · reply 1 Finished · say "In the background from now on: `t1` (look 1). What is reported comes with your next prompt." · reply 2 Finished
            call task-t1 "`t1` · look 1" Some(InProgress) · say "No prompt waits for tasks." · reply 3 Finished
        "#]],
    );
}

#[test]
fn a_prompt_is_let_go_before_it_is_held() {
    tells_usual(
        Late::Lost,
        vec![prompt(1, "go"), card(1, State::Running), prompt(2, "/detach"), ended(End::Finished)],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            say "The prompt will not wait for its tasks. What is reported comes with your next prompt." · reply 2 Finished
            title "go" · reply 1 Finished
        "#]],
    );
}

#[test]
fn a_prompt_is_held_for_a_while_only() {
    tells_usual(
        Late::Lost,
        with(
            delegated(),
            vec![
                Input::HoldOver,
                card(1, State::Waiting),
                report(1),
                card(1, State::Completed),
                prompt(2, "well?"),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            say "In the background from now on: `t1` (look 1). What is reported comes with your next prompt; `/tasks` shows how it stands." · hold ends · reply 1 Finished



            call task-t1 "`t1` · look 1" Some(Completed) · [once told: shown [1]] · start 2 after 1 turns with m3
        "#]],
    );
}

#[test]
fn a_session_that_is_closed_answers_what_it_holds() {
    tells_usual(
        Late::Lost,
        with(delegated(), vec![Input::Close]),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
        hold ends · reply 1 Cancelled · stop
    "#]],
    );
}

#[test]
fn a_session_that_is_opened_elsewhere_answers_what_it_holds() {
    tells_usual(
        Late::Lost,
        with(delegated(), vec![Input::HandOver]),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
        hold ends · reply 1 Finished · stop
    "#]],
    );
}

#[test]
fn live_cards_are_told_whole_with_each_prompt_of_a_client_that_loses_them() {
    tells_usual(
        Late::Lost,
        with(
            delegated(),
            vec![Input::HoldOver, prompt(2, "hm"), ended(End::Finished), prompt(3, "hm")],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · hold for 90s
            say "In the background from now on: `t1` (look 1). What is reported comes with your next prompt; `/tasks` shows how it stands." · hold ends · reply 1 Finished
            call task-t1 "`t1` · look 1" Some(InProgress) · start 2 after 1 turns
            reply 2 Finished
            call task-t1 "`t1` · look 1" Some(InProgress) · start 3 after 2 turns
        "#]],
    );
}

#[test]
fn what_fades_is_told_twice() {
    tells_usual(
        Late::ShownTwice,
        with(
            delegated(),
            vec![
                report(1),
                card(1, State::Completed),
                says("m9", "It is done."),
                replied(&["m2"]),
                ended(End::Finished),
                prompt(2, "well?"),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)

            title "go" · reply 1 Finished
            follow up soon
            call task-t1 Some(Completed) · [once told: shown [1]] · tell FollowUp(Some(FollowUpMark { generation: 1, tasks: ["t1"] })) · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · start 0 after 1 turns with m2 generation 1 of m1 at most ask
            say "It is done."

            tell FollowUp(None) · say "\n\nThe follow-up to `t1` is over."
            call task-t1 "`t1` · look 1" Some(Completed) · [once told: shown [1]] · say "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.\n\n" · say "It is done.\n\n" · say "The follow-up to `t1` is over.\n\n" · start 2 after 2 turns
        "#]],
    );
}

#[test]
fn a_cancel_says_what_goes_on() {
    tells_usual(
        Late::Shown,
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            card(2, State::Queued),
            cancel(1),
            ended(End::Cancelled),
            cancel(1),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            call task-t2 "`t2` · look 2" Some(Pending)
            cancel turn
            title "go" · say "In the background still: `t1` (look 1) and `t2` (look 2). `/stop` ends all of them, `/cancel` and a name one." · call task-t1 Some(InProgress) · call task-t2 Some(Pending) · reply 1 Cancelled

        "#]],
    );
}

#[test]
fn a_cancel_ends_the_tasks_of_a_client_that_shows_their_sessions() {
    let viewer = Viewer { late: Late::Shown, subagents: true, ..Viewer::default() };
    tells(
        viewer,
        TasksSection::default(),
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            cancel(1),
            ended(End::Cancelled),
            prompt(2, "meanwhile"),
            card(1, State::Cancelled),
            Input::TasksCancelled,
        ],
        &expect![[r#"
            start 1 after 0 turns
            tell Subagent(Subagent { child: SessionId("child1"), title: Some("`t1` · look 1"), description: Some("look 1"), can_cancel: Some(true), state: Some(Running) }) · tell Between(Between { message: MessageId("m2"), child: SessionId("child1"), to_child: true, text: "look 1" }) · call task-t1 "`t1` · look 1" Some(InProgress)
            cancel tasks · cancel turn
            title "go"

            tell Subagent(Subagent { child: SessionId("child1"), title: None, description: None, can_cancel: None, state: Some(Cancelled) }) · call task-t1 Some(Failed) · [once told: shown [1]] · hold ends · reply 1 Cancelled · start 2 after 1 turns

        "#]],
    );
}

#[test]
fn a_cancel_of_tasks_that_do_not_end_is_answered_all_the_same() {
    let tasks =
        TasksSection { cancel_with_turn: CancelWithTurn::Always, ..TasksSection::default() };
    tells(
        of(Late::Shown),
        tasks,
        vec![
            prompt(1, "go"),
            card(1, State::Running),
            cancel(1),
            ended(End::Cancelled),
            Input::TasksCancelled,
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1 "`t1` · look 1" Some(InProgress)
            cancel tasks · cancel turn
            title "go"
            say "In the background still: `t1` (look 1). `/stop` ends all of them, `/cancel` and a name one." · call task-t1 Some(InProgress) · hold ends · reply 1 Cancelled
        "#]],
    );
}

#[test]
fn the_delivery_can_be_chosen() {
    let chosen = |delivery| TasksSection { delivery, ..TasksSection::default() };
    tells(
        of(Late::Shown),
        chosen(Delivery::Attached),
        delegated(),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · hold for 90s
    "#]],
    );
    tells(
        of(Late::Lost),
        chosen(Delivery::Detached),
        delegated(),
        &expect![[r#"
        start 1 after 0 turns
        call task-t1 "`t1` · look 1" Some(InProgress)

        title "go" · reply 1 Finished
    "#]],
    );
}

/// Checklist 76: a child is announced before anything of it, and what is said between the sessions is in both.
#[test]
fn sessions_of_tasks_are_announced() {
    let viewer = Viewer { late: Late::Shown, subagents: true, notices: true, plans: true };
    let child = SessionId::new("child1");
    tells(
        viewer,
        TasksSection::default(),
        with(
            vec![prompt(1, "go"), card(1, State::Queued), card(1, State::Running)],
            vec![
                Input::Task(TaskSaid::Steered { child, text: "faster".to_owned() }),
                report(1),
                card(1, State::Completed),
            ],
        ),
        &expect![[r#"
            start 1 after 0 turns
            tell Subagent(Subagent { child: SessionId("child1"), title: Some("`t1` · look 1"), description: Some("look 1"), can_cancel: Some(true), state: Some(Waits) }) · tell Between(Between { message: MessageId("m2"), child: SessionId("child1"), to_child: true, text: "look 1" }) · call task-t1 "`t1` · look 1" Some(Pending) · tell Board([PlanEntry { content: "`t1` · look 1", status: Pending, priority: Medium }])
            tell Subagent(Subagent { child: SessionId("child1"), title: None, description: None, can_cancel: None, state: Some(Running) }) · call task-t1 "`t1` · look 1" Some(InProgress) · tell Board([PlanEntry { content: "`t1` · look 1", status: InProgress, priority: Medium }])
            tell Between(Between { message: MessageId("m3"), child: SessionId("child1"), to_child: true, text: "faster" })
            tell Between(Between { message: MessageId("m4"), child: SessionId("child1"), to_child: false, text: "report of t1" }) · steer report of t1
            tell Subagent(Subagent { child: SessionId("child1"), title: None, description: None, can_cancel: None, state: Some(Finished) }) · call task-t1 Some(Completed) · tell Board([PlanEntry { content: "`t1` · look 1", status: Completed, priority: Medium }]) · [once told: shown [1]] · tell Notice(Notice { title: "t1 completed", text: Some("look 1"), is_warning: false })
        "#]],
    );
}
