//! The conversation as items of a request. Two user items never follow each other, whatever happened to
//! the turns, since strict providers refuse that.

use std::sync::Arc;

use crate::model::Item;
use crate::transcript::{Content, Outcome, Over, Prompt, Step, Turn};

/// Characters of a text that a provider refused which stay in later requests.
const KEPT_CHARS: usize = 2_000;

/// The items for the next request of a turn: the turns before it, its prompt, its steps so far and what
/// was steered into it since.
pub fn items(
    history: &[Arc<Turn>],
    prompt: &Prompt,
    steps: &[Arc<Step>],
    steered: &[Prompt],
) -> Vec<Item> {
    let mut items = Vec::new();
    for turn in history {
        if matches!(turn.over, Some(Over::Failed { refused_input: true, .. })) {
            let turn = without_what_was_refused(turn);
            push_turn(&mut items, &turn.prompt, &turn.steps);
        } else {
            push_turn(&mut items, &turn.prompt, &turn.steps);
        }
    }
    push_turn(&mut items, prompt, steps);
    for prompt in steered {
        push_user(&mut items, &prompt.content);
    }
    items
}

fn push_turn(items: &mut Vec<Item>, prompt: &Prompt, steps: &[Arc<Step>]) {
    push_user(items, &prompt.content);
    for step in steps {
        for prompt in &step.steered {
            push_user(items, &prompt.content);
        }
        push_step(items, step);
    }
}

fn push_step(items: &mut Vec<Item>, step: &Step) {
    if step.text.is_empty() && step.calls.is_empty() {
        return;
    }
    let calls = step.calls.iter().map(|settled| settled.call.clone()).collect();
    let thoughts = step.thoughts.clone();
    items.push(Item::Assistant { thoughts, text: step.text.to_string(), calls });
    if !step.calls.is_empty() {
        let outcomes = step
            .calls
            .iter()
            .map(|settled| (settled.call.clone(), settled.outcome.clone()))
            .collect();
        items.push(Item::Outcomes(outcomes));
    }
}

fn push_user(items: &mut Vec<Item>, content: &[Content]) {
    if let Some(Item::User(last)) = items.last_mut() {
        last.extend_from_slice(content);
    } else {
        items.push(Item::User(content.to_vec()));
    }
}

/// The turn with notes in place of what its last request newly carried: the outcomes of its last calls,
/// or its prompt where there were none, and what was steered in since. A provider that refused it once
/// would refuse every later request that carries it.
fn without_what_was_refused(turn: &Turn) -> Turn {
    let mut turn = turn.clone();
    let last = turn.steps.iter().rposition(|step| !step.calls.is_empty());
    if let Some(step) = last.and_then(|last| turn.steps.get_mut(last)) {
        for settled in &mut Arc::make_mut(step).calls {
            if let Outcome::Done { content } = &mut settled.outcome {
                lighten(content);
            }
        }
    } else {
        lighten(&mut turn.prompt.content);
    }
    let unseen = last.map_or(0, |last| last + 1);
    for step in turn.steps.iter_mut().skip(unseen) {
        for prompt in &mut Arc::make_mut(step).steered {
            lighten(&mut prompt.content);
        }
    }
    turn
}

fn lighten(contents: &mut [Content]) {
    for content in contents {
        match content {
            Content::Image { .. } => {
                *content = Content::text("[A picture was here; the provider refused it.]");
            }
            Content::Text { text } | Content::Resource { text, .. } => {
                let kept: String = text.chars().take(KEPT_CHARS).collect();
                if kept.len() < text.len() {
                    *text = format!("{kept}\n[The rest was left out: the provider refused it.]");
                }
            }
            Content::Link { .. } => {}
        }
    }
}
