//! The deterministic model: it plays a script, so tests, demos and benches need no key and no network.
//! The format is documented in `docs/SCRIPTED.md`. It is never chosen silently.

mod parse;
mod pattern;
mod play;
mod script;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Deltas, Item, ModelError, Request, retry, text_calls};
use crate::fault::{Fault, Kind};
use crate::transcript::{Content, Outcome};
use pattern::{Captures, Pattern};
pub(crate) use play::literal;
use play::{Play, Variables};
use script::{Op, Reaction, Scene, Script, Step};

/// A script that answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<Script>,
}

impl Scripted {
    /// Reads and parses a script. Gates are files in its folder unless it says otherwise.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Fault::new(
                Kind::Config,
                format!("the script `{}` could not be read: {error}", path.display()),
            )
            .with_hint("Set `TALARIA_MODEL` to `scripted:FILE` with the path of a script.")
        })?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Self::parse(&text, &path.display().to_string(), &folder)
    }

    /// Parses a script. `name` stands in messages; `folder` is where its gates are looked for.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self, Fault> {
        let script = parse::parse(text, name, folder).map_err(|message| {
            Fault::new(Kind::Config, message)
                .with_hint("`docs/SCRIPTED.md` describes the format of scripts.")
        })?;
        Ok(Self { script: Arc::new(script) })
    }

    pub fn stream(&self, request: Request) -> Deltas {
        let script = self.script.clone();
        let tools = request.tools.clone();
        let request = Arc::new(request);
        let deltas = retry::stream("the script", move |tries| open(&script, &request, tries));
        text_calls::stream(deltas, tools)
    }
}

fn open(script: &Arc<Script>, request: &Request, tries: u32) -> Deltas {
    let failed = |message| -> Deltas {
        Box::pin(futures::stream::iter([Err(ModelError::Rejected { status: 400, message })]))
    };
    let told = Told::of(&request.items);
    match choose(script, request, &told) {
        Ok(chosen) => {
            if let Some(difference) = unmet(script, &chosen.ops, request) {
                return failed(difference);
            }
            Play::stream(script.clone(), chosen.ops, chosen.variables, tries)
        }
        Err(message) => failed(message),
    }
}

struct Chosen {
    ops: Arc<[Op]>,
    variables: Variables,
}

/// A conversation without the reports of tasks: they come when they come, so they choose no scene and no
/// step but that of a `when report`.
struct Told<'a> {
    /// Copied only where something is left out: a conversation may be large.
    items: Cow<'a, [Item]>,
    /// The reports that end it, where nothing else of a user stands beside them.
    reports: Vec<String>,
    /// All that came since the last reply.
    came: Vec<String>,
}

impl<'a> Told<'a> {
    fn of(items: &'a [Item]) -> Self {
        let is_left_out = |content: &[Content]| content.is_empty() || content.iter().any(is_report);
        if !items.iter().any(|item| matches!(item, Item::User(content) if is_left_out(content))) {
            return Self { items: Cow::Borrowed(items), reports: Vec::new(), came: Vec::new() };
        }
        let mut reports = Vec::new();
        let mut came = Vec::new();
        let mut told = Vec::with_capacity(items.len());
        for item in items {
            let Item::User(content) = item else {
                told.push(item.clone());
                reports.clear();
                if matches!(item, Item::Assistant { .. }) {
                    came.clear();
                }
                continue;
            };
            let (found, rest): (Vec<&Content>, Vec<&Content>) =
                content.iter().partition(|content| is_report(content));
            came.extend(found.iter().filter_map(|content| match content {
                Content::Text { text } => Some(text.trim().to_owned()),
                Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => None,
            }));
            if rest.is_empty() {
                reports = user_texts(Some(item)).0;
            } else {
                told.push(if found.is_empty() {
                    item.clone()
                } else {
                    Item::User(rest.into_iter().cloned().collect())
                });
                reports.clear();
            }
        }
        Self { items: Cow::Owned(told), reports, came }
    }
}

/// Whether this is the frame that a report of a task comes in.
fn is_report(content: &Content) -> bool {
    matches!(content, Content::Text { text } if text.trim_start().starts_with("<task_report "))
}

