//! What a line for the shell shows of itself: its operators, its parts, and what an "always" answer to
//! it may cover. It is no shell parser: where it cannot be sure, it takes the line as a whole.

use std::path::Path;

use crate::permission::Grant;

/// Programs that run what their arguments say: "always" for them would be "always" for anything. Without
/// the number of their version and `.exe`, sorted.
const RUNNERS: [&str; 111] = [
    "ant",
    "at",
    "awk",
    "bash",
    "batch",
    "builtin",
    "bun",
    "bunx",
    "busybox",
    "chroot",
    "chrt",
    "cmake",
    "cmd",
    "command",
    "coproc",
    "crontab",
    "csh",
    "dash",
    "deno",
    "doas",
    "ed",
    "elixir",
    "emacs",
    "entr",
    "env",
    "erl",
    "eval",
    "ex",
    "exec",
    "expect",
    "fd",
    "fdfind",
    "find",
    "fish",
    "flock",
    "gawk",
    "gdb",
    "ghci",
    "gmake",
    "gradle",
    "groovy",
    "iex",
    "ionice",
    "ipython",
    "irb",
    "jshell",
    "julia",
    "just",
    "ksh",
    "lldb",
    "ltrace",
    "lua",
    "luajit",
    "m4",
    "make",
    "mawk",
    "mksh",
    "nawk",
    "nice",
    "ninja",
    "node",
    "nodejs",
    "nohup",
    "npx",
    "nsenter",
    "nvim",
    "osascript",
    "parallel",
    "perl",
    "php",
    "pipx",
    "pnpx",
    "powershell",
    "pwsh",
    "pypy",
    "python",
    "rake",
    "rscript",
    "ruby",
    "runghc",
    "runuser",
    "scala",
    "screen",
    "script",
    "sed",
    "setsid",
    "sh",
    "source",
    "ssh",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemd-run",
    "taskset",
    "tclsh",
    "tcsh",
    "time",
    "timeout",
    "tmux",
    "toybox",
    "trap",
    "ts-node",
    "tsx",
    "unshare",
    "uvx",
    "vi",
    "vim",
    "watch",
    "xargs",
    "zsh",
];

/// Programs whose first word is a subcommand: with an option before it, they may do anything that the
/// option sets, such as an alias of git's.
const WITH_SUBCOMMANDS: [&str; 14] = [
    "bundle", "cargo", "docker", "gh", "git", "go", "hg", "jj", "kubectl", "npm", "pnpm", "podman",
    "rustup", "yarn",
];

/// Subcommands that run what follows them, whatever the program.
const RUNNING_SUBCOMMANDS: [&str; 3] = ["dlx", "exec", "x"];

/// Programs whose `run` runs what follows it.
const RUN_ANYTHING: [&str; 8] =
    ["conda", "docker", "hatch", "pdm", "pipenv", "podman", "poetry", "uv"];

/// Whether the line holds anything that makes the shell do more than run one program.
pub(super) fn has_operators(line: &str) -> bool {
    line.contains([';', '|', '&', '`', '<', '>', '\n', '\r']) || line.contains("$(")
}

/// The pieces between operators, trimmed, without empty ones.
pub(super) fn parts(line: &str) -> Vec<&str> {
    line.split([';', '|', '&', '`', '<', '>', '\n', '\r', '(', ')', '{', '}'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// What "always" covers for a command; `outside` is its folder where that is no root of the session.
pub(super) fn grant(line: &str, outside: Option<&Path>) -> Grant {
    let (what, label) = match kind_of(line) {
        Some(kind) => (kind.clone(), format!("`{kind}` commands")),
        None => (line.trim().to_owned(), "exactly this command".to_owned()),
    };
    let Some(folder) = outside else {
        return Grant { key: format!("terminal {what}"), label };
    };
    let folder = folder.display();
    Grant {
        key: format!("outside terminal {folder}: {what}"),
        label: format!("{label} in `{folder}`"),
    }
}

/// The program and its subcommand, where the line is one plain run of a program.
fn kind_of(line: &str) -> Option<String> {
    if has_operators(line) {
        return None;
    }
    let mut words = line.split_whitespace();
    let program = words.next()?;
    let plain = |char: char| char.is_ascii_alphanumeric() || "_./+-".contains(char);
    let name = program.rsplit('/').next().unwrap_or(program);
    if !program.chars().all(plain) || !name.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        return None;
    }
    let name = plain_name(name);
    let name = name.as_str();
    if RUNNERS.contains(&name) {
        return None;
    }
    match words.next() {
        Some(word) if RUNNING_SUBCOMMANDS.contains(&word) => None,
        Some("run") if RUN_ANYTHING.contains(&name) => None,
        Some(word) if is_subcommand(word) => Some(format!("{program} {word}")),
        Some(_) if WITH_SUBCOMMANDS.contains(&name) => None,
        Some(_) | None => Some(program.to_owned()),
    }
}

/// `python3.12` and `Python.exe` are `python`.
fn plain_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let unversioned =
        name.trim_end_matches(|char: char| char.is_ascii_digit() || ".-".contains(char));
    if unversioned.is_empty() { name.to_owned() } else { unversioned.to_owned() }
}

fn is_subcommand(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_lowercase())
        && word
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
}

