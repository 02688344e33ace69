//! Several keys in the running server: sessions share them, the user is told of one that is refused, and
//! no key is anywhere but on its way to the provider.

use std::path::Path;

use crate::support::provider::{Gate, Reply};
use crate::support::served::{Dialect, Served};

const FIRST: &str = "loopback-first-0123456789";
const SECOND: &str = "loopback-second-0123456789";

fn served(dialect: Dialect) -> Served {
    let mut served = Served::new(dialect);
    served.keys = format!("{FIRST}, {SECOND}");
    served
}

#[test]
fn sessions_beside_each_other_use_different_keys() {
    for dialect in Dialect::BOTH {
        let served = served(dialect);
        let gate = Gate::new();
        let slow = served.reply().gate(&gate).text("slow");
        served.provider.rule(|request| request.key() == FIRST, slow);
        served.provider.rule(|_| true, served.reply().text("quick"));
        let mut agent = served.agent();
        let (one, two) = (agent.new_session(&served.home), agent.new_session(&served.home));
        let prompt = agent.prompt(&one, "go");
        served.wait(gate.reached());
        assert_eq!(agent.ask(&two, "go").text(), "quick");
        gate.open();
        assert_eq!(agent.wait(&prompt).text(), "slow");
        assert_eq!(served.provider.keys(), [FIRST, SECOND]);
    }
}

#[test]
fn a_refused_key_is_told_of_once_and_its_text_is_nowhere() {
    for dialect in Dialect::BOTH {
        let served = served(dialect);
        served.home.write_config("log: {level: trace, wire: true}\n");
        // The provider repeats the key, as some do.
        let refusal = format!("{{\"error\": {{\"message\": \"`{FIRST}` is no good\"}}}}");
        served.provider.rule(|request| request.key() == FIRST, Reply::status(401).body(refusal));
        served
            .provider
            .rule(|request| request.last_user() == "fail", Reply::status(402).body(SECOND));
        served.provider.rule(|_| true, served.reply().text("Hello."));
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let told = agent.ask(&session, "go").text();
        assert!(told.contains("Key 1 of 2 for `http://127.0.0.1:"), "{told}");
        assert!(told.contains("was refused by the provider") && told.contains("Hello."), "{told}");
        assert_eq!(agent.ask(&session, "go on").text(), "Hello.");
        let other = agent.new_session(&served.home);
        assert_eq!(agent.ask(&other, "go").text(), "Hello.");
        let failed = agent.ask(&other, "fail");
        let words = failed.message().to_owned();
        assert!(words.contains("None of the 2 keys can be used now"), "{words}");
        assert!(words.contains("key 2 has no credit left"), "{words}");
        assert_eq!(served.provider.keys(), [FIRST, SECOND, SECOND, SECOND, SECOND]);
        agent.close_stdin();
        while agent.next_within(std::time::Duration::from_secs(5)).is_some() {}
        assert!(agent.exit(std::time::Duration::from_secs(5)).success());
        let heard = agent.heard().join("\n") + &agent.stderr();
        assert!(!heard.contains(FIRST) && !heard.contains(SECOND), "{heard}");
        let mut files = Vec::new();
        look(&served.home.state(), &mut files);
        let text = |of: &str| {
            let texts = files.iter().filter(|(name, _)| name.contains(of));
            texts.map(|(_, text)| text.as_str()).collect::<String>()
        };
        assert!(text("talaria.db").contains("Hello."), "the sessions are kept");
        assert!(text("wire.log").contains("Key 1 of 2"), "{}", text("wire.log"));
        let is_said = |line: &str| line.contains(" WARN ") && line.contains("key=\"1 of 2\"");
        assert!(text("logs/talaria.").lines().any(is_said), "{}", text("logs/talaria."));
    }
}

/// Looks for the keys in all files of a folder; the files.
fn look(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, files);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for key in [FIRST, SECOND] {
                assert!(!text.contains(key), "{} holds a key", path.display());
            }
            files.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn the_doctor_counts_the_keys_names_the_model_of_tasks_and_shows_no_key() {
    let served = served(Dialect::Openai);
    served.home.write_config("delegation: {model: cheap, api_key: [their-secret-key, k]}\n");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_talaria"))
            .args(arguments)
            .current_dir(served.home.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TALARIA_HOME", served.home.state())
            .env("TALARIA_MODEL", "some-model")
            .env("TALARIA_API_KEY", &served.keys)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let doctor = run(&["doctor"]);
    assert!(doctor.contains("some-model, with 2 keys; tasks: cheap"), "{doctor}");
    let config = run(&["config", "show"]);
    assert!(config.matches("(2 secrets)").count() == 2, "{config}");
    for key in [FIRST, SECOND, "their-secret-key"] {
        assert!(!doctor.contains(key) && !config.contains(key), "{doctor}{config}");
    }
}
