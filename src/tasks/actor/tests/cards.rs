//! What cards show, and when.

use super::fixture::{Home, SECRET, limits, name};
use crate::event::CallStatus;

#[tokio::test]
async fn a_task_that_runs_at_once_is_never_shown_as_queued() {
    let home = Home::new();
    let mut house = home.open(limits(2, 1)).await;
    house.start(&["one", "two", "three"]).await;
    let mut shown = Vec::new();
    for _ in 0..3 {
        let card = house.card().await;
        shown.push((card.id.to_string(), card.status));
    }
    let expected = [
        ("task-t1", CallStatus::InProgress),
        ("task-t2", CallStatus::InProgress),
        ("task-t3", CallStatus::Pending),
    ];
    assert_eq!(shown, expected.map(|(id, status)| (id.to_owned(), Some(status))));
}

#[tokio::test]
async fn what_a_task_is_told_is_hidden_from_the_engine_alone() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one"]).await;
    let mut child = house.born().await;
    child.is_prompted().await;
    let text = format!("log in with {SECRET}");
    house.tasks.steer(&name("t1"), text.clone()).await.unwrap();
    assert_eq!(child.is_prompted().await, text);
}
