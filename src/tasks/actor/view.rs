//! What operations answer of tasks: from the rules and the runners' pulses where a task is live, from the
//! engine where it has ended.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::operations::{self, Collection, Done};
use super::{Actor, Known};
use crate::clock::Timestamp;
use crate::event::CallContent;
use crate::ids::{SessionId, TaskId};
use crate::letters;
use crate::tasks::engine::{Outcome, Spec, State, Status, Task};
use crate::tasks::handle::Reply;
use crate::tasks::runner::Pulse;
use crate::tasks::state::WaitId;
use crate::tasks::{
    Cancelled, Checked, Collected, Pending, Row, Started, TaskError, TaskName, card, report,
};

/// Characters of what a task asks for.
const DETAIL: usize = 200;

/// Bytes of it in which secrets are looked for.
const DETAIL_READ: usize = 16 * 1024;

/// Characters of a task's last line.
const LINE: usize = 160;

/// What is collected of a task: at hand, or to be read.
enum Item {
    Here(Box<Collected>),
    Read(TaskName, TaskId),
}

impl Actor {
    pub(super) fn started(&self, name: &TaskName, task: &TaskId) -> Started {
        let (state, place) = (self.state.state(task), self.state.place(task));
        Started { task_id: name.to_string(), state, place }
    }

    pub(super) fn cancelled(&self, name: &TaskName, task: &TaskId) -> Cancelled {
        let collected = self.known.get(task).and_then(|known| known.collected.as_deref());
        let said = |collected: &Collected| {
            let said = collected.partial.clone().or_else(|| collected.report.clone());
            said.filter(|said| !said.is_empty())
        };
        Cancelled {
            task_id: name.to_string(),
            state: self.state.state(task),
            partial: collected.and_then(said),
        }
    }

    pub(super) fn rows(&self, session: &SessionId, wanted: Option<State>) -> Vec<Row> {
        let mut rows = Vec::new();
        // Each place is counted once, however long the queue is.
        let places: HashMap<&TaskId, usize> = self.state.queued().zip(1..).collect();
        for task in self.state.tasks_of(session).rev() {
            let state = self.state.state(task);
            if wanted.is_none_or(|wanted| wanted == state) {
                rows.extend(self.row(task, places.get(task).copied()));
            }
        }
        rows
    }

    /// One task in a list.
    pub(super) fn row(&self, task: &TaskId, place: Option<usize>) -> Option<Row> {
        let known = self.known.get(task)?;
        let pulse = self.working.get(task).map(|working| working.pulse.borrow());
        let running = pulse.as_ref().map(|pulse| pulse.tokens);
        let line = pulse.as_ref().and_then(|pulse| pulse.tail.lines(1, &self.setup.mask).pop());
        drop(pulse);
        Some(Row {
            task_id: task.to_string(),
            goal: known.goal.to_string(),
            state: self.state.state(task),
            place,
            age_seconds: self.now().since(known.created).as_secs(),
            tokens: known.tokens.max(running.unwrap_or_default()),
            question: self.pending(task),
            error: why(known),
            line: line.map(|line| letters::cut(&letters::one_line(&line), LINE)),
        })
    }

    pub(super) fn check(
        &mut self,
        session: &SessionId,
        name: TaskName,
        lines: usize,
        reply: Reply<Checked>,
    ) {
        let task = match self.state.find(session, &name) {
            Ok(task) => task,
            Err(why) => return drop(reply.send(Err(why))),
        };
        if let Some(checked) = self.check_live(&name, &task, lines) {
            return drop(reply.send(Ok(checked)));
        }
        let (engine, now) = (Arc::clone(&self.setup.engine), self.now());
        let here = self.known.get(&task).and_then(|known| known.collected.clone());
        let trouble = self.known.get(&task).and_then(|known| known.trouble.clone());
        let state = self.state.state(&task);
        self.operate(async move {
            let checked = operations::read(&*engine, &task).await.map(|found| {
                let mut collected = found.collected(&name);
                if found.outcome.is_none()
                    && let Some(here) = here
                {
                    collected = (*here).clone();
                }
                collected.task_id = name.to_string();
                collected.state = state;
                collected.error = collected.error.or(trouble);
                check_ended(collected, &found.task, lines, now)
            });
            drop(reply.send(checked));
            Done::Nothing
        });
    }

