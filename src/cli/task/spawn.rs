//! `talaria task spawn`: a task made of the command line, standard input and files. It asks nobody.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use talaria_protocol::task::{Isolation, NewTask};

use super::ask::LONGEST_WAIT;
use super::selection::Selection;
use super::{Failure, task_name};
use crate::tools::fenced;

/// What is read of a file for its selection, and of standard input.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Stands for standard input.
const INPUT: &str = "-";

#[derive(Debug, clap::Args)]
pub(super) struct SpawnArgs {
    /// What to do and what to report; `-` reads it from standard input
    #[arg(required = true, value_name = "GOAL")]
    goal: Vec<String>,
    /// What the task must know beside it; `-` reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    context: Option<String>,
    /// A file that it is about, named in the context; may be given several times
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// What is selected in the file goes into the context. Lines and columns (in characters) count from 1, and the
    /// character at L2:C2 is not part of it
    #[arg(long, value_name = "L1:C1-L2:C2", requires = "files")]
    selection: Option<Selection>,
    /// The model that does it, by default the configured one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A set of tools that it gets, by default all; may be given several times
    #[arg(long = "toolset", value_name = "NAME")]
    toolsets: Vec<String>,
    /// Where it works: `none`, in the session's folders, or `worktree`, in a git worktree of its own
    #[arg(long, value_name = "WHERE", value_parser = isolation)]
    isolation: Option<Isolation>,
    /// A picture that it sees; may be given several times
    #[arg(long = "image", value_name = "PATH")]
    images: Vec<PathBuf>,
    /// A finished task whose conversation it goes on from
    #[arg(long, value_name = "TASK", value_parser = task_name)]
    continues: Option<String>,
    /// A file with the JSON Schema that its report must match
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Waits for its report and shows it
    #[arg(long)]
    wait: bool,
    /// With `--wait`: at most so many seconds, up to 3600
    #[arg(long, value_name = "S", requires = "wait", value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT))]
    timeout: Option<u64>,
    /// Who asks again under the same key gets the same task
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
}

/// A task to start.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) task: NewTask,
    pub(super) key: Option<String>,
    pub(super) wait: Option<Limit>,
}

/// How long its report is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Seconds(u64),
}

/// Reads what the arguments name.
pub(super) fn read(args: SpawnArgs) -> Result<Order, Failure> {
    if args.goal == [INPUT] && args.context.as_deref() == Some(INPUT) {
        return Err(Failure::usage("goal and context cannot both come from standard input"));
    }
    let context = context(args.context, &args.files, args.selection)?;
    let goal = text(&args.goal, "goal")?;
    let output_schema = args.schema.as_deref().map(schema).transpose()?;
    let images = args.images.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    let task = NewTask {
        goal,
        context,
        toolsets: args.toolsets,
        model: args.model,
        output_schema,
        images,
        continues: args.continues,
        isolation: args.isolation.unwrap_or_default(),
    };
    let wait = args.wait.then(|| args.timeout.map_or(Limit::None, Limit::Seconds));
    Ok(Order { task, key: args.key, wait })
}

/// A text of several words, or standard input; it says something.
pub(super) fn text(words: &[String], what: &str) -> Result<String, Failure> {
    let text = if words == [INPUT] { input(what)? } else { words.join(" ") };
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("the {what} is empty")));
    }
    Ok(text)
}

fn context(
    said: Option<String>,
    files: &[PathBuf],
    selection: Option<Selection>,
) -> Result<Option<String>, Failure> {
    let said = match said {
        Some(text) if text == INPUT => Some(input("context")?),
        said => said,
    };
    let mut parts: Vec<String> = said.into_iter().filter(|text| !text.trim().is_empty()).collect();
    match (selection, files) {
        (None, _) => {
            let named = files.iter().map(|path| Ok(format!("- {}", file(path)?)));
            let named = named.collect::<Result<Vec<_>, Failure>>()?;
            if !named.is_empty() {
                parts.push(format!("Files that it is about:\n{}", named.join("\n")));
            }
        }
        (Some(selection), [one]) => parts.push(selected(one, selection)?),
        (Some(_), _) => {
            return Err(Failure::usage("a selection is of one file")
                .hint("Give `--file` once with `--selection`."));
        }
    }
    Ok(Some(parts.join("\n\n")).filter(|context| !context.is_empty()))
}

