//! `fs/read_text_file` and `fs/write_text_file` as an editor answers them: unsaved buffers first, then
//! the disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::seen::RpcError;

/// A question to the editor's files that has been taken apart.
pub(crate) enum FileWork {
    /// The answer is known.
    Ready(Result<Value, RpcError>),
    Read {
        path: PathBuf,
        span: Span,
    },
    Write {
        path: PathBuf,
        content: String,
    },
}

/// Which lines are wanted; `line` counts from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    line: Option<u64>,
    limit: Option<u64>,
}

/// The editor's unsaved buffers.
#[derive(Debug, Default)]
pub struct Files {
    buffers: HashMap<PathBuf, String>,
}

impl Files {
    /// Puts text into a buffer that differs from the disk.
    pub fn set_buffer(&mut self, path: PathBuf, text: String) {
        self.buffers.insert(path, text);
    }

    pub(crate) fn read(&self, params: &Value) -> FileWork {
        let path = match absolute(params) {
            Ok(path) => path,
            Err(error) => return FileWork::Ready(Err(error)),
        };
        let span = Span {
            line: params.get("line").and_then(Value::as_u64),
            limit: params.get("limit").and_then(Value::as_u64),
        };
        match self.buffers.get(&path) {
            Some(text) => FileWork::Ready(Ok(json!({"content": cut(text, span)}))),
            None => FileWork::Read { path, span },
        }
    }

    /// A write saves: the buffer has the new text too.
    pub(crate) fn write(&mut self, params: &Value) -> FileWork {
        let path = match absolute(params) {
            Ok(path) => path,
            Err(error) => return FileWork::Ready(Err(error)),
        };
        let Some(content) = params.get("content").and_then(Value::as_str).map(str::to_owned) else {
            return FileWork::Ready(Err(RpcError::new(-32602, "`content` is missing")));
        };
        if let Some(buffer) = self.buffers.get_mut(&path) {
            buffer.clone_from(&content);
        }
        FileWork::Write { path, content }
    }
}

impl FileWork {
    pub(crate) async fn run(self) -> Result<Value, RpcError> {
        match self {
            Self::Ready(answer) => answer,
            Self::Read { path, span } => {
                let bytes = tokio::fs::read(&path).await.map_err(|error| failed(&path, &error))?;
                Ok(json!({"content": cut(&String::from_utf8_lossy(&bytes), span)}))
            }
            Self::Write { path, content } => {
                if let Some(folder) = path.parent() {
                    tokio::fs::create_dir_all(folder)
                        .await
                        .map_err(|error| failed(&path, &error))?;
                }
                tokio::fs::write(&path, content).await.map_err(|error| failed(&path, &error))?;
                Ok(json!({}))
            }
        }
    }
}

fn absolute(params: &Value) -> Result<PathBuf, RpcError> {
    match params.get("path").and_then(Value::as_str).map(PathBuf::from) {
        Some(path) if path.is_absolute() => Ok(path),
        Some(path) => Err(RpcError::new(-32602, format!("`{}` is not absolute", path.display()))),
        None => Err(RpcError::new(-32602, "`path` is missing")),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> RpcError {
    let code = if error.kind() == std::io::ErrorKind::NotFound { -32002 } else { -32603 };
    RpcError::new(code, format!("`{}`: {error}", path.display()))
}

fn cut(text: &str, span: Span) -> String {
    if span.line.is_none() && span.limit.is_none() {
        return text.to_owned();
    }
    let skipped =
        span.line.map_or(0, |line| usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX));
    let taken = span.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    text.split_inclusive('\n').skip(skipped).take(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_by_lines() {
        let span = Span { line: Some(2), limit: Some(1) };
        assert_eq!(cut("a\nb\nc\n", span), "b\n");
        assert_eq!(cut("a\nb", Span { line: None, limit: None }), "a\nb");
    }
}
