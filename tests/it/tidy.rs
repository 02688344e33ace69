//! The law: what holds for every file of the repository. Each rule is a test whose failure says what
//! to do. It knows no behaviour of Talaria.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::{Source, code_only};

/// Words, the places that may use them, and what to do elsewhere. A place is a path under `src/`
/// without `.rs`; it stands for its folder too.
const CONFINED: [(&[&str], &[&str], &str); 8] = [
    (
        &["agent_client_protocol"],
        &["acp", "headless", "agents"],
        "wire types stay at the edge: convert to a type of ours in `acp`",
    ),
    (
        &["genai"],
        &["model"],
        "the providers' types stay in `model`: use `model::Request` and `Delta`",
    ),
    (
        &["rusqlite"],
        &["store", "tasks/engine"],
        "the engine of the database stays in `store`: ask it for what you need, in types of ours",
    ),
    (
        &[
            "jsonrpsee",
            "jsonrpsee_core",
            "jsonrpsee_server",
            "jsonrpsee_types",
            "jsonrpsee_ws_client",
        ],
        &["control"],
        "the socket's protocol stays in `control`: call `control::Table`, or `control::client`",
    ),
    (
        &["std::fs", "tokio::fs"],
        &[
            "config",
            "log",
            "store",
            "tools",
            "tasks/worktree",
            "context",
            "cli",
            "mcp",
            "model/scripted",
            "headless",
            "app",
            "control/place",
            "control/peer",
        ],
        "files are read by the modules that own them: take the content, or go through `tools::host`",
    ),
    (
        &["unbounded_channel", "mpsc::unbounded"],
        &[],
        "a queue without a bound grows while its reader sleeps: use `mpsc::channel`",
    ),
    (
        &["tokio::spawn", "tokio::task::spawn", "thread::spawn"],
        &["app"],
        "spawn into a `JoinSet` that someone owns; threads are named and joined (`thread::Builder`)",
    ),
    (
        &["io::stdout", "io::stdin"],
        &["acp", "headless", "app", "cli"],
        "nothing but the protocol goes over the standard streams: take a `Write` or a `Read`",
    ),
];

const LINES_TO_THINK: usize = 500;
const LINES_TO_SPLIT: usize = 800;
const MOST_DEPENDENCIES: usize = 35;
const MOST_ARCHITECTURE_LINES: usize = 250;

