//! Tests of the toolbox.

use std::sync::Arc;

use super::{ToolSettings, Toolbox, Toolboxes};

const TASKS: [&str; 7] = [
    "delegate_task_async",
    "delegate_task",
    "check_task",
    "steer_task",
    "collect_task",
    "cancel_task",
    "list_tasks",
];

fn names(toolbox: &Toolbox) -> Vec<String> {
    toolbox.specs().iter().map(|spec| spec.name.clone()).collect()
}

#[test]
fn the_first_request_stays_small() {
    let specs = Toolbox::builtin(&ToolSettings::default()).specs();
    let size: usize = specs
        .iter()
        .map(|spec| spec.name.len() + spec.description.len() + spec.schema.to_string().len())
        .sum();
    // The whole first request has at most 12 KB.
    assert!(size <= 7_250, "the specs of all tools together have {size} bytes");
}

#[test]
fn sessions_that_are_set_up_alike_share_their_tools() {
    let toolboxes = Toolboxes::default();
    let first = toolboxes.builtin(ToolSettings::default());
    let second = toolboxes.builtin(ToolSettings::default());
    assert!(Arc::ptr_eq(&first.specs(), &second.specs()));
    let without = ToolSettings { disabled: vec!["plan".to_owned()], ..ToolSettings::default() };
    assert!(toolboxes.builtin(without).get("plan").is_none());
    let again = toolboxes.builtin(ToolSettings::default());
    assert!(again.get("plan").is_some() && first.get("plan").is_some());
}

#[test]
fn disabled_tools_are_not_offered() {
    let mut disabled: Vec<String> = TASKS.iter().map(|name| (*name).to_owned()).collect();
    disabled.push("terminal".to_owned());
    let toolbox = Toolbox::builtin(&ToolSettings { disabled, ..ToolSettings::default() });
    assert_eq!(names(&toolbox), ["read", "write", "edit", "list", "glob", "grep", "plan"]);
    assert!(toolbox.get("terminal").is_none() && toolbox.get("read").is_some());
    assert_eq!(toolbox.toolsets(), ["read", "edit", "plan"]);
    assert!(!toolbox.delegates());
}

#[test]
fn toolsets_choose_tools() {
    let toolbox = Toolbox::builtin(&ToolSettings::default());
    assert_eq!(toolbox.toolsets(), ["read", "edit", "terminal", "plan", "tasks"]);
    let only = |sets: &[&str], with_tasks| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        toolbox.only(&sets, with_tasks)
    };
    // All tools are in a toolset.
    let whole = only(&["read", "edit", "terminal", "plan", "tasks"], true).unwrap();
    assert_eq!(names(&whole), names(&toolbox));
    assert_eq!(names(&only(&[], true).unwrap()), names(&toolbox));
    let leaf = only(&[], false).unwrap();
    assert_eq!(names(&leaf), ["read", "write", "edit", "list", "glob", "grep", "terminal", "plan"]);
    assert!(toolbox.delegates() && !leaf.delegates());
    let reader = only(&["plan", "read"], true).unwrap();
    assert_eq!(names(&reader), ["read", "list", "glob", "grep", "plan"]);
    assert_eq!(names(&only(&["tasks"], true).unwrap()), TASKS);
    assert_eq!(only(&["read", "web"], true).err().as_deref(), Some("web"));
    // A leaf has none, and nobody gets more than there is.
    assert_eq!(only(&["tasks"], false).err().as_deref(), Some("tasks"));
    assert_eq!(reader.only(&["edit".to_owned()], true).err().as_deref(), Some("edit"));
}
