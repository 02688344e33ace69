//! The tools `delegate_task_async` and `delegate_task`: they start tasks, and the second waits for them.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use serde_json::{Value, json};

use super::collect::{Over, gave, wait};
use super::input::{Wanted, list, wanted};
use super::{START, Stop, TaskLimits, answered, door, images, prepared};
use crate::event::{Location, ToolKind};
use crate::letters;
use crate::model::ToolSpec;
use crate::permission::Grant;
use crate::tasks::{Door, NewTask, Started, TaskName, Wait, Which};
use crate::tools::pictures::MOST_PICTURES;
use crate::tools::{Context, Effect, Prepared, Ran, Tool};
use crate::transcript::Outcome;

/// Characters of a goal in a title.
const TITLE_CHARS: usize = 60;
/// How long a cancelled call waits until its tasks have ended.
const GRACE: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Wait,
}

/// What both tools say of tasks.
#[derive(Clone)]
pub(super) struct About {
    limits: TaskLimits,
    toolsets: Vec<&'static str>,
}

impl About {
    /// `toolsets` are those of the session.
    pub(super) fn new(limits: TaskLimits, toolsets: &[&'static str]) -> Self {
        let mut toolsets = toolsets.to_vec();
        toolsets.retain(|name| limits.depth > 1 || *name != crate::tools::toolsets::TASKS);
        Self { limits, toolsets }
    }

    fn limits(&self) -> String {
        let TaskLimits { running, queued, per_prompt, depth, seconds } = self.limits;
        let mut text = format!(
            "Limits: {running} run at once, {queued} more queue, {per_prompt} per user prompt; "
        );
        match depth {
            0 | 1 => text.push_str("subagents cannot delegate"),
            depth => text.push_str(&format!("tasks nest {depth} deep")),
        }
        if let Some(seconds) = seconds {
            text.push_str(&format!("; each ends after {seconds} s"));
        }
        text.push('.');
        text
    }

    fn fields(&self) -> Value {
        json!({
            "goal": {"type": "string"},
            "context": {"type": "string"},
            "toolsets": {"type": "array", "items": {"enum": self.toolsets}},
            "model": {"type": "string"},
            "output_schema": {"type": "object"},
            "images": {"type": "array", "items": {"type": "string"}},
            "continues": {"type": "string"},
            "isolation": {"enum": ["none", "worktree"]}
        })
    }

    fn schema(&self) -> Value {
        let mut fields = self.fields();
        let pictures = format!("Paths of up to {MOST_PICTURES} pictures it sees");
        let said = [
            ("goal", "What to do and what to report, complete in itself"),
            ("context", "What it must know: files, findings, constraints"),
            ("toolsets", "Default: all of yours"),
            ("model", "Default: the configured one"),
            ("output_schema", "JSON Schema of its report"),
            ("images", pictures.as_str()),
            ("continues", "Finished task whose conversation it goes on from"),
            ("isolation", "`worktree`: its own git worktree of HEAD, for the user to merge"),
        ];
        for (name, description) in said {
            if let Some(field) = fields.get_mut(name) {
                field["description"] = json!(description);
            }
        }
        fields["tasks"] = json!({
            "type": "array",
            "description": "Several tasks, in place of `goal`; all start or none. Fields beside it are \
                            defaults for entries.",
            "items": {"type": "object", "properties": self.fields(), "required": ["goal"]}
        });
        json!({"type": "object", "properties": fields})
    }
}

pub(super) struct Delegate {
    about: About,
    then: Then,
}

impl Delegate {
    pub(super) fn in_the_background(about: About) -> Self {
        Self { about, then: Then::GoOn }
    }

