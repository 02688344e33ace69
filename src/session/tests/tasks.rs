//! What a session does with what its tasks say: cards, questions beside the turn's own, reports, and
//! commands that wait for tasks.

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::event::{TaskMark, ToolKind};
use crate::ids::{MessageId, SessionId, TaskId};
use crate::tasks::engine::State;
use crate::tasks::{About, By, Origin, TaskCard, TaskReport, TaskSaid};
use crate::transcript::{Outcome, Reply};

fn new() -> SessionState {
    state(Busy::Steer)
}

fn task(said: TaskSaid) -> Input {
    Input::Task(said)
}

fn call(id: &str, title: Option<&str>, status: Option<CallStatus>) -> CallUpdate {
    CallUpdate {
        tool: title.map(|_| "tool".to_owned()),
        title: title.map(str::to_owned),
        kind: title.map(|_| ToolKind::Think),
        status,
        task: Some(TaskMark { id: "t1".to_owned(), state: "running".to_owned() }),
        ..CallUpdate::new(CallId::new(id))
    }
}

fn card(title: Option<&str>, status: CallStatus, keep: bool) -> Input {
    let about = About {
        child: SessionId::new("child"),
        by: By::Model,
        origin: Origin { prompt: MessageId::new("m1"), generation: 0 },
        goal: "look".to_owned(),
    };
    let state = match status {
        CallStatus::Completed => State::Completed,
        CallStatus::Failed => State::Failed,
        CallStatus::Pending => State::Queued,
        CallStatus::InProgress => State::Running,
    };
    let card = call("task-t1", title, Some(status));
    task(TaskSaid::Card(TaskCard { task: 1, about: about.into(), state, card, keep }))
}

pub(super) fn task_asks(id: &str, key: &str) -> Input {
    let grant = Grant { key: key.to_owned(), label: key.to_owned() };
    let call = call(id, Some(&format!("Do {id}")), None);
    task(TaskSaid::Ask(Question::new(call, grant)))
}

pub(super) fn turn_asks(id: &str, key: &str) -> Input {
    let grant = Grant { key: key.to_owned(), label: key.to_owned() };
    let title = Some(format!("Do {id}"));
    let call = CallUpdate { title, ..CallUpdate::new(CallId::new(id)) };
    Input::Turn(TurnSaid::Ask(Question::new(call, grant)))
}

pub(super) fn asked(id: &str) -> Input {
    task(TaskSaid::Asked(call(id, None, Some(CallStatus::Completed))))
}

pub(super) fn withdrawn(id: &str) -> Input {
    task(TaskSaid::Withdraw(CallId::new(id)))
}

pub(super) fn elsewhere(id: &str, answer: Answer) -> Input {
    task(TaskSaid::Answer { call: CallId::new(id), answer })
}

fn report(number: u64) -> Input {
    task(TaskSaid::Report(TaskReport {
        task: TaskId { session: SessionId::new("s"), number },
        state: State::Completed,
        by: By::Model,
        origin: Origin { prompt: MessageId::new("m1"), generation: 0 },
        text: format!("report of t{number}"),
        is_fresh: true,
    }))
}

fn replied(steered: &[&str]) -> Input {
    let steered = steered.iter().map(|message| MessageId::new(*message)).collect();
    let reply = Reply { text: "Well.".into(), steered, ..Reply::default() };
    Input::Turn(TurnSaid::Replied { reply, spent: None })
}

fn gave(tasks: &[u64]) -> Input {
    let call = CallId::new("c0");
    let shown = CallUpdate::new(call.clone()).with_status(CallStatus::Completed);
    let outcome = Outcome::done("reports");
    Input::Turn(TurnSaid::Settled { call, outcome, shown, gave: tasks.to_vec() })
}

#[test]
fn cards_are_told_and_no_calls_of_the_turn() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            card(Some("`t1` · look"), CallStatus::InProgress, true),
            card(None, CallStatus::InProgress, false),
            // The turn died: its own calls would be failed now.
            died(),
            card(None, CallStatus::InProgress, false),
            card(None, CallStatus::Completed, true),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            call task-t1 "`t1` · look" Some(InProgress) · [card task-t1 "`t1` · look" Think InProgress]
            call task-t1 Some(InProgress)
            [end Defect.] · title "go" · reply 1 error Defect.

            [card task-t1 Completed]
        "#]],
    );
}

