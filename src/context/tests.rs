//! What the model sees, on small conversations.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::{Instructions, items, subagent_prompt, system_prompt};
use crate::ids::{CallId, MessageId, PromptId};
use crate::model::Item;
use crate::tools::roots::Roots;
use crate::tools::{ToolSettings, Toolbox};
use crate::transcript::{Author, Call, Content, Outcome, Over, Prompt, Settled, Step, Turn, Usage};

fn prompt(id: u64, text: &str) -> Prompt {
    Prompt {
        id: PromptId(id),
        message: MessageId::new(format!("m{id}")),
        content: vec![Content::text(text)],
        from: Author::User,
    }
}

fn step(text: &str, calls: &[&str]) -> Step {
    Step {
        steered: Vec::new(),
        thought: "".into(),
        thought_message: None,
        thoughts: Vec::new(),
        text: text.into(),
        message: None,
        calls: calls
            .iter()
            .map(|id| Settled {
                call: Call {
                    id: CallId::new(*id),
                    tool: "read".to_owned(),
                    input: json!({}),
                    signatures: Vec::new(),
                },
                outcome: Outcome::done("text"),
            })
            .collect(),
        usage: Usage::default(),
    }
}

fn shape(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            Item::User(content) => format!("user {}", content.len()),
            Item::Assistant { text, calls, .. } => format!("assistant {text:?} {}", calls.len()),
            Item::Outcomes(outcomes) => format!("outcomes {}", outcomes.len()),
        })
        .collect()
}

#[test]
fn users_never_follow_each_other() {
    let failed = Turn {
        prompt: prompt(1, "first"),
        steps: Vec::new(),
        over: Some(Over::Failed { message: "gone".to_owned(), refused_input: false }),
    };
    let mut second = step("", &[]);
    second.steered.push(prompt(3, "steered before the first reply"));
    let built = items(
        &[Arc::new(failed)],
        &prompt(2, "second"),
        &[Arc::new(second), Arc::new(step("looking", &["c1", "c2"]))],
        &[prompt(4, "and this")],
    );
    assert_eq!(shape(&built), ["user 3", "assistant \"looking\" 2", "outcomes 2", "user 1"]);
}

#[test]
fn an_interrupted_turn_stays_part_of_the_conversation() {
    let over = Some(Over::Interrupted);
    let mut interrupted = step("looking", &["c1", "c2"]);
    let reason = "interrupted: Talaria ended".to_owned();
    interrupted.calls[1].outcome = Outcome::Cancelled { reason };
    let history = [
        Turn { prompt: prompt(1, "no reply came"), steps: Vec::new(), over: over.clone() },
        Turn { prompt: prompt(2, "look"), steps: vec![Arc::new(interrupted)], over: over.clone() },
        Turn { prompt: prompt(3, "no reply either"), steps: Vec::new(), over },
    ];
    let built = items(&history.map(Arc::new), &prompt(4, "go on"), &[], &[]);
    assert_eq!(shape(&built), ["user 2", "assistant \"looking\" 2", "outcomes 2", "user 2"]);
    assert!(format!("{built:?}").contains("interrupted: Talaria ended"));
}

/// What users said in a request, in the order in which the model reads it.
fn said_by_users(items: &[Item]) -> Vec<String> {
    let texts = items.iter().filter_map(|item| match item {
        Item::User(content) => Some(content.iter().map(|content| match content {
            Content::Text { text } => text.clone(),
            Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => {
                unreachable!("no text")
            }
        })),
        Item::Assistant { .. } | Item::Outcomes(_) => None,
    });
    texts.map(|texts| texts.collect::<Vec<_>>().join(" | ")).collect()
}

#[test]
fn a_turn_that_began_by_itself_reads_as_any_other() {
    let follow_up = |id| Prompt { from: Author::FollowUp, ..prompt(id, "go on with the reports") };
    let report = |id, text: &str| Prompt { from: Author::Task(id), ..prompt(id, text) };
    let failed = Some(Over::Failed { message: "gone".to_owned(), refused_input: false });
    let mut answered = step("I see", &[]);
    answered.steered.push(report(2, "report 1"));
    // The connection broke before the model said anything: the report stays where it was given.
    let mut broken = step("", &[]);
    broken.steered.push(report(5, "report 2"));
    let history = [
        Turn { prompt: prompt(1, "delegate"), steps: vec![Arc::new(step("ok", &[]))], over: None },
        Turn { prompt: follow_up(3), steps: vec![Arc::new(answered)], over: None },
        Turn { prompt: follow_up(4), steps: vec![Arc::new(broken)], over: failed.clone() },
        // Nothing was asked, so the report comes with the next request.
        Turn { prompt: follow_up(6), steps: Vec::new(), over: failed },
    ]
    .map(Arc::new);
    let built = items(&history, &prompt(7, "what now?"), &[], &[report(8, "report 3")]);
    let shapes = ["user 1", "assistant \"ok\" 0", "user 2", "assistant \"I see\" 0", "user 5"];
    assert_eq!(shape(&built), shapes);
    assert_eq!(
        said_by_users(&built),
        [
            "delegate",
            "go on with the reports | report 1",
            "go on with the reports | report 2 | go on with the reports | what now? | report 3",
        ]
    );
}

