//! The tool `terminal`: a command for the shell, until it ends. Running it is the host's part.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::command_line::grant;
use super::files::{cut, fenced, locate};
use super::host::{Command, Ended, Finished, Omitted, Watch};
use super::input::Fields;
use super::{Access, Context, Effect, Prepared, Ran, Tool, Touch};
use crate::event::{CallContent, ToolKind};
use crate::ids::TerminalId;
use crate::model::ToolSpec;
use crate::transcript::{Content, Outcome};

const OUTPUT_LIMIT: usize = 32 * 1024;
const TITLE_CHARS: usize = 80;

pub(super) struct Terminal {
    /// After how long a command is ended if the model asks for no other limit.
    pub(super) default_timeout: Duration,
}

struct Input {
    command: String,
    cwd: Option<String>,
    timeout: Duration,
    description: Option<String>,
}

impl Input {
    fn of(input: &Value, default: Duration) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        let seconds = fields.number_in(
            &["timeout_seconds", "timeout"],
            1..=3600,
            default.as_secs().max(1),
        )?;
        Ok(Self {
            command: fields.word(&["command", "cmd"])?,
            cwd: fields.optional_word(&["cwd", "workdir", "working_directory", "path"])?,
            timeout: Duration::from_secs(seconds),
            description: fields.optional_word(&["description"])?,
        })
    }

    /// The folder that it runs in. What it touches there nobody knows.
    async fn folder(&self, context: &Context) -> Result<Touch, String> {
        locate(context, self.cwd.as_deref().unwrap_or("."), Access::Write).await
    }
}

impl Tool for Terminal {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "terminal".to_owned(),
            description: format!(
                "Run a shell command and wait for it. No input; it and all that it started ends with the \
                 call or after {} s unless `timeout_seconds` says otherwise. Gives stdout and stderr, the \
                 middle left out above 32 KiB, and the exit code.",
                self.default_timeout.as_secs()
            ),
            schema: json!({
                "type": "object",
                "properties": {
                    "command": {"type": "string"},
                    "cwd": {"type": "string", "description": "Default: the working folder"},
                    "timeout_seconds": {"type": "integer", "description": "1 to 3600"},
                    "description": {"type": "string", "description": "For the user, a few words"}
                },
                "required": ["command"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Run
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Execute
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let input = Input::of(input, self.default_timeout)?;
            let folder = input.folder(context).await?;
            let inside = folder.inside;
            let first = input.command.lines().next().unwrap_or_default();
            let whole = first == input.command && first.chars().count() <= TITLE_CHARS;
            let mut preview: Vec<String> = input.description.into_iter().collect();
            if !inside {
                preview.push(format!("In `{}`", folder.path.display()));
            }
            if !whole {
                // Who is asked must see all of it.
                preview.push(fenced(&input.command));
            }
            let more = if whole || first.chars().count() > TITLE_CHARS { "" } else { " …" };
            Ok(Prepared {
                title: format!("`{}{more}`", cut(first, TITLE_CHARS)),
                locations: Vec::new(),
                preview: preview
                    .into_iter()
                    .map(|text| CallContent::Content(Content::text(text)))
                    .collect(),
                grant: grant(&input.command, (!inside).then_some(folder.path.as_path())),
                touches: vec![folder],
                command: Some(input.command),
                trouble: None,
            })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move {
            let found = async {
                let input = Input::of(input, self.default_timeout)?;
                let folder = input.folder(context).await?;
                Ok::<_, String>((input, folder))
            };
            let (input, folder) = match found.await {
                Ok(found) => found,
                Err(message) => return Ran::failed(message),
            };
            if context.cancel.is_cancelled() {
                return Ran::new(Outcome::Cancelled {
                    reason: "the turn was cancelled".to_owned(),
                });
            }
            let on_terminal = |terminal: TerminalId| {
                let shown = vec![CallContent::Terminal(terminal)];
                context.progress.show_surely(&context.call, shown).boxed()
            };
            let on_output = |output: &str| {
                let text = Content::text(fenced(output));
                context.progress.show(&context.call, vec![CallContent::Content(text)]);
            };
            let watch = Watch {
                cancel: context.cancel.clone(),
                on_terminal: &on_terminal,
                on_output: &on_output,
            };
            let command = Command {
                cwd: folder.path,
                line: input.command,
                timeout: input.timeout,
                output_limit: OUTPUT_LIMIT,
            };
            match context.host.run(command, watch).await {
                Ok(finished) => told(finished, input.timeout),
                Err(error) => Ran::failed(error.to_string()),
            }
        }
        .boxed()
    }
}

/// What the model, the user and clients are told of a command's end.
fn told(finished: Finished, timeout: Duration) -> Ran {
    let Finished { ended, exit_code, signal, output, omitted, terminal } = finished;
    let show = match terminal {
        Some(terminal) => vec![CallContent::Terminal(terminal)],
        None if output.trim().is_empty() => Vec::new(),
        None => vec![CallContent::Content(Content::text(fenced(&output)))],
    };
    let mut text = output.trim_end().to_owned();
    if text.is_empty() {
        "(no output)".clone_into(&mut text);
    }
    match omitted {
        Omitted::Nothing => {}
        Omitted::Bytes(bytes) => {
            text = format!("{text}\n({bytes} bytes of output were left out)");
        }
        Omitted::Some => text.push_str("\n(some output was left out)"),
    }
    let timed_out = ended == Ended::TimedOut;
    let outcome = match (ended, exit_code, &signal) {
        (Ended::Cancelled, ..) => Outcome::Cancelled {
            reason: format!("the command was ended by the user; until then:\n{text}"),
        },
        (Ended::TimedOut, ..) => Outcome::failed(format!(
            "{text}\ntimed out after {} s and was ended",
            timeout.as_secs()
        )),
        (Ended::Lost { message }, ..) => Outcome::failed(format!(
            "{text}\nits end was not seen, so it was told to end; it may have done its work: {message}"
        )),
        (Ended::Exited, Some(0), _) => Outcome::done(text),
        (Ended::Exited, Some(code), _) => Outcome::failed(format!("{text}\nexit code {code}")),
        (Ended::Exited, None, Some(signal)) => {
            Outcome::failed(format!("{text}\nended by {signal}"))
        }
        (Ended::Exited, None, None) => Outcome::failed(format!("{text}\nits exit code is unknown")),
    };
    let mut ran = Ran::new(outcome);
    ran.show = show;
    ran.output = Some(json!({"exitCode": exit_code, "signal": signal, "timedOut": timed_out}));
    ran
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
