//! The tool `read`: a file's lines, or an image. Text comes through the host, so that it is what the
//! user sees; what kind of file it is comes from the disk.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::files::{current, cut, locate, read_grant, size, unless_cancelled};
use super::input::Fields;
use super::{Access, Context, Effect, Prepared, Ran, Tool, Touch};
use crate::difference::near;
use crate::event::{CallContent, Location, ToolKind};
use crate::known::Known;
use crate::model::ToolSpec;
use crate::transcript::{Content, Outcome};

const DEFAULT_LINES: u64 = 2000;
const LINE_CHARS: usize = 2000;
const OUTPUT_BYTES: usize = 64 * 1024;
/// The largest picture, in bytes.
pub(super) const IMAGE_LIMIT: u64 = 5 * 1024 * 1024;
/// How much of a file is looked at to tell what it is.
const SNIFFED: u64 = 8 * 1024;

pub(super) struct Read;

struct Input {
    path: String,
    /// Counted from 1.
    offset: Option<u64>,
    limit: Option<u64>,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        Ok(Self {
            path: fields.word(&["path", "file_path", "filename", "file"])?,
            offset: fields.number(&["offset", "start_line", "line"])?.map(|offset| offset.max(1)),
            limit: fields.number(&["limit", "lines"])?.map(|limit| limit.max(1)),
        })
    }

    fn range(&self) -> String {
        match (self.offset, self.limit) {
            (None, None) => String::new(),
            (Some(offset), None) => format!(" (from line {offset})"),
            (offset, Some(limit)) => {
                let first = offset.unwrap_or(1);
                format!(" ({first}–{})", first.saturating_add(limit - 1))
            }
        }
    }
}

impl Tool for Read {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "read".to_owned(),
            description:
                "Read a text file, as lines `number<TAB>text`, or an image (PNG, JPEG, GIF, WebP). \
                          Gives up to 2000 lines or 64 KiB; go on with `offset`."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "offset": {"type": "integer", "description": "First line, from 1"},
                    "limit": {"type": "integer", "description": "Number of lines"}
                },
                "required": ["path"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Read
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let input = Input::of(input)?;
            let touch = locate(context, &input.path, Access::Read).await?;
            let path = touch.path.clone();
            let line = input.offset.and_then(|offset| u32::try_from(offset).ok());
            Ok(Prepared {
                title: format!("Read {}{}", context.roots.display(&path), input.range()),
                locations: vec![Location { path, line }],
                preview: Vec::new(),
                grant: read_grant(&touch),
                touches: vec![touch],
                command: None,
                trouble: None,
            })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move {
            unless_cancelled(context, read(input, context)).await.unwrap_or_else(Ran::from)
        }
        .boxed()
    }
}

async fn read(input: &Value, context: &Context) -> Result<Ran, String> {
    let input = Input::of(input)?;
    let Touch { path, .. } = locate(context, &input.path, Access::Read).await?;
    let shown = context.roots.display(&path);
    match sniff(path.clone()).await? {
        Sniffed::Absent | Sniffed::Text => {}
        Sniffed::Directory => {
            return Err(format!("`{shown}` is a directory; use `list` to look into it"));
        }
        Sniffed::Special => {
            return Err(format!("`{shown}` is a device, pipe or socket, not a file"));
        }
        Sniffed::Binary { kind, bytes } => {
            return Err(format!(
                "`{shown}` is not text: it is {kind} of {}; use `terminal` with a program for such files",
                size(bytes)
            ));
        }
        Sniffed::Image { mime, bytes } => return image(&path, &shown, (mime, bytes)).await,
    }
    let Some(text) = current(context, &path).await? else {
        return Err(absent(context, &path, &shown).await);
    };
    let (page, missing) = page(&input, &shown, &text)?;
    let mut ran = Ran::new(Outcome::done(page));
    ran.saw = vec![(path, Known::without(&text, missing))];
    Ok(ran)
}

/// The lines that were asked for, numbered, and which lines are not among them or are cut, counted from 0.
fn page(input: &Input, shown: &str, text: &str) -> Result<(String, Vec<Range<usize>>), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.is_empty() {
        return Ok((format!("(`{shown}` is empty)"), Vec::new()));
    }
    let count = text.lines().count();
    let first = usize::try_from(input.offset.unwrap_or(1)).unwrap_or(usize::MAX);
    if first > count {
        return Err(format!("`{shown}` has {count} lines; the offset {first} is past its end"));
    }
    let limit = usize::try_from(input.limit.unwrap_or(DEFAULT_LINES)).unwrap_or(usize::MAX);
    let mut page = String::new();
    let mut missing: Vec<_> = std::iter::once(0..first - 1).collect();
    let mut next = first;
    for text in text.lines().skip(first - 1).take(limit) {
        let shown = cut(text, LINE_CHARS);
        let line = format!("{next}\t{shown}\n");
        if page.len() + line.len() > OUTPUT_BYTES {
            break;
        }
        page.push_str(&line);
        if shown != text {
            missing.push(next - 1..next);
        }
        next += 1;
    }
    missing.push(next - 1..count);
    if next <= count {
        let last = next - 1;
        let more = format!("[lines {first}–{last} of {count}; go on with offset {next}]");
        return Ok((page + &more, missing));
    }
    page.truncate(page.trim_end_matches('\n').len());
    Ok((page, missing))
}

