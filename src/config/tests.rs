//! Tests of the layers, on files in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};

use super::*;
use crate::difference::{Difference, Fate};
use crate::permission::Mode;

struct Home {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment =
            Environment { home: Some(folder.path().join("home")), ..Environment::default() };
        Self { folder, environment }
    }

    fn user(self, text: &str) -> Self {
        let path = Folders::of(&self.environment).config_file();
        self.file(&path, text.as_bytes())
    }

    fn project(self, text: &str) -> Self {
        let path = Folders::project_file(&self.project_folder());
        self.file(&path, text.as_bytes())
    }

    fn project_folder(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn file(self, path: &Path, content: &[u8]) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn load(&self) -> Resolved {
        load(&self.environment, &Folders::of(&self.environment), Some(&self.project_folder()))
    }

    /// The settings that differ from the defaults, and the warnings.
    #[expect(clippy::needless_pass_by_value, reason = "so a test says `check(expect![…])`")]
    fn check(&self, expected: Expect) -> Resolved {
        let resolved = self.load();
        let (ours, defaults) =
            (format!("{:#?}", resolved.config), format!("{:#?}", Config::default()));
        let mut lines: Vec<String> = Difference::of_texts(&defaults, &ours, None)
            .all_lines()
            .filter(|(fate, _)| *fate == Fate::Added)
            .map(|(_, line)| format!("+ {}", line.trim()))
            .collect();
        lines.extend(resolved.warnings.iter().map(|warning| format!("! {warning}")));
        lines.extend(resolved.fault.iter().map(|fault| format!("fault: {fault}")));
        let mut text = lines.join("\n");
        if !lines.is_empty() {
            text.push('\n');
        }
        let folder = self.folder.path().display().to_string();
        expected.assert_eq(&text.replace(&folder, "TMP").replace('\\', "/"));
        resolved
    }
}

#[test]
fn without_files_there_are_defaults_and_no_warnings() {
    let resolved = Home::new().check(expect![[""]]);
    assert_eq!(resolved, Resolved::default());
}

