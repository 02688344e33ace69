//! Plays the scripts in `tests/drive/` and `tests/stories/` with the built binary. `UPDATE_EXPECT=1` or
//! `UPDATE=1` writes what came into them, or what users saw into `tests/stories/SCREENS/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Plays one script; its report is the test's failure.
pub(crate) fn play(name: &str) {
    play_in(name, &[]);
}

/// Plays one script in an environment with more variables.
pub(crate) fn play_in(name: &str, variables: &[(&str, &str)]) {
    let mut command = drive();
    command.envs(variables.iter().copied()).arg(folder("drive").join(name).with_extension("drive"));
    held(command);
}

/// Plays one story, or one script, as all clients, and compares what their users see.
pub(crate) fn play_as_all(name: &str) {
    let file = |place: &str| folder(place).join(name).with_extension("drive");
    let story = Some(file("stories")).filter(|file| file.exists());
    let mut command = drive();
    command.args(["--as", "all", "--screens"]).arg(folder("stories/SCREENS"));
    command.arg(story.unwrap_or_else(|| file("drive")));
    held(command);
}

fn drive() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
    command.arg("drive");
    if ["UPDATE", "UPDATE_EXPECT"].iter().any(|name| std::env::var_os(name).is_some()) {
        command.arg("--update");
    }
    command
}

fn held(mut command: Command) {
    let output = command.output().expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// The names of all scripts of conversations.
pub(crate) fn all() -> BTreeSet<String> {
    scripts_in("drive")
}

/// The names of all stories.
pub(crate) fn stories() -> BTreeSet<String> {
    scripts_in("stories")
}

fn scripts_in(name: &str) -> BTreeSet<String> {
    std::fs::read_dir(folder(name))
        .expect("a folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "drive"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect()
}