async fn image(path: &Path, shown: &str, (mime, bytes): (&str, u64)) -> Result<Ran, String> {
    if bytes > IMAGE_LIMIT {
        return Err(format!(
            "`{shown}` is an image of {}, the limit is {}; make a smaller copy with `terminal`",
            size(bytes),
            size(IMAGE_LIMIT)
        ));
    }
    let data = tokio::fs::read(path).await.map_err(|error| format!("`{shown}`: {error}"))?;
    let data = base64::engine::general_purpose::STANDARD.encode(data);
    let image = Content::Image { mime: mime.to_owned(), data };
    let text = Content::text(format!("`{shown}` is an image ({mime}, {})", size(bytes)));
    let mut ran = Ran::new(Outcome::Done { content: vec![text, image.clone()] });
    ran.show = vec![CallContent::Content(image)];
    Ok(ran)
}

/// Says that a file is missing, with the names that come near.
async fn absent(context: &Context, path: &Path, shown: &str) -> String {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return format!("`{shown}` does not exist");
    };
    let name = name.to_string_lossy().into_owned();
    let (folder, shown) = (folder.to_owned(), shown.to_owned());
    let policy = context.policy.clone();
    let look = move || {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return format!("`{shown}` does not exist, and neither does its folder");
        };
        let names: Vec<String> = entries
            .flatten()
            .filter(|entry| !policy.names(&entry.path()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .take(5000)
            .collect();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let options: Vec<&str> = lower.iter().map(String::as_str).collect();
        let found: Vec<String> = near(&name.to_lowercase(), &options, 3)
            .into_iter()
            .filter_map(|near| names.get(lower.iter().position(|name| name == near)?))
            .map(|name| format!("`{name}`"))
            .collect();
        if found.is_empty() {
            return format!("`{shown}` does not exist; use `glob` to find it");
        }
        format!("`{shown}` does not exist; its folder has {}", found.join(", "))
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| error.to_string())
}

/// What a path is.
pub(super) enum Sniffed {
    /// Not on disk; an editor may still have it.
    Absent,
    Directory,
    /// Reading it might never end.
    Special,
    Text,
    Image {
        mime: &'static str,
        bytes: u64,
    },
    Binary {
        kind: &'static str,
        bytes: u64,
    },
}

/// What is at `path` on disk.
pub(super) async fn sniff(path: PathBuf) -> Result<Sniffed, String> {
    let look = move || {
        let Ok(meta) = std::fs::metadata(&path) else { return Sniffed::Absent };
        if meta.is_dir() {
            return Sniffed::Directory;
        }
        if !meta.is_file() {
            return Sniffed::Special;
        }
        let mut head = Vec::new();
        // What cannot be read here is told by the host, which has the words for it.
        let read =
            std::fs::File::open(&path).and_then(|file| file.take(SNIFFED).read_to_end(&mut head));
        if read.is_err() {
            return Sniffed::Text;
        }
        match (image_kind(&head), head.contains(&0)) {
            (Some(mime), _) => Sniffed::Image { mime, bytes: meta.len() },
            (None, true) => Sniffed::Binary { kind: binary_kind(&head), bytes: meta.len() },
            (None, false) => Sniffed::Text,
        }
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())
}

pub(super) fn image_kind(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if head.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Some("image/jpeg")
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some("image/gif")
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

fn binary_kind(head: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 12] = [
        (b"\x7fELF", "a program (ELF)"),
        (b"MZ", "a program (Windows)"),
        (&[0xCF, 0xFA, 0xED, 0xFE], "a program (Mach-O)"),
        (b"\0asm", "a WebAssembly module"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive or office document"),
        (&[0x1F, 0x8B], "a gzip archive"),
        (&[0x28, 0xB5, 0x2F, 0xFD], "a Zstandard archive"),
        (b"SQLite format 3\0", "an SQLite database"),
        (&[0xFF, 0xFE], "UTF-16 text"),
        (&[0xFE, 0xFF], "UTF-16 text"),
        (b"!<arch>", "a static library"),
    ];
    let kind = kinds.iter().find(|(magic, _)| head.starts_with(magic));
    kind.map_or("a binary file", |(_, kind)| kind)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
