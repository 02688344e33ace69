//! Text of a script → `Script`. An error names file and line, and says what is expected there.

mod words;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::pattern::Pattern;
use super::script::{Expectation, Op, Reaction, Scene, Script, Step, Template};
use crate::model::failure::{self, Failure};
use crate::model::{ModelError, Stop};
use crate::transcript::Usage;
use words::{Words, duration, number};

/// Parses a script; the error is a message.
pub(super) fn parse(text: &str, name: &str, folder: &Path) -> Result<Script, String> {
    let mut parser = Parser {
        lines: text.lines().collect(),
        at: 0,
        script: Script {
            name: name.to_owned(),
            gates: folder.to_path_buf(),
            chunk: 0,
            scenes: Vec::new(),
            outcomes: Vec::new(),
            steers: Vec::new(),
            reports: Vec::new(),
        },
        open: None,
    };
    parser.run(folder).map_err(|message| format!("{name}:{}: {message}", parser.at.max(1)))?;
    Ok(parser.script)
}

struct Parser<'a> {
    lines: Vec<&'a str>,
    /// The number of the line that was read last, from 1.
    at: usize,
    script: Script,
    open: Option<Open>,
}

/// The step that lines are added to.
struct Open {
    place: Place,
    line: usize,
    ops: Vec<Op>,
}

enum Place {
    Scene,
    Outcome(Pattern),
    Steer(Pattern),
    Report(Pattern),
}

