//! One block that may be a call, letter by letter: bare JSON, a fence with JSON, or a tag with JSON.

use super::scan::{Scan, Scanned};
use crate::model::ToolSpec;

const FENCE: &str = "```";
const TAG: &str = "<tool_call>";
const TAG_END: &str = "</tool_call>";

/// What may stand behind a fence that holds a call.
const INFOS: &[&str] = &["json", "tool_call", "tool_calls", "tool"];

pub(super) enum Step {
    /// It is not decided yet.
    More,
    Whole,
    Not,
}

pub(super) struct Block {
    raw: String,
    form: Form,
    phase: Phase,
    /// Where in `raw` the JSON is.
    json: Option<(usize, usize)>,
    scan: Scan,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Bare,
    Fence,
    Tag,
}

#[derive(Clone, Copy)]
enum Phase {
    Begin,
    /// In the mark that opens a fence or a tag.
    Opening,
    /// In the words behind a fence.
    Info,
    /// Between the marks and the values.
    Gap,
    Json,
    /// In the mark that closes; where it begins.
    Closing(usize),
    /// Behind the block, where only white space may follow on its line.
    Tail,
}

impl Block {
    /// The letters that a block can begin with.
    pub(super) const FIRST: [char; 4] = ['{', '[', '`', '<'];

    pub(super) fn new() -> Self {
        Self {
            raw: String::new(),
            form: Form::Bare,
            phase: Phase::Begin,
            json: None,
            scan: Scan::new(),
        }
    }

    pub(super) fn step(&mut self, letter: char, tools: &[ToolSpec]) -> Step {
        let at = self.raw.len();
        self.raw.push(letter);
        match self.phase {
            Phase::Begin => match letter {
                '`' => self.open(Form::Fence),
                '<' => self.open(Form::Tag),
                _ => self.value(at, letter, tools),
            },
            Phase::Opening => self.opening(),
            Phase::Info => self.info(letter),
            Phase::Gap => match letter {
                letter if letter.is_whitespace() => Step::More,
                '{' | '[' => self.value(at, letter, tools),
                _ if self.json.is_some() => self.closing(at),
                _ => Step::Not,
            },
            Phase::Json => self.scanned(letter, tools),
            Phase::Closing(from) => self.closing(from),
            Phase::Tail if letter == '\n' => Step::Whole,
            Phase::Tail if letter.is_whitespace() => Step::More,
            Phase::Tail => Step::Not,
        }
    }

    /// Whether it is a block even if no more text comes.
    pub(super) fn is_whole(&self) -> bool {
        match self.phase {
            Phase::Tail | Phase::Closing(_) => true,
            Phase::Gap => self.json.is_some(),
            Phase::Begin | Phase::Opening | Phase::Info | Phase::Json => false,
        }
    }

    pub(super) fn json(&self) -> &str {
        self.json.and_then(|(from, to)| self.raw.get(from..to)).unwrap_or_default()
    }

    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.raw)
    }

    /// What has to pass before a block may begin again; `None` if all of that is in `raw` already.
    pub(super) fn skip(&self) -> Option<Skip> {
        let mut skip = match self.form {
            Form::Bare => Skip::Json { scan: Scan::new(), is_blank: false },
            Form::Fence => Skip::Fence { ticks: None },
            Form::Tag => return None,
        };
        let inside = self.raw.strip_prefix(FENCE).unwrap_or(&self.raw);
        let is_fence = inside.len() != self.raw.len();
        if self.form == Form::Fence && !is_fence {
            return None;
        }
        let is_over = inside.chars().any(|letter| skip.step(letter));
        (!is_over).then_some(skip)
    }

    fn open(&mut self, form: Form) -> Step {
        self.form = form;
        self.phase = Phase::Opening;
        Step::More
    }

    fn opening(&mut self) -> Step {
        let mark = if self.form == Form::Fence { FENCE } else { TAG };
        if self.raw == mark {
            self.phase = if self.form == Form::Fence { Phase::Info } else { Phase::Gap };
        } else if !mark.starts_with(&self.raw) {
            return Step::Not;
        }
        Step::More
    }

    fn info(&mut self, letter: char) -> Step {
        let info = self.raw.strip_prefix(FENCE).unwrap_or_default().trim();
        if letter == '\n' {
            self.phase = Phase::Gap;
            return if info.is_empty() || INFOS.contains(&info) { Step::More } else { Step::Not };
        }
        if INFOS.iter().any(|known| known.starts_with(info)) { Step::More } else { Step::Not }
    }

    fn value(&mut self, at: usize, letter: char, tools: &[ToolSpec]) -> Step {
        let from = self.json.map_or(at, |(from, _)| from);
        self.json = Some((from, at));
        self.scan = Scan::new();
        self.phase = Phase::Json;
        self.scanned(letter, tools)
    }

    fn scanned(&mut self, letter: char, tools: &[ToolSpec]) -> Step {
        match self.scan.step(letter, tools) {
            Scanned::Open => Step::More,
            Scanned::NoCall => Step::Not,
            Scanned::Closed => {
                let from = self.json.map_or(0, |(from, _)| from);
                self.json = Some((from, self.raw.len()));
                self.phase = if self.form == Form::Bare { Phase::Tail } else { Phase::Gap };
                Step::More
            }
        }
    }

    fn closing(&mut self, from: usize) -> Step {
        let mark = if self.form == Form::Fence { FENCE } else { TAG_END };
        let text = self.raw.get(from..).unwrap_or_default();
        if text == mark {
            self.phase = Phase::Tail;
        } else if mark.starts_with(text) {
            self.phase = Phase::Closing(from);
        } else {
            return Step::Not;
        }
        Step::More
    }
}

/// Passing over a block that is no call.
pub(super) enum Skip {
    /// Up to the end of the JSON, or a blank line where it is none.
    Json { scan: Scan, is_blank: bool },
    /// Up to a line that begins with a fence; `ticks` counts them, at the start of a line.
    Fence { ticks: Option<usize> },
}

impl Skip {
    /// Whether the letter ends it.
    pub(super) fn step(&mut self, letter: char) -> bool {
        match self {
            Self::Json { scan, is_blank } => {
                let ends = letter == '\n' && *is_blank;
                *is_blank = letter == '\n' || *is_blank && letter.is_whitespace();
                scan.balance(letter) || ends
            }
            Self::Fence { ticks } => {
                *ticks = match (letter, *ticks) {
                    ('\n', _) => Some(0),
                    ('`', Some(count)) => Some(count + 1),
                    (letter, Some(0)) if letter.is_whitespace() => Some(0),
                    _ => None,
                };
                *ticks == Some(3)
            }
        }
    }
}
