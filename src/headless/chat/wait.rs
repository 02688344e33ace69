//! The end of a run: waiting for background tasks and for the turns that their reports start, and asking
//! the person what a task waits for when the agent no longer does.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Answering, Chat, ChatError, Interruption, Left};
use crate::permission::Answer;

/// How long a turn that runs by itself may take to end once it is cancelled.
pub(super) const BREAKING_OFF: Duration = Duration::from_secs(5);

impl Chat<'_> {
    /// Shows what comes until no background task runs or is queued, and no turn runs or is to start by
    /// itself.
    pub async fn until_tasks_rest(&mut self) -> Result<Left, ChatError> {
        let left = self.rest().await?;
        // What is said while nothing runs may have no end of its own.
        self.printer.start_line()?;
        Ok(left)
    }

    async fn rest(&mut self) -> Result<Left, ChatError> {
        loop {
            let now = Instant::now();
            let limit = if let Some(interruption) = self.interrupted {
                // What a turn says last is still shown.
                match interruption.turn_ends {
                    Some(limit) if self.background.follows_up() && now < limit => Some(limit),
                    Some(_) | None => return Ok(self.left()),
                }
            } else {
                // A person who is being asked is waited for.
                self.background.rests_from(now).filter(|_| self.pending.is_none())
            };
            // What has come already is seen before the time is.
            tokio::select! {
                biased;
                seen = self.next() => {
                    if let Some(seen) = seen? {
                        self.take(seen)?;
                    }
                }
                () = sleep_until(limit) => return Ok(self.left()),
            }
        }
    }

    fn left(&self) -> Left {
        let living = self.background.living();
        let waiting = self.background.waiting();
        let is_given = |broken: Interruption| broken.turn_ends.is_some() || !living.is_empty();
        if self.interrupted.is_some_and(is_given) {
            Left::Given(living)
        } else if waiting.is_empty() {
            Left::Nothing
        } else {
            Left::Waiting(waiting)
        }
    }

    /// Asks the person what a task waits for, while no prompt is open; then tells the agent. Whether there
    /// is something to wait for again.
    pub async fn settle(&mut self, task: &str) -> Result<bool, ChatError> {
        let Some(card) = self.background.card_of(task) else { return Ok(true) };
        let Answering::Person(asker) = &mut self.answering else { return Ok(false) };
        let mut lines = card.text.lines();
        let what = lines.next().unwrap_or_default();
        // It may be a task of this task that asks.
        let named = lines.next().and_then(|line| line.split("`/allow ").nth(1)?.split('`').next());
        let asked_by = named.unwrap_or(task).to_owned();
        let call = json!({"toolCallId": "", "title": format!("`{asked_by}` · {what}")});
        self.printer.question(&json!({ "toolCall": call }))?;
        let mut answer = asker();
        self.is_settling = true;
        let answer = loop {
            tokio::select! {
                biased;
                Some(()) = self.interrupts.recv() => {
                    self.interrupt()?;
                    break None;
                }
                answer = &mut answer => break Some(answer.unwrap_or(Answer::Unanswered)),
                seen = self.editor.next() => self.take(seen)?,
            }
        };
        self.is_settling = false;
        let Some(answer) = answer else { return Ok(true) };
        self.next_question()?;
        let command = match answer {
            Answer::AllowOnce => format!("/allow {asked_by}"),
            Answer::AllowAlways => format!("/allow {asked_by} always"),
            Answer::RejectOnce | Answer::RejectAlways => format!("/deny {asked_by}"),
            Answer::Unanswered => return Ok(false),
        };
        self.background.goes_on(task);
        self.prompt(&command).await?;
        Ok(true)
    }
}

async fn sleep_until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}