impl<'a> Parser<'a> {
    fn run(&mut self, folder: &Path) -> Result<(), String> {
        while let Some(line) = self.line() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = Words::new(line);
            match words.word() {
                "when" => self.when(&mut words)?,
                "then" => {
                    words.end()?;
                    self.close()?;
                    if self.script.scenes.is_empty() {
                        return Err("expected `when` before the first `then`".to_owned());
                    }
                    self.begin(Place::Scene);
                }
                "gates" if self.open.is_none() => self.script.gates = folder.join(words.text()?),
                "chunk" if self.open.is_none() => {
                    self.script.chunk = number(words.word())?;
                    words.end()?;
                }
                keyword => {
                    let op = self.op(keyword, &mut words)?;
                    let Some(open) = &mut self.open else {
                        return Err(format!("expected `when` before the first `{keyword}`"));
                    };
                    open.ops.push(op);
                }
            }
        }
        self.close()?;
        if self.script.scenes.is_empty() {
            return Err("expected at least one `when prompt \"…\"` or `when any`".to_owned());
        }
        Ok(())
    }

    fn line(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    fn when(&mut self, words: &mut Words<'a>) -> Result<(), String> {
        self.close()?;
        let kind = words.word();
        let place = match kind {
            "prompt" | "any" => {
                let prompt =
                    if kind == "any" { None } else { Some(Pattern::new(words.string()?.trim())) };
                self.script.scenes.push(Scene {
                    line: self.at,
                    prompt,
                    steps: Vec::new(),
                    outcomes: Vec::new(),
                    steers: Vec::new(),
                    reports: Vec::new(),
                });
                Place::Scene
            }
            "outcome" => Place::Outcome(Pattern::new(words.string()?.trim())),
            "steer" => Place::Steer(Pattern::new(words.string()?.trim())),
            "report" => Place::Report(Pattern::new(words.string()?.trim())),
            _ => {
                return Err(format!(
                    "expected `prompt`, `any`, `outcome`, `steer` or `report` after `when`, \
                     found `{kind}`"
                ));
            }
        };
        words.end()?;
        self.begin(place);
        Ok(())
    }

    fn begin(&mut self, place: Place) {
        self.open = Some(Open { place, line: self.at, ops: Vec::new() });
    }

    /// Puts the open step where it belongs.
    fn close(&mut self) -> Result<(), String> {
        let Some(Open { place, line, ops }) = self.open.take() else { return Ok(()) };
        if ops.is_empty() {
            self.at = line;
            return Err("expected statements in this section, such as `say \"…\"`".to_owned());
        }
        let step = Step { ops: ops.into() };
        if let Place::Scene = place {
            let scene =
                self.script.scenes.last_mut().ok_or("expected `when` before the first step")?;
            scene.steps.push(step);
            return Ok(());
        }
        // Before the first scene they hold in all.
        let Script { scenes, outcomes, steers, reports, .. } = &mut self.script;
        let (outcomes, steers, reports) = match scenes.last_mut() {
            Some(scene) => (&mut scene.outcomes, &mut scene.steers, &mut scene.reports),
            None => (outcomes, steers, reports),
        };
        match place {
            Place::Scene => {}
            Place::Outcome(pattern) => outcomes.push(Reaction { pattern, step }),
            Place::Steer(pattern) => steers.push(Reaction { pattern, step }),
            Place::Report(pattern) => reports.push(Reaction { pattern, step }),
        }
        Ok(())
    }

    fn op(&mut self, keyword: &str, words: &mut Words<'a>) -> Result<Op, String> {
        let op = match keyword {
            "say" => Op::Say(Template(self.string_or_block(words)?)),
            "think" => Op::Think(Template(self.string_or_block(words)?)),
            "echo" => Op::Echo,
            "chunk" => Op::Chunk(number(words.word())?),
            "repeat" => repeat(words)?,
            "delay" => Op::Delay(duration(words.word())?),
            "gate" => Op::Gate(words.text()?),
            "call" => {
                let (tool, input) = self.call(words)?;
                Op::Call { tool, input }
            }
            "call_text" => {
                let (tool, input) = self.call(words)?;
                Op::CallText { tool, input }
            }
            "call_raw" => Op::CallRaw {
                tool: name(words, "the name of a tool")?,
                input: Template(words.rest().to_owned()),
            },
            "usage" => usage(words)?,
            "stop" => Op::Stop(stop(words.word())?),
            "fail" => fail(words)?,
            "expect" => Op::Expect { line: self.at, expectation: expectation(words)? },
            _ => {
                return Err(format!(
                    "expected `when`, `then` or a statement (`say`, `think`, `call`, `echo`, `repeat`, `delay`, \
                     `gate`, `usage`, `stop`, `fail`, `expect`, …), found `{keyword}`"
                ));
            }
        };
        words.end()?;
        Ok(op)
    }

    /// `"text"`, or `<<END` and lines up to `END`, without their common indent.
    fn string_or_block(&mut self, words: &mut Words<'a>) -> Result<String, String> {
        let Some(end) = words.block_end() else { return words.string() };
        let began = self.at;
        let mut lines = Vec::new();
        loop {
            match self.line() {
                Some(line) if line.trim() == end => break,
                Some(line) => lines.push(line),
                None => {
                    self.at = began;
                    return Err(format!("expected a line `{end}` that ends this text"));
                }
            }
        }
        let indent = lines
            .iter()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.len() - line.trim_start().len())
            .min()
            .unwrap_or(0);
        let lines: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or("")).collect();
        Ok(lines.join("\n"))
    }

    /// A tool's name and its input as JSON, which may go on over the next lines.
    fn call(&mut self, words: &mut Words<'a>) -> Result<(String, Value), String> {
        let tool = name(words, "the name of a tool")?;
        let began = self.at;
        let mut text = words.rest().to_owned();
        if text.is_empty() {
            return Ok((tool, serde_json::json!({})));
        }
        loop {
            let error = match serde_json::from_str(&text) {
                Ok(input) => return Ok((tool, input)),
                Err(error) => error,
            };
            let next = if error.is_eof() { self.line() } else { None };
            let Some(line) = next else {
                self.at = began;
                return Err(format!("expected the call's input as JSON: {error}"));
            };
            text.push('\n');
            text.push_str(line);
        }
    }
}

fn name(words: &mut Words<'_>, what: &str) -> Result<String, String> {
    let name = words.word();
    if name.is_empty() { Err(format!("expected {what}")) } else { Ok(name.to_owned()) }
}