    /// How a task stands that waits for a slot or runs.
    fn check_live(&self, name: &TaskName, task: &TaskId, lines: usize) -> Option<Checked> {
        let state = self.state.state(task);
        let known = self.known.get(task)?;
        let (now, mask) = (self.now(), &self.setup.mask);
        let mut checked = Checked {
            task_id: name.to_string(),
            goal: known.goal.to_string(),
            state,
            place: self.state.place(task),
            age_seconds: now.since(known.created).as_secs(),
            working_seconds: 0,
            waiting_seconds: 0,
            steps: 0,
            calls: 0,
            tokens: 0,
            cost: None,
            question: self.pending(task),
            quiet_seconds: None,
            unread_messages: None,
            error: None,
            lines: Vec::new(),
        };
        match (state, self.working.get(task)) {
            (State::Queued, _) => Some(checked),
            (State::Running | State::Waiting, Some(working)) => {
                let pulse = working.pulse.borrow();
                checked.working_seconds = pulse.working(now).as_secs();
                checked.waiting_seconds = pulse.waiting(now).as_secs();
                checked.steps = pulse.steps;
                checked.calls = pulse.calls;
                checked.tokens = pulse.tokens;
                checked.cost = pulse.cost;
                checked.quiet_seconds = pulse.quiet(now).map(|quiet| quiet.as_secs());
                checked.unread_messages = (pulse.unread > 0).then_some(pulse.unread);
                checked.lines = pulse.tail.lines(lines, mask);
                Some(checked)
            }
            _ => None,
        }
    }

    /// What a task asks first.
    fn pending(&self, task: &TaskId) -> Option<Pending> {
        let call = self.state.questions(task).first()?;
        let (question, since) = self.working.get(task)?.questions.get(call)?;
        let detail = question.call.content.iter().flatten().find_map(detail);
        let detail = detail.or_else(|| question.call.input.as_ref().map(Value::to_string));
        let title = question.call.title.clone().or_else(|| question.call.tool.clone());
        Some(Pending {
            id: card::asked_id(&self.state.name(task), call),
            call: self.setup.mask.hide(&title.unwrap_or_default()).into_owned(),
            detail: detail.map(|detail| {
                // The end of what is read may be half a secret; it is far behind what is given.
                let read =
                    detail.get(..detail.floor_char_boundary(DETAIL_READ)).unwrap_or_default();
                self.setup.mask.hide(read).chars().take(DETAIL).collect()
            }),
            since_seconds: self.now().since(*since).as_secs(),
        })
    }

    /// Answers a wait with what there is.
    pub(super) fn collect(&mut self, wait: WaitId) {
        let Some(open) = self.waits.get_mut(&wait) else { return };
        let Some(reply) = open.reply.take() else { return };
        let mut items = Vec::new();
        for (name, task) in std::mem::take(&mut open.tasks) {
            let state = self.state.state(&task);
            let trouble = self.known.get(&task).and_then(|known| known.trouble.clone());
            items.push((task.clone(), state, trouble, self.item(name, task)));
        }
        let engine = Arc::clone(&self.setup.engine);
        if items.iter().all(|(.., item)| matches!(item, Item::Here(_))) {
            let here = items.into_iter().filter_map(|(task, .., item)| match item {
                Item::Here(collected) => Some((task, *collected)),
                Item::Read(..) => None,
            });
            let all = here.collect();
            return self.collected(Collection { wait, all, reply });
        }
        self.operate(async move {
            let mut all = Vec::new();
            for (task, state, trouble, item) in items {
                let collected = match item {
                    Item::Here(collected) => *collected,
                    Item::Read(name, task) => {
                        let mut collected = match operations::read(&*engine, &task).await {
                            Ok(found) => found.collected(&name),
                            Err(error) => unreadable(&name, state, &error),
                        };
                        collected.state = state;
                        collected.error = collected.error.or(trouble);
                        collected
                    }
                };
                all.push((task, collected));
            }
            Done::Collected(Box::new(Collection { wait, all, reply }))
        });
    }

