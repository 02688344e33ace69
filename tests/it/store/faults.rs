//! What is wrong with the disk is said once, with what to do; the chat goes on, nobody is told that
//! something is saved that is not, and what waited is written when it can be.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BYPASS, LONG, NOT_SAVED, SAVED_AGAIN, close, count, listed, load, texts};
use crate::support::agent::{Agent, Answer};
use crate::support::client::nothing_asked;
use crate::support::fault::{
    self, Damage, Locked, Room, SmallDisk, Unwritable, database, database_files, lift_the_limit,
    make_newer, start_with_small_files,
};
use crate::support::home::Home;

const SCRIPT: &str = r#"
    when prompt "hold *"
      say "Held ${1}."
      gate ${1}
      say "Let go."
    when prompt "much"
      repeat 200 "A sentence that takes its room on the disk, and a little more of it. "
    when prompt "touch"
      call terminal {"command": "echo x >> effects"}
    then
      say "It ran."
    when any
      say "You said ${prompt}."
"#;
/// A chat that is held up by the store for longer is one that does not go on.
const SOON: Duration = Duration::from_secs(8);

fn home() -> Home {
    Home::scripted(SCRIPT)
}

/// A home with a session in its database, whose agent has ended.
fn used_home() -> (Home, String) {
    let home = home();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    for text in ["earlier", "much", "much"] {
        agent.ask(&session, text);
    }
    close(&mut agent);
    assert!(database(&home).exists());
    (home, session)
}

/// Prompts that are answered as ever, while the user is told once why nothing is saved, in words that
/// hold `why`; everything that came.
fn goes_on(agent: &mut Agent, session: &str, why: &str) -> Vec<Value> {
    let mut came = Vec::new();
    for text in ["one", "two", "three"] {
        let begun = Instant::now();
        let answer = agent.ask(session, text);
        assert_eq!(answer.stop_reason(), "end_turn");
        assert!(begun.elapsed() < SOON, "the answer took {:?}", begun.elapsed());
        assert_eq!(count(&answer.before, &format!("You said {text}.")), 1, "{:#?}", answer.before);
        came.extend(answer.before);
    }
    let told: Vec<String> =
        texts(&came, "agent").into_iter().filter(|text| text.contains(NOT_SAVED)).collect();
    assert_eq!(told.len(), 1, "{why}: {:#?}", texts(&came, "agent"));
    assert!(told[0].contains(why), "expected `{why}` in `{}`", told[0]);
    assert_eq!(count(&came, SAVED_AGAIN), 0);
    came
}

/// What is wrong is mended while a turn runs; its user is told with the next prompt that all is saved.
fn is_saved_again(agent: &mut Agent, home: &Home, session: &str, mend: impl FnOnce(&Agent)) {
    let id = agent.prompt(session, "hold a");
    let before = agent.wait_for_text("Held a.");
    assert_eq!(count(&before, SAVED_AGAIN), 0);
    mend(agent);
    home.open_gate("a");
    let answer = agent.wait(&id);
    assert_eq!(answer.stop_reason(), "end_turn");
    assert_eq!(count(&answer.before, SAVED_AGAIN), 0);
    // It is tried again within a second.
    let begun = Instant::now();
    while count(&agent.ask(session, "again").before, SAVED_AGAIN) == 0 {
        assert!(begun.elapsed() < LONG, "it is not saved again");
    }
}

/// What was asked, but for what `is_saved_again` asked at the end.
fn prompts(replay: &Answer) -> Vec<String> {
    let asked = texts(&replay.before, "user");
    asked.into_iter().filter(|text| text != "again").collect()
}

/// The session as `goes_on` and `is_saved_again` left it, and what Talaria said of its disk is no part.
fn check_saved(agent: &mut Agent, home: &Home, session: &str, earlier: &[&str]) {
    let replay = load(agent, home, session);
    let asked = [earlier, &["one", "two", "three", "hold a"]].concat();
    assert_eq!(prompts(&replay), asked);
    let answers = texts(&replay.before, "agent");
    for text in ["one", "two", "three"] {
        assert!(answers.contains(&format!("You said {text}.")), "{answers:?}");
    }
    assert!(answers.contains(&"Held a.Let go.".to_owned()), "{answers:?}");
    assert!(!answers.iter().any(|text| text.contains("saved")), "{answers:?}");
}

