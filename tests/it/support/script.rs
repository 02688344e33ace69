//! Plays the scripts in `tests/drive/` with the built binary. `UPDATE_EXPECT=1` writes what came into
//! them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drive")
}

/// Plays one script; its report is the test's failure.
pub(crate) fn play(name: &str) {
    play_in(name, &[]);
}

/// Plays one script in an environment with more variables.
pub(crate) fn play_in(name: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
    command.arg("drive").envs(variables.iter().copied());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        command.arg("--update");
    }
    let output = command.arg(folder().join(name).with_extension("drive")).output().expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// The names of all scripts.
pub(crate) fn all() -> BTreeSet<String> {
    std::fs::read_dir(folder())
        .expect("tests/drive")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "drive"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect()
}