#[test]
fn a_report_that_a_provider_refused_is_not_sent_again() {
    let long = "long ".repeat(1_000);
    let mut refused = step("", &[]);
    refused.steered.push(Prompt { from: Author::Task(1), ..prompt(2, &long) });
    let over = Some(Over::Failed { message: "too long".to_owned(), refused_input: true });
    let prompt_of_talaria = Prompt { from: Author::FollowUp, ..prompt(1, "go on") };
    let turn = Turn { prompt: prompt_of_talaria, steps: vec![Arc::new(refused)], over };
    let built = items(&[Arc::new(turn)], &prompt(3, "hello"), &[], &[]);
    let [text] = &said_by_users(&built)[..] else { panic!("{built:?}") };
    assert!(text.starts_with("go on | long ") && text.ends_with(" | hello"), "{text}");
    assert!(text.len() < 2_200, "{}", text.len());
}

#[test]
fn what_a_provider_refused_is_not_sent_again() {
    let picture = Content::Image { mime: "image/png".to_owned(), data: "AAAA".to_owned() };
    let over = Some(Over::Failed { message: "no pictures".to_owned(), refused_input: true });
    let mut pasted = prompt(1, &"long ".repeat(1_000));
    pasted.content.push(picture.clone());
    let refused_prompt = Turn { prompt: pasted, steps: Vec::new(), over: over.clone() };
    let mut shown = step("", &["c1"]);
    shown.calls[0].outcome = Outcome::Done { content: vec![picture] };
    let refused_outcome = Turn { prompt: prompt(2, "look"), steps: vec![Arc::new(shown)], over };
    let built = items(
        &[Arc::new(refused_prompt), Arc::new(refused_outcome)],
        &prompt(3, "hello"),
        &[],
        &[],
    );
    let text = format!("{built:?}");
    assert!(!text.contains("AAAA") && text.contains("look") && text.contains("hello"), "{text}");
    assert!(text.len() < 4_000, "{}", text.len());
    assert_eq!(shape(&built), ["user 3", "assistant \"\" 1", "outcomes 1", "user 1"]);
}

#[test]
fn instructions_are_found_and_capped() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("AGENTS.md"), "x".repeat(40_000)).unwrap();
    fs::write(folder.path().join("CLAUDE.md"), "not read").unwrap();
    let roots = Roots::new(folder.path().to_path_buf(), &[]);
    let instructions = Instructions::read(&roots, Some("be brief"));
    let toolbox = Toolbox::builtin(&ToolSettings::default());
    let text = system_prompt(&roots, &instructions, &toolbox);
    assert!(text.contains("# Instructions from the configuration\nbe brief"));
    assert!(text.contains("[cut here"));
    assert!(!text.contains("not read"));
    assert!(text.len() < 30_000, "{}", text.len());
    assert!(text.contains("`delegate_task_async`"));
    let leaf = toolbox.only(&[], false).unwrap();
    let text = system_prompt(&roots, &instructions, &leaf);
    assert!(!text.contains("delegate"));
    // A subagent is told the same, and that it is one.
    let subagent = subagent_prompt(&roots, &instructions, (false, None));
    let (rules, rest) = subagent.split_once("\n\n# You are a subagent\n").unwrap();
    assert!(text.starts_with(rules));
    assert!(rest.ends_with(text.strip_prefix(rules).unwrap()));
    let orchestrator = subagent_prompt(&roots, &instructions, (true, None));
    assert!(orchestrator.contains("background tasks") && !subagent.contains("background tasks"));
}

#[cfg(unix)]
#[test]
fn instructions_are_not_read_from_outside_the_roots() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("work");
    fs::create_dir_all(root.join("docs")).unwrap();
    fs::write(folder.path().join("credentials"), "a secret").unwrap();
    fs::write(root.join("docs/agents.md"), "use tabs").unwrap();
    fs::write(root.join("CLAUDE.md"), "use spaces").unwrap();
    let roots = Roots::new(root.clone(), &[]);
    let link = root.join("AGENTS.md");
    for (target, told) in [("../credentials", "use spaces"), ("docs/agents.md", "use tabs")] {
        symlink(target, &link).unwrap();
        let instructions = Instructions::read(&roots, None);
        let texts: Vec<_> =
            instructions.sections().iter().map(|section| section.text.as_str()).collect();
        assert_eq!(texts, [told]);
        fs::remove_file(&link).unwrap();
    }
}
