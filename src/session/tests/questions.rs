//! Who is asked what tasks ask for while no prompt is open, for how long, and where. The rules beside an open
//! prompt are in `tasks`.

use expect_test::expect;
use proptest::prelude::*;

use super::tasks::{asked, elsewhere, task_asks, turn_asks, withdrawn};
use super::*;
use crate::event::OfChild;
use crate::ids::SessionId;
use crate::store::Trouble;
use crate::tasks::TaskSaid;
use crate::viewer::Late;

const SHOWS: Viewer = Viewer { late: Late::Shown, subagents: false, notices: false, plans: false };

fn seen(viewer: Viewer, busy: Busy) -> SessionState {
    seen_by(viewer, busy, Restored::default(), None)
}

fn late() -> SessionState {
    seen(SHOWS, Busy::Steer)
}

fn time_is_over(id: &str) -> Input {
    Input::NobodyAnswered(CallId::new(id))
}

fn stop(upto: u64) -> Input {
    Input::Cancel { upto: PromptId(upto) }
}

#[track_caller]
fn check_late(inputs: Vec<Input>, expected: &Expect) {
    expected.assert_eq(&story(late(), inputs, line));
}

#[test]
fn c83_only_who_answers_then_is_asked_while_no_prompt_is_open() {
    let first = |late| {
        let mut state = seen(Viewer { late, ..Viewer::default() }, Busy::Steer);
        let effects = state.handle(task_asks("task-t1/c1", "edit"));
        effects.iter().filter_map(line).collect::<Vec<_>>().join(" · ")
    };
    let is_asked = r#"call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1"#;
    assert_eq!(first(Late::Shown), is_asked);
    assert_eq!(first(Late::ShownTwice), is_asked);
    assert_eq!(first(Late::Lost), "");
}