    pub(super) fn and_wait(about: About) -> Self {
        Self { about, then: Then::Wait }
    }
}

impl Tool for Delegate {
    fn spec(&self) -> ToolSpec {
        let (name, description) = match self.then {
            Then::GoOn => (
                START,
                format!(
                    "Start a background task: a subagent that knows only `goal` and `context`. Answers \
                     at once with its id (`t1`); its report comes to you by itself. {}",
                    self.about.limits()
                ),
            ),
            Then::Wait => (
                "delegate_task",
                "As `delegate_task_async`, but waits until all have ended, in parallel, and answers \
                 with their reports."
                    .to_owned(),
            ),
        };
        ToolSpec { name: name.to_owned(), description, schema: self.about.schema() }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Think
    }

    fn is_shown_by_cards(&self) -> bool {
        true
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let wanted = wanted(input)?;
            let touches = images::touches(context, &wanted).await?;
            let title = title(&wanted);
            let locations =
                touches.iter().map(|touch| Location { path: touch.path.clone(), line: None });
            let otherwise =
                Grant { key: "delegate".to_owned(), label: "starting background tasks".to_owned() };
            let grant = images::grant(&touches, otherwise);
            Ok(Prepared { locations: locations.collect(), grant, touches, ..prepared(title) })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { self.start(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

fn title(wanted: &[Wanted]) -> String {
    match wanted {
        [one] => {
            let goal = letters::one_line(&one.task.goal);
            format!("Delegate: {}", letters::cut(&goal, TITLE_CHARS))
        }
        several => format!("Delegate {} tasks", several.len()),
    }
}

/// What is answered of tasks that go on.
#[derive(Serialize)]
struct Begun {
    tasks: Vec<Started>,
}

impl Delegate {
    async fn start(&self, input: &Value, context: &Context) -> Result<Ran, Stop> {
        let started = start(input, context).await;
        // Those behind need not wait until these have ended.
        if let Some(place) = &context.place {
            place.give_up();
        }
        let (door, started) = started?;
        let mut ran = match self.then {
            Then::GoOn => answered(&Begun { tasks: started })?,
            Then::Wait => reports(door, &started, context).await?,
        };
        ran.has_cards = true;
        Ok(ran)
    }
}

/// Starts the tasks, behind those of the calls before this one.
async fn start<'a>(input: &Value, context: &'a Context) -> Result<(&'a Door, Vec<Started>), Stop> {
    let door = door(context)?;
    let mut tasks: Vec<NewTask> = Vec::new();
    for wanted in wanted(input)? {
        tasks.push(images::with_images(context, wanted).await?);
    }
    let come = async {
        if let Some(place) = &context.place {
            place.come().await;
        }
    };
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            let reason = "the turn was cancelled before a task was started".to_owned();
            return Err(Stop::Cancelled(reason));
        }
        () = come => {}
    }
    // Not broken off: it would not be known then whether there are tasks.
    Ok((door, door.tasks.start(door.caller.clone(), tasks).await?))
}

/// Waits for tasks that were started for nothing else.
async fn reports(door: &Door, started: &[Started], context: &Context) -> Result<Ran, Stop> {
    let names: Vec<TaskName> =
        started.iter().filter_map(|started| started.task_id.parse().ok()).collect();
    match wait(door, context, names.clone(), Wait::All, None).await {
        Ok(Over::Cancelled) => {
            let cancels = names.iter().map(|name| {
                let reason = Some("the turn that waited for it was cancelled".to_owned());
                door.tasks.cancel(Which::One(name.clone()), reason)
            });
            // What takes longer ends behind the turn.
            drop(tokio::time::timeout(GRACE, join_all(cancels)).await);
            let reason = format!("the turn was cancelled, and with it {}", list(&names));
            Ok(Ran::new(Outcome::Cancelled { reason }))
        }
        Ok(Over::With { tasks, note }) => {
            let gave = gave(&tasks.tasks);
            let mut ran = answered(&tasks.with(note))?;
            ran.gave = gave;
            Ok(ran)
        }
        // They are there, and go on.
        Err(error) => Ok(Ran::failed(format!(
            "{} were started, but cannot be waited for: {error}",
            list(&names)
        ))),
    }
}
