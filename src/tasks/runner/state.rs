//! What follows from what a child says: when a task goes on, is idle, is over, and what is left to read of
//! its inbox. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::DelegationSection;
use crate::fault::Fault;
use crate::ids::PromptId;
use crate::tasks::contract;
use crate::tasks::engine::{Position, State};
use crate::tasks::runner::Pulse;
use crate::transcript::End;

/// To a child whose own tasks have ended.
const GO_ON: &str = "\
Your own tasks have all ended; the reports that you have not been given yet are with this message. End your \
task with them: your last message is its report.";

/// A running task, as far as it decides what comes next.
#[derive(Debug)]
pub(super) struct RunnerState {
    limits: Limits,
    schema: Option<Value>,
    /// Others must say when nothing more comes.
    has_tasks: bool,
    /// Prompts that are not answered, with what they are in the inbox.
    open: BTreeMap<PromptId, Option<Position>>,
    inbox: Inbox,
    last: Option<Result<End, Fault>>,
    /// The limit that was reached: it may still end its turn, but asks its model for nothing more.
    over: Option<String>,
    is_repaired: bool,
    schema_errors: Vec<String>,
}

#[derive(Debug)]
struct Limits {
    steps: u64,
    tokens: u64,
    cost: Option<f64>,
}

/// How far the inbox was read.
#[derive(Debug, Default)]
struct Inbox {
    /// Everything up to here was taken from it.
    seen: Position,
    /// Everything up to here has reached the model.
    read: Position,
    /// What is between and has reached the model.
    delivered: BTreeSet<Position>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A prompt is open.
    Wait,
    /// The child is told this.
    Prompt(String),
    /// Whoever has its tasks says what comes.
    Idle,
    End(Ending),
}

/// How a task ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed(String),
    Cancelled(String),
}

impl Ending {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Completed => State::Completed,
            Self::Failed(_) => State::Failed,
            Self::Cancelled(_) => State::Cancelled,
        }
    }
}

impl RunnerState {
    /// `read`: how far attempts before have read the inbox.
    pub(super) fn new(
        delegation: &DelegationSection,
        schema: Option<Value>,
        has_tasks: bool,
        read: Position,
    ) -> Self {
        Self {
            limits: Limits {
                steps: u64::from(delegation.max_iterations.max(1)),
                tokens: delegation.max_tokens,
                cost: delegation.max_cost,
            },
            schema,
            has_tasks,
            open: BTreeMap::new(),
            inbox: Inbox { seen: read, read, delivered: BTreeSet::new() },
            last: None,
            over: None,
            is_repaired: false,
            schema_errors: Vec::new(),
        }
    }

    /// Whether the child has something to answer.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Up to where the inbox was taken.
    pub(super) fn seen(&self) -> Position {
        self.inbox.seen
    }

    /// Up to where it reached the model.
    pub(super) fn read(&self) -> Position {
        self.inbox.read
    }

    /// How many messages were taken and have not reached the model.
    pub(super) fn unread(&self) -> u64 {
        self.inbox.unread()
    }

    pub(super) fn schema_errors(&self) -> &[String] {
        &self.schema_errors
    }

    /// A message is taken from the inbox; false where it was already.
    pub(super) fn take(&mut self, position: Position) -> bool {
        let is_new = position > self.inbox.seen;
        self.inbox.seen = self.inbox.seen.max(position);
        is_new
    }

    /// It was nothing for the model.
    pub(super) fn pass_over(&mut self, position: Position) {
        self.inbox.deliver(position);
    }

    /// The child was prompted, with this message of the inbox or with none.
    pub(super) fn prompted(&mut self, prompt: PromptId, position: Option<Position>) {
        self.open.insert(prompt, position);
    }

    /// These prompts reach the model; whether the inbox is read further by it.
    pub(super) fn delivered(&mut self, prompts: &[PromptId]) -> bool {
        let before = self.inbox.read;
        let positions = prompts.iter().filter_map(|prompt| *self.open.get(prompt)?);
        positions.for_each(|position| self.inbox.deliver(position));
        self.inbox.read > before
    }

    /// A reply took what it took.
    pub(super) fn spent(&mut self, pulse: &Pulse) {
        let Limits { steps, tokens, cost } = self.limits;
        self.over = if pulse.tokens >= tokens {
            let spent = pulse.tokens;
            Some(format!("it took {spent} tokens, the most is {tokens} (`delegation.max_tokens`)"))
        } else if let Some((most, spent)) =
            cost.zip(pulse.cost).filter(|(most, spent)| spent >= most)
        {
            Some(format!("it cost ${spent:.2}, the most is ${most:.2} (`delegation.max_cost`)"))
        } else if pulse.steps >= steps {
            let made = pulse.steps;
            Some(format!(
                "it made {made} requests to the model, the most is {steps} \
                 (`delegation.max_iterations`)"
            ))
        } else {
            None
        };
    }

    /// The child goes on with its turn: it ends here where a limit is reached.
    pub(super) fn goes_on(&self) -> Option<Ending> {
        self.over.clone().map(Ending::Failed)
    }

