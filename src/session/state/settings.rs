//! What a user switches in a session, by a client's menu or by a slash command.

use super::{Effect, SessionState, saving};
use crate::event::{Event, Settings, ThoughtLevel};
use crate::fault::{Fault, Kind};
use crate::permission::{Mode, Rule};
use crate::session::Setting;
use crate::session::commands::{self, Command};
use crate::store::Record;
use crate::transcript::{End, Entry, Prompt};

/// What stands before the file of a scripted model; opening one reads files, so it is not typed.
const SCRIPTED: &str = "scripted:";

impl SessionState {
    pub(super) fn set_and_reply(&mut self, setting: Setting, effects: &mut Vec<Effect>) {
        if self.saving.is_taken_over() {
            effects.push(Effect::ReplySet(Err(saving::taken_over())));
            return self.close_if_taken_over(effects);
        }
        let before = self.settings.clone();
        let answer = self.set(setting, effects);
        effects.push(Effect::ReplySet(answer));
        self.publish_since(&before, effects);
    }

    fn set(&mut self, setting: Setting, effects: &mut Vec<Effect>) -> Result<Settings, Fault> {
        let mut settings = self.settings.clone();
        match setting {
            Setting::Mode(mode) => settings.mode = mode,
            Setting::Model(model) => {
                if !settings.models.contains(&model) {
                    return Err(Fault::new(Kind::User, format!("unknown model `{model}`"))
                        .with_hint(format!(
                            "Choose one of {}, or type `/model NAME`.",
                            settings.models.join(", ")
                        )));
                }
                settings.model = model;
            }
            Setting::Thought(level) => {
                settings.thought = ThoughtLevel::from_id(&level).ok_or_else(|| {
                    Fault::new(Kind::User, format!("unknown thought level `{level}`"))
                        .with_hint("Choose auto, low, medium or high.")
                })?;
            }
        }
        self.change(settings, effects);
        Ok(self.settings.clone())
    }

    pub(super) fn model_refused(&mut self, kept: String, why: &Fault, effects: &mut Vec<Effect>) {
        self.settings.model = kept;
        self.tell_settings(effects);
        self.say(format!("The model stays as it was. {}", why.sentence()), effects);
    }

    /// Neither is the child's own choice: nothing of it is written down, and nobody told.
    pub(super) fn inherit(&mut self, mode: Mode, rules: &[Rule], effects: &mut Vec<Effect>) {
        let asker = self.asker();
        let has_new_rules = self.questions.inherit(rules, asker, effects);
        if has_new_rules || self.settings.mode != mode {
            self.settings.mode = mode;
            effects.push(Effect::Publish);
        }
    }

    fn change(&mut self, settings: Settings, effects: &mut Vec<Effect>) {
        if self.settings != settings {
            self.settings = settings;
            self.tell_settings(effects);
        }
    }

    fn tell_settings(&self, effects: &mut Vec<Effect>) {
        let Settings { mode, model, thought, .. } = self.settings.clone();
        effects.push(Effect::append(Record::Settings { mode, model, thought }));
        effects.push(Effect::Tell(Event::Settings(self.settings.clone())));
    }

    /// Comes behind what is said of a change: the model may turn out not to be there.
    fn publish_since(&self, before: &Settings, effects: &mut Vec<Effect>) {
        if self.settings != *before {
            effects.push(Effect::Publish);
        }
    }

    pub(super) fn run_command(
        &mut self,
        prompt: Prompt,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.settings.clone();
        let answer = match command {
            Command::Help => commands::help(self.has_tasks),
            Command::Detach => self.detach(effects),
            Command::Task(command) => return self.run_task_command(prompt, command, effects),
            Command::Version => format!("Talaria {}", self.version),
            Command::Usage => self.ledger.describe(),
            Command::Mode(None) => {
                format!(
                    "The mode is `{}`: {}.",
                    self.settings.mode,
                    self.settings.mode.description()
                )
            }
            Command::Mode(Some(name)) => match name.parse::<Mode>() {
                Ok(mode) => {
                    self.change(Settings { mode, ..self.settings.clone() }, effects);
                    format!("The mode is now `{mode}`: {}.", mode.description())
                }
                Err(message) => Fault::new(Kind::User, message).sentence(),
            },
            Command::Model(None) => format!(
                "The model is `{}`. To choose from: {}.",
                self.settings.model,
                self.settings.models.join(", ")
            ),
            Command::Model(Some(name)) => self.switch_model(&name, effects),
        };
        let message = self.aside(&prompt, &answer, effects);
        self.publish_since(&before, effects);
        effects.push(Effect::Reply { prompt: prompt.id, answer: Ok(End::Finished) });
        self.transcript.entries.push(Entry::Aside { prompt, message, answer });
    }

    /// A typed name may be one that the configuration does not list: the provider decides.
    fn switch_model(&mut self, name: &str, effects: &mut Vec<Effect>) -> String {
        let mut settings = self.settings.clone();
        if !settings.models.iter().any(|known| known == name) {
            if name.starts_with(SCRIPTED) {
                let fault = Fault::new(Kind::User, "a script is not chosen here");
                return fault.with_hint("Set `TALARIA_MODEL` before the start.").sentence();
            }
            settings.models.push(name.to_owned());
        }
        name.clone_into(&mut settings.model);
        self.change(settings, effects);
        format!("The model is now `{name}`, from the next request on.")
    }
}
