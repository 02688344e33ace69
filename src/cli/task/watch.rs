//! `talaria task watch`: how tasks stand, as they change: a line for each change, one of JSON for each event, or a live
//! view on a terminal.

mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use talaria_protocol::task::{
    CheckTaskRequest, CheckTaskResponse, ListTasksRequest, ListTasksResponse,
    TaskEventNotification, TaskState, TaskSummary,
};
use talaria_protocol::{TASK_CHECK, TASK_LIST};
use tokio::time::{MissedTickBehavior, interval};

use self::live::Live;
use super::ask::SOON;
use super::door::Door;
use super::{Failure, code, task_name, words};
use crate::control::client::Event;
use crate::fault::{Fault, Kind};
use crate::headless::lines::{self, Line, Standing};

/// How often a live view is drawn.
const DRAW: Duration = Duration::from_millis(125);

#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// By default all that have not ended, and those that are started meanwhile
    #[arg(value_name = "TASK", value_parser = watched_name)]
    tasks: Vec<String>,
    /// Goes on when they have ended, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// What the terminal can do
    #[arg(long, hide = true, env = "TERM", hide_env = true)]
    term: Option<String>,
}

/// How it is shown.
enum View<'a> {
    Lines(&'a mut (dyn Write + Send)),
    Json(&'a mut (dyn Write + Send)),
    Live(Live),
}

/// What is watched, and how it stood when it was last shown.
struct Watch {
    /// None are named: all but those that had ended before.
    names: BTreeSet<String>,
    past: BTreeSet<String>,
    /// Those that have not ended yet.
    open: BTreeSet<String>,
    standings: BTreeMap<String, Standing>,
    code: u8,
}

/// A task of the session itself: of those below it there are no events, so that nothing would ever be shown of one.
fn watched_name(text: &str) -> Result<String, String> {
    let name = task_name(text)?;
    match name.split_once('.') {
        None => Ok(name),
        Some((top, _)) => Err(format!(
            "it belongs to another task, and changes with that one: `talaria task watch {top}`; \
             `talaria task check {name}` shows how it stands"
        )),
    }
}

pub(super) async fn watch(
    door: &Door,
    args: &WatchArgs,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<u8, Failure> {
    let mut watch = Watch::begin(door, &args.tasks).await?;
    let can_draw = io::stdout().is_terminal() && args.term.as_deref() != Some("dumb");
    if watch.open.is_empty() && !args.follow {
        if !json {
            writeln!(out, "No task of this session runs or waits.")?;
        }
        return Ok(code::DONE);
    }
    let mut view = match (json, can_draw) {
        (true, _) => View::Json(out),
        (false, true) => View::Live(Live::new()),
        (false, false) => View::Lines(out),
    };
    let mut events = door.subscribe().await?;
    let mut draw = interval(DRAW);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            // The user goes first; a view that is not drawn costs less than an event that is missed.
            biased;
            _ = tokio::signal::ctrl_c() => {
                view.close();
                return Ok(code::INTERRUPTED);
            }
            event = events.next() => event,
            _ = draw.tick() => {
                view.draw();
                continue;
            }
        };
        match event {
            Event::Task(event) => watch.see(door, &event, &mut view).await?,
            Event::Lagged => events = door.subscribe().await?,
            Event::Over => {
                view.close();
                return Err(over(door).await);
            }
        }
        if watch.open.is_empty() && !args.follow {
            view.close();
            return Ok(watch.code);
        }
    }
}

/// Why there are no events any more: who asks for more is told.
async fn over(door: &Door) -> Failure {
    match list(door).await {
        Err(why) => why,
        Ok(_) => Failure::new(code::NO_SESSION, Fault::new(Kind::User, "the session was closed")),
    }
}

async fn list(door: &Door) -> Result<ListTasksResponse, Failure> {
    let request = ListTasksRequest { session_id: door.session.clone(), state: None };
    let (_, answer) = door.call(TASK_LIST, &request, SOON).await?;
    Ok(answer)
}

impl Watch {
    /// Looks at what there is, so that what had ended before is not shown as news.
    async fn begin(door: &Door, names: &[String]) -> Result<Self, Failure> {
        let answer = list(door).await?;
        let is_over = |task: &&TaskSummary| lines::is_over(words::state(task.state));
        let (past, open): (Vec<&TaskSummary>, Vec<&TaskSummary>) =
            answer.tasks.iter().partition(is_over);
        let ids =
            |tasks: Vec<&TaskSummary>| tasks.into_iter().map(|task| task.task_id.clone()).collect();
        let (past, mut open): (BTreeSet<String>, BTreeSet<String>) = (ids(past), ids(open));
        for name in names {
            if !open.contains(name) && !past.contains(name) {
                // It says that there is no such task.
                check(door, name).await?;
            }
        }
        let names: BTreeSet<String> = names.iter().cloned().collect();
        if !names.is_empty() {
            open.clone_from(&names);
        }
        Ok(Self { names, past, open, standings: BTreeMap::new(), code: code::DONE })
    }

    async fn see(
        &mut self,
        door: &Door,
        event: &Value,
        view: &mut View<'_>,
    ) -> Result<(), Failure> {
        let Ok(TaskEventNotification { task, .. }) = serde_json::from_value(event.clone()) else {
            // Of a newer server; what it says of others can be read.
            return Ok(());
        };
        let id = task.task_id.clone();
        let is_over = lines::is_over(words::state(task.state));
        if self.names.is_empty() && is_over && self.past.contains(&id)
            || !self.names.is_empty() && !self.names.contains(&id)
        {
            return Ok(());
        }
        self.past.remove(&id);
        if is_over {
            self.open.remove(&id);
            if task.state != TaskState::Completed {
                self.code = code::TASK_FAILED;
            }
        } else {
            self.open.insert(id.clone());
        }
        if let View::Json(out) = view {
            writeln!(out, "{event}")?;
            return Ok(out.flush()?);
        }
        let before = self.standings.get(&id);
        // How it ended is asked for, once.
        let is_news = before.is_none_or(|before| before.state != words::state(task.state));
        let ended =
            if task.state.is_final() && is_news { check(door, &id).await.ok() } else { None };
        let now = words::told(&task, ended.as_ref());
        let line = lines::change(&words::title(&id, &task.goal), before, &now);
        if is_news || !task.state.is_final() {
            self.standings.insert(id, now);
        }
        view.show(task, line)
    }
}

async fn check(door: &Door, task: &str) -> Result<CheckTaskResponse, Failure> {
    let (session_id, task_id) = (door.session.clone(), task.to_owned());
    let request = CheckTaskRequest { session_id, task_id, lines: Some(1) };
    let (_, answer) = door.call(TASK_CHECK, &request, SOON).await?;
    Ok(answer)
}

impl View<'_> {
    fn show(&mut self, task: TaskSummary, line: Option<Line>) -> Result<(), Failure> {
        match self {
            Self::Lines(out) => {
                if let Some(line) = line {
                    writeln!(out, "{}", words::shown(&line.to_string()))?;
                    out.flush()?;
                }
            }
            Self::Json(_) => {}
            Self::Live(view) => view.show(task, line.filter(|line| line.is_over))?,
        }
        Ok(())
    }

    fn draw(&mut self) {
        if let Self::Live(live) = self {
            live.draw();
        }
    }

    fn close(&mut self) {
        if let Self::Live(live) = self {
            live.close();
        }
    }
}
