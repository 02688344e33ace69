//! Tests of the log file.

use super::*;

fn logged(level: &str, log: impl FnOnce()) -> (String, Guard) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let folders = Folders { config: path.into(), state: path.into(), run: path.into() };
    let (subscriber, mut guard) =
        build(&folders, &LogSection { level: level.to_owned(), wire: false }, &[]);
    if let Some(subscriber) = subscriber {
        tracing::subscriber::with_default(subscriber, log);
    }
    drop(guard.worker.take());
    let files = fs::read_dir(super::folder(&folders)).into_iter().flatten();
    let text = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    (text, guard)
}

fn log_some() {
    tracing::info!(target: "talaria::session", "ours");
    tracing::debug!(target: "talaria::session", "ours in detail");
    tracing::warn!(target: "other", "another's warning");
    tracing::info!(target: "other", "another's news");
    tracing::error!(target: "genai::webc", "the body of an answer");
    tracing::error!(target: "agent_client_protocol", "a line of the editor");
}

fn messages(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, message)| message).collect()
}

#[test]
fn a_level_is_meant_for_talaria() {
    let (text, guard) = logged("info", log_some);
    assert_eq!(messages(&text), ["ours", "another's warning"]);
    assert!(guard.warnings().is_empty());
    let (text, _guard) = logged("DEBUG", log_some);
    assert_eq!(messages(&text), ["ours", "ours in detail", "another's warning"]);
    let (text, _guard) = logged("off", log_some);
    assert_eq!(text, "");
}

#[test]
fn no_directive_brings_wire_content_into_the_log() {
    let directives = "trace,genai=trace,genai::webc=trace,agent_client_protocol=trace";
    let (text, _guard) = logged(directives, log_some);
    assert_eq!(messages(&text), ["ours", "ours in detail", "another's warning", "another's news"]);
}

#[test]
fn a_bad_level_is_a_warning_and_info() {
    let (text, guard) = logged("talaria=loud", log_some);
    assert_eq!(messages(&text), ["ours", "another's warning"]);
    assert_eq!(guard.warnings().len(), 1, "{:?}", guard.warnings());
}

#[test]
fn a_folder_that_cannot_be_made_is_a_warning_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let folders = Folders { config: file.clone(), state: file.clone(), run: file };
    let (subscriber, guard) = build(&folders, &LogSection::default(), &[]);
    assert!(subscriber.is_none());
    assert!(guard.warnings()[0].contains("TALARIA_HOME"), "{:?}", guard.warnings());
}

#[test]
fn five_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for day in 10..20 {
        fs::write(folder.path().join(format!("talaria.2020-01-{day}.log")), "").unwrap();
    }
    drop(open(folder.path()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES);
}

#[test]
#[cfg(unix)]
fn the_folder_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    make_folder(&folder.path().join("a/b")).unwrap();
    assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
}