fn selected(path: &Path, selection: Selection) -> Result<String, Failure> {
    let name = file(path)?;
    let whole = read_file(path)?;
    let text = selection.of(&whole).map_err(|why| {
        Failure::usage(format!("`{}` does not have the selection: {why}", path.display()))
    })?;
    if text.is_empty() {
        return Ok(format!("The cursor in `{name}` is at {selection}."));
    }
    Ok(format!("Selected in `{name}`, from {selection}:\n\n{}", fenced(text)))
}

/// A file's absolute name; it must be there.
fn file(path: &Path) -> Result<String, Failure> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(unreadable(path, &error));
    }
    absolute(path)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    Ok(path.to_string_lossy().into_owned())
}

fn schema(path: &Path) -> Result<Value, Failure> {
    serde_json::from_str(&read_file(path)?).map_err(|error| {
        Failure::usage(format!("the schema in `{}` is no JSON: {error}", path.display()))
    })
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let open = std::fs::File::open(path);
    open.and_then(read_text).map_err(|error| unreadable(path, &error))
}

fn input(what: &str) -> Result<String, Failure> {
    read_text(std::io::stdin().lock()).map_err(|error| {
        Failure::usage(format!("cannot read the {what} from standard input: {error}"))
    })
}

fn read_text(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let message = format!("it is larger than {} MiB", MOST_BYTES / (1024 * 1024));
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read `{}`: {error}", path.display()))
}

fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "none" => Ok(Isolation::None),
        "worktree" => Ok(Isolation::Worktree),
        _ => Err("it is `none` or `worktree`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_has_what_was_said_and_where_to_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "one\ntwo ```\n").unwrap();
        let context = |said: Option<&str>, files: &[&Path], selection: Option<&str>| {
            let files: Vec<PathBuf> = files.iter().map(|path| path.to_path_buf()).collect();
            let selection = selection.map(|selection| selection.parse().unwrap());
            let context = super::context(said.map(str::to_owned), &files, selection);
            context
                .map(|text| {
                    text.map(|text| text.replace(&folder.path().display().to_string(), "…"))
                })
                .map_err(|failure| {
                    failure
                        .fault
                        .unwrap()
                        .message
                        .replace(&folder.path().display().to_string(), "…")
                })
        };
        assert_eq!(context(None, &[], None), Ok(None));
        assert_eq!(context(Some(" \n"), &[], None), Ok(None));
        assert_eq!(
            context(Some("why"), &[&path, folder.path()], None),
            Ok(Some("why\n\nFiles that it is about:\n- …/a.txt\n- …".to_owned()))
        );
        assert_eq!(
            context(None, &[&path], Some("1:2-2:8")),
            Ok(Some(
                "Selected in `…/a.txt`, from line 1, column 2 to line 2, column 8:\n\n````\nne\ntwo ```\n````"
                    .to_owned()
            ))
        );
        assert_eq!(
            context(None, &[&path], Some("2:1-2:1")),
            Ok(Some("The cursor in `…/a.txt` is at line 2, column 1.".to_owned()))
        );
        assert_eq!(
            context(None, &[&path], Some("2:1-9:1")),
            Err("`…/a.txt` does not have the selection: it has 3 lines, so there is no line 9"
                .to_owned())
        );
        assert_eq!(
            context(None, &[&path, &path], Some("1:1-1:1")),
            Err("a selection is of one file".to_owned())
        );
        let missing = context(None, &[&folder.path().join("b")], None).unwrap_err();
        assert!(missing.starts_with("cannot read `…/b`"), "{missing}");
    }
}