/// Which step answers: a reaction to the last item if one matches, else the scene's next step.
fn choose(script: &Script, request: &Request, told: &Told<'_>) -> Result<Chosen, String> {
    let items = &told.items;
    let start = turn_start(items);
    let prompt = user_texts(items.get(start));
    let outcomes = last_outcomes(items);
    let (scene, captures) = scene(script, items, start).ok_or_else(|| {
        format!("the script `{}` has no `when` for the prompt {:?}", script.name, prompt.joined())
    })?;
    let variables = |captures| Variables {
        captures,
        prompt: user_texts(items.iter().rev().find(|item| matches!(item, Item::User(_))))
            .last_text(),
        outcome: outcomes.join("\n"),
        reports: told.came.join("\n"),
        model: request.model.clone(),
        thought: request.thought.id(),
    };
    let chosen =
        |step: &Step, captures| Chosen { ops: step.ops.clone(), variables: variables(captures) };
    let reports = told.reports.iter().rev().map(String::as_str).collect::<Vec<_>>();
    if let Some((step, captures)) =
        reaction(&scene.reports, &reports).or_else(|| reaction(&script.reports, &reports))
    {
        return Ok(chosen(step, captures));
    }
    match items.last() {
        // Nobody waits for words on a report.
        Some(Item::Assistant { .. }) if !reports.is_empty() => {
            return Ok(Chosen { ops: Arc::from([]), variables: variables(captures) });
        }
        Some(Item::Outcomes(_)) => {
            let texts = outcomes.iter().rev().map(String::as_str).collect::<Vec<_>>();
            if let Some((step, captures)) =
                reaction(&scene.outcomes, &texts).or_else(|| reaction(&script.outcomes, &texts))
            {
                return Ok(chosen(step, captures));
            }
        }
        Some(item @ Item::User(_)) if items.len() > start + 1 => {
            let steered = user_texts(Some(item));
            let texts = steered.candidates();
            let texts = texts.iter().map(String::as_str).collect::<Vec<_>>();
            if let Some((step, captures)) =
                reaction(&scene.steers, &texts).or_else(|| reaction(&script.steers, &texts))
            {
                return Ok(chosen(step, captures));
            }
        }
        Some(Item::User(_) | Item::Assistant { .. }) | None => {}
    }
    let index = replies_since(items, start);
    let step = scene.steps.get(index).ok_or_else(|| {
        format!(
            "{}:{}: this scene has {} steps, and the turn asked for step {}",
            script.name,
            scene.line,
            scene.steps.len(),
            index + 1
        )
    })?;
    Ok(chosen(step, captures))
}

/// Where the running turn begins: at the last user item that opens the conversation, follows a reply
/// without calls, or follows a cancelled call. Any other user item was steered into the turn.
fn turn_start(items: &[Item]) -> usize {
    (0..items.len()).rev().find(|at| begins_turn(items, *at)).unwrap_or(0)
}

fn begins_turn(items: &[Item], at: usize) -> bool {
    if !matches!(items.get(at), Some(Item::User(_))) {
        return false;
    }
    match at.checked_sub(1).and_then(|before| items.get(before)) {
        None | Some(Item::User(_)) => true,
        Some(Item::Assistant { calls, .. }) => calls.is_empty(),
        Some(Item::Outcomes(outcomes)) => {
            outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Cancelled { .. }))
        }
    }
}

/// The texts of one user item.
struct UserTexts(Vec<String>);

impl UserTexts {
    fn joined(&self) -> String {
        self.0.join("\n")
    }

    fn last_text(&self) -> String {
        self.0.last().cloned().unwrap_or_default()
    }

    /// A prompt without a text is matched as an empty one.
    fn or_empty(self) -> Vec<String> {
        if self.0.is_empty() { vec![String::new()] } else { self.0 }
    }

    /// What patterns are tried on: the last text alone, since prompts that arrived together are one
    /// item, then all of them.
    fn candidates(&self) -> Vec<String> {
        let mut candidates = vec![self.last_text()];
        if self.0.len() > 1 {
            candidates.push(self.joined());
        }
        candidates
    }
}