#[cfg(test)]
mod tests {
    use super::grant;
    use expect_test::expect;
    use std::fmt::Write as _;
    use std::path::Path;

    #[test]
    fn grants_of_commands() {
        let lines = [
            "cargo test",
            "cargo test --all -- a",
            "ls -la",
            "ls",
            "/usr/bin/git status",
            "python x.py",
            "cargo test && rm -rf /",
            "cat a | b",
            "echo $(id)",
            "echo `id`",
            "echo a > b",
            "a\nb",
            "FOO=1 cargo test",
            "sudo apt install x",
            "/bin/sh -c 'x'",
            "\"my prog\" x",
            "(cd a)",
            "~/x",
            "python3.12 -c x",
            "/usr/bin/python3 x.py",
            "Python.exe x.py",
            "node -e x",
            "deno run x",
            "bun x",
            "perl -e x",
            "ruby3.2 x",
            "awk x",
            "find . -exec rm {} +",
            "npx x",
            "make",
            "xargs rm",
            "git -c alias.x=!rm x",
            "git --version",
            "git",
            "cargo --config x test",
            "cargo +nightly test",
            "npm exec x",
            "npm run build",
            "uv run x",
            "docker run x",
            "md5sum x",
            "7z x a",
            "x86_64-linux-gnu-gcc-13 -c a",
        ];
        let mut table = String::new();
        for line in lines {
            let grant = grant(line, None);
            writeln!(table, "{line:?} → {:?}, {}", grant.key, grant.label).unwrap();
        }
        let outside = grant("cargo test", Some(Path::new("/else")));
        writeln!(table, "outside → {:?}, {}", outside.key, outside.label).unwrap();
        expect![[r#"
            "cargo test" → "terminal cargo test", `cargo test` commands
            "cargo test --all -- a" → "terminal cargo test", `cargo test` commands
            "ls -la" → "terminal ls", `ls` commands
            "ls" → "terminal ls", `ls` commands
            "/usr/bin/git status" → "terminal /usr/bin/git status", `/usr/bin/git status` commands
            "python x.py" → "terminal python x.py", exactly this command
            "cargo test && rm -rf /" → "terminal cargo test && rm -rf /", exactly this command
            "cat a | b" → "terminal cat a | b", exactly this command
            "echo $(id)" → "terminal echo $(id)", exactly this command
            "echo `id`" → "terminal echo `id`", exactly this command
            "echo a > b" → "terminal echo a > b", exactly this command
            "a\nb" → "terminal a\nb", exactly this command
            "FOO=1 cargo test" → "terminal FOO=1 cargo test", exactly this command
            "sudo apt install x" → "terminal sudo apt install x", exactly this command
            "/bin/sh -c 'x'" → "terminal /bin/sh -c 'x'", exactly this command
            "\"my prog\" x" → "terminal \"my prog\" x", exactly this command
            "(cd a)" → "terminal (cd a)", exactly this command
            "~/x" → "terminal ~/x", exactly this command
            "python3.12 -c x" → "terminal python3.12 -c x", exactly this command
            "/usr/bin/python3 x.py" → "terminal /usr/bin/python3 x.py", exactly this command
            "Python.exe x.py" → "terminal Python.exe x.py", exactly this command
            "node -e x" → "terminal node -e x", exactly this command
            "deno run x" → "terminal deno run x", exactly this command
            "bun x" → "terminal bun x", exactly this command
            "perl -e x" → "terminal perl -e x", exactly this command
            "ruby3.2 x" → "terminal ruby3.2 x", exactly this command
            "awk x" → "terminal awk x", exactly this command
            "find . -exec rm {} +" → "terminal find . -exec rm {} +", exactly this command
            "npx x" → "terminal npx x", exactly this command
            "make" → "terminal make", exactly this command
            "xargs rm" → "terminal xargs rm", exactly this command
            "git -c alias.x=!rm x" → "terminal git -c alias.x=!rm x", exactly this command
            "git --version" → "terminal git --version", exactly this command
            "git" → "terminal git", `git` commands
            "cargo --config x test" → "terminal cargo --config x test", exactly this command
            "cargo +nightly test" → "terminal cargo +nightly test", exactly this command
            "npm exec x" → "terminal npm exec x", exactly this command
            "npm run build" → "terminal npm run", `npm run` commands
            "uv run x" → "terminal uv run x", exactly this command
            "docker run x" → "terminal docker run x", exactly this command
            "md5sum x" → "terminal md5sum x", exactly this command
            "7z x a" → "terminal 7z x a", exactly this command
            "x86_64-linux-gnu-gcc-13 -c a" → "terminal x86_64-linux-gnu-gcc-13", `x86_64-linux-gnu-gcc-13` commands
            outside → "outside terminal /else: cargo test", `cargo test` commands in `/else`
        "#]]
        .assert_eq(&table);
    }
}