#[test]
fn c83_what_nobody_answers_in_time_is_taken_back_and_asked_again_with_the_next_prompt() {
    check_records(
        late(),
        vec![
            task_asks("task-t1/c1", "edit"),
            task_asks("task-t2/c1", "run"),
            // Of a dialog that is not open.
            time_is_over("task-t2/c1"),
            time_is_over("task-t1/c1"),
            time_is_over("task-t2/c1"),
            // Both wait, and no command is a prompt.
            prompt(1, "/version"),
            task_asks("task-t1/c1", "edit"),
            prompt(2, "go"),
            answer("task-t1/c1", Answer::AllowOnce),
            answer("task-t2/c1", Answer::RejectOnce),
        ],
        &expect![[r#"
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1


            withdraw task-t1/c1 · [card task-t2/c1 "Do task-t2/c1" Think Pending] · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1 (1 more waits)" · limit task-t2/c1
            withdraw task-t2/c1 · call task-t2/c1 "Do task-t2/c1" None
            [aside m1 "/version" m2 "Talaria 1.2.3"] · say "Talaria 1.2.3" · reply 1 Finished

            [prompt m3 "go"] · [turn m3] · [title "go" Talaria] · start 2 after 0 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1 (1 more waits)"
            call task-t1/c1 "Do task-t1/c1" None · [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1"
            [permission task-t2/c1 RejectOnce] · answer task task-t2/c1 RejectOnce
        "#]],
    );
}

#[test]
fn c83_an_answer_counts_while_no_prompt_is_open_and_the_next_one_is_asked() {
    check_records(
        late(),
        vec![
            task_asks("task-t1/c1", "edit"),
            task_asks("task-t2/c1", "run"),
            task_asks("task-t3/c1", "read"),
            answer("task-t1/c1", Answer::AllowOnce),
            asked("task-t1/c1"),
            // In its place, by a command.
            elsewhere("task-t2/c1", Answer::RejectOnce),
            asked("task-t2/c1"),
            withdrawn("task-t3/c1"),
        ],
        &expect![[r#"
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1


            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce · [card task-t2/c1 "Do task-t2/c1" Think Pending] · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1 (1 more waits)" · limit task-t2/c1
            [card task-t1/c1 Completed] · call task-t1/c1 Some(Completed)
            withdraw task-t2/c1 · call task-t2/c1 "Do task-t2/c1" None · [permission task-t2/c1 RejectOnce] · answer task task-t2/c1 RejectOnce · [card task-t3/c1 "Do task-t3/c1" Think Pending] · call task-t3/c1 "Do task-t3/c1" Some(Pending) · ask task-t3/c1 "Do task-t3/c1" · limit task-t3/c1
            [card task-t2/c1 Completed] · call task-t2/c1 Some(Completed)
            withdraw task-t3/c1
        "#]],
    );
}

#[test]
fn c83_the_limit_counts_no_more_when_a_prompt_starts_and_begins_anew_behind_it() {
    check_late(
        vec![
            task_asks("task-t1/c1", "edit"),
            prompt(1, "go"),
            time_is_over("task-t1/c1"),
            turn_asks("c1", "run"),
            answer("task-t1/c1", Answer::AllowOnce),
            answer("c1", Answer::AllowOnce),
            task_asks("task-t2/c1", "edit"),
            ended(End::Finished),
            time_is_over("task-t2/c1"),
        ],
        &expect![[r#"
            call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1
            start 1 after 0 turns


            answer task task-t1/c1 AllowOnce · ask c1 "Do c1"
            answer c1 AllowOnce
            call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1"
            title "go" · reply 1 Finished · limit task-t2/c1
            withdraw task-t2/c1
        "#]],
    );
}

#[test]
fn c83_the_dialog_of_a_task_outlives_the_turn_and_that_of_the_turn_does_not() {
    check_late(
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            ended(End::Finished),
            answer("task-t1/c1", Answer::AllowOnce),
            prompt(2, "again"),
            turn_asks("c1", "run"),
            task_asks("task-t2/c1", "edit"),
            // The turn died; the task is asked for behind its answer.
            died(),
            // From one turn into the next: it stays, and has no limit.
            prompt(3, "on"),
            prompt(4, "and on"),
            ended(End::Finished),
            time_is_over("task-t2/c1"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            title "go" · reply 1 Finished · limit task-t1/c1
            answer task task-t1/c1 AllowOnce
            start 2 after 1 turns
            ask c1 "Do c1"

            withdraw c1 · reply 2 error Defect. · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1" · limit task-t2/c1
            start 3 after 2 turns
            steer 4
            reply 3 Finished · start 4 after 3 turns

        "#]],
    );
}

#[test]
fn who_may_not_answer_late_is_asked_anew_in_each_turn() {
    check(
        Busy::Queue,
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            prompt(2, "next"),
            ended(End::Finished),
            ended(End::Finished),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            prompt waits
            title "go" · withdraw task-t1/c1 · reply 1 Finished · start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            withdraw task-t1/c1 · reply 2 Finished
        "#]],
    );
}

#[test]
fn stop_refuses_nothing_and_what_was_open_waits_for_the_next_prompt() {
    // The client answers all that is open as cancelled, before or behind its cancel, or not at all.
    let unanswered = || answer("task-t1/c1", Answer::Unanswered);
    let stories: Vec<Vec<Input>> = vec![
        vec![unanswered(), stop(1)],
        vec![stop(1), unanswered()],
        vec![stop(1)],
        vec![Input::CancelPrompt(PromptId(1))],
    ];
    let told: Vec<String> = stories
        .into_iter()
        .map(|ends| {
            let mut state = late();
            for input in [prompt(1, "go"), task_asks("task-t1/c1", "edit")] {
                state.handle(input);
            }
            let mut inputs = ends;
            // Nothing of it comes back before the prompt.
            inputs.extend([ended(End::Cancelled), prompt(2, "again")]);
            story(state, inputs, line)
        })
        .collect();
    expect![[r#"

        cancel turn
        title "go" · reply 1 Cancelled
        start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"

        withdraw task-t1/c1 · cancel turn

        title "go" · reply 1 Cancelled
        start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"

        withdraw task-t1/c1 · cancel turn
        title "go" · reply 1 Cancelled
        start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"

        withdraw task-t1/c1 · cancel turn
        title "go" · reply 1 Cancelled
        start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
    "#]].assert_eq(&told.join("\n"));
}

#[test]
fn a_dialog_that_is_answered_as_cancelled_without_a_prompt_waits_for_the_next() {
    check_records(
        late(),
        vec![
            task_asks("task-t1/c1", "edit"),
            task_asks("task-t2/c1", "run"),
            answer("task-t1/c1", Answer::Unanswered),
            stop(0),
            prompt(1, "go"),
            answer("task-t2/c1", Answer::AllowOnce),
            answer("task-t1/c1", Answer::AllowOnce),
        ],
        &expect![[r#"
            [card task-t1/c1 "Do task-t1/c1" Think Pending] · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1

            [card task-t2/c1 "Do task-t2/c1" Think Pending] · call task-t2/c1 "Do task-t2/c1" Some(Pending) · ask task-t2/c1 "Do task-t2/c1 (1 more waits)" · limit task-t2/c1

            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            call task-t2/c1 "Do task-t2/c1" None · [permission task-t2/c1 AllowOnce] · answer task task-t2/c1 AllowOnce · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce
        "#]],
    );
}

#[test]
fn who_interrupts_a_turn_is_asked_again_with_the_prompt_that_takes_its_place() {
    expect![[r#"
        start 1 after 0 turns
        call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
        withdraw task-t1/c1 · cancel turn
        title "go" · reply 1 Cancelled · start 2 after 1 turns · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1"
        answer task task-t1/c1 AllowOnce
    "#]].assert_eq(&story(
        seen(SHOWS, Busy::Interrupt),
        vec![
            prompt(1, "go"),
            task_asks("task-t1/c1", "edit"),
            prompt(2, "rather this"),
            ended(End::Cancelled),
            answer("task-t1/c1", Answer::AllowOnce),
        ],
        line,
    ));
}

#[test]
fn what_is_asked_while_a_turn_is_stopped_is_shown_behind_its_answer() {
    check_late(
        vec![prompt(1, "go"), stop(1), task_asks("task-t1/c1", "edit"), ended(End::Cancelled)],
        &expect![[r#"
            start 1 after 0 turns
            cancel turn

            title "go" · reply 1 Cancelled · call task-t1/c1 "Do task-t1/c1" Some(Pending) · ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1
        "#]],
    );
}

#[test]
fn a_session_at_its_end_asks_nobody() {
    let ends: Vec<Vec<Input>> = vec![
        vec![Input::Close],
        vec![Input::HandOver],
        vec![Input::Store(Some(Trouble::TakenOver))],
        vec![prompt(1, "go"), Input::Close, ended(End::Cancelled)],
        vec![prompt(1, "go"), Input::HandOver, ended(End::Finished)],
        vec![prompt(1, "go"), Input::Store(Some(Trouble::TakenOver)), ended(End::Finished)],
    ];
    let told: Vec<String> = ends
        .into_iter()
        .map(|end| {
            let mut inputs = vec![task_asks("task-t1/c1", "edit"), task_asks("task-t2/c1", "run")];
            inputs.extend(end);
            inputs.push(task_asks("task-t3/c1", "read"));
            let told = story(late(), inputs, line);
            let lines: Vec<&str> = told.lines().skip(1).filter(|line| !line.is_empty()).collect();
            lines.join("\n")
        })
        .collect();
    expect![[r#"
        withdraw task-t1/c1 · stop

        withdraw task-t1/c1 · stop

        withdraw task-t1/c1

        start 1 after 0 turns
        withdraw task-t1/c1 · cancel turn
        title "go" · reply 1 Cancelled · stop

        start 1 after 0 turns
        title "go" · reply 1 Finished · withdraw task-t1/c1 · stop

        start 1 after 0 turns
        withdraw task-t1/c1 · cancel turn
        title "go" · reply 1 error Another Talaria has taken this session over. Load the session again to go on with it here. · stop"#]].assert_eq(&told.join("\n\n"));
}

#[test]
fn c83_twenty_that_ask_have_one_dialog_at_a_time_each_with_its_own_limit() {
    let call = |n: usize| format!("task-t{n}/c1");
    let mut state = late();
    let mut lines = Vec::new();
    let mut tell = |state: &mut SessionState, input| {
        lines.extend(state.handle(input).iter().filter(|effect| !tells(effect)).filter_map(line));
    };
    for n in 1..=20 {
        // The even ones want the same.
        let key = if n % 2 == 0 { "even".to_owned() } else { format!("odd {n}") };
        tell(&mut state, task_asks(&call(n), &key));
    }
    tell(&mut state, answer(&call(1), Answer::AllowOnce));
    tell(&mut state, answer(&call(2), Answer::AllowAlways));
    for n in (3..=19).step_by(2) {
        tell(&mut state, time_is_over(&call(n)));
    }
    expect![[r#"
        ask task-t1/c1 "Do task-t1/c1"
        limit task-t1/c1
        answer task task-t1/c1 AllowOnce
        ask task-t2/c1 "Do task-t2/c1 (18 more wait)"
        limit task-t2/c1
        answer task task-t2/c1 AllowAlways
        answer task task-t4/c1 AllowOnce
        answer task task-t6/c1 AllowOnce
        answer task task-t8/c1 AllowOnce
        answer task task-t10/c1 AllowOnce
        answer task task-t12/c1 AllowOnce
        answer task task-t14/c1 AllowOnce
        answer task task-t16/c1 AllowOnce
        answer task task-t18/c1 AllowOnce
        answer task task-t20/c1 AllowOnce
        publish
        ask task-t3/c1 "Do task-t3/c1 (8 more wait)"
        limit task-t3/c1
        withdraw task-t3/c1
        ask task-t5/c1 "Do task-t5/c1 (8 more wait)"
        limit task-t5/c1
        withdraw task-t5/c1
        ask task-t7/c1 "Do task-t7/c1 (8 more wait)"
        limit task-t7/c1
        withdraw task-t7/c1
        ask task-t9/c1 "Do task-t9/c1 (8 more wait)"
        limit task-t9/c1
        withdraw task-t9/c1
        ask task-t11/c1 "Do task-t11/c1 (8 more wait)"
        limit task-t11/c1
        withdraw task-t11/c1
        ask task-t13/c1 "Do task-t13/c1 (8 more wait)"
        limit task-t13/c1
        withdraw task-t13/c1
        ask task-t15/c1 "Do task-t15/c1 (8 more wait)"
        limit task-t15/c1
        withdraw task-t15/c1
        ask task-t17/c1 "Do task-t17/c1 (8 more wait)"
        limit task-t17/c1
        withdraw task-t17/c1
        ask task-t19/c1 "Do task-t19/c1 (8 more wait)"
        limit task-t19/c1
        withdraw task-t19/c1"#]]
    .assert_eq(&lines.join("\n"));
}

fn tells(effect: &Effect) -> bool {
    matches!(effect, Effect::Tell(_) | Effect::Append(..))
}

/// A task's question as its own session has it, next to how the root shows it.
fn child_asks(id: &str, key: &str) -> Input {
    let Input::Task(TaskSaid::Ask(mut question)) = task_asks(id, key) else { unreachable!() };
    question.of = Some(OfChild { child: SessionId::new("child"), call: CallId::new("c1") });
    Input::Task(TaskSaid::Ask(question))
}

#[test]
fn who_sees_the_sessions_of_tasks_is_told_of_their_calls_there_alone() {
    let inputs = || {
        vec![
            prompt(1, "go"),
            child_asks("task-t1/c1", "edit"),
            child_asks("task-t2/c1", "run"),
            answer("task-t1/c1", Answer::AllowOnce),
            asked("task-t1/c1"),
            child_asks("task-t3/c1", "read"),
            withdrawn("task-t2/c1"),
            asked("task-t2/c1"),
            ended(End::Finished),
            time_is_over("task-t3/c1"),
            Input::TasksStopped,
        ]
    };
    let state = seen(Viewer { subagents: true, ..SHOWS }, Busy::Steer);
    check_records(
        state,
        inputs(),
        &expect![[r#"
        [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
        ask task-t1/c1 "Do task-t1/c1"

        [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce · ask task-t2/c1 "Do task-t2/c1"


        withdraw task-t2/c1 · ask task-t3/c1 "Do task-t3/c1"

        [end Finished] · title "go" · reply 1 Finished · limit task-t3/c1
        withdraw task-t3/c1

    "#]],
    );
    // Who does not is told, wherever the question comes from.
    let told = story(late(), inputs(), line_or_record);
    assert!(told.contains("[card task-t1/c1") && told.contains("call task-t1/c1"), "{told}");
}

#[test]
fn a_call_that_was_shown_to_another_client_ends_for_one_that_sees_the_sessions_of_tasks() {
    let open_cards = BTreeSet::from([CallId::new("task-t1"), CallId::new("task-t1/c1")]);
    let restored = Restored { open_cards, ..Restored::default() };
    let state = seen_by(Viewer { subagents: true, ..SHOWS }, Busy::Steer, restored, None);
    check_records(
        state,
        vec![
            child_asks("task-t1/c1", "edit"),
            answer("task-t1/c1", Answer::AllowOnce),
            asked("task-t1/c1"),
        ],
        &expect![[r#"
            ask task-t1/c1 "Do task-t1/c1" · limit task-t1/c1
            [permission task-t1/c1 AllowOnce] · answer task task-t1/c1 AllowOnce
            [card task-t1/c1 Completed] · call task-t1/c1 Some(Completed)
        "#]],
    );
}

/// What tasks, the user and the clock may do, in any order.
#[derive(Debug, Clone)]
enum Step {
    Prompt,
    Cancel,
    Ends,
    TurnAsks(u8),
    TaskAsks(u8, u8),
    Answers(Answer),
    TimeIsOver,
    Withdraws(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let decision = prop_oneof![
        1 => Just(Answer::AllowOnce),
        1 => Just(Answer::RejectAlways),
        1 => Just(Answer::RejectOnce),
        2 => Just(Answer::Unanswered),
    ];
    prop_oneof![
        2 => Just(Step::Prompt),
        1 => Just(Step::Cancel),
        3 => Just(Step::Ends),
        2 => (0..3_u8).prop_map(Step::TurnAsks),
        5 => (0..6_u8, 0..6_u8).prop_map(|(call, key)| Step::TaskAsks(call, key)),
        4 => decision.prop_map(Step::Answers),
        3 => Just(Step::TimeIsOver),
        1 => (0..6_u8).prop_map(Step::Withdraws),
    ]
}

/// What the client and the actor have.
#[derive(Default)]
struct World {
    prompts: u64,
    calls: u64,
    running: bool,
    stopping: bool,
    /// The dialog.
    open: Option<CallId>,
    /// What the actor's clock runs for.
    timed: Option<CallId>,
    /// Of tasks, without an answer.
    asking: BTreeSet<CallId>,
    /// Those that may be asked before the next prompt.
    awake: BTreeSet<CallId>,
}

impl World {
    fn input(&mut self, step: &Step) -> Option<Input> {
        let id = |call: &u8| format!("task-t{call}/c1");
        Some(match step {
            Step::Prompt => {
                self.prompts += 1;
                prompt(self.prompts, "text")
            }
            Step::Cancel => stop(self.prompts),
            Step::Ends if self.running => {
                (self.running, self.stopping) = (false, false);
                ended(End::Finished)
            }
            Step::TurnAsks(key) if self.running && !self.stopping => {
                self.calls += 1;
                turn_asks(&format!("c{}", self.calls), &format!("key {key}"))
            }
            Step::TaskAsks(call, key) => {
                let call = CallId::new(id(call));
                if self.asking.insert(call.clone()) {
                    self.awake.insert(call.clone());
                }
                task_asks(call.as_str(), &format!("key {key}"))
            }
            Step::Answers(choice) => {
                let call = self.open.take()?;
                if *choice == Answer::Unanswered {
                    self.awake.remove(&call);
                }
                answer(call.as_str(), *choice)
            }
            Step::TimeIsOver => Input::NobodyAnswered(self.timed.take()?),
            Step::Withdraws(call) => {
                let call = CallId::new(id(call));
                self.asking.remove(&call);
                self.awake.remove(&call);
                withdrawn(call.as_str())
            }
            Step::Ends | Step::TurnAsks(_) => return None,
        })
    }
}

proptest! {
    /// While no prompt is open there is one dialog as long as a task has something to ask that was not left
    /// unanswered, and it has a limit; what the clock ends is not asked again before the next prompt; while
    /// one is open the clock ends nothing. Each question of a task is answered at most once.
    #[test]
    fn who_answers_late_is_asked_one_thing_at_a_time_and_not_for_ever(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut state = late();
        let mut world = World::default();
        for step in steps {
            let Some(input) = world.input(&step) else { continue };
            let is_over = matches!(input, Input::NobodyAnswered(_));
            let was_present = world.running && !world.stopping;
            let effects = state.handle(input);
            if is_over && was_present {
                prop_assert!(effects.is_empty(), "{effects:?}");
            }
            for effect in effects {
                match effect {
                    Effect::StartTurn { .. } => {
                        world.running = true;
                        world.awake = world.asking.clone();
                    }
                    Effect::CancelTurn => world.stopping = true,
                    Effect::Ask(question) => {
                        prop_assert!(world.open.is_none(), "two questions are open");
                        prop_assert!(!world.stopping);
                        let id = question.id().clone();
                        let is_of_turn = !id.as_str().starts_with("task-");
                        prop_assert!(is_of_turn || world.awake.contains(&id), "{id} sleeps");
                        world.open = Some(id);
                    }
                    Effect::AskedLate(call) => {
                        prop_assert_eq!(world.open.as_ref(), Some(&call));
                        prop_assert!(!world.running, "the user is there");
                        world.timed = Some(call);
                    }
                    Effect::Withdraw(call) => {
                        prop_assert_eq!(world.open.take(), Some(call.clone()));
                        if is_over || world.stopping || matches!(step, Step::Cancel) {
                            world.awake.remove(&call);
                        }
                    }
                    Effect::AnswerTask { call, answer } => {
                        prop_assert!(answer != Answer::Unanswered);
                        prop_assert!(world.asking.remove(&call), "{call} was answered twice");
                        world.awake.remove(&call);
                    }
                    Effect::Append(..)
                    | Effect::Tell(_)
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
                    | Effect::AttachTasks
                    | Effect::OnceTold(_)
                    | Effect::CancelTasks
                    | Effect::FollowUpSoon
                    | Effect::HoldFor(_)
                    | Effect::HoldEnds
                    | Effect::TaskCommand { .. }
                    | Effect::EndCommand(_)
                    | Effect::Publish
                    | Effect::SettleSoon
                    | Effect::Stop => {}
                }
            }
            if !world.running {
                prop_assert_eq!(world.open.is_some(), !world.awake.is_empty());
                prop_assert!(world.open.is_none() || world.open == world.timed, "no limit");
            }
        }
    }
}
