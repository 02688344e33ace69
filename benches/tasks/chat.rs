//! A session whose tasks are started by its user: how they are asked for, and how their cards are read.

use std::time::Instant;

use super::support::agent::{Agent, Answer, Home, Line};

/// More tasks than any measure has, in one session.
const CONFIG: &str = "permissions: {mode: bypass}\n\
     delegation: {max_concurrent_children: 5000, max_process: 5000, max_queued: 5000}\n\
     tasks: {max_per_prompt: 5000, max_tokens_per_prompt: 1000000000, follow_up: off}\n";

pub(crate) struct Chat {
    pub(crate) agent: Agent,
    pub(crate) session: String,
    /// What came and was not looked at yet.
    lines: Vec<Line>,
}

/// A home in which thousands of tasks may run.
pub(crate) fn home() -> Home {
    let home = Home::new();
    std::fs::write(home.state().join("config.yaml"), CONFIG).unwrap();
    home
}

impl Chat {
    pub(crate) fn begin(home: &Home, mut agent: Agent) -> Self {
        let session = agent.ready(home);
        Self { agent, session, lines: Vec::new() }
    }

    /// What the agent says to a prompt, and how long that took; what else came is kept for `card`.
    pub(crate) fn ask(&mut self, prompt: &str) -> (String, std::time::Duration) {
        let (id, asked) = self.agent.prompt(&self.session, prompt);
        let answer = self.agent.wait(id);
        let took = answer.at - asked;
        (self.keep(answer), took)
    }

    /// Takes an answer's lines over; what it says.
    pub(crate) fn keep(&mut self, answer: Answer) -> String {
        let text = answer.text();
        assert_eq!(answer.stop_reason(), "end_turn", "{}", answer.response);
        self.lines.extend(answer.before);
        text
    }

    /// Starts a task; its name, and how long that took.
    pub(crate) fn start(&mut self, goal: &str) -> (String, std::time::Duration) {
        let (said, took) = self.ask(&format!("/task {goal}"));
        let name = said.split('`').nth(1).unwrap_or_else(|| panic!("no task: {said}"));
        assert!(said.contains("is running"), "{said}");
        (name.to_owned(), took)
    }

    /// When the card of a task had this status.
    pub(crate) fn card(&mut self, task: &str, status: &str) -> Instant {
        self.line_of(task, &format!("\"status\":\"{status}\""))
    }

    /// When the card of a task came to be.
    pub(crate) fn shown(&mut self, task: &str) -> Instant {
        self.line_of(task, "\"sessionUpdate\":\"tool_call\"")
    }

    /// When a line about the task's card came that holds `words`; all before it is forgotten.
    fn line_of(&mut self, task: &str, words: &str) -> Instant {
        let id = format!("\"task-{task}\"");
        let is_it = |line: &Line| line.text.contains(&id) && line.text.contains(words);
        let mut kept = std::mem::take(&mut self.lines).into_iter();
        if let Some(line) = kept.find(is_it) {
            self.lines = kept.collect();
            return line.at;
        }
        loop {
            let line = self.agent.line().expect("the agent goes on");
            if is_it(&line) {
                return line.at;
            }
        }
    }

    /// Reads until so many tasks have ended well; when the last one had.
    pub(crate) fn completed(&mut self, count: usize) -> Instant {
        let mut ended = 0;
        let mut kept = std::mem::take(&mut self.lines).into_iter();
        loop {
            let line = kept.next().or_else(|| self.agent.line()).expect("the agent goes on");
            if !line.text.contains("\"task-t") {
                continue;
            }
            assert!(!line.text.contains("\"status\":\"failed\""), "{}", line.text);
            if line.text.contains("\"status\":\"completed\"") {
                ended += 1;
                if ended == count {
                    return line.at;
                }
            }
        }
    }
}