    /// Who waited is given what was collected. A report that could not be read still comes by itself.
    pub(super) fn collected(&mut self, collection: Collection) {
        let Collection { wait, all, reply } = collection;
        let is_given = |(task, collected): &(TaskId, Collected)| {
            (collected.state.is_final() && !collected.is_unread).then(|| task.clone())
        };
        let given: Vec<TaskId> = all.iter().filter_map(is_given).collect();
        if let Some(open) = self.waits.remove(&wait) {
            self.state.gave(&open.session, &given);
        }
        drop(reply.send(all.into_iter().map(|(_, collected)| collected).collect()));
    }

    fn item(&self, name: TaskName, task: TaskId) -> Item {
        let state = self.state.state(&task);
        let Some(known) = self.known.get(&task) else { return Item::Read(name, task) };
        if let Some(collected) = known.collected.as_deref().filter(|_| state.is_final()) {
            let collected = Collected { task_id: name.to_string(), ..collected.clone() };
            return Item::Here(Box::new(collected));
        }
        if state.is_final() || state == State::Interrupted {
            return Item::Read(name, task);
        }
        let at = (self.now(), &*self.setup.mask);
        let so_far = |pulse: &Pulse| report::so_far(&name, &known.goal, state, pulse, at);
        let mut collected = match self.working.get(&task) {
            Some(working) => so_far(&working.pulse.borrow()),
            None => so_far(&Pulse { since: at.0, sign: at.0, ..Pulse::default() }),
        };
        collected.place = self.state.place(&task);
        Item::Here(Box::new(collected))
    }
}

/// Why it failed or was cancelled, in short.
fn why(known: &Known) -> Option<String> {
    let ended = known.collected.as_deref().and_then(|collected| collected.error.as_deref());
    let why = ended.or(known.trouble.as_deref())?;
    Some(letters::cut(&letters::one_line(why), LINE))
}

/// What is left of a task that ended just now: the same as the engine will give.
pub(super) fn collected(
    task: &TaskId,
    goal: &str,
    created: Timestamp,
    outcome: &Outcome,
) -> Collected {
    let spec = Spec { goal: goal.to_owned(), details: Value::Null };
    let status = Status { state: outcome.state(), created, ..Status::default() };
    let name = TaskName::of(task.number);
    report::collected(&name, &Task { task: task.clone(), spec, status }, Some(outcome), None)
}

fn check_ended(collected: Collected, task: &Task, lines: usize, now: Timestamp) -> Checked {
    let said = collected.report.as_deref().or(collected.partial.as_deref()).unwrap_or_default();
    let said: Vec<String> =
        said.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let from = said.len().saturating_sub(lines);
    Checked {
        task_id: collected.task_id,
        goal: collected.goal,
        state: collected.state,
        place: None,
        age_seconds: now.since(task.status.created).as_secs(),
        working_seconds: collected.working_seconds,
        waiting_seconds: collected.waiting_seconds,
        steps: task.status.requests,
        calls: task.status.calls,
        tokens: collected.tokens,
        cost: collected.cost,
        question: None,
        quiet_seconds: None,
        unread_messages: None,
        error: collected.error,
        lines: said.into_iter().skip(from).collect(),
    }
}

fn unreadable(name: &TaskName, state: State, error: &TaskError) -> Collected {
    Collected {
        task_id: name.to_string(),
        goal: String::new(),
        state,
        place: None,
        report: None,
        partial: None,
        error: Some(error.to_string()),
        working_seconds: 0,
        waiting_seconds: 0,
        tokens: 0,
        cost: None,
        files_written: Vec::new(),
        schema_errors: Vec::new(),
        changes: None,
        is_unread: true,
    }
}

fn detail(content: &CallContent) -> Option<String> {
    match content {
        CallContent::Content(crate::transcript::Content::Text { text }) => Some(text.clone()),
        CallContent::Diff { path, old, new } => {
            let (old, new) = (old.as_deref().unwrap_or_default(), new);
            let (before, after) = (old.lines().count(), new.lines().count());
            Some(format!("{}: {before} lines become {after}", path.display()))
        }
        CallContent::Content(_) | CallContent::Terminal(_) => None,
    }
}
