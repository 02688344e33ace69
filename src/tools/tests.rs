//! Tests of the toolbox.

use super::{ToolSettings, Toolbox};

#[test]
fn the_first_request_stays_small() {
    let specs = Toolbox::builtin(&ToolSettings::default()).specs();
    let size: usize = specs
        .iter()
        .map(|spec| spec.name.len() + spec.description.len() + spec.schema.to_string().len())
        .sum();
    assert!(size <= 5 * 1024, "the specs of all tools together have {size} bytes");
}

#[test]
fn disabled_tools_are_not_offered() {
    let settings =
        ToolSettings { disabled: vec!["terminal".to_owned()], ..ToolSettings::default() };
    let toolbox = Toolbox::builtin(&settings);
    let names: Vec<String> = toolbox.specs().iter().map(|spec| spec.name.clone()).collect();
    assert_eq!(names, ["read", "write", "edit", "list", "glob", "grep", "plan"]);
    assert!(toolbox.get("terminal").is_none() && toolbox.get("read").is_some());
}
