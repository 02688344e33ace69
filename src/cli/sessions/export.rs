//! `talaria sessions export`: a journal as lines of JSON, or a session as a conversation script.

use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Failure, counted, show};
use crate::fault::{Fault, Kind};
use crate::headless::script::export;
use crate::store::{Entry, Store, Summary};

const NAME_CHARS: usize = 40;

pub(super) async fn export(
    store: &Store,
    session: &Summary,
    (script, output): (bool, Option<&Path>),
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let entries = show::entries(store, &session.id).await?;
    if !script {
        let mut text = String::new();
        for entry in &entries {
            text.push_str(&line(entry));
            text.push('\n');
        }
        put(&text, output, out)?;
        if let Some(file) = output {
            writeln!(out, "Written to `{}`.", file.display())?;
        }
        return Ok(());
    }
    let exported = export::export(&source(session), &entries);
    let file = output.map(|output| file_in(output, session));
    put(&exported.text, file.as_deref(), out)?;
    if let Some(file) = &file {
        writeln!(out, "Written to `{0}`; `talaria drive {0}` plays it.", file.display())?;
    }
    for left_out in &exported.left_out {
        writeln!(io::stderr(), "talaria sessions: Left out: {left_out}.").ok();
    }
    if exported.commands > 0 {
        let number = u64::try_from(exported.commands).unwrap_or(u64::MAX);
        let commands = counted(number, "command");
        let note = "read the script before you play it";
        writeln!(
            io::stderr(),
            "talaria sessions: It runs {commands} of the session again: {note}."
        )
        .ok();
    }
    Ok(())
}

/// A record as a line of JSON, with its body as it is in the journal.
fn line(entry: &Entry) -> String {
    let Entry { seq, at, epoch, kind, version, body } = entry;
    let kind = Value::from(kind.as_str());
    let is_one_line = !body.contains(['\n', '\r']) && serde_json::from_str::<Value>(body).is_ok();
    let body = if is_one_line { body.clone() } else { Value::from(body.as_str()).to_string() };
    let at = at.as_millis();
    format!(
        "{{\"seq\":{seq},\"at\":{at},\"epoch\":{epoch},\"kind\":{kind},\"version\":{version},\"body\":{body}}}"
    )
}

/// How a script's head says where it comes from.
fn source(session: &Summary) -> String {
    format!("the session {}", session.id)
}

/// Where a script goes: a name that ends as one is a file, anything else a folder. In a folder no file is
/// written over but this session's own.
fn file_in(output: &Path, session: &Summary) -> PathBuf {
    if output.extension().is_some_and(|extension| extension == "drive") && !output.is_dir() {
        return output.to_owned();
    }
    let file = output.join(name(session)).with_extension("drive");
    match std::fs::read_to_string(&file) {
        Ok(text) if !text.contains(&source(session)) => {
            output.join(format!("{}_{}", name(session), session.id)).with_extension("drive")
        }
        Ok(_) | Err(_) => file,
    }
}

/// The title in small letters and underscores, as scripts are named.
fn name(session: &Summary) -> String {
    let title = session.title.as_deref().unwrap_or_default().to_lowercase();
    let letters =
        title.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' });
    let words: String = letters.collect();
    let name: String =
        words.split_whitespace().collect::<Vec<_>>().join("_").chars().take(NAME_CHARS).collect();
    let name = name.trim_end_matches('_');
    if name.is_empty() { format!("session_{}", session.id) } else { name.to_owned() }
}

fn put(text: &str, file: Option<&Path>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let Some(file) = file else {
        out.write_all(text.as_bytes())?;
        return Ok(());
    };
    let written = match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).and_then(|()| std::fs::write(file, text)),
        None => std::fs::write(file, text),
    };
    written.map_err(|error| {
        Failure::Failed(
            Fault::new(Kind::User, format!("cannot write `{}`: {error}", file.display()))
                .with_hint("Choose another place with `--output`."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::SessionId;

    fn session(title: Option<&str>) -> Summary {
        Summary {
            id: SessionId::new("abc"),
            cwd: PathBuf::from("/w"),
            additional: Vec::new(),
            title: title.map(str::to_owned),
            created: Timestamp(0),
            updated: Timestamp(0),
            prompts: 1,
            records: 1,
            open_in: None,
            parent: None,
        }
    }

    #[test]
    fn a_script_is_named_by_its_title() {
        for (title, name) in [
            (Some("Fix the typo in `main.rs`…"), "fix_the_typo_in_main_rs"),
            (Some("../../etc"), "etc"),
            (Some("…"), "session_abc"),
            (None, "session_abc"),
        ] {
            assert_eq!(super::name(&session(title)), name);
        }
        assert_eq!(file_in(Path::new("x/y.drive"), &session(None)), Path::new("x/y.drive"));
    }

    #[test]
    fn a_record_is_one_line() {
        let entry = |body: &str| Entry {
            seq: 2,
            at: Timestamp(5),
            epoch: 1,
            kind: "dream".to_owned(),
            version: 3,
            body: body.to_owned(),
        };
        assert_eq!(
            line(&entry("{\"b\":1,\"a\":2}")),
            r#"{"seq":2,"at":5,"epoch":1,"kind":"dream","version":3,"body":{"b":1,"a":2}}"#
        );
        assert!(line(&entry("not\nJSON")).ends_with(r#""body":"not\nJSON"}"#));
    }
}