#[test]
fn the_disk_is_full_and_has_room_again() {
    let home = home();
    home.write_config(BYPASS);
    let Some((mut agent, disk)) = SmallDisk::start(&home, 2048, Room::All) else { return };
    let session = agent.new_session(&home);
    let first = agent.ask(&session, "first");
    assert_eq!(texts(&first.before, "agent"), ["You said first."]);
    disk.fill();
    goes_on(&mut agent, &session, "disk is full");
    // The user decides whether to go on without a record of it; nothing is held back.
    let answer = agent.turn(&session, "touch", nothing_asked);
    assert_eq!(answer.text(), "It ran.");
    assert_eq!(home.read("effects"), "x\n");
    is_saved_again(&mut agent, &home, &session, |_| disk.free());
    agent.call("session/close", &json!({ "sessionId": session })).result();
    let replay = load(&mut agent, &home, &session);
    let asked = ["first", "one", "two", "three", "touch", "hold a"];
    assert_eq!(prompts(&replay), asked);
    assert_eq!(replay.only_card()["status"], "completed");
    assert_eq!(count(&replay.before, "saved"), 0);
    assert_eq!(home.read("effects"), "x\n");
}

#[test]
fn the_disk_is_full_from_the_beginning() {
    let home = home();
    let Some((mut agent, disk)) = SmallDisk::start(&home, 1024, Room::None) else { return };
    let session = agent.new_session(&home);
    goes_on(&mut agent, &session, "disk is full");
    is_saved_again(&mut agent, &home, &session, |_| disk.free());
    agent.call("session/close", &json!({ "sessionId": session })).result();
    check_saved(&mut agent, &home, &session, &[]);
}

/// The same without a disk of its own, so it runs everywhere; the system calls it another error.
#[test]
fn a_file_that_cannot_grow_is_told_once() {
    let home = home();
    let mut agent = start_with_small_files(&home, 512);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    let (mut asked, mut silent) = (0, 0);
    let mut is_saved = true;
    // Where the engine finds some room once more, all is saved for a while; if that lasts, it is said, too.
    let mut news = 0;
    while is_saved || silent < 3 {
        let answer = agent.ask(&session, "much");
        assert_eq!(answer.stop_reason(), "end_turn");
        asked += 1;
        silent += 1;
        for text in texts(&answer.before, "agent") {
            if text.contains(NOT_SAVED) || text.contains(SAVED_AGAIN) {
                assert_eq!(text.contains(NOT_SAVED), is_saved, "{text}");
                assert_eq!(text.contains("limit of the system on size"), is_saved, "{text}");
                is_saved = !is_saved;
                (news, silent) = (news + 1, 0);
            }
        }
        assert!(news < 6, "that comes and goes is told again and again");
        assert!(asked < 100, "so much fits into no file of this size");
    }
    is_saved_again(&mut agent, &home, &session, lift_the_limit);
    close(&mut agent);
    let mut agent = Agent::ready(&home);
    let replay = load(&mut agent, &home, &session);
    assert_eq!(prompts(&replay).len(), asked + 1);
}

#[test]
fn a_folder_that_cannot_be_written() {
    for how in Unwritable::ALL {
        let (home, earlier) = used_home();
        let Some(command) = how.command(&home) else { continue };
        let mut agent = Agent::spawn(command);
        agent.initialize(&json!({}));
        let session = agent.new_session(&home);
        println!("{how:?}");
        goes_on(&mut agent, &session, "cannot be written");
        // What is there can be looked at or not; an answer comes, and it promises nothing.
        let list = agent.call("session/list", &json!({}));
        assert!(!list.response.to_string().contains(&session), "{}", list.response);
        let load_answer = super::try_load(&mut agent, &home, &earlier);
        assert!(load_answer.response.get("error").is_some(), "it cannot be gone on with: {how:?}");
        let mended = how.can_be_mended();
        if mended {
            is_saved_again(&mut agent, &home, &session, |_| how.mend(&home));
        }
        close(&mut agent);
        how.mend(&home);
        let mut agent = Agent::ready(&home);
        assert_eq!(listed(&mut agent).len(), 1 + usize::from(mended), "{how:?}");
        let replay = load(&mut agent, &home, &earlier);
        assert_eq!(texts(&replay.before, "user"), ["earlier", "much", "much"]);
        if mended {
            check_saved(&mut agent, &home, &session, &[]);
        }
    }
}

#[test]
fn a_new_folder_that_cannot_be_made() {
    for how in [Unwritable::BelowAFile, Unwritable::NoPermission, Unwritable::ReadOnlyDisk] {
        let home = home();
        let Some(command) = how.command(&home) else { continue };
        let mut agent = Agent::spawn(command);
        agent.initialize(&json!({}));
        let session = agent.new_session(&home);
        goes_on(&mut agent, &session, "cannot be written");
        if how.can_be_mended() {
            is_saved_again(&mut agent, &home, &session, |_| how.mend(&home));
        }
    }
}

#[test]
fn a_database_that_another_program_locks_for_writing() {
    let (home, _) = used_home();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "first");
    let lock = Locked::for_writing(&home);
    goes_on(&mut agent, &session, "locked by another program");
    is_saved_again(&mut agent, &home, &session, |_| lock.release());
    close(&mut agent);
    let mut agent = Agent::ready(&home);
    check_saved(&mut agent, &home, &session, &["first"]);
}

