//! Checklist 40 to 43 and 74: `session/list`, `session/delete`, `session/set_title`, and what a close
//! leaves.

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::home::Home;
use crate::support::stored::{conversation, listed, load, params, texts};

const SAY: &str = "when prompt \"hold\"\n  say \"Begun.\"\n  gate never\nwhen any\n  say \"a\"\n";

fn list(agent: &mut Agent, params: &Value) -> Answer {
    agent.call("session/list", params)
}

/// A session with something in it.
fn session(agent: &mut Agent, home: &Home) -> String {
    let session = agent.new_session(home);
    agent.ask(&session, "hello").result();
    session
}

#[test]
fn c40_a_list_is_empty_at_first_and_has_what_was_used_last_first() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    assert_eq!(list(&mut agent, &json!({})).result(), &json!({ "sessions": [] }));
    let first = session(&mut agent, &home);
    let second = session(&mut agent, &home);
    // Nothing was said in it yet.
    agent.new_session(&home);
    assert_eq!(listed(&mut agent), [second.clone(), first.clone()]);
    agent.ask(&first, "again").result();
    assert_eq!(listed(&mut agent), [first.clone(), second]);
    drop(agent);
    let mut agent = Agent::ready(&home);
    let answer = list(&mut agent, &json!({ "cursor": null, "cwd": null }));
    let info = &answer.result()["sessions"][0];
    assert_eq!(info["sessionId"], first.as_str());
    assert_eq!(info["cwd"], json!(home.work()));
    assert_eq!(info["title"], "hello");
    let updated = info["updatedAt"].as_str().unwrap();
    assert!(
        updated.len() == 24 && updated.ends_with('Z') && updated.starts_with("20"),
        "{updated}"
    );
    assert_eq!(answer.result().get("nextCursor"), None);
    // Opening one is not using it.
    let order = listed(&mut agent);
    let last = order.last().unwrap().clone();
    load(&mut agent, &home, &last);
    let forked = agent.call("session/fork", &params(&home, &last));
    let fork = forked.result()["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(listed(&mut agent), [vec![fork.clone()], order].concat());
    agent.ask(&last, "again").result();
    load(&mut agent, &home, &fork);
    assert_eq!(listed(&mut agent), [last, fork, first]);
}