#[test]
fn a_task_asks_while_a_turn_runs() {
    check_records(
        new(),
        vec![
            task_asks("task-t1/c1", "edit"),
            prompt(1, "go"),
            answer("task-t1/c1", Answer::AllowOnce),
            asked("task-t1/c1"),
            task_asks("task-t1/c2", "edit"),
            answer("task-t1/c2", Answer::RejectAlways),
            asked("task-t1/c2"),
            // The rule covers it: no client was told of it.
            task_asks("task-t2/c1", "edit"),
            asked("task-t2/c1"),
        ],
        &expect![[r#"

            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns · [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce
            [card task-t1/c1 Completed] · call task-t1/c1 Some(Completed)
            [card task-t1/c2 "Do task-t1/c2" Think Pending] · call task-t1/c2 "Do task-t1/c2" Some(Pending) · ask task-t1/c2 "Do task-t1/c2"
            [permission task-t1/c2 RejectAlways edit false] · answer task task-t1/c2 RejectAlways · publish
            [card task-t1/c2 Completed] · call task-t1/c2 Some(Completed)
            answer task task-t2/c1 RejectOnce

        "#]],
    );
}

#[test]
fn the_turns_questions_come_first_then_those_of_tasks_by_age() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            turn_asks("c1", "a"),
            task_asks("task-t2/c1", "b"),
            task_asks("task-t1/c1", "c"),
            turn_asks("c2", "d"),
            answer("c1", Answer::AllowOnce),
            answer("c2", Answer::AllowOnce),
            // The dialog of a task stays, whatever comes behind it.
            turn_asks("c3", "e"),
            answer("task-t2/c1", Answer::AllowOnce),
            answer("c3", Answer::AllowOnce),
            answer("task-t1/c1", Answer::AllowOnce),
        ],
        &expect![[r#"
            start 1 after 0 turns
            ask c1 "Do c1"



            answer c1 AllowOnce · ask c2 "Do c2 (2 more wait)"
            call c2 None · answer c2 AllowOnce · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1 (1 more waits)"

            call task-t2/c1 "Do task-t2/c1" None · answer task task-t2/c1 AllowOnce · ask c3 "Do c3 (1 more waits)"
            call c3 None · answer c3 AllowOnce · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            answer task task-t1/c1 AllowOnce
        "#]],
    );
}

#[test]
fn always_covers_the_turn_and_tasks_alike() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            task_asks("task-t2/c1", "edit"),
            turn_asks("c1", "edit"),
            task_asks("task-t3/c1", "run"),
            answer("task-t1/c1", Answer::AllowAlways),
            // The other way round, and through another door.
            task_asks("task-t4/c1", "run"),
            turn_asks("c2", "run"),
            elsewhere("task-t4/c1", Answer::AllowAlways),
            elsewhere("task-t4/c1", Answer::AllowAlways),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"



            [permission task-t1/c1 AllowAlways edit true] · answer task task-t1/c1 AllowAlways · answer c1 AllowOnce · answer task task-t2/c1 AllowOnce · publish · [card task-t3/c1 "Do task-t3/c1" Think Pending] · call task-t3/c1 "Do task-t3/c1" Some(Pending) · ask task-t3/c1 "Do task-t3/c1"


            [permission task-t4/c1 AllowAlways run true] · answer task task-t4/c1 AllowAlways · answer c2 AllowOnce · withdraw task-t3/c1 · answer task task-t3/c1 AllowOnce · publish

        "#]],
    );
}

#[test]
fn an_answer_from_elsewhere_takes_the_dialog_away() {
    check_records(
        new(),
        vec![
            // Also while no turn runs.
            task_asks("task-t1/c1", "edit"),
            elsewhere("task-t1/c1", Answer::AllowOnce),
            task_asks("task-t1/c2", "edit"),
            prompt(1, "go"),
            elsewhere("task-t1/c2", Answer::Unanswered),
            elsewhere("task-t1/c2", Answer::RejectOnce),
            // It came too late.
            answer("task-t1/c2", Answer::AllowOnce),
            asked("task-t1/c2"),
        ],
        &expect![[r#"

            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce

            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns · [card task-t1/c2 "Do task-t1/c2" Think Pending] · call task-t1/c2 "Do task-t1/c2" Some(Pending) · ask task-t1/c2 "Do task-t1/c2"

            withdraw task-t1/c2 · [permission task-t1/c2 RejectOnce] · answer task task-t1/c2 RejectOnce

            [card task-t1/c2 Completed] · call task-t1/c2 Some(Completed)
        "#]],
    );
}

#[test]
fn what_is_left_unanswered_is_asked_again_when_the_next_turn_starts() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            answer("task-t1/c1", Answer::Unanswered),
            // Not in this turn.
            task_asks("task-t1/c1", "edit"),
            prompt(2, "also"),
            task_asks("task-t2/c1", "run"),
            withdrawn("task-t2/c1"),
            ended(End::Finished),
            prompt(3, "again"),
            answer("task-t1/c1", Answer::AllowOnce),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"


            [prompt m2 "also"] · steer 2
            [card task-t2/c1 "Do task-t2/c1" Think Pending] · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1 (1 more waits)"
            withdraw task-t2/c1 · call task-t2/c1 "Do task-t2/c1" None
            [end Finished] · title "go" · reply 1 Finished · [turn m2] · start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            [prompt m3 "again"] · steer 3
            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce
        "#]],
    );
}

