//! How a prompt of several blocks is read as a command.

use expect_test::expect;

use super::{Command, TaskCommand, parse};
use crate::transcript::Content;

#[test]
fn a_command_may_mention_files() {
    let text = |text: &str| Content::text(text);
    let link = || Content::Link { uri: "file:///p/a.rs".to_owned(), name: "a.rs".to_owned() };
    let file = || Content::Resource { uri: "file:///p/b.rs".to_owned(), text: "b()".to_owned() };
    let mut shown = String::new();
    for content in [
        // In the first text: the mention parts it from the rest.
        vec![text("/task review "), link(), text(" for bugs")],
        vec![file(), text("/task review "), link(), text(" and "), file(), text(" ")],
        vec![text("/steer t1 look at "), link(), text(" instead")],
        vec![text("/steer t1 look at "), file()],
        vec![text("/cancel t1 "), link(), text(" is done")],
        // In the last one: what is before it is context.
        vec![text("about"), link(), text("/task review it")],
        vec![link(), text("/tasks"), text("\n")],
        vec![text("/check t1"), link()],
        // In none.
        vec![text("why is "), link(), text(" in /task ?")],
        vec![text("why does /task "), link(), text(" fail?")],
        vec![text("see"), text("/task review "), link(), text(" for bugs")],
        vec![text("/usr/bin/env "), link(), text(" is what?")],
        vec![text("/help"), text("a question")],
    ] {
        let read = match parse(&content) {
            Some(Command::Task(TaskCommand::Start(task))) => {
                format!("start {:?} {:?}", task.goal, task.context)
            }
            read => format!("{read:?}"),
        };
        shown.push_str(&format!("{read}\n"));
    }
    expect![[r#"
        start "review a.rs for bugs" Some("a.rs: file:///p/a.rs")
        start "review a.rs and b.rs" Some("file:///p/b.rs:\nb()\n\na.rs: file:///p/a.rs\n\nfile:///p/b.rs:\nb()")
        Some(Task(Steer(TaskName([1]), "look at [a.rs](file:///p/a.rs) instead")))
        Some(Task(Steer(TaskName([1]), "look at file:///p/b.rs")))
        Some(Task(Cancel([TaskName([1])], Some("[a.rs](file:///p/a.rs) is done"))))
        start "review it" Some("about\n\na.rs: file:///p/a.rs")
        Some(Task(List(None)))
        Some(Task(Check([TaskName([1])])))
        None
        None
        None
        None
        None
    "#]].assert_eq(&shown);
}
