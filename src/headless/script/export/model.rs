//! The scripted model of a script: scenes by prompt, steps by number. Where a reply belongs is the
//! scripted model's own rule (`model::scripted::Place`).

use std::collections::BTreeMap;

use super::places::Places;
use crate::model::scripted::Place;

/// The statements of one step.
pub(super) type Step = Vec<String>;

/// The scenes so far.
#[derive(Debug, Default)]
pub(super) struct Scenes {
    scenes: BTreeMap<(String, usize), BTreeMap<usize, Step>>,
    /// In the order in which they were first played.
    order: Vec<String>,
}

impl Scenes {
    /// Adds a step; false where another one is there already.
    pub(super) fn add(&mut self, place: Place, step: Step) -> bool {
        if !self.order.contains(&place.prompt) {
            self.order.push(place.prompt.clone());
        }
        let steps = self.scenes.entry((place.prompt, place.scene)).or_default();
        if steps.contains_key(&place.step) {
            return false;
        }
        steps.insert(place.step, step);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    /// The script's lines. The first scene that matches answers, so a prompt with stars comes behind those
    /// that it would match.
    pub(super) fn lines(&self, places: &Places) -> Vec<String> {
        let mut prompts: Vec<&String> = self.order.iter().collect();
        prompts.sort_by_key(|prompt| {
            let stars = prompt.matches('*').count();
            (stars > 0, std::cmp::Reverse(prompt.len() - stars), stars)
        });
        // The order of the conversation where it makes no difference.
        let starts =
            prompts.iter().position(|prompt| prompt.contains('*')).unwrap_or(prompts.len());
        if let Some(plain) = prompts.get_mut(..starts) {
            plain.sort_by_key(|prompt| self.order.iter().position(|other| other == *prompt));
        }
        let mut lines = Vec::new();
        for prompt in prompts {
            let scenes = self.scenes.iter().filter(|((text, _), _)| text == prompt);
            let last = scenes.clone().map(|((_, number), _)| *number).max().unwrap_or_default();
            for number in 0..=last {
                lines.push(format!("when prompt {}", places.quoted(prompt)));
                let steps = self.scenes.get(&(prompt.clone(), number));
                let steps = steps.cloned().unwrap_or_default();
                let last = steps.keys().max().copied().unwrap_or_default();
                for at in 0..=last {
                    if at > 0 {
                        lines.push("then".to_owned());
                    }
                    match steps.get(&at) {
                        Some(step) => lines.extend(step.iter().map(|line| format!("  {line}"))),
                        None => lines.push("  fail 400 \"nothing was answered here\"".to_owned()),
                    }
                }
            }
        }
        lines
    }
}