    /// A prompt was answered.
    pub(super) fn answered(
        &mut self,
        prompt: PromptId,
        answer: Result<End, Fault>,
        pulse: &Pulse,
    ) -> Next {
        if self.open.remove(&prompt).is_none() {
            return Next::Wait;
        }
        let is_limit = matches!(answer, Ok(End::MaxSteps | End::MaxTokens));
        self.last = Some(answer);
        if self.is_open() && !is_limit {
            return Next::Wait;
        }
        if let Some(ending) = self.wrong(pulse) {
            return Next::End(ending);
        }
        if self.has_tasks { Next::Idle } else { self.finish(pulse) }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, pulse: &Pulse) -> Next {
        if self.is_open() {
            return Next::Wait;
        }
        let Some(schema) = &self.schema else { return Next::End(Ending::Completed) };
        self.schema_errors = contract::problems(schema, &pulse.said);
        if self.schema_errors.is_empty() {
            return Next::End(Ending::Completed);
        }
        if self.is_repaired || self.over.is_some() {
            let why = "the report does not match `output_schema`".to_owned();
            return Next::End(Ending::Failed(why));
        }
        self.is_repaired = true;
        Next::Prompt(repair(&self.schema_errors))
    }

    /// The child's own tasks have ended.
    pub(super) fn go_on(&mut self) -> Next {
        if self.is_open() {
            return Next::Wait;
        }
        self.goes_on().map_or_else(|| Next::Prompt(GO_ON.to_owned()), Next::End)
    }

    /// Why the last turn is no success.
    fn wrong(&self, pulse: &Pulse) -> Option<Ending> {
        let over = |other: &str| self.over.clone().unwrap_or_else(|| other.to_owned());
        let failed = match self.last.as_ref()? {
            Ok(End::Finished) => return None,
            Ok(End::Cancelled) => {
                return Some(Ending::Cancelled("its turn was cancelled".to_owned()));
            }
            Ok(End::MaxSteps) => {
                let (made, most) = (pulse.steps, self.limits.steps);
                over(&format!(
                    "it made {made} requests to the model, the most is {most} \
                     (`delegation.max_iterations`)"
                ))
            }
            Ok(End::MaxTokens) => {
                over("the model reached the limit of its output before it was done")
            }
            Ok(End::Refused) => "the model's provider refused to answer".to_owned(),
            Err(fault) => fault.sentence(),
        };
        Some(Ending::Failed(failed))
    }
}

impl Inbox {
    fn deliver(&mut self, position: Position) {
        self.delivered.insert(position);
        while self.delivered.remove(&(self.read + 1)) {
            self.read += 1;
        }
        self.delivered.retain(|position| *position > self.read);
    }

    fn unread(&self) -> u64 {
        let taken = self.seen.saturating_sub(self.read);
        let delivered = u64::try_from(self.delivered.len()).unwrap_or(u64::MAX);
        taken.saturating_sub(delivered)
    }
}

