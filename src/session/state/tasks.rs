//! A session's background tasks: their cards and questions are told, their reports come into the inbox and
//! reach the model once; commands of tasks are answered when the tasks have done what they say.

use std::collections::{BTreeSet, HashMap};

use super::turns::{Stop, Why};
use super::{Effect, SessionState, said};
use crate::fault::{Fault, Kind};
use crate::ids::{MessageId, PromptId};
use crate::session::commands::{self, Command, TaskCommand};
use crate::store::Record;
use crate::tasks::{TaskReport, TaskSaid};
use crate::transcript::{Author, Content, End, Entry, Prompt};

/// Commands of tasks that may wait for their answers.
const MAX_COMMANDS: usize = 32;

/// The reports of tasks that have ended.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Those that the model was not given, in the order in which they came.
    inbox: Vec<Prompt>,
    /// Tasks whose reports are in the journal.
    known: BTreeSet<u64>,
    /// Tasks whose reports the model has from calls, whether they came by then or not.
    given: BTreeSet<u64>,
}

impl Reports {
    pub(super) fn new(inbox: Vec<Prompt>, known: BTreeSet<u64>) -> Self {
        Self { inbox, known, given: BTreeSet::new() }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> &BTreeSet<u64> {
        &self.known
    }

    /// Whether the model was not given this task's report.
    pub(super) fn has(&self, task: u64) -> bool {
        self.inbox.iter().any(|report| report.from == Author::Task(task))
    }

    /// What the next turn begins with.
    pub(super) fn pending(&self) -> Vec<Prompt> {
        self.inbox.clone()
    }

    /// The model was given the reports of these tasks by a call.
    pub(super) fn gave(&mut self, tasks: &[u64]) {
        self.given.extend(tasks);
        self.inbox
            .retain(|report| !matches!(report.from, Author::Task(task) if tasks.contains(&task)));
    }

    /// A reply of the model has seen these messages: takes out the reports among them.
    pub(super) fn seen(&mut self, messages: &[MessageId]) -> Vec<Prompt> {
        self.inbox.extract_if(.., |report| messages.contains(&report.message)).collect()
    }
}

impl SessionState {
    pub(super) fn task_said(&mut self, said: TaskSaid, effects: &mut Vec<Effect>) {
        let asker = self.asker();
        match said {
            TaskSaid::Card(card) => self.card(card, effects),
            TaskSaid::Ask(question) => self.questions.ask_for_task(question, asker, effects),
            TaskSaid::Withdraw(call) => self.questions.withdraw(&call, asker, effects),
            TaskSaid::Answer { call, answer } => {
                self.questions.answer_elsewhere(&call, answer, asker, effects);
            }
            TaskSaid::Asked(call) => {
                if self.questions.came_to_its_end(&call, asker, effects) {
                    self.asked_call_is_over(call, effects);
                }
            }
            TaskSaid::Steered { child, text } => self.tell_between(child, true, text, effects),
            TaskSaid::Report(report) => self.reported(report, effects),
        }
    }

    fn reported(&mut self, report: TaskReport, effects: &mut Vec<Effect>) {
        let task = report.task.number;
        if !self.reports.known.insert(task) {
            return;
        }
        let given = self.reports.given.contains(&task);
        if let Some(child) = self.child_of(task) {
            self.tell_between(child, false, report.text.clone(), effects);
        }
        if !given {
            self.wish_follow_up(&report);
        }
        let report = Prompt {
            id: PromptId::default(),
            message: self.ids.message(),
            content: vec![Content::text(report.text)],
            from: Author::Task(task),
        };
        effects.push(Effect::append(Record::Report { report: report.clone() }));
        if given {
            return;
        }
        self.reports.inbox.push(report.clone());
        if self.running.as_ref().is_some_and(|running| running.stopping.is_none()) {
            effects.push(Effect::Steer(report));
        }
        self.consider_follow_ups(effects);
    }

    /// It may take a moment: what becomes of it is said with `command_done`.
    pub(super) fn run_task_command(
        &mut self,
        prompt: Prompt,
        command: TaskCommand,
        effects: &mut Vec<Effect>,
    ) {
        if !self.has_tasks {
            let text =
                "Background tasks are off in this session (`delegation.max_spawn_depth` is 0).";
            return self.answer_command(prompt, text.to_owned(), End::Finished, effects);
        }
        if self.commands.len() >= MAX_COMMANDS {
            let fault = Fault::new(Kind::User, format!("{MAX_COMMANDS} commands run already"))
                .with_hint("Wait for their answers.");
            return effects.push(Effect::Reply { prompt: prompt.id, answer: Err(fault) });
        }
        if command == TaskCommand::Stop {
            // The reports stay.
            self.follow_ups.drop_all();
            if self.running.as_ref().is_some_and(|running| running.why != Why::Prompted) {
                self.stop_turn(Stop::Wanted, effects);
            }
        }
        effects.push(Effect::append(Record::Prompt { prompt: prompt.clone() }));
        let (id, message) = (prompt.id, prompt.message.clone());
        effects.push(Effect::TaskCommand { prompt: id, message, command });
        self.commands.insert(id, prompt);
    }

    pub(super) fn command_done(&mut self, id: PromptId, text: String, effects: &mut Vec<Effect>) {
        if let Some(prompt) = self.commands.remove(&id) {
            self.answer_command(prompt, text, End::Finished, effects);
        }
    }

    /// Whether the user has said that all tasks are to end, and they may not all have.
    pub(super) fn is_stopping_all(&self) -> bool {
        let stop = Some(Command::Task(TaskCommand::Stop));
        self.commands.values().any(|prompt| commands::parse(&prompt.content) == stop)
    }

    /// Nobody waits any more for what these commands say.
    pub(super) fn end_commands(
        &mut self,
        ends: impl Fn(PromptId) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let mut ended: Vec<PromptId> =
            self.commands.keys().copied().filter(|id| ends(*id)).collect();
        ended.sort_unstable();
        for id in ended {
            if let Some(prompt) = self.commands.remove(&id) {
                effects.push(Effect::EndCommand(id));
                let text =
                    "Nobody waited for this command to its end; `/tasks` shows what came of it."
                        .to_owned();
                self.answer_command(prompt, text, End::Cancelled, effects);
            }
        }
    }

    /// Shows a command's answer, which the model does not see.
    pub(super) fn answer_command(
        &mut self,
        prompt: Prompt,
        answer: String,
        end: End,
        effects: &mut Vec<Effect>,
    ) {
        let message = self.aside(&prompt, &answer, effects);
        effects.push(Effect::Reply { prompt: prompt.id, answer: Ok(end) });
        self.transcript.entries.push(Entry::Aside { prompt, message, answer });
    }

    pub(super) fn aside(
        &mut self,
        prompt: &Prompt,
        answer: &str,
        effects: &mut Vec<Effect>,
    ) -> MessageId {
        let message = self.ids.message();
        effects.push(Effect::append(Record::Aside {
            prompt: prompt.clone(),
            message: message.clone(),
            answer: answer.to_owned(),
        }));
        let said = said(message.clone(), answer.to_owned());
        self.flow.follow(&said);
        effects.push(Effect::Tell(said));
        message
    }
}

/// Commands whose answers are awaited.
pub(super) type Commands = HashMap<PromptId, Prompt>;