#[test]
fn a_database_that_another_program_locks_as_a_whole() {
    let (home, _) = used_home();
    let lock = Locked::for_all(&home);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    goes_on(&mut agent, &session, "locked by another program");
    is_saved_again(&mut agent, &home, &session, |_| lock.release());
    close(&mut agent);
    let mut agent = Agent::ready(&home);
    check_saved(&mut agent, &home, &session, &[]);
    assert_eq!(listed(&mut agent).len(), 2);
}

#[test]
fn a_damaged_database_is_put_aside_and_a_new_one_begun() {
    for damage in [Damage::Text, Damage::Header, Damage::CutOff] {
        let (home, earlier) = used_home();
        damage.make(&home);
        let damaged = fs::read(database(&home)).unwrap();
        let mut agent = Agent::ready(&home);
        let (one, two) = (agent.new_session(&home), agent.new_session(&home));
        let mut came = agent.ask(&one, "one").before;
        came.extend(agent.ask(&two, "two").before);
        came.extend(agent.ask(&one, "three").before);
        assert_eq!(count(&came, "damaged"), 1, "{damage:?}: {:#?}", texts(&came, "agent"));
        let told = texts(&came, "agent").into_iter().find(|text| text.contains("damaged")).unwrap();
        let aside = told.split('`').find(|part| part.starts_with('/')).unwrap();
        assert!(fs::read(aside).unwrap() == damaged, "{damage:?}: it is kept as it was");
        let gone = super::try_load(&mut agent, &home, &earlier);
        assert!(gone.response.get("error").is_some(), "{damage:?}: {}", gone.response);
        close(&mut agent);
        let mut agent = Agent::ready(&home);
        assert_eq!(listed(&mut agent).len(), 2, "{damage:?}");
        let replay = load(&mut agent, &home, &one);
        assert_eq!(texts(&replay.before, "user"), ["one", "three"]);
        assert_eq!(count(&replay.before, "damaged"), 0);
    }
}

/// What the first bytes do not show is found when it is read. It is put aside when Talaria starts again.
#[test]
fn a_damaged_page_is_found_on_the_way() {
    let (home, earlier) = used_home();
    Damage::Pages.make(&home);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let came = goes_on(&mut agent, &session, "The database is damaged. Start Talaria again");
    assert_eq!(count(&came, "put aside as"), 0);
    close(&mut agent);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let came = agent.ask(&session, "new").before;
    assert_eq!(count(&came, "damaged and has been put aside as"), 1, "{came:#?}");
    let gone = super::try_load(&mut agent, &home, &earlier);
    assert_eq!(gone.code(), -32002, "{}", gone.response);
    assert_eq!(listed(&mut agent).len(), 1);
}

#[test]
fn a_database_of_a_newer_talaria_is_left_alone() {
    let (home, earlier) = used_home();
    make_newer(&home);
    let before = fs::read(database(&home)).unwrap();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let came = goes_on(&mut agent, &session, "version 4711");
    assert_eq!(count(&came, "Update Talaria"), 1);
    for method in ["session/list", "session/load"] {
        let params = json!({ "sessionId": earlier, "cwd": home.work(), "mcpServers": [] });
        let params = if method == "session/list" { json!({}) } else { params };
        let answer = agent.call(method, &params);
        assert!(answer.message().contains("version 4711"), "{}", answer.response);
    }
    close(&mut agent);
    assert!(fs::read(database(&home)).unwrap() == before, "not a byte of it changed");
    assert_eq!(database_files(&home).len(), 1);
}

/// Someone empties the state folder while a session runs.
#[test]
fn a_database_that_is_deleted_while_it_is_used() {
    let (home, _) = used_home();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "first");
    for file in database_files(&home) {
        fs::remove_file(file).unwrap();
    }
    for text in ["one", "two"] {
        let answer = agent.ask(&session, text);
        assert_eq!(count(&answer.before, &format!("You said {text}.")), 1);
    }
    close(&mut agent);
    // Whatever became of it, the next one works.
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "new").text(), "You said new.");
    assert!(listed(&mut agent).iter().any(|(id, _)| *id == session));
}

/// `store.enabled: false` is no fault: nothing is told, nothing written.
#[test]
fn nothing_is_written_where_nothing_is_wanted() {
    let home = home();
    home.write_config("store: {enabled: false}\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.ask(&session, "hello");
    assert_eq!(texts(&answer.before, "agent"), ["You said hello."]);
    agent.close_stdin();
    agent.exit(LONG);
    assert!(fault::database_files(&home).is_empty());
}