#[test]
fn each_layer_overrides_the_one_below() {
    let mut home = Home::new().user(
        "model:\n  provider: anthropic\n  name: from-file\n  api_key: file-key\n  base_url: http://file/\n\
         log: {level: debug}\npermissions: {mode: accept-edits}\n",
    );
    home.environment.model = Some("from-environment".to_owned());
    home.environment.provider = Some("OpenAI".to_owned());
    home.environment.api_key = Some(Secret::new("environment-key"));
    home.environment.log = Some("trace".to_owned());
    let resolved = home.check(expect![[r#"
        + provider: Some(
        + Openai,
        + ),
        + name: Some(
        + "from-environment",
        + ),
        + base_url: Some(
        + "http://file/",
        + ),
        + api_key: Some(
        + (secret),
        + ),
        + mode: AcceptEdits,
        + level: "trace",
    "#]]);
    assert_eq!(resolved.config.permissions.mode, Mode::AcceptEdits);
    assert_eq!(resolved.config.model.api_key.as_ref().map(Secret::reveal), Some("environment-key"));
}

#[test]
fn unknown_keys_are_named_with_their_path() {
    Home::new()
        .user(
            "model:\n  nmae: x\n  price: {input: 1, output: 2, cahced: 0.5}\ndelegation:\n  a: 1\n  b: 2\n\
             colour: red\nturn: {max_tokens: 5}\n",
        )
        .check(expect![[r#"
            + price: Some(
            + Price {
            + input: 1.0,
            + output: 2.0,
            + cached: None,
            + },
            + ),
            + max_tokens: 5,
            ! `model.nmae` is not a setting that Talaria knows (in TMP/home/config.yaml).
            ! `model.price.cahced` is not a setting that Talaria knows (in TMP/home/config.yaml).
            ! `delegation.a` is not a setting that Talaria knows (in TMP/home/config.yaml).
            ! `delegation.b` is not a setting that Talaria knows (in TMP/home/config.yaml).
            ! `colour` is not a setting that Talaria knows (in TMP/home/config.yaml).
        "#]]);
}

#[test]
fn a_mistake_costs_its_own_key_only() {
    let resolved = Home::new()
        .user(
            "model:\n  choices: [a, 7, b]\n  name: 5\n  context_window: lots\n  price: {input: 1}\n  thought: medium\n\
             permissions: {mode: yolo, deny: 'rm *', allow: {a: b}}\n\
             turn: {max_iterations: -3, max_tokens: 0}\ntools: nothing\nsession:\nlog: {wire: 'yes', level: }\n",
        )
        .check(expect![[r#"
            + choices: [
            + "a",
            + "b",
            + ],
            + thought: Medium,
            + deny: [
            + "rm *",
            + ],
            ! `model.choices[1]` is ignored: expected a text (in quotes if it looks like a number) (in TMP/home/config.yaml).
            ! `model.name` is ignored: expected a text (in quotes if it looks like a number) (in TMP/home/config.yaml).
            ! `model.context_window` is ignored: expected a whole number (in TMP/home/config.yaml).
            ! `model.price` is ignored: expected a group of keys with `output` (in TMP/home/config.yaml).
            ! `permissions.mode` is ignored: expected one of `ask`, `accept-edits`, `plan`, `bypass` (in TMP/home/config.yaml).
            ! `permissions.allow` is ignored: expected a list (in TMP/home/config.yaml).
            ! `turn.max_iterations` is ignored: expected a whole number (in TMP/home/config.yaml).
            ! `turn.max_tokens` is ignored: expected a whole number above 0 (in TMP/home/config.yaml).
            ! `tools` is ignored: expected a group of keys (in TMP/home/config.yaml).
            ! `log.wire` is ignored: expected `true` or `false` (in TMP/home/config.yaml).
        "#]]);
    assert_eq!(resolved.config.permissions.deny, ["rm *"]);
}

#[test]
fn a_provider_that_is_not_known_is_a_fault() {
    let mut home = Home::new().user("model: {provider: sk-secret-in-the-wrong-place}\n");
    home.check(expect![[r#"
        ! `model.provider` is ignored: expected `openai` or `anthropic` (in TMP/home/config.yaml).
        fault: `model.provider` names no provider that Talaria knows. Set it to `openai` or `anthropic`.
    "#]]);
    home.environment.provider = Some("anthropic".to_owned());
    assert_eq!(home.load().fault, None);
    home.environment.provider = Some("gemini".to_owned());
    home.check(expect![[r#"
        ! `model.provider` is ignored: expected `openai` or `anthropic` (in TMP/home/config.yaml).
        ! `TALARIA_PROVIDER` is not a provider: expected `openai` or `anthropic`.
        fault: `TALARIA_PROVIDER` names no provider that Talaria knows. Set it to `openai` or `anthropic`.
    "#]]);
}

#[test]
fn a_key_stays_with_the_provider_and_the_server_it_is_for() {
    let check = |file: &str, provider: Option<&str>, base_url: Option<&str>, expected: &str| {
        let mut home = Home::new().user(&format!("model: {{api_key: sk-ant-1, {file}}}\n"));
        home.environment.provider = provider.map(str::to_owned);
        home.environment.base_url = base_url.map(str::to_owned);
        let resolved = home.load();
        let key = resolved.config.model.api_key.as_ref().map_or("-", Secret::reveal);
        let mut shown = vec![key.to_owned()];
        shown.extend(resolved.warnings.iter().map(Warning::to_string));
        assert_eq!(shown.join(" "), expected, "{file} {provider:?} {base_url:?}");
        assert_eq!(resolved.keys, [Secret::new("sk-ant-1")]);
        home.environment.api_key = Some(Secret::new("k, l"));
        let resolved = home.load();
        assert_eq!(
            (resolved.config.model.api_key, resolved.warnings.len()),
            (home.environment.api_key, 0)
        );
        assert_eq!(resolved.keys.len(), 3);
    };
    let dropped = |variable: &str, other: &str| {
        format!(
            "- `model.api_key` is not used, because `{variable}` names another {other}: set the key for it in \
             `TALARIA_API_KEY`."
        )
    };
    let provider = dropped("TALARIA_PROVIDER", "provider than `model.provider`");
    let server = dropped("TALARIA_BASE_URL", "server than `model.base_url`");
    check("provider: anthropic", None, None, "sk-ant-1");
    check("provider: anthropic", Some("Anthropic"), None, "sk-ant-1");
    check("provider: anthropic", Some("openai"), None, &provider);
    check("name: m", Some("openai"), None, &provider);
    check("name: m", Some("anthropic"), None, "sk-ant-1");
    check("name: m", None, Some("http://127.0.0.1:1"), &server);
    check("base_url: 'http://host/v1'", None, Some("http://host/v1/"), "sk-ant-1");
    check("base_url: 'http://host/v1'", None, Some("http://other/v1/"), &server);
    check(
        "provider: anthropic",
        Some("openai"),
        Some("http://host"),
        &dropped(
            "TALARIA_PROVIDER` and `TALARIA_BASE_URL",
            "provider than `model.provider` and `model.base_url`",
        )
        .replace("` names another", "` name another"),
    );
}

#[test]
fn a_project_takes_rights_away_and_gives_none() {
    Home::new()
        .user("permissions: {deny: ['rm *']}\ninstructions: Be brief.\nturn: {max_iterations: 50, max_tokens: 1000}\n")
        .project(
            "model: {base_url: 'http://evil/', provider: other, api_key: k}\n\
             permissions: {mode: bypass, allow: ['*'], deny: ['git push*']}\n\
             tools: {disabled: [terminal], terminal_timeout_seconds: 5}\n\
             turn: {max_iterations: 10, max_tokens: 2000}\ninstructions: Use tabs.\nlog: {level: trace}\n",
        )
        .check(expect![[r#"
            + deny: [
            + "rm *",
            + "git push*",
            + ],
            + disabled: [
            + "terminal",
            + ],
            + max_iterations: 10,
            + max_tokens: 1000,
            + instructions: Some(
            + "Be brief./n/nUse tabs.",
            + ),
            ! `model.provider` is ignored: expected `openai` or `anthropic` (in TMP/project/.talaria/config.yaml).
            ! `model.base_url` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `model.api_key` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `permissions.mode` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `permissions.allow` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `tools.terminal_timeout_seconds` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `log.level` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `turn.max_tokens` is ignored: a project can only lower it, and it is 1000 (in TMP/project/.talaria/config.yaml).
        "#]]);
}

#[test]
fn a_project_lowers_the_limits_of_tasks_and_sets_nothing_else_of_them() {
    Home::new()
        .user("delegation: {max_tokens: 5000, max_iterations: 20, max_cost: 1.5, model: cheap}\n")
        .project(
            "delegation: {max_concurrent_children: 2, max_queued: 5, max_spawn_depth: 2, max_iterations: 21,\n\
             max_tokens: 4000, max_cost: 2, max_summary_chars: 900, max_process: 1, model: dear,\n\
             provider: openai, base_url: 'http://evil/', api_key: k, reasoning_effort: high, fallback: [f],\n\
             resume: auto, stall_seconds: 1, child_timeout_seconds: 1}\ntasks: {max_per_prompt: 1}\n",
        )
        .check(expect![[r#"
            + max_concurrent_children: 2,
            + max_queued: 5,
            + max_iterations: 20,
            + max_tokens: 4000,
            + max_cost: Some(
            + 1.5,
            + ),
            + max_summary_chars: 900,
            + model: Some(
            + "cheap",
            + ),
            ! `delegation.max_process` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.model` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.provider` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.base_url` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.api_key` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.reasoning_effort` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.fallback` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.resume` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.stall_seconds` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.child_timeout_seconds` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `tasks.max_per_prompt` is ignored: a project's file cannot set it (in TMP/project/.talaria/config.yaml).
            ! `delegation.max_spawn_depth` is ignored: a project can only lower it, and it is 1 (in TMP/project/.talaria/config.yaml).
            ! `delegation.max_iterations` is ignored: a project can only lower it, and it is 20 (in TMP/project/.talaria/config.yaml).
            ! `delegation.max_cost` is ignored: a project can only lower it, and it is 1.5 (in TMP/project/.talaria/config.yaml).
        "#]]);
    let home = Home::new().project("delegation: {max_cost: 0.5, max_concurrent_children: 0}\n");
    let resolved = home.check(expect![[r#"
        + max_cost: Some(
        + 0.5,
        + ),
        ! `delegation.max_concurrent_children` is ignored: expected a whole number above 0 (in TMP/project/.talaria/config.yaml).
    "#]]);
    assert_eq!(resolved.config.delegation.max_cost, Some(0.5));
}

#[test]
fn keys_are_one_text_or_a_list() {
    let home = Home::new().user(
        "model: {api_key: [sk-one, ' sk-two,sk-three', 4]}\ndelegation: {api_key: 'sk-four,sk-five'}\n",
    );
    let resolved = home.check(expect![[r#"
        + api_key: Some(
        + (secret),
        + ),
        + api_key: Some(
        + (secret),
        + ),
        ! `model.api_key[2]` is ignored: expected a text (in quotes if it looks like a number) (in TMP/home/config.yaml).
    "#]]);
    let of = |key: &Option<Secret>| {
        let parts = key.iter().flat_map(|key| key.parts().collect::<Vec<_>>());
        parts.map(|key| key.reveal().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&resolved.config.model.api_key), ["sk-one", "sk-two", "sk-three"]);
    assert_eq!(of(&resolved.config.delegation.api_key), ["sk-four", "sk-five"]);
    let all: Vec<_> = resolved.keys.iter().map(Secret::reveal).collect();
    assert_eq!(all, ["sk-one", "sk-two", "sk-three", "sk-four", "sk-five"]);
    let shown = serde_json::to_value(&resolved.config).unwrap();
    assert_eq!(shown["model"]["api_key"], "(3 secrets)");
}

#[test]
fn files_that_are_no_configuration_are_named_and_ignored() {
    Home::new().user("model:\n  api_key: \"sk-not-closed\nname: [\n").check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored, because it is not valid YAML (line 2, column 12).
    "#]]);
    Home::new().user("- a\n- b\n").check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored: expected sections such as `model:` at its top.
    "#]]);
    Home::new().user("just text").check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored: expected sections such as `model:` at its top.
    "#]]);
    Home::new().user(&"# long\n".repeat(40_000)).check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored, because it cannot be read: it is larger than 256 KiB.
    "#]]);
    Home::new().user("# only a comment\n").check(expect![[""]]);
    let home = Home::new();
    let file = Folders::of(&home.environment).config_file();
    home.file(&file, b"model: {name: \xff}\n").check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored, because it cannot be read: stream did not contain valid UTF-8.
    "#]]);
    let home = Home::new();
    fs::create_dir_all(Folders::of(&home.environment).config_file()).unwrap();
    home.check(expect![[r#"
        ! `TMP/home/config.yaml` is ignored, because it cannot be read: it is not a file.
    "#]]);
}

#[test]
fn aliases_do_not_grow_without_end() {
    let level = |level: usize| {
        let items = format!("*a{level}, ").repeat(9);
        format!("a{next}: &a{next} [{items}]\n", next = level + 1)
    };
    let first = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    let text: String = std::iter::once(first).chain((0..11).map(level)).collect();
    let resolved = Home::new().user(&text).load();
    assert_eq!(resolved.config, Config::default());
    assert!(!resolved.warnings.is_empty());
}

#[test]
fn secrets_are_in_no_warning_and_no_debug_text() {
    let mut home = Home::new().user("model: {api_key: [sk-secret], sk: {api_key: sk-secret}}\nlog: sk-secret\nturn: [sk-secret]\n");
    home.environment.api_key = Some(Secret::new("sk-secret"));
    home.environment.provider = Some("sk-secret".to_owned());
    let text = format!("{:?} {:?}", home.load(), home.environment);
    assert_eq!(
        text.matches("sk-secret").count(),
        1,
        "only the provider's name as it was given: {text}"
    );
}

#[test]
fn talaria_home_holds_everything() {
    let of = |home: &str| {
        Folders::of(&Environment { home: Some(home.into()), ..Environment::default() })
    };
    let folders = of("relative");
    assert!(folders.config.is_absolute());
    assert_eq!(folders.config, folders.state);
    assert!(!of("~/talaria").state.display().to_string().contains('~'));
    let folders = Folders::of(&Environment::default());
    assert!(folders.config.display().to_string().contains("talaria"));
}
