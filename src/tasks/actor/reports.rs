//! How sessions are told of ends: from what is at hand, or from what the engine has.

use std::sync::Arc;

use super::{Actor, operations};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::tasks::engine::{Outcome, Task};
use crate::tasks::{Collected, Details, TaskName, TaskReport, TaskSaid, card, report};

impl Actor {
    /// Tells a session of an end: what is at hand, else what the engine has.
    pub(super) fn report(&mut self, task: &TaskId) {
        let Some(known) = self.known.get(task) else { return };
        let created = known.created;
        if let (Some(collected), Some(details)) = (known.collected.clone(), known.details.clone()) {
            // Who sees the end on the card may speak at once, and the model then has the report.
            self.say_report(task, &collected, &details, created);
            return self.card_changed(task);
        }
        self.read_later(task);
    }

    /// Reads how a task ended, and tells its session.
    pub(super) fn read_later(&mut self, task: &TaskId) {
        let engine = Arc::clone(&self.setup.engine);
        self.operate(operations::read_surely(engine, task.clone()));
    }

    pub(super) fn read(&mut self, task: &Task, outcome: &Outcome) {
        let id = &task.task;
        let Ok(details) = serde_json::from_value::<Details>(task.spec.details.clone()) else {
            return tracing::warn!(task = %id, "a task cannot be read");
        };
        let name = TaskName::of(id.number);
        let collected = report::collected(&name, task, Some(outcome), None);
        let face =
            card::Face { name: &name, attempt: self.state.attempt(id), goal: &task.spec.goal };
        let picture = card::Picture::Ended { collected: &collected };
        let shown = card::card(face, picture, &self.setup.mask);
        self.say_report(id, &collected, &details, task.status.created);
        self.put(id, picture.state(), shown);
    }

    fn say_report(
        &mut self,
        task: &TaskId,
        collected: &Collected,
        details: &Details,
        created: Timestamp,
    ) {
        let Some(is_fresh) = self.state.takes_report(task) else { return };
        let age = self.now().since(created);
        let text = report::frame(collected, details, age, self.setup.delegation.max_summary_chars);
        let said = TaskReport {
            task: task.clone(),
            state: collected.state,
            by: details.by,
            origin: details.origin.clone(),
            text,
            is_fresh,
        };
        self.say(&task.session, TaskSaid::Report(said));
    }
}
