//! Databases of other versions: brought forward with a copy kept, or left as they are.

use std::fs;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::support::Home;
use crate::store::migrate::{APPLICATION, Steps, newest};
use crate::store::place::DATABASE;
use crate::store::shared::Tuning;
use crate::store::{StoreError, Trouble};

const ONE: Steps = &[&["CREATE TABLE leases (session, owner)", "CREATE TABLE a (x)"]];
const THREE: Steps = &[
    ONE[0],
    &["ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2)"],
    &["CREATE TABLE b AS SELECT * FROM a"],
];
const BAD: Steps = &[ONE[0], &["INSERT INTO a VALUES (3); CREATE TABLE c (x)", "SELECT nonsense"]];

async fn open(folder: &Arc<TempDir>, steps: Steps) -> Result<(), StoreError> {
    let home = Home::on(Arc::clone(folder), Tuning { steps, ..Tuning::default() });
    let opened = home.store.owner().await;
    assert_eq!(home.store.take_notice().is_some(), opened.is_err());
    drop(home.end());
    opened.map(|_| ())
}

fn look(path: &std::path::Path) -> (u32, u32, Vec<String>) {
    let database = Connection::open(path).unwrap();
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get(0)).unwrap();
    let mut statement =
        database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    (pragma("application_id"), pragma("user_version"), names.map(Result::unwrap).collect())
}

fn backup(folder: &TempDir, version: u32) -> std::path::PathBuf {
    folder.path().join(format!("talaria.db.v{version}.bak"))
}

#[tokio::test]
async fn an_older_database_is_brought_forward_and_copied() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join(DATABASE);
    open(&folder, ONE).await.unwrap();
    assert!(!backup(&folder, 0).exists());
    let tables = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(look(&path), (APPLICATION, 1, tables(&["leases", "a"])));
    open(&folder, THREE).await.unwrap();
    assert_eq!(look(&path), (APPLICATION, 3, tables(&["leases", "a", "b"])));
    assert_eq!(look(&backup(&folder, 1)), (APPLICATION, 1, tables(&["leases", "a"])));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = backup(&folder, 1).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Nothing is done twice.
    fs::remove_file(backup(&folder, 1)).unwrap();
    open(&folder, THREE).await.unwrap();
    assert!(!backup(&folder, 1).exists() && !backup(&folder, 3).exists());
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_old_database() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    open(&folder, ONE).await.unwrap();
    let before = look(&folder.path().join(DATABASE));
    for _ in 0..2 {
        let failed = open(&folder, BAD).await.unwrap_err();
        assert!(matches!(failed, StoreError::Trouble(Trouble::Other(_))), "{failed:?}");
        assert_eq!(look(&folder.path().join(DATABASE)), before);
        assert_eq!(look(&backup(&folder, 1)), before);
    }
    open(&folder, THREE).await.unwrap();
}

#[tokio::test]
async fn a_newer_database_is_left_as_it_is() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    open(&folder, THREE).await.unwrap();
    let before = files(&folder);
    let newer = Trouble::Newer { found: 3, known: 1 };
    assert_eq!(open(&folder, ONE).await, Err(StoreError::Trouble(newer)));
    let mut after = files(&folder);
    // The folder's own lock.
    after.retain(|(name, _)| before.iter().any(|(known, _)| known == name));
    assert_eq!(after, before);
}

/// Names and contents.
fn files(folder: &TempDir) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.is_file())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn two_processes_make_one_database() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let homes: Vec<_> = (0..4).map(|_| Home::on(Arc::clone(&folder), Tuning::default())).collect();
    for home in &homes {
        home.store.warm_up();
    }
    for home in &homes {
        home.store.owner().await.unwrap();
        assert_eq!(home.store.take_notice(), None);
    }
    let found = look(&folder.path().join(DATABASE));
    assert_eq!((found.0, found.1), (APPLICATION, newest(crate::store::migrate::STEPS)));
}
