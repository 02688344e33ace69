//! What the user is asked, one question at a time, of the turn and of tasks, and what "always" answers
//! cover. Pure, like the session that owns it.
//!
//! The turn's questions come first, then those of tasks by age. A task's question outlives the turn in
//! which it was asked: without an answer it waits, and is asked again when the next prompt starts. Where
//! nobody may be there to answer, a dialog stays open for a limited time; the clock is the actor's.

use std::collections::{HashSet, VecDeque};

use super::state::Effect;
use crate::event::{CallContent, CallStatus, CallUpdate, Event, Question};
use crate::ids::CallId;
use crate::permission::{Answer, Rule};
use crate::store::Record;
use crate::transcript::Content;
use crate::viewer::Viewer;

/// Who is there to be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The turn is being stopped: nobody needs to see a question, and no answer decides anything for it.
    Stopping,
    /// A prompt is open: the user waits for its answer, and sees what is asked.
    Present,
    /// No prompt is open; the client shows a question all the same, and the user may come back to it.
    Late,
    /// No prompt is open, and the client may never answer what is asked now.
    Idle,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    rules: Vec<Rule>,
    /// Of the turn, in the order in which they were asked.
    waiting: VecDeque<Question>,
    /// Of tasks, oldest first.
    of_tasks: Vec<OfTask>,
    open: Option<Open>,
    /// Calls of tasks that the client was told of and that have not come to their end.
    told: HashSet<CallId>,
    viewer: Viewer,
}

/// A question of a task.
#[derive(Debug)]
struct OfTask {
    question: Question,
    /// The user left it unanswered: it is not asked again before the next prompt.
    dormant: bool,
}

/// The question that the user sees.
#[derive(Debug)]
struct Open {
    call: CallId,
    /// The call's title, where the dialog has more in it.
    title: Option<String>,
    /// The time that it may stay open has begun.
    is_limited: bool,
}