#[test]
fn the_dialog_of_a_task_ends_with_the_turn_and_the_question_does_not() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            Input::Cancel { upto: PromptId(1) },
            task_asks("task-t2/c1", "run"),
            ended(End::Cancelled),
            task_asks("task-t3/c1", "read"),
            prompt(2, "again"),
            withdrawn("task-t2/c1"),
            ended(End::Finished),
            Input::Close,
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            withdraw task-t1/c1 · cancel turn

            [end Cancelled] · title "go" · reply 1 Cancelled

            [prompt m2 "again"] · [turn m2] · start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1 (2 more wait)"

            [end Finished] · withdraw task-t1/c1 · call task-t1/c1 "Do task-t1/c1" None · reply 2 Finished
            stop
        "#]],
    );
}

#[test]
fn a_call_that_ends_while_its_question_is_open_takes_it_away() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            task_asks("task-t2/c1", "run"),
            asked("task-t1/c1"),
            withdrawn("task-t2/c1"),
            asked("task-t2/c1"),
            asked("task-t2/c1"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"

            withdraw task-t1/c1 · [card task-t2/c1 "Do task-t2/c1" Think Pending] · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1" · [card task-t1/c1 Completed] · call task-t1/c1 Some(Completed)
            withdraw task-t2/c1
            [card task-t2/c1 Completed] · call task-t2/c1 Some(Completed)

        "#]],
    );
}

#[test]
fn reports_reach_a_running_turn_and_are_given_with_the_reply_that_names_them() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            report(1),
            report(1),
            report(2),
            replied(&["m2"]),
            ended(End::Finished),
            // The second one was steered, but no reply names it.
            prompt(2, "on"),
            replied(&["m3"]),
            report(2),
            ended(End::Finished),
            prompt(3, "on"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [report m2 "report of t1"] · steer report of t1

            [report m3 "report of t2"] · steer report of t2
            [reply "Well." [] broken off]
            [end Finished] · title "go" · reply 1 Finished
            [prompt m4 "on"] · [turn m4] · start 2 after 1 turns with m3
            [reply "Well." [] broken off]

            [end Finished] · reply 2 Finished
            [prompt m5 "on"] · [turn m5] · start 3 after 2 turns
        "#]],
    );
}

#[test]
fn what_a_step_was_given_stands_in_it_in_the_order_of_the_reply() {
    let mut state = new();
    for input in [prompt(1, "go"), report(1), prompt(2, "also"), report(2)] {
        state.handle(input);
    }
    let also = MessageId::new("m3");
    state.handle(Input::Turn(TurnSaid::Delivered(vec![
        MessageId::new("m2"),
        also.clone(),
        MessageId::new("m4"),
    ])));
    state.handle(replied(&["m2", also.as_str(), "m4"]));
    // The turn dies: its open step is what is written of it.
    let answered: Vec<String> = state.handle(died()).iter().filter_map(line).collect();
    assert_eq!(answered, ["title \"go\"", "reply 1 error Defect.", "reply 2 error Defect."]);
    let turns = state.so_far().transcript.turns();
    let steered: Vec<&str> =
        turns[0].steps[0].steered.iter().map(|prompt| prompt.message.as_str()).collect();
    assert_eq!(steered, ["m2", "m3", "m4"]);
}

