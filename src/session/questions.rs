//! What the user is asked, one question at a time, and what "always" answers cover. Pure, like the
//! session that owns it.

use std::collections::VecDeque;

use super::state::Effect;
use crate::event::Question;
use crate::ids::CallId;
use crate::permission::{Answer, Rule};
use crate::store::Record;

/// Whether the turn that asks is being stopped: then nobody needs to see a question, and no answer
/// decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Running,
    Stopping,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    rules: Vec<Rule>,
    /// The question that is open, then those that wait.
    waiting: VecDeque<Question>,
}

impl Questions {
    pub(super) fn with_rules(rules: Vec<Rule>) -> Self {
        Self { rules, waiting: VecDeque::new() }
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(super) fn ask(&mut self, question: Question, asker: Asker, effects: &mut Vec<Effect>) {
        // An "always" that was said while the call was judged covers it, too.
        if let Some(rule) = self.rules.iter().find(|rule| rule.grant.key == question.grant.key) {
            return effects.push(settled_by(rule.allow, question));
        }
        self.waiting.push_back(question);
        if self.waiting.len() == 1 {
            self.show_next(asker, effects);
        }
    }

    pub(super) fn answer(
        &mut self,
        call: &CallId,
        answer: Answer,
        asker: Asker,
        effects: &mut Vec<Effect>,
    ) {
        let Some(at) = self.waiting.iter().position(|question| question.id() == call) else {
            return;
        };
        let Some(question) = self.waiting.remove(at) else { return };
        let answer = if asker == Asker::Stopping { Answer::Unanswered } else { answer };
        let rule = match answer {
            Answer::AllowAlways => Some(Rule { grant: question.grant, allow: true }),
            Answer::RejectAlways => Some(Rule { grant: question.grant, allow: false }),
            Answer::AllowOnce | Answer::RejectOnce | Answer::Unanswered => None,
        };
        effects.push(Effect::append(Record::Permission {
            call: call.clone(),
            answer,
            rule: rule.clone(),
        }));
        effects.push(Effect::AnswerTurn { call: call.clone(), answer });
        if let Some(rule) = rule {
            self.remember(rule, effects);
        }
        if at == 0 {
            self.show_next(asker, effects);
        }
    }

    /// Keeps the answer as a rule; what waits and is covered by it needs no dialog any more.
    fn remember(&mut self, rule: Rule, effects: &mut Vec<Effect>) {
        self.rules.retain(|known| known.grant.key != rule.grant.key);
        let (covered, open): (Vec<Question>, Vec<Question>) =
            self.waiting.drain(..).partition(|waiting| waiting.grant.key == rule.grant.key);
        self.waiting = open.into();
        effects.extend(covered.into_iter().map(|question| settled_by(rule.allow, question)));
        self.rules.push(rule);
        effects.push(Effect::Publish);
    }

    /// A call is settled without its answer.
    pub(super) fn withdraw(&mut self, call: &CallId, asker: Asker, effects: &mut Vec<Effect>) {
        if self.waiting.front().is_some_and(|open| open.id() == call) {
            self.waiting.pop_front();
            effects.push(Effect::Withdraw(call.clone()));
            self.show_next(asker, effects);
        } else {
            self.waiting.retain(|question| question.id() != call);
        }
    }

    /// The turn is over: nothing waits any more.
    pub(super) fn withdraw_all(&mut self, effects: &mut Vec<Effect>) {
        let waiting = std::mem::take(&mut self.waiting);
        effects.extend(waiting.into_iter().map(|question| Effect::Withdraw(question.call.id)));
    }

    fn show_next(&self, asker: Asker, effects: &mut Vec<Effect>) {
        if let Some(question) = self.waiting.front().filter(|_| asker == Asker::Running) {
            effects.push(Effect::Ask(question.clone()));
        }
    }
}

fn settled_by(allow: bool, question: Question) -> Effect {
    let answer = if allow { Answer::AllowOnce } else { Answer::RejectOnce };
    Effect::AnswerTurn { call: question.call.id, answer }
}
