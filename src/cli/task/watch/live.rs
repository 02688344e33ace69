//! Tasks on a terminal: a line for each that goes on, drawn again and again; above them, for good, those that ended.

use std::collections::BTreeMap;
use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use talaria_protocol::task::{TaskState, TaskSummary};
use tokio::time::Instant;

use crate::cli::task::screen::{fit, width};
use crate::cli::task::words;
use crate::headless::lines::Line;
use crate::letters::{self, grouped};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// How often a second the terminal is written to, at most.
const RATE: u8 = 10;

pub(super) struct Live {
    lines: MultiProgress,
    tasks: BTreeMap<String, Shown>,
    frame: usize,
}

struct Shown {
    bar: ProgressBar,
    task: TaskSummary,
    /// When it stood so.
    at: Instant,
}

impl Live {
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stdout_with_hz(RATE);
        Self { lines: MultiProgress::with_draw_target(target), tasks: BTreeMap::new(), frame: 0 }
    }

    /// How a task stands now; with a line, it is over.
    pub(super) fn show(&mut self, task: TaskSummary, over: Option<Line>) -> io::Result<()> {
        let id = task.task_id.clone();
        if let Some(line) = over {
            if let Some(shown) = self.tasks.remove(&id) {
                self.lines.remove(&shown.bar);
            }
            return self.lines.println(words::shown(&line.to_string()));
        }
        if crate::headless::lines::is_over(words::state(task.state)) {
            return Ok(());
        }
        let at = Instant::now();
        if let Some(shown) = self.tasks.get_mut(&id) {
            (shown.task, shown.at) = (task, at);
        } else {
            let bar = self.lines.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.tasks.insert(id, Shown { bar, task, at });
        }
        self.draw();
        Ok(())
    }

    pub(super) fn draw(&mut self) {
        self.frame = (self.frame + 1) % FRAMES.len();
        let frame = FRAMES.get(self.frame).copied().unwrap_or_default();
        // The last column is left free: some terminals wrap when it is written to.
        let columns = width().saturating_sub(1);
        for Shown { bar, task, at } in self.tasks.values() {
            bar.set_message(fit(&line(task, at.elapsed().as_secs(), frame), columns));
        }
    }

    /// Leaves the lines as they stand.
    pub(super) fn close(&mut self) {
        for (_, shown) in std::mem::take(&mut self.tasks) {
            shown.bar.abandon();
        }
    }
}

/// What is shown of a task that goes on, so many seconds after it was told.
fn line(task: &TaskSummary, later: u64, frame: char) -> String {
    let TaskSummary { task_id, age_seconds, tokens, .. } = task;
    if let Some(question) = task.question.as_ref().filter(|_| task.state == TaskState::Waiting) {
        // What is to be done comes first, for the end is cut.
        let call = letters::one_line(&question.call);
        return format!("? {task_id} waiting · `talaria task answer {task_id}` · {call}");
    }
    let mark = if task.state == TaskState::Running { frame } else { '·' };
    let mut text = format!("{mark} {task_id} {}", words::told(task, None).details);
    text.push_str(&format!(" · {}", words::seconds(age_seconds + later)));
    if *tokens > 0 {
        text.push_str(&format!(" · {} tokens", grouped(*tokens)));
    }
    let last = task.line.as_deref().unwrap_or(&task.goal);
    text.push_str(&format!(" · {}", letters::one_line(last)));
    text
}

#[cfg(test)]
mod tests {
    use talaria_protocol::task::TaskQuestion;

    use super::*;

    #[test]
    fn a_line_says_how_a_task_stands_now() {
        let running = TaskSummary {
            task_id: "t1".to_owned(),
            goal: "Look".to_owned(),
            state: TaskState::Running,
            place: None,
            age_seconds: 58,
            tokens: 1_200,
            question: None,
            error: None,
            line: Some("reads\u{1b}[2J a".to_owned()),
        };
        let queued = TaskSummary {
            state: TaskState::Queued,
            place: Some(2),
            line: None,
            tokens: 0,
            ..running.clone()
        };
        assert_eq!(line(&running, 3, '/'), "/ t1 running · 1 min 1 s · 1 200 tokens · reads [2J a");
        let call = "Edit\na".to_owned();
        let waiting = TaskSummary {
            state: TaskState::Waiting,
            question: Some(TaskQuestion {
                id: String::new(),
                call,
                detail: None,
                since_seconds: 0,
            }),
            ..running
        };
        assert_eq!(line(&waiting, 0, '/'), "? t1 waiting · `talaria task answer t1` · Edit a");
        assert_eq!(line(&queued, 0, '/'), "· t1 queued, place 2 · 58 s · Look");
    }
}