fn repeat(words: &mut Words<'_>) -> Result<Op, String> {
    let count = number(words.word())?;
    let text = words.string()?;
    let every = match words.word() {
        "" => None,
        "every" => Some(duration(words.word())?),
        other => {
            return Err(format!("expected `every` and a time such as `20ms`, found `{other}`"));
        }
    };
    Ok(Op::Repeat { count, text, every })
}

fn usage(words: &mut Words<'_>) -> Result<Op, String> {
    let mut usage = Usage::default();
    loop {
        match words.word().split_once('=') {
            Some(("input", count)) => usage.input = number(count)?,
            Some(("output", count)) => usage.output = number(count)?,
            Some(("cached", count)) => usage.cached = number(count)?,
            Some((other, _)) => {
                return Err(format!("expected `input=`, `output=` or `cached=`, found `{other}=`"));
            }
            None => return Ok(Op::Usage(usage)),
        }
    }
}

fn stop(word: &str) -> Result<Stop, String> {
    match word {
        "finished" => Ok(Stop::Finished),
        "max_tokens" => Ok(Stop::MaxTokens),
        "refused" => Ok(Stop::Refused),
        other => Err(format!("expected `finished`, `max_tokens` or `refused`, found `{other}`")),
    }
}

/// `fail KIND [after=2s] [times=2] ["message"]`
fn fail(words: &mut Words<'_>) -> Result<Op, String> {
    let kind = name(
        words,
        "what fails: a status such as `429`, or `drop`, `refused`, `context`, `auth`, …",
    )?;
    let (mut after, mut times, mut message) = (None, None, None);
    while !words.is_done() {
        if words.is_string() {
            message = Some(words.string()?);
            continue;
        }
        match words.word().split_once('=') {
            Some(("after", time)) => after = Some(duration(time)?),
            Some(("times", count)) => times = Some(number(count)?),
            _ => return Err("expected `after=2s`, `times=2` or a message in quotes".to_owned()),
        }
    }
    let message = message.unwrap_or_else(|| format!("scripted {kind}"));
    Ok(Op::Fail { error: error(&kind, after, message)?, times })
}

fn error(kind: &str, after: Option<Duration>, message: String) -> Result<ModelError, String> {
    let model = "scripted".to_owned();
    let status = |status| Failure {
        status,
        after,
        kind: String::new(),
        message: message.clone(),
        model: model.clone(),
        is_of_provider: true,
        address: String::new(),
    };
    Ok(match kind {
        "drop" => ModelError::Dropped { message },
        "refused" => ModelError::Refused { message },
        "context" => ModelError::ContextFull { message },
        "unreachable" => ModelError::Unreachable { message },
        "timeout" => ModelError::TimedOut { after: after.unwrap_or(Duration::from_secs(1)) },
        "malformed" => ModelError::Malformed { message },
        "auth" => failure::error(status(401)),
        "payment" => failure::error(status(402)),
        "model" => failure::error(status(404)),
        "rate" => failure::error(status(429)),
        "overloaded" => failure::error(status(529)),
        _ => match kind.parse() {
            Ok(code @ 400..=599) => failure::error(status(code)),
            _ => {
                return Err(format!(
                    "expected a status from 400 to 599, or `drop`, `refused`, `context`, `auth`, `payment`, \
                     `model`, `rate`, `overloaded`, `unreachable`, `timeout` or `malformed`, found `{kind}`"
                ));
            }
        },
    })
}

fn expectation(words: &mut Words<'_>) -> Result<Expectation, String> {
    match words.word() {
        "system" => Ok(Expectation::System(Pattern::new(words.string()?))),
        "tools" => {
            let names = words.rest().split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok(Expectation::Tools(names.map(str::to_owned).collect()))
        }
        "items" => Ok(Expectation::Items(number(words.word())?)),
        "model" => Ok(Expectation::Model(words.string()?)),
        other => Err(format!(
            "expected `system`, `tools`, `items` or `model` after `expect`, found `{other}`"
        )),
    }
}