fn repair(problems: &[String]) -> String {
    let problems: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
    format!(
        "Your report does not match the JSON Schema that was asked for (`output_schema`):\n\n{}\n\nAnswer \
         with the whole report again, as JSON that matches it and nothing else.",
        problems.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Ending, GO_ON, Next, RunnerState};
    use crate::config::DelegationSection;
    use crate::fault::{Fault, Kind};
    use crate::ids::PromptId;
    use crate::tasks::runner::Pulse;
    use crate::transcript::End;

    const ONE: PromptId = PromptId(1);
    const TWO: PromptId = PromptId(2);

    fn section() -> DelegationSection {
        DelegationSection {
            max_iterations: 5,
            max_tokens: 100,
            max_cost: Some(1.0),
            ..DelegationSection::default()
        }
    }

    fn state(has_tasks: bool) -> RunnerState {
        let mut state = RunnerState::new(&section(), None, has_tasks, 0);
        state.prompted(ONE, None);
        state
    }

    fn said(text: &str) -> Pulse {
        Pulse { said: text.into(), ..Pulse::default() }
    }

    #[test]
    fn it_ends_when_all_prompts_are_answered() {
        let pulse = Pulse::default();
        let mut runner = state(false);
        runner.prompted(TWO, Some(1));
        assert_eq!(runner.answered(ONE, Ok(End::Finished), &pulse), Next::Wait);
        assert_eq!(runner.answered(ONE, Ok(End::Finished), &pulse), Next::Wait);
        assert_eq!(runner.answered(TWO, Ok(End::Finished), &pulse), Next::End(Ending::Completed));

        let mut runner = state(true);
        assert_eq!((runner.finish(&pulse), runner.go_on()), (Next::Wait, Next::Wait));
        assert_eq!(runner.answered(ONE, Ok(End::Finished), &pulse), Next::Idle);
        assert_eq!(runner.go_on(), Next::Prompt(GO_ON.to_owned()));
        runner.prompted(TWO, None);
        assert_eq!(runner.answered(TWO, Ok(End::Finished), &pulse), Next::Idle);
        assert_eq!(runner.finish(&pulse), Next::End(Ending::Completed));
    }

    #[test]
    fn what_goes_wrong_is_named() {
        let check = |answer, has_tasks, expected: &str| {
            let pulse = Pulse { steps: 5, ..Pulse::default() };
            let next = state(has_tasks).answered(ONE, answer, &pulse);
            assert_eq!(next, Next::End(Ending::Failed(expected.to_owned())));
        };
        let fault = Fault::new(Kind::Provider, "the provider is gone");
        check(Err(fault), false, "The provider is gone.");
        check(Ok(End::Refused), true, "the model's provider refused to answer");
        check(
            Ok(End::MaxSteps),
            true,
            "it made 5 requests to the model, the most is 5 (`delegation.max_iterations`)",
        );
        check(
            Ok(End::MaxTokens),
            false,
            "the model reached the limit of its output before it was done",
        );
        let next = state(false).answered(ONE, Ok(End::Cancelled), &Pulse::default());
        assert!(matches!(next, Next::End(Ending::Cancelled(_))));
        // A prompt behind the one that failed has its own turn.
        let mut runner = state(false);
        runner.prompted(TWO, None);
        assert_eq!(runner.answered(ONE, Ok(End::Refused), &Pulse::default()), Next::Wait);
        let next = runner.answered(TWO, Ok(End::Finished), &Pulse::default());
        assert_eq!(next, Next::End(Ending::Completed));
    }

    #[test]
    fn a_limit_ends_what_goes_on_and_leaves_what_is_done() {
        let check = |pulse: Pulse, key: &str| {
            let mut runner = state(false);
            runner.spent(&pulse);
            let Some(Ending::Failed(why)) = runner.goes_on() else { panic!("{key}") };
            assert!(why.contains(key), "{why}");
            let next = runner.answered(ONE, Ok(End::Finished), &pulse);
            assert_eq!(next, Next::End(Ending::Completed));
            assert_eq!(runner.go_on(), Next::End(Ending::Failed(why)));
        };
        check(Pulse { tokens: 100, ..Pulse::default() }, "`delegation.max_tokens`");
        check(Pulse { cost: Some(1.0), ..Pulse::default() }, "$1.00 (`delegation.max_cost`)");
        check(Pulse { steps: 5, ..Pulse::default() }, "`delegation.max_iterations`");
        let mut runner = state(false);
        let below = Pulse { tokens: 99, cost: Some(0.99), steps: 4, ..Pulse::default() };
        runner.spent(&below);
        assert_eq!(runner.goes_on(), None);
        // The turn's own limit, which it checks with the same numbers.
        runner.spent(&Pulse { tokens: 100, ..below });
        let Next::End(Ending::Failed(why)) =
            runner.answered(ONE, Ok(End::MaxTokens), &Pulse::default())
        else {
            panic!("it goes on")
        };
        assert!(why.contains("`delegation.max_tokens`"), "{why}");
    }

    #[test]
    fn a_report_is_repaired_once() {
        let schema = json!({ "required": ["a"] });
        let begin = || {
            let mut runner = RunnerState::new(&section(), Some(schema.clone()), false, 0);
            runner.prompted(ONE, None);
            runner
        };
        let mut runner = begin();
        let next = runner.answered(ONE, Ok(End::Finished), &said("{\"a\":1}"));
        assert_eq!(next, Next::End(Ending::Completed));

        let mut runner = begin();
        let next = runner.answered(ONE, Ok(End::Finished), &said("{}"));
        let Next::Prompt(text) = next else { panic!("{next:?}") };
        assert!(text.contains("- the report: \"a\" is a required property\n"), "{text}");
        runner.prompted(TWO, None);
        let next = runner.answered(TWO, Ok(End::Finished), &said("no"));
        assert!(matches!(next, Next::End(Ending::Failed(_))), "{next:?}");
        assert_eq!(runner.schema_errors().len(), 1);

        let mut runner = begin();
        runner.answered(ONE, Ok(End::Finished), &said("{}"));
        runner.prompted(TWO, None);
        let next = runner.answered(TWO, Ok(End::Finished), &said("{\"a\":1}"));
        assert_eq!((next, runner.schema_errors().len()), (Next::End(Ending::Completed), 0));

        // There is nothing left for a repair.
        let mut runner = begin();
        runner.spent(&Pulse { tokens: 100, ..Pulse::default() });
        let next = runner.answered(ONE, Ok(End::Finished), &said("{}"));
        assert!(matches!(next, Next::End(Ending::Failed(_))), "{next:?}");
    }

    #[test]
    fn the_inbox_is_read_in_order() {
        let mut runner = RunnerState::new(&section(), None, false, 2);
        assert!(!runner.take(2));
        assert!(runner.take(3) && runner.take(4) && runner.take(5) && runner.take(6));
        assert!(!runner.take(5));
        runner.prompted(ONE, Some(3));
        runner.prompted(TWO, Some(5));
        runner.pass_over(4);
        assert!(!runner.delivered(&[TWO, PromptId(9)]));
        assert_eq!((runner.seen(), runner.read()), (6, 2));
        assert!(runner.delivered(&[ONE]));
        assert_eq!(runner.read(), 5);
        runner.pass_over(6);
        assert_eq!(runner.read(), 6);
    }
}
