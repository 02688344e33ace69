//! The database as it is seen from outside; `talaria doctor` has the rest of it.

use std::sync::Arc;

use rusqlite::Connection;

use super::support::Home;
use crate::store::shared::Tuning;
use crate::store::{Trouble, database_path, examine};

#[tokio::test]
async fn a_lock_of_another_program_is_seen_and_nothing_is_left_locked() {
    let home = Home::new();
    let mut journal = home.create("a");
    journal.flush().await;
    let examined = || examine(home.path()).map(|found| found.map(|found| found.sessions));
    assert_eq!(examined(), Ok(Some(0)));
    let other = Connection::open(database_path(home.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(examined(), Err(Trouble::Locked));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(examined(), Ok(Some(0)));
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
}

#[tokio::test]
async fn a_path_may_have_any_letters() {
    let folder = tempfile::Builder::new().prefix("a b ü?#%").tempdir().unwrap();
    let home = Home::on(Arc::new(folder), Tuning::default());
    home.create("a").flush().await;
    let folder = home.end();
    assert_eq!(examine(folder.path()).unwrap().unwrap().sessions, 0);
}
