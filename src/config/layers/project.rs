//! What a project's file may say: it comes with the code that it lies beside, so it takes rights away and
//! gives none.

use serde_json::{Map, Value};

use super::{Resolved, SettingsFile, typed};
use crate::config::Config;

/// What a project's file may set, beside what it may lower.
const PROJECT_KEYS: [&str; 2] = ["permissions.deny", "tools.disabled"];

/// What a project's file may set to less. `delegation.max_process` is not of one project.
const LOWERED: [&str; 9] = [
    "turn.max_iterations",
    "turn.max_tokens",
    "delegation.max_concurrent_children",
    "delegation.max_queued",
    "delegation.max_spawn_depth",
    "delegation.max_iterations",
    "delegation.max_tokens",
    "delegation.max_cost",
    "delegation.max_summary_chars",
];

const FOREIGN: &str = "is ignored: a project's file cannot set it";

impl SettingsFile {
    /// Adds what a project may say: it takes rights away and gives none.
    pub(super) fn restrict(&self, settings: Map<String, Value>, resolved: &mut Resolved) {
        for (section, content) in &settings {
            let Value::Object(keys) = content else {
                if section != "instructions" {
                    self.warn(section, FOREIGN, resolved);
                }
                continue;
            };
            for key in keys.keys() {
                let path = format!("{section}.{key}");
                if !PROJECT_KEYS.contains(&path.as_str()) && !LOWERED.contains(&path.as_str()) {
                    self.warn(&path, FOREIGN, resolved);
                }
            }
        }
        let is_given = |path: &str| {
            let (section, key) = path.split_once('.').unwrap_or_default();
            settings.get(section).is_some_and(|section| section.get(key).is_some())
        };
        let given: Vec<&str> = LOWERED.into_iter().filter(|path| is_given(path)).collect();
        let project = typed(settings);
        resolved.config.permissions.deny.extend(project.permissions.deny.clone());
        resolved.config.tools.disabled.extend(project.tools.disabled.clone());
        if let Some(text) = &project.instructions {
            let instructions = resolved.config.instructions.get_or_insert_default();
            if !instructions.is_empty() {
                instructions.push_str("\n\n");
            }
            instructions.push_str(text);
        }
        for path in given {
            if let Some(most) = lower(path, &mut resolved.config, &project) {
                let message = format!("is ignored: a project can only lower it, and it is {most}");
                self.warn(path, &message, resolved);
            }
        }
    }
}

/// Sets a limit to the project's if that is lower; if it is higher, answers the limit that stays.
fn lower(path: &str, config: &mut Config, project: &Config) -> Option<String> {
    let (turn, projects_turn) = (&mut config.turn, &project.turn);
    let (tasks, projects) = (&mut config.delegation, &project.delegation);
    match path {
        "turn.max_iterations" => least(&mut turn.max_iterations, projects_turn.max_iterations),
        "turn.max_tokens" => least(&mut turn.max_tokens, projects_turn.max_tokens),
        "delegation.max_concurrent_children" => {
            least(&mut tasks.max_concurrent_children, projects.max_concurrent_children)
        }
        "delegation.max_queued" => least(&mut tasks.max_queued, projects.max_queued),
        "delegation.max_spawn_depth" => least(&mut tasks.max_spawn_depth, projects.max_spawn_depth),
        "delegation.max_iterations" => least(&mut tasks.max_iterations, projects.max_iterations),
        "delegation.max_tokens" => least(&mut tasks.max_tokens, projects.max_tokens),
        "delegation.max_cost" => match (&mut tasks.max_cost, projects.max_cost) {
            (Some(most), Some(limit)) => least(most, limit),
            (most, limit) => {
                *most = limit.or(*most);
                None
            }
        },
        "delegation.max_summary_chars" => {
            least(&mut tasks.max_summary_chars, projects.max_summary_chars)
        }
        _ => None,
    }
}

fn least<T: PartialOrd + ToString>(most: &mut T, limit: T) -> Option<String> {
    if limit > *most {
        return Some(most.to_string());
    }
    *most = limit;
    None
}