#[test]
fn modules_use_only_modules_above_them() {
    let order = module_order();
    let mut problems = Vec::new();
    for source in sources() {
        let Some(own) = order.iter().position(|module| module == source.module()) else { continue };
        if source.code.contains("crate::{") {
            problems
                .push(format!("{source}: write one `use crate::module::…` line for each module"));
        }
        for (line, used) in source.paths_after("crate::") {
            match order.iter().position(|module| *module == used) {
                Some(place) if place > own => problems.push(format!(
                    "{source}:{line}: `{used}` stands below `{}` in src/lib.rs: move the code up, or pass the thing in",
                    source.module()
                )),
                Some(_) => {}
                None => problems.push(format!(
                    "{source}:{line}: `crate::{used}` is no module of src/lib.rs: name the module it lives in"
                )),
            }
        }
        let up = "super::".repeat(source.depth());
        for (line, used) in source.paths_after(&up) {
            if order.contains(&used) && used != source.module() {
                problems.push(format!(
                    "{source}:{line}: write `crate::{used}`, so that the layers can be read"
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_module_is_in_the_map() {
    let order = module_order();
    let strays = sources().into_iter().filter(|source| {
        !matches!(source.module(), "lib" | "main")
            && !order.iter().any(|module| module == source.module())
    });
    let problems: Vec<String> = strays
        .map(|source| format!("{source}: declare its module in src/lib.rs, or delete it"))
        .collect();
    report(&problems);
}

#[test]
fn words_stay_where_they_belong() {
    let mut problems = Vec::new();
    for source in sources() {
        for (words, places, advice) in CONFINED {
            // Tests make files for what they test.
            let test = words.contains(&"std::fs") && source.is_test();
            if test || places.iter().any(|place| source.is_in(place)) {
                continue;
            }
            for word in words {
                for line in source.lines_with(word) {
                    problems
                        .push(format!("{source}:{line}: `{word}` does not belong here: {advice}"));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn files_stay_readable() {
    let mut problems = Vec::new();
    for source in sources() {
        let lines = source.lines_without_tests();
        if lines > LINES_TO_SPLIT {
            problems.push(format!(
                "{source}: {lines} lines without tests, the most is {LINES_TO_SPLIT}: split it by what it owns"
            ));
        } else if lines > LINES_TO_THINK {
            println!("warning: {source}: {lines} lines without tests; think about a split");
        }
    }
    report(&problems);
}

#[test]
fn every_file_says_what_it_owns() {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|name| name == "rs"));
    let problems: Vec<String> = rust
        .filter(|path| !read(path).starts_with("//! "))
        .map(|path| {
            format!("{}: open it with `//!`: what it owns, and what it does not", path.display())
        })
        .collect();
    report(&problems);
}

#[test]
fn every_test_file_is_listed() {
    let main = code_only(&read(Path::new("tests/it/main.rs")));
    let mut problems = Vec::new();
    for path in files() {
        let Ok(rest) = path.strip_prefix("tests/it") else { continue };
        if rest.components().count() != 1 || rest == Path::new("main.rs") {
            continue;
        }
        let name = rest.file_stem().unwrap().to_string_lossy();
        if rest.extension().is_some_and(|name| name == "rs")
            && !main.contains(&format!("mod {name};"))
        {
            problems.push(format!(
                "{}: add `mod {name};` to tests/it/main.rs, or it never runs",
                path.display()
            ));
        }
    }
    report(&problems);
}

#[test]
fn folders_have_their_root_beside_them() {
    let roots = files().into_iter().filter(|path| path.ends_with("mod.rs"));
    let problems: Vec<String> = roots
        .map(|path| format!("{}: name it after its folder, beside the folder", path.display()))
        .collect();
    report(&problems);
}

#[test]
fn generated_files_are_current() {
    let generated = [
        ("docs/CONFIG.md", talaria::config::config_markdown()),
        ("docs/config.schema.json", talaria::config::config_json_schema()),
    ];
    let mut problems = Vec::new();
    for (path, content) in generated {
        let path = root().join(path);
        let current = fs::read_to_string(&path).unwrap_or_default();
        if current == content {
            continue;
        }
        if is_update() {
            fs::write(&path, content).unwrap();
        } else {
            problems.push(format!(
                "{}: the types behind it have changed: run `UPDATE=1 cargo test --test it tidy`",
                path.display()
            ));
        }
    }
    report(&problems);
}

#[test]
fn everything_is_under_one_licence() {
    let mut problems = Vec::new();
    if !read(Path::new("LICENSE")).trim_start().starts_with("Apache License") {
        problems.push("LICENSE: put the text of the Apache License 2.0 there".to_owned());
    }
    for path in manifests() {
        let manifest = read(&path);
        let named = ["license.workspace = true", "license = \"Apache-2.0\""];
        if !named.iter().any(|line| manifest.lines().any(|other| other.trim() == *line)) {
            problems.push(format!("{}: add `license.workspace = true`", path.display()));
        }
    }
    report(&problems);
}

#[test]
fn dependencies_are_few() {
    let manifest = read(Path::new("Cargo.toml"));
    let mut in_dependencies = false;
    let mut count = 0;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line == "[dependencies]" || line.ends_with(".dependencies]");
        } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
            count += 1;
        }
    }
    assert!(count > 0, "Cargo.toml: no dependencies were found; mend this rule");
    assert!(
        count <= MOST_DEPENDENCIES,
        "Cargo.toml: {count} direct dependencies, the most is {MOST_DEPENDENCIES}: do without one, or raise the \
         number together with a note in docs/decisions/"
    );
}

#[test]
fn no_file_names_a_private_place() {
    // In pieces, so that this file does not hold them.
    let private = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut problems = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for place in private.iter().filter(|place| names_place(line, place)) {
                let number = number + 1;
                problems.push(format!(
                    "{}:{number}: `{place}` exists on one machine only",
                    path.display()
                ));
            }
        }
    }
    report(&problems);
}

/// Whether a path on the line begins with the place; `/home/me/work/` does not.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|letter| letter.is_alphanumeric() || "_-.~}".contains(letter))
    })
}

#[test]
fn the_architecture_is_a_map_not_a_book() {
    let text = read(Path::new("docs/ARCHITECTURE.md"));
    let lines = text.lines().count();
    let mut problems = Vec::new();
    if lines > MOST_ARCHITECTURE_LINES {
        problems.push(format!(
            "docs/ARCHITECTURE.md: {lines} lines, the most is {MOST_ARCHITECTURE_LINES}: keep what is true for a year"
        ));
    }
    for module in module_order() {
        if !text.contains(&format!("`{module}`")) {
            problems.push(format!("docs/ARCHITECTURE.md: say what `{module}` is responsible for"));
        }
    }
    report(&problems);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// All files that are not ignored by git, as paths under the root, sorted.
fn files() -> Vec<PathBuf> {
    let walk = ignore::WalkBuilder::new(root())
        .hidden(false)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut files: Vec<PathBuf> = walk
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .map(|entry| entry.path().strip_prefix(root()).unwrap().to_owned())
        .collect();
    files.sort();
    assert!(files.len() > 20, "the files of the repository were not found");
    files
}

fn manifests() -> impl Iterator<Item = PathBuf> {
    files().into_iter().filter(|path| path.ends_with("Cargo.toml"))
}

/// The Rust files under `src/`.
fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|name| name == "rs"));
    rust.filter(|path| path.starts_with("src"))
        .map(|path| Source::new(&path, &read(&path)))
        .collect()
}

/// The modules in the order of `src/lib.rs`.
fn module_order() -> Vec<String> {
    let code = code_only(&read(Path::new("src/lib.rs")));
    let lines = code
        .lines()
        .map(|line| line.trim().trim_start_matches("pub ").trim_start_matches("(crate) "));
    let order: Vec<String> = lines
        .filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    assert!(order.len() > 3, "src/lib.rs: no modules were found; mend this rule");
    order
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n\n{}\n", problems.join("\n"));
}