impl Questions {
    /// `open` are cards that the client was told of before, of tasks and of calls that they asked for.
    pub(super) fn new(
        rules: Vec<Rule>,
        open: impl IntoIterator<Item = CallId>,
        viewer: Viewer,
    ) -> Self {
        let is_call = |card: &CallId| card.as_str().contains('/');
        Self { rules, told: open.into_iter().filter(is_call).collect(), viewer, ..Self::default() }
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A call of the turn is to be decided.
    pub(super) fn ask(&mut self, question: Question, asker: Asker, effects: &mut Vec<Effect>) {
        // An "always" that was said while the call was judged covers it, too.
        if let Some(answer) = self.by_rule(&question) {
            return effects.push(Effect::AnswerTurn { call: question.call.id, answer });
        }
        self.waiting.push_back(question);
        self.show_next(asker, effects);
    }

    /// A call of a task is to be decided.
    pub(super) fn ask_for_task(
        &mut self,
        mut question: Question,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        // It is asked again by tasks that found their session anew.
        if self.of_tasks.iter().any(|waiting| waiting.question.id() == question.id()) {
            return;
        }
        if let Some(answer) = self.by_rule(&question) {
            return effects.push(Effect::AnswerTask { call: question.call.id, answer });
        }
        question.call.status = Some(CallStatus::Pending);
        self.of_tasks.push(OfTask { question, dormant: false });
        self.show_next(asker, effects);
    }

    /// The user has answered in the dialog.
    pub(super) fn answer(
        &mut self,
        call: &CallId,
        answer: Answer,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(at) = self.waiting.iter().position(|question| question.id() == call) {
            let Some(question) = self.waiting.remove(at) else { return };
            let answer = if asker == Asker::Stopping { Answer::Unanswered } else { answer };
            let rule = rule_of(&question, answer);
            effects.push(permission(call, answer, rule.as_ref()));
            self.is_answered(call, effects);
            effects.push(Effect::AnswerTurn { call: call.clone(), answer });
            self.remember(rule, effects);
            self.show_next(asker, effects);
        } else if answer == Answer::Unanswered {
            let of_task = self.of_tasks.iter_mut().find(|asked| asked.question.id() == call);
            if let Some(of_task) = of_task {
                of_task.dormant = true;
                self.is_answered(call, effects);
                self.show_next(asker, effects);
            }
        } else if let Some(question) = self.take_of_task(call) {
            self.is_answered(call, effects);
            self.answer_task(question, answer, asker, effects);
        }
    }

    /// The time is over in which somebody might have answered. It counts no more where a prompt started in
    /// it: then the user is there.
    pub(super) fn nobody_answered(
        &mut self,
        call: &CallId,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        if self.open.as_ref().is_some_and(|open| open.call == *call && open.is_limited) {
            self.withdraw_open(call, effects);
            self.answer(call, Answer::Unanswered, asker, effects);
        }
    }

    /// The user has answered a task's question elsewhere.
    pub(super) fn answer_elsewhere(
        &mut self,
        call: &CallId,
        answer: Answer,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        if answer == Answer::Unanswered {
            return;
        }
        if let Some(question) = self.take_of_task(call) {
            self.withdraw_open(call, effects);
            self.answer_task(question, answer, asker, effects);
        }
    }

    fn answer_task(
        &mut self,
        question: Question,
        answer: Answer,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        let rule = rule_of(&question, answer);
        effects.push(permission(question.id(), answer, rule.as_ref()));
        effects.push(Effect::AnswerTask { call: question.call.id, answer });
        self.remember(rule, effects);
        self.show_next(asker, effects);
    }

    /// Keeps an answer as a rule; what waits and is covered by it needs no dialog any more.
    fn remember(&mut self, rule: Option<Rule>, effects: &mut Vec<Effect>) {
        let Some(rule) = rule else { return };
        let answer = settles(&rule);
        self.rules.retain(|known| known.grant.key != rule.grant.key);
        let covers = |question: &Question| question.grant.key == rule.grant.key;
        let (covered, open): (Vec<Question>, Vec<Question>) =
            self.waiting.drain(..).partition(covers);
        self.waiting = open.into();
        for question in covered {
            self.withdraw_open(question.id(), effects);
            effects.push(Effect::AnswerTurn { call: question.call.id, answer });
        }
        let (covered, open): (Vec<OfTask>, Vec<OfTask>) =
            self.of_tasks.drain(..).partition(|asked| covers(&asked.question));
        self.of_tasks = open;
        for OfTask { question, .. } in covered {
            self.withdraw_open(question.id(), effects);
            effects.push(Effect::AnswerTask { call: question.call.id, answer });
        }
        self.rules.push(rule);
        effects.push(Effect::Publish);
    }

    /// The rules are these from now on; what waits and is covered by one needs no answer any more. True
    /// where that changes them.
    pub(super) fn inherit(
        &mut self,
        rules: &[Rule],
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if self.rules == rules {
            return false;
        }
        self.rules = rules.to_vec();
        for question in std::mem::take(&mut self.waiting) {
            match self.by_rule(&question) {
                Some(answer) => {
                    self.withdraw_open(question.id(), effects);
                    effects.push(Effect::AnswerTurn { call: question.call.id, answer });
                }
                None => self.waiting.push_back(question),
            }
        }
        self.show_next(asker, effects);
        true
    }

    /// A call is settled without its answer.
    pub(super) fn withdraw(&mut self, call: &CallId, asker: Asker, effects: &mut Vec<Effect>) {
        self.waiting.retain(|question| question.id() != call);
        self.of_tasks.retain(|asked| asked.question.id() != call);
        self.withdraw_open(call, effects);
        self.show_next(asker, effects);
    }

    /// A call that a task asked for has come to its end; whether the client was told of the call.
    pub(super) fn came_to_its_end(
        &mut self,
        call: &CallUpdate,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.withdraw(&call.id, asker, effects);
        self.told.remove(&call.id)
    }

    /// The tasks have stopped where they were: what was shown of their calls does not end by itself.
    pub(super) fn tasks_stopped(&mut self, effects: &mut Vec<Effect>) {
        let mut left: Vec<CallId> = self.told.drain().collect();
        left.sort_unstable();
        for call in left {
            let text = "interrupted: the process that ran its task ended";
            effects.push(Effect::Tell(Event::Call(CallUpdate {
                status: Some(CallStatus::Failed),
                content: Some(vec![CallContent::Content(Content::text(text))]),
                ..CallUpdate::new(call)
            })));
        }
    }

    /// A turn has started. With a prompt the user is there, and is asked again what was left unanswered.
    pub(super) fn turn_starts(&mut self, asker: Asker, effects: &mut Vec<Effect>) {
        if asker == Asker::Present {
            for asked in &mut self.of_tasks {
                asked.dormant = false;
            }
        }
        self.attend(asker, effects);
    }

    /// The user ends the turn, and with it the dialog of a task, which is not to come back at once. The turn
    /// settles its own calls.
    pub(super) fn turn_stops(&mut self, effects: &mut Vec<Effect>) {
        let Some(open) = &self.open else { return };
        let mut of_tasks = self.of_tasks.iter_mut();
        if let Some(asked) = of_tasks.find(|asked| *asked.question.id() == open.call) {
            asked.dormant = true;
            let call = open.call.clone();
            self.withdraw_open(&call, effects);
        }
    }

    /// The turn is over: nothing of it waits any more. The dialog of a task stays where it can be answered;
    /// what is asked next is for `attend`, behind the turn's answer.
    pub(super) fn turn_is_over(&mut self, asker: Asker, effects: &mut Vec<Effect>) {
        self.waiting.clear();
        let Some(open) = &self.open else { return };
        let is_of_task = self.of_tasks.iter().any(|asked| *asked.question.id() == open.call);
        if asker == Asker::Idle || !is_of_task {
            let call = open.call.clone();
            self.withdraw_open(&call, effects);
        }
    }

    /// Who is there may have changed: what is open stays for a limited time, without a limit, or not at all;
    /// where nothing is open, the next question may be asked. To say it twice changes nothing.
    pub(super) fn attend(&mut self, asker: Asker, effects: &mut Vec<Effect>) {
        let Some(open) = &mut self.open else { return self.show_next(asker, effects) };
        match asker {
            Asker::Stopping => {}
            Asker::Present => open.is_limited = false,
            Asker::Late => {
                if !std::mem::replace(&mut open.is_limited, true) {
                    effects.push(Effect::AskedLate(open.call.clone()));
                }
            }
            Asker::Idle => {
                let call = open.call.clone();
                self.withdraw_open(&call, effects);
            }
        }
    }

    fn by_rule(&self, question: &Question) -> Option<Answer> {
        self.rules.iter().rev().find(|rule| rule.grant.key == question.grant.key).map(settles)
    }

    fn take_of_task(&mut self, call: &CallId) -> Option<Question> {
        let at = self.of_tasks.iter().position(|asked| asked.question.id() == call)?;
        Some(self.of_tasks.remove(at).question)
    }

    fn withdraw_open(&mut self, call: &CallId, effects: &mut Vec<Effect>) {
        if self.open.as_ref().is_some_and(|open| open.call == *call) {
            effects.push(Effect::Withdraw(call.clone()));
            self.is_answered(call, effects);
        }
    }

    /// The dialog is gone. What it added to the title goes with it: clients keep that of a request.
    fn is_answered(&mut self, call: &CallId, effects: &mut Vec<Effect>) {
        let Some(open) = self.open.take_if(|open| open.call == *call) else { return };
        if open.title.is_some() {
            let title = CallUpdate { title: open.title, ..CallUpdate::new(open.call) };
            effects.push(Effect::Tell(Event::Call(title)));
        }
    }

    fn show_next(&mut self, asker: Asker, effects: &mut Vec<Effect>) {
        let is_limited = match asker {
            Asker::Present => false,
            Asker::Late => true,
            Asker::Stopping | Asker::Idle => return,
        };
        if self.open.is_some() {
            return;
        }
        let of_task = self.of_tasks.iter().find(|asked| !asked.dormant);
        let Some(question) = self.waiting.front().or(of_task.map(|asked| &asked.question)) else {
            return;
        };
        let mut question = question.clone();
        // Who sees the session that does the task is asked there, and knows the call from it.
        let is_seen_in_child = self.viewer.subagents && question.of.is_some();
        if self.waiting.is_empty() && !is_seen_in_child {
            // Told before each request: a client may have ended the call with an earlier turn.
            if self.told.insert(question.call.id.clone()) {
                effects.push(Effect::append(Record::Card { card: question.call.clone() }));
            }
            effects.push(Effect::Tell(Event::Call(question.call.clone())));
        }
        let more = self.waiting.len() + self.of_tasks.len() - 1;
        let mut title = None;
        if more > 0
            && !self.of_tasks.is_empty()
            && let Some(shown) = &mut question.call.title
        {
            title = (!is_seen_in_child).then(|| shown.clone());
            shown.push_str(&format!(" ({more} more {})", if more == 1 { "waits" } else { "wait" }));
        }
        let call = question.call.id.clone();
        self.open = Some(Open { call: call.clone(), title, is_limited });
        effects.push(Effect::Ask(question));
        if is_limited {
            effects.push(Effect::AskedLate(call));
        }
    }
}

/// How a rule answers.
fn settles(rule: &Rule) -> Answer {
    if rule.allow { Answer::AllowOnce } else { Answer::RejectOnce }
}

/// The rule that an answer makes.
fn rule_of(question: &Question, answer: Answer) -> Option<Rule> {
    let allow = match answer {
        Answer::AllowAlways => true,
        Answer::RejectAlways => false,
        Answer::AllowOnce | Answer::RejectOnce | Answer::Unanswered => return None,
    };
    Some(Rule { grant: question.grant.clone(), allow })
}

fn permission(call: &CallId, answer: Answer, rule: Option<&Rule>) -> Effect {
    Effect::append(Record::Permission { call: call.clone(), answer, rule: rule.cloned() })
}