#[test]
fn c40_a_list_of_a_folder() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let here = session(&mut agent, &home);
    let folder = home.write("other/file", "").parent().unwrap().to_owned();
    let answer = agent.call("session/new", &json!({ "cwd": folder, "mcpServers": [] }));
    let there = answer.result()["sessionId"].as_str().unwrap().to_owned();
    agent.ask(&there, "hello").result();
    let mut of = |cwd: Value| {
        let answer = list(&mut agent, &json!({ "cwd": cwd }));
        let sessions = answer.result()["sessions"].as_array().unwrap().clone();
        sessions.iter().map(|one| one["sessionId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(json!(home.work())), *std::slice::from_ref(&here));
    assert_eq!(of(json!(folder)), *std::slice::from_ref(&there));
    assert_eq!(of(json!("/nowhere")), Vec::<String>::new());
    assert_eq!(of(json!(null)), [there, here]);
    assert_eq!(list(&mut agent, &json!({ "cwd": "relative" })).code(), -32602);
}

#[test]
#[cfg(unix)]
fn c40_a_list_of_a_folder_knows_it_by_its_links_too() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let real = home.write("real/file", "").parent().unwrap().to_owned();
    let link = home.work().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut opened = Vec::new();
    for folder in [&real, &link] {
        let answer = agent.call("session/new", &json!({ "cwd": folder, "mcpServers": [] }));
        let id = answer.result()["sessionId"].as_str().unwrap().to_owned();
        agent.ask(&id, "hello").result();
        opened.insert(0, id);
    }
    let answer = list(&mut agent, &json!({ "cwd": link }));
    let sessions = answer.result()["sessions"].as_array().unwrap();
    let ids: Vec<_> = sessions.iter().map(|one| one["sessionId"].as_str().unwrap()).collect();
    assert_eq!(ids, opened);
}

#[test]
fn c40_a_list_has_the_additional_folders_of_each_session() {
    let home = Home::scripted(SAY);
    let more = home.write("more/file", "").parent().unwrap().to_owned();
    let of = |agent: &mut Agent| {
        list(agent, &json!({})).result()["sessions"][0]["additionalDirectories"].clone()
    };
    let mut agent = Agent::ready(&home);
    let params = json!({ "cwd": home.work(), "mcpServers": [], "additionalDirectories": [more] });
    let answer = agent.call("session/new", &params);
    let id = answer.result()["sessionId"].as_str().unwrap().to_owned();
    agent.ask(&id, "hello").result();
    assert_eq!(of(&mut agent), json!([more]));
    // Those of the last opening.
    load(&mut agent, &home, &id);
    assert!(of(&mut agent).as_array().is_none_or(Vec::is_empty));
}

#[test]
fn c41_pages_are_bounded_and_a_cursor_is_stable() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let mut sessions: Vec<String> = (0..130).map(|_| session(&mut agent, &home)).collect();
    sessions.reverse();
    let mut seen = Vec::new();
    let mut params = json!({});
    let mut pages = 0;
    loop {
        let page = list(&mut agent, &params).result().clone();
        let infos = page["sessions"].as_array().unwrap();
        assert!(infos.len() <= 100, "{}", infos.len());
        seen.extend(infos.iter().map(|one| one["sessionId"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["nextCursor"].as_str() else { break };
        assert!(!next.is_empty());
        params = json!({ "cursor": next });
    }
    assert!(pages > 1);
    assert_eq!(seen, sessions, "each once, in order");
    for cursor in ["nonsense", "", "-1", "{}", "'"] {
        let answer = list(&mut agent, &json!({ "cursor": cursor }));
        assert_eq!(answer.code(), -32602, "{cursor}: {}", answer.response);
    }
}

#[test]
fn c42_what_is_deleted_is_gone_and_deleting_it_again_succeeds() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let (kept, gone) = (session(&mut agent, &home), session(&mut agent, &home));
    agent.call("session/close", &json!({ "sessionId": gone })).result();
    for _ in 0..2 {
        let answer = agent.call("session/delete", &json!({ "sessionId": gone }));
        assert_eq!(answer.result(), &json!({}));
        assert_eq!(listed(&mut agent), *std::slice::from_ref(&kept));
        for method in ["session/load", "session/resume", "session/fork"] {
            let answer = agent.call(method, &params(&home, &gone));
            assert_eq!(answer.code(), -32002, "{method}: {}", answer.response);
            assert_eq!(answer.response["error"]["data"], json!({ "sessionId": gone }));
        }
    }
    agent.call("session/delete", &json!({ "sessionId": "nobody" })).result();
    assert_eq!(agent.call("session/delete", &json!({})).code(), -32602);
    drop(agent);
    assert_eq!(listed(&mut Agent::ready(&home)), [kept]);
}

#[test]
fn c42_an_open_session_is_closed_before_it_is_deleted() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let delete = agent.request("session/delete", &json!({ "sessionId": session }));
    // Pipelined: it comes behind the deletion.
    let loading = agent.request("session/load", &params(&home, &session));
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    agent.wait(&delete).result();
    assert_eq!(agent.wait(&loading).code(), -32002);
    assert_eq!(agent.ask(&session, "more").code(), -32002);
    assert_eq!(listed(&mut agent), Vec::<String>::new());
    drop(agent);
    assert_eq!(listed(&mut Agent::ready(&home)), Vec::<String>::new());
}

#[test]
fn c42_what_another_process_has_open_is_not_deleted() {
    let home = Home::scripted(SAY);
    let mut owner = Agent::ready(&home);
    let session = session(&mut owner, &home);
    let mut other = Agent::ready(&home);
    let answer = other.call("session/delete", &json!({ "sessionId": session }));
    assert!(answer.message().contains(&owner.pid().to_string()), "{}", answer.response);
    assert_eq!(listed(&mut other), *std::slice::from_ref(&session));
    assert_eq!(owner.ask(&session, "more").text(), "a");
}

#[test]
fn c43_a_closed_session_stays_stored() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let close = agent.request("session/close", &json!({ "sessionId": session }));
    // Pipelined: it comes behind the close.
    let loading = agent.request("session/load", &params(&home, &session));
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    agent.wait(&close).result();
    let answer = agent.wait(&loading);
    answer.result();
    assert_eq!(texts(&conversation(&answer.before), "agent_message_chunk"), ["Begun."]);
    assert_eq!(listed(&mut agent), [session]);
}