#[test]
fn a_report_that_a_call_gave_is_not_given_again() {
    check_records(
        new(),
        vec![
            report(1),
            report(2),
            prompt(1, "go"),
            // The third comes behind what gave it.
            gave(&[1, 3]),
            report(3),
            ended(End::Finished),
            prompt(2, "on"),
        ],
        &expect![[r#"
            [report m1 "report of t1"]
            [report m2 "report of t2"]
            [prompt m3 "go"] · [turn m3] · [title "go" Talaria] · start 1 after 0 turns with m1, m2
            [outcome c0 Completed "reports"] · call c0 Some(Completed)
            [report m4 "report of t3"]
            [end Finished] · title "go" · reply 1 Finished
            [prompt m5 "on"] · [turn m5] · start 2 after 1 turns with m2
        "#]],
    );
}

#[test]
fn reports_wait_while_a_turn_is_stopped_and_when_it_fails() {
    check_records(
        new(),
        vec![
            report(1),
            prompt(1, "go"),
            Input::Cancel { upto: PromptId(1) },
            report(2),
            ended(End::Cancelled),
            prompt(2, "again"),
            died(),
            prompt(3, "again"),
            Input::Close,
            ended(End::Cancelled),
            // Tasks end with their session.
            report(3),
            card(None, CallStatus::Failed, true),
        ],
        &expect![[r#"
            [report m1 "report of t1"]
            [prompt m2 "go"] · [turn m2] · [title "go" Talaria] · start 1 after 0 turns with m1
            cancel turn
            [report m3 "report of t2"]
            [end Cancelled] · title "go" · reply 1 Cancelled
            [prompt m4 "again"] · [turn m4] · start 2 after 1 turns with m1, m3
            [end Defect.] · reply 2 error Defect.
            [prompt m5 "again"] · [turn m5] · start 3 after 2 turns with m1, m3
            cancel turn
            [end Cancelled] · reply 3 Cancelled · stop
            [report m6 "report of t3"]
            [card task-t1 Failed]
        "#]],
    );
}

#[test]
fn commands_of_tasks_are_answered_when_they_are_done() {
    let done = |id, text: &str| Input::CommandDone { prompt: PromptId(id), text: text.to_owned() };
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            prompt(2, "/tasks"),
            prompt(3, "/check t1"),
            prompt(4, "/collect"),
            done(3, "It runs."),
            done(3, "It runs."),
            Input::Cancel { upto: PromptId(2) },
            done(2, "None."),
            Input::CancelPrompt(PromptId(4)),
            prompt(5, "/stop"),
            ended(End::Cancelled),
            Input::Close,
            done(5, "None."),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [prompt m2 "/tasks"] · command 2 List(None)
            [prompt m3 "/check t1"] · command 3 Check([TaskName([1])])
            [prompt m4 "/collect"] · command 4 Misread("`/collect t1`; `/tasks` lists them")
            [aside m3 "/check t1" m5 "It runs."] · say "It runs." · reply 3 Finished

            end command 2 · [aside m2 "/tasks" m6 "Nobody waited for this command to its end; `/tasks` shows what came of it."] · say "Nobody waited for this command to its end; `/tasks` shows what came of it." · reply 2 Cancelled · cancel turn

            end command 4 · [aside m4 "/collect" m7 "Nobody waited for this command to its end; `/tasks` shows what came of it."] · say "Nobody waited for this command to its end; `/tasks` shows what came of it." · reply 4 Cancelled
            [prompt m8 "/stop"] · command 5 Stop
            [end Cancelled] · title "go" · reply 1 Cancelled
            end command 5 · [aside m8 "/stop" m9 "Nobody waited for this command to its end; `/tasks` shows what came of it."] · say "Nobody waited for this command to its end; `/tasks` shows what came of it." · reply 5 Cancelled · stop

        "#]],
    );
}

#[test]
fn a_session_without_tasks_says_so() {
    let settings = new().settings().clone();
    let initial = Initial {
        settings,
        busy: Busy::Steer,
        version: "1.2.3",
        is_shown: true,
        has_tasks: false,
        notice: None,
        is_child: false,
        viewer: Viewer { late: Late::Shown, ..Viewer::default() },
        tasks: TasksSection::default(),
    };
    let state = SessionState::new(initial, Restored::default(), IdSource::default());
    check_records(
        state,
        vec![prompt(1, "/task look")],
        &expect![[r#"
            attach · tell Commands([CommandSpec { name: "help", description: "List the commands and what they do", hint: None }, CommandSpec { name: "model", description: "Show the model, or switch to another one", hint: Some("name of a model") }, CommandSpec { name: "mode", description: "Show the mode, or switch to another one", hint: Some("ask, accept-edits, plan or bypass") }, CommandSpec { name: "usage", description: "Show tokens and cost of this session", hint: None }, CommandSpec { name: "version", description: "Show Talaria's version", hint: None }]) · [aside m1 "/task look" m2 "Background tasks are off in this session (`delegation.max_spawn_depth` is 0)."] · say "Background tasks are off in this session (`delegation.max_spawn_depth` is 0)." · reply 1 Finished
        "#]],
    );
}

#[test]
fn only_so_many_commands_run_at_once() {
    let mut state = new();
    let mut refused = 0;
    for id in 1..=40 {
        let effects = state.handle(prompt(id, "/tasks"));
        refused += usize::from(matches!(effects[..], [Effect::Reply { answer: Err(_), .. }]));
    }
    assert_eq!(refused, 8);
}

/// What tasks and the user may do, in any order.
#[derive(Debug, Clone)]
enum Step {
    Prompt,
    Cancel,
    Ends,
    TurnAsks(u8),
    TaskAsks(u8, u8),
    Answers(Answer),
    Elsewhere(u8, Answer),
    Withdraws(u8),
    Asked(u8),
    Report(u8),
    /// The turn's request has all that it was given, and its reply names it.
    Replies,
    Gives(u8),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let decision = prop_oneof![
        Just(Answer::AllowOnce),
        Just(Answer::AllowAlways),
        Just(Answer::RejectOnce),
        Just(Answer::Unanswered),
    ];
    prop_oneof![
        4 => Just(Step::Prompt),
        1 => Just(Step::Cancel),
        3 => Just(Step::Ends),
        3 => (0..3_u8).prop_map(Step::TurnAsks),
        4 => (0..6_u8, 0..3_u8).prop_map(|(call, key)| Step::TaskAsks(call, key)),
        5 => decision.clone().prop_map(Step::Answers),
        1 => (0..6_u8, decision).prop_map(|(call, answer)| Step::Elsewhere(call, answer)),
        1 => (0..6_u8).prop_map(Step::Withdraws),
        1 => (0..6_u8).prop_map(Step::Asked),
        3 => (1..5_u8).prop_map(Step::Report),
        2 => Just(Step::Replies),
        1 => (1..5_u8).prop_map(Step::Gives),
        1 => Just(Step::Close),
    ]
}

#[derive(Default)]
struct World {
    prompts: u64,
    calls: u64,
    running: bool,
    stopping: bool,
    stopped: bool,
    open: Option<CallId>,
    /// Of tasks, without an answer.
    asking: BTreeSet<CallId>,
    /// Of tasks: the client sees them as pending.
    pending: BTreeSet<CallId>,
    /// What the turn has of reports that no reply named yet.
    in_turn: Vec<Prompt>,
    /// Tasks whose reports the model has, and those that were said.
    given: Vec<u64>,
    said: BTreeSet<u64>,
}

impl World {
    fn input(&mut self, step: &Step) -> Option<Input> {
        let id = |call: &u8| format!("task-t{call}/c1");
        Some(match step {
            Step::Prompt => {
                self.prompts += 1;
                prompt(self.prompts, "text")
            }
            Step::Cancel => Input::Cancel { upto: PromptId(self.prompts) },
            Step::Ends if self.running => {
                (self.running, self.stopping) = (false, false);
                self.in_turn.clear();
                ended(End::Finished)
            }
            Step::TurnAsks(key) if self.running => {
                self.calls += 1;
                turn_asks(&format!("c{}", self.calls), &format!("key {key}"))
            }
            Step::TaskAsks(call, key) => {
                self.asking.insert(CallId::new(id(call)));
                task_asks(&id(call), &format!("key {key}"))
            }
            Step::Answers(choice) => answer(self.open.as_ref()?.as_str(), *choice),
            Step::Elsewhere(call, choice) => elsewhere(&id(call), *choice),
            Step::Withdraws(call) => {
                self.asking.remove(&CallId::new(id(call)));
                withdrawn(&id(call))
            }
            Step::Asked(call) => {
                self.asking.remove(&CallId::new(id(call)));
                asked(&id(call))
            }
            Step::Report(number) => {
                self.said.insert((*number).into());
                report((*number).into())
            }
            Step::Replies if self.running && !self.stopping => {
                let reports = std::mem::take(&mut self.in_turn);
                self.given.extend(reports.iter().filter_map(number));
                let messages: Vec<&str> =
                    reports.iter().map(|report| report.message.as_str()).collect();
                replied(&messages)
            }
            // Only what ended is given, and a turn does not give twice.
            Step::Gives(task) if self.running && self.said.contains(&(*task).into()) => {
                let task = u64::from(*task);
                if self.given.contains(&task) {
                    return None;
                }
                self.in_turn.retain(|report| number(report) != Some(task));
                self.given.push(task);
                gave(&[task])
            }
            Step::Close => Input::Close,
            Step::Ends | Step::TurnAsks(_) | Step::Replies | Step::Gives(_) => return None,
        })
    }
}

pub(super) fn number(report: &Prompt) -> Option<u64> {
    match report.from {
        Author::Task(task) => Some(task),
        Author::User | Author::FollowUp => None,
    }
}

proptest! {
    /// At most one question is open, and only while a turn runs; a call of a task is told as pending before
    /// the user is asked, and nothing is said of its status while he is; each question of a task is answered
    /// at most once; each report is given once, and none is lost.
    #[test]
    fn tasks_ask_and_report_in_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut state = new();
        let mut world = World::default();
        let ending = [Step::Ends, Step::Prompt, Step::Replies];
        let is_closed = steps.iter().any(|step| matches!(step, Step::Close));
        for step in steps.into_iter().chain(ending) {
            let Some(input) = world.input(&step) else { continue };
            // The client has given its answer.
            if let Input::Answer { .. } = input { world.open = None; }
            let mut written = Vec::new();
            for effect in state.handle(input) {
                match effect {
                    Effect::Append(record, _) => written.push(record),
                    Effect::StartTurn { steered, .. } => {
                        prop_assert!(!world.running && world.open.is_none());
                        world.running = true;
                        world.in_turn = steered;
                    }
                    Effect::Steer(prompt) if number(&prompt).is_some() => world.in_turn.push(prompt),
                    Effect::CancelTurn => world.stopping = true,
                    Effect::Ask(question) => {
                        prop_assert!(world.open.is_none(), "two questions are open");
                        prop_assert!(world.running && !world.stopping);
                        let id = question.id().clone();
                        prop_assert!(
                            !id.as_str().starts_with("task-") || world.pending.contains(&id),
                            "nobody was told of {id}"
                        );
                        world.open = Some(id);
                    }
                    Effect::Withdraw(call) => {
                        prop_assert_eq!(world.open.take(), Some(call));
                    }
                    Effect::Tell(Event::Call(update)) => {
                        prop_assert!(update.status.is_none() || world.open.as_ref() != Some(&update.id));
                        match update.status {
                            Some(CallStatus::Pending) => {
                                let is_written = written.iter().any(|record| {
                                    matches!(record, Record::Card { card } if card.id == update.id)
                                });
                                prop_assert!(is_written || world.pending.contains(&update.id));
                                world.pending.insert(update.id);
                            }
                            Some(_) => { world.pending.remove(&update.id); }
                            None => {}
                        }
                    }
                    Effect::AnswerTask { call, answer } => {
                        prop_assert!(answer != Answer::Unanswered && world.open.as_ref() != Some(&call));
                        prop_assert!(world.asking.remove(&call), "{call} was answered twice");
                    }
                    Effect::Stop => world.stopped = true,
                    Effect::Tell(_)
                    | Effect::Reply { .. }
                    | Effect::ReplySet(_)
                    | Effect::ReplyTitle(_)
                    | Effect::ReplySteering(_)
                    | Effect::Delivered(_)
                    | Effect::Replied { .. }
                    | Effect::LetGo(_)
                    | Effect::LetGoAtOnce(_)
                    | Effect::Steer(_)
                    | Effect::PromptWaits
                    | Effect::AnswerTurn { .. }
                    | Effect::AskedLate(_)
                    | Effect::AttachTasks
                    | Effect::OnceTold(_)
                    | Effect::CancelTasks
                    | Effect::FollowUpSoon
                    | Effect::HoldFor(_)
                    | Effect::HoldEnds
                    | Effect::TaskCommand { .. }
                    | Effect::EndCommand(_)
                    | Effect::Publish
                    | Effect::SettleSoon => {}
                }
            }
        }
        let mut given = world.given.clone();
        given.sort_unstable();
        given.dedup();
        prop_assert_eq!(given.len(), world.given.len(), "given twice: {:?}", world.given);
        if !is_closed {
            prop_assert!(world.said.iter().all(|task| given.contains(task)), "lost: {given:?}");
            prop_assert!(world.asking.is_empty() || world.open.is_some());
        }
    }
}