fn user_texts(item: Option<&Item>) -> UserTexts {
    let Some(Item::User(content)) = item else { return UserTexts(Vec::new()) };
    UserTexts(
        content
            .iter()
            .filter_map(|content| match content {
                Content::Text { text } => Some(text.trim().to_owned()),
                Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => None,
            })
            .collect(),
    )
}

fn last_outcomes(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .rev()
        .find_map(|item| match item {
            Item::Outcomes(outcomes) => {
                Some(outcomes.iter().map(|(_, outcome)| outcome.text()).collect())
            }
            Item::User(_) | Item::Assistant { .. } => None,
        })
        .unwrap_or_default()
}

/// The scene of the turn that begins at `start`. Scenes of the same pattern take turns, one for each
/// earlier text that it matches; the last one stays.
fn scene<'a>(script: &'a Script, items: &[Item], start: usize) -> Option<(&'a Scene, Captures)> {
    let prompt = user_texts(items.get(start));
    let matched = prompt.candidates().into_iter().find_map(|text| {
        let first = script.scenes.iter().find_map(|scene| {
            let pattern = scene.prompt.as_ref()?;
            pattern.captures(&text).map(|captures| (scene, pattern, captures))
        });
        let (first, pattern, captures) = first?;
        let same = || script.scenes.iter().filter(|scene| scene.prompt.as_ref() == Some(pattern));
        let scene = match same().count() {
            1 => first,
            count => same().nth(earlier(items, start, pattern).min(count - 1)).unwrap_or(first),
        };
        Some((scene, captures))
    });
    matched.or_else(|| {
        let fallback = script.scenes.iter().find(|scene| scene.prompt.is_none())?;
        Some((fallback, Captures::default()))
    })
}

/// How many texts of prompts before the last one of the turn that begins at `start` match. A prompt whose
/// turn was never answered is in one item with the next one, so all texts count.
fn earlier(items: &[Item], start: usize, pattern: &Pattern) -> usize {
    let before =
        (0..start).filter(|at| begins_turn(items, *at)).map(|at| user_texts(items.get(at)));
    let mut texts: Vec<String> = before.flat_map(UserTexts::or_empty).collect();
    let mut own = user_texts(items.get(start)).0;
    own.pop();
    texts.extend(own);
    texts.iter().filter(|text| pattern.captures(text).is_some()).count()
}

/// The number of replies that the turn that begins at `start` has had.
fn replies_since(items: &[Item], start: usize) -> usize {
    items.iter().skip(start).filter(|item| matches!(item, Item::Assistant { .. })).count()
}

/// Which step of a script answers a request, if every prompt has scenes of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What the scene's pattern must match.
    pub prompt: String,
    /// Which one of the scenes with this text as their pattern, counted from 0.
    pub scene: usize,
    /// Which step of the scene, counted from 0.
    pub step: usize,
}

impl Place {
    /// For those who write scripts: where the answer to a request with these items belongs.
    pub fn of(items: &[Item]) -> Self {
        let Told { items, .. } = Told::of(items);
        let items = &*items;
        let start = turn_start(items);
        let prompt = user_texts(items.get(start)).last_text();
        let scene = earlier(items, start, &Pattern::new(prompt.clone()));
        Self { prompt, scene, step: replies_since(items, start) }
    }
}

fn reaction<'a>(reactions: &'a [Reaction], texts: &[&str]) -> Option<(&'a Step, Captures)> {
    reactions.iter().find_map(|reaction| {
        let captures = texts.iter().find_map(|text| reaction.pattern.captures(text.trim()))?;
        Some((&reaction.step, captures))
    })
}

/// The first expectation of the step that the request does not meet, as a message.
fn unmet(script: &Script, ops: &[Op], request: &Request) -> Option<String> {
    ops.iter().find_map(|op| match op {
        Op::Expect { line, expectation } => expectation
            .difference(request)
            .map(|difference| format!("{}:{line}: {difference}", script.name)),
        Op::Say(_)
        | Op::Think(_)
        | Op::Echo
        | Op::Chunk(_)
        | Op::Repeat { .. }
        | Op::Delay(_)
        | Op::Gate(_)
        | Op::Call { .. }
        | Op::CallRaw { .. }
        | Op::CallText { .. }
        | Op::Usage(_)
        | Op::Stop(_)
        | Op::Fail { .. } => None,
    })
}
