//! `talaria config`: the configuration as Talaria sees it, where it comes from, and its schema.
//! It changes nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{Config, Environment, Folders, Warning, config_json_schema, load};

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the configuration of all layers together, without secrets
    Show {
        /// The project's folder
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        cwd: PathBuf,
        /// Prints JSON instead of YAML
        #[arg(long)]
        json: bool,
    },
    /// Prints where the configuration files and the state are
    Path,
    /// Prints the JSON Schema of `config.yaml`
    Schema,
}

pub fn run(args: &ConfigArgs, environment: &Environment, out: &mut impl Write) -> io::Result<()> {
    let folders = Folders::of(environment);
    match &args.command {
        ConfigCommand::Show { cwd, json: true } => show_json(environment, &folders, cwd, out),
        ConfigCommand::Show { cwd, json: false } => show_yaml(environment, &folders, cwd, out),
        ConfigCommand::Path => {
            let project = Folders::project_file(Path::new("."));
            writeln!(out, "user:    {}", folders.config_file().display())?;
            writeln!(out, "project: {}", project.display())?;
            writeln!(out, "state:   {}", folders.state.display())?;
            writeln!(out, "logs:    {}", crate::log::folder(&folders).display())
        }
        ConfigCommand::Schema => out.write_all(config_json_schema().as_bytes()),
    }
}

/// The warnings are comments, so that the whole is YAML.
fn show_yaml(
    environment: &Environment,
    folders: &Folders,
    project: &Path,
    out: &mut impl Write,
) -> io::Result<()> {
    let resolved = load(environment, folders, Some(project));
    for warning in resolved.warnings.iter().chain(&doubts(&resolved.config, project)) {
        writeln!(out, "# warning: {warning}")?;
    }
    let yaml = serde_saphyr::to_string(&shown(resolved.config)).map_err(io::Error::other)?;
    writeln!(out, "{}", yaml.trim_end())
}

fn show_json(
    environment: &Environment,
    folders: &Folders,
    project: &Path,
    out: &mut impl Write,
) -> io::Result<()> {
    let resolved = load(environment, folders, Some(project));
    let warnings: Vec<_> = resolved
        .warnings
        .iter()
        .chain(&doubts(&resolved.config, project))
        .map(|warning| json!({ "path": warning.path, "message": warning.message }))
        .collect();
    let value = json!({ "config": shown(resolved.config), "warnings": warnings });
    writeln!(out, "{value:#}")
}

/// What reading the configuration alone does not find: a folder that is none, a level that is none.
pub(super) fn doubts(config: &Config, project: &Path) -> Vec<Warning> {
    let mut doubts = Vec::new();
    if !project.is_dir() {
        let message = "is not a folder, so no project's configuration is read".to_owned();
        doubts.push(Warning { path: project.display().to_string(), message });
    }
    if crate::log::level_warning(&config.log.level).is_some() {
        let message = "is no log level: set it or `TALARIA_LOG` to `error`, `warn`, `info`, `debug`, `trace` or \
                       directives such as `talaria=debug`"
            .to_owned();
        doubts.push(Warning { path: "log.level".to_owned(), message });
    }
    doubts
}

/// The configuration without what an address may hold beside the host: user, password, query.
fn shown(mut config: Config) -> Config {
    for address in
        [&mut config.model.base_url, &mut config.delegation.base_url].into_iter().flatten()
    {
        *address = public_address(address);
    }
    config
}