#[test]
fn c74_a_title_by_the_user_is_kept() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let set = |agent: &mut Agent, title: &str| {
        agent.call("session/set_title", &json!({ "sessionId": session, "title": title }))
    };
    let answer = set(&mut agent, "  Mine\n own ");
    assert_eq!(answer.result(), &json!({ "title": "Mine own" }));
    let titles = answer.updates("session_info_update");
    let title = match titles.first() {
        Some(title) => (*title).clone(),
        None => agent.wait_for_update("session_info_update").1["params"]["update"].clone(),
    };
    assert_eq!(title["title"], "Mine own");
    let answer = agent.ask(&session, "hello");
    assert!(answer.updates("session_info_update").is_empty(), "it is not named again");
    let of = |agent: &mut Agent| list(agent, &json!({})).result()["sessions"][0]["title"].clone();
    assert_eq!(of(&mut agent), "Mine own");
    for empty in ["", " \n\t"] {
        assert_eq!(set(&mut agent, empty).code(), -32602);
    }
    agent.call("session/close", &json!({ "sessionId": session })).result();
    // As it is stored, without being open, and without secrets.
    let key = "sk-ant-api03-aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW";
    set(&mut agent, &format!("The key {key}")).result();
    let title = of(&mut agent);
    assert!(title.as_str().unwrap().starts_with("The key ("), "{title}");
    assert_eq!(set(&mut agent, "Later").result(), &json!({ "title": "Later" }));
    assert_eq!(of(&mut agent), "Later");
    agent.assert_silent();
    let answer = load(&mut agent, &home, &session);
    let titles = answer.updates("session_info_update");
    assert_eq!(titles.last().unwrap()["title"], "Later");
    assert!(agent.ask(&session, "more").updates("session_info_update").is_empty());
    assert_eq!(of(&mut agent), "Later");
}

#[test]
fn c74_a_title_of_a_session_that_is_not_there() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let answer = agent.call("session/set_title", &json!({ "sessionId": "nobody", "title": "x" }));
    assert_eq!(answer.code(), -32002);
    assert_eq!(answer.response["error"]["data"], json!({ "sessionId": "nobody" }));
    let own = session(&mut agent, &home);
    for wrong in [json!({ "sessionId": own }), json!({ "sessionId": own, "title": 5 })] {
        assert_eq!(agent.call("session/set_title", &wrong).code(), -32602);
    }
}

#[test]
fn a_store_that_cannot_be_used_stops_no_chat() {
    let damaged =
        |home: &Home| std::fs::write(home.state().join("talaria.db"), "no database").unwrap();
    let newer = |home: &Home| {
        drop(session(&mut Agent::ready(home), home));
        let path = home.state().join("talaria.db");
        let database = rusqlite::Connection::open(path).unwrap();
        database.pragma_update(None, "user_version", 1_000_000).unwrap();
    };
    for (spoil, is_usable) in [(&damaged as &dyn Fn(&Home), true), (&newer, false)] {
        let home = Home::scripted(SAY);
        spoil(&home);
        let mut agent = Agent::ready(&home);
        let answer = list(&mut agent, &json!({}));
        assert_eq!(answer.response.get("result").is_some(), is_usable, "{}", answer.response);
        if !is_usable {
            assert_eq!(answer.code(), -32603);
            assert!(answer.message().contains("version"), "{}", answer.message());
        }
        let session = agent.new_session(&home);
        let answer = agent.ask(&session, "hello");
        assert_eq!(answer.stop_reason(), "end_turn");
        // It says what is wrong, once, and answers all the same; which comes first is not known.
        let text = answer.text();
        let mut said: Vec<&str> = text.split("\n\n").collect();
        said.sort_by_key(|said| said.len());
        assert!(
            matches!(said[..], ["a", wrong] if wrong.contains("database")),
            "usable {is_usable}: {text}"
        );
        assert_eq!(agent.ask(&session, "hello").text(), "a");
        agent.call("session/close", &json!({ "sessionId": session })).result();
        let answer = agent.call("session/load", &params(&home, &session));
        assert_eq!(answer.response.get("result").is_some(), is_usable, "{}", answer.response);
    }
}