pub(super) fn public_address(address: &str) -> String {
    let (address, query) = address.split_at(address.find(['?', '#']).unwrap_or(address.len()));
    if query.contains('@') {
        return "…".to_owned();
    }
    // As it is read where it is used.
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let end = rest.find(['/', '\\']).unwrap_or(rest.len());
    let shown = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((before, rest)) if before.len() < end => rest.to_owned(),
        // Nobody knows where such an address ends to be a secret.
        Some((_, rest)) => format!("…@{rest}"),
    };
    format!("{scheme}://{shown}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use expect_test::expect;

    use super::*;
    use crate::config::Secret;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ConfigArgs,
    }

    fn output(words: &[&str], environment: &Environment) -> String {
        let cli = Cli::parse_from(["config"].iter().chain(words));
        let mut out = Vec::new();
        run(&cli.args, environment, &mut out).unwrap();
        let home = environment.home.as_ref().unwrap().display().to_string();
        String::from_utf8(out).unwrap().replace(&home, "HOME").replace('\\', "/")
    }

    #[test]
    fn shows_everything_but_secrets() {
        let home = tempfile::tempdir().unwrap();
        let text = "model: {name: m, base_url: 'http://u:p@host/v1/?key=k', colour: red}\n";
        std::fs::write(home.path().join("config.yaml"), text).unwrap();
        let environment = Environment {
            home: Some(home.path().into()),
            api_key: Some(Secret::new("sk-1")),
            ..Environment::default()
        };
        let folder = home.path().display().to_string();
        let yaml = output(&["show", "--cwd", &folder], &environment);
        expect![[r#"
            # warning: `model.colour` is not a setting that Talaria knows (in HOME/config.yaml).
            model:
              provider: null
              name: m
              choices: []
              base_url: http://host/v1/
              api_key: (secret)
              thought: auto
              context_window: null
              max_output_tokens: null
              price: null
            permissions:
              mode: ask
              allow: []
              deny: []
            tools:
              disabled: []
              terminal_timeout_seconds: 120
            session:
              busy: steer
            turn:
              max_iterations: 250
              max_tokens: 20000000
            delegation:
              max_concurrent_children: 10
              max_process: 64
              max_queued: 100
              max_spawn_depth: 1
              max_iterations: 250
              child_timeout_seconds: 0
              max_tokens: 1000000
              max_cost: null
              stall_seconds: 450
              stall_call_seconds: 1200
              max_summary_chars: 24000
              model: null
              provider: null
              base_url: null
              api_key: null
              reasoning_effort: null
              fallback: []
              resume: ask
            tasks:
              max_per_prompt: 20
              max_tokens_per_prompt: 3000000
              max_follow_ups: 3
              follow_up: null
              follow_up_mode: ask
              hold_seconds: 90
              delivery: auto
              cancel_with_turn: protocol
            instructions: null
            store:
              enabled: true
            log:
              level: info
              wire: false
        "#]]
        .assert_eq(&yaml);
        serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&output(&["show", "--cwd", &folder, "--json"], &environment))
                .unwrap();
        assert_eq!(json["config"]["model"]["api_key"], "(secret)");
        assert_eq!(json["warnings"][0]["path"], "model.colour");
        expect![[r#"
            user:    HOME/config.yaml
            project: ./.talaria/config.yaml
            state:   HOME
            logs:    HOME/logs
        "#]]
        .assert_eq(&output(&["path"], &environment));
        let mut environment = environment;
        environment.log = Some("nonsense====".to_owned());
        let yaml = output(&["show", "--cwd", "/nope"], &environment);
        let warnings: Vec<_> = yaml.lines().filter(|line| line.starts_with('#')).skip(1).collect();
        expect![[r#"
            # warning: `/nope` is not a folder, so no project's configuration is read.
            # warning: `log.level` is no log level: set it or `TALARIA_LOG` to `error`, `warn`, `info`, `debug`, `trace` or directives such as `talaria=debug`."#]]
        .assert_eq(&warnings.join("\n"));
        assert!(output(&["schema"], &environment).contains(r#""title": "Config""#));
    }

    #[test]
    fn addresses_are_shown_without_credentials() {
        let check = |address, expected: &str| assert_eq!(public_address(address), expected);
        check("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1/");
        check("https://user:pa@ss@host", "https://host");
        check("https://host/v1?api_key=k#x", "https://host/v1");
        check("host:80", "http://host:80");
        check("user:secretpw@host/v1", "http://host/v1");
        check("user:pa/ss@host/v1", "http://…@host/v1");
        check("https://user:pa@host/v1/@x", "https://…@x");
        check("user:pa?ss@host/v1", "…");
        check("https:/user:pa@host", "http://…@host");
    }
}
