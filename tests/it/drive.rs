//! Conversation scripts against the built binary, one test a script. The scripts are in `tests/drive/`,
//! their manual is `docs/DRIVE.md`.

use std::collections::BTreeSet;

use crate::support::script;

macro_rules! scripts {
    ($($name:ident)*) => {
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                script::play(stringify!($name));
            }
        )*
    };
}

scripts! {
    accept_edits
    bad_requests
    before_initialize
    cancel_idle
    cancel_permission
    cancel_stream
    cancel_terminal
    chat
    delete
    edit_conflict
    editor_buffers
    editor_terminals
    end_of_input
    fail_before
    fail_midway
    fork
    image
    initialize_twice
    instructions
    kill_load
    links
    list
    load
    max_tokens
    no_model
    no_session
    outside
    parallel_reads
    permission_always
    permission_cancelled
    permission_reject
    plan_mode
    read_edit_run
    resume
    set_title
    slash_commands
    steer
    tasks_allow
    tasks_cancel_below
    tasks_cancel_terminal
    tasks_chat
    tasks_close
    tasks_collect_prompt
    tasks_collect
    tasks_crash
    tasks_ends
    tasks_parent_cancelled
    tasks_permission
    tasks_queue
    tasks_steer
    tasks_stop
    two_sessions
}

/// Scripts as seen by the users of all clients that `--as` plays, side by side; what they see is in
/// `tests/stories/SCREENS/`, where clients that show the same share a section.
mod as_every_client {
    use super::script;

    macro_rules! screens {
        ($($name:ident)*) => {
            pub(super) const SCRIPTS: &[&str] = &[$(stringify!($name)),*];

            $(
                #[test]
                fn $name() {
                    script::play_as_all(stringify!($name));
                }
            )*
        };
    }

    screens! {
        delegates_again
        detach
        permission_idle
        permission_lost
        reopened
        report_idle
        report_typing
        steer_follow_up
        stop_three
        tasks_allow
        tasks_cancel_below
        tasks_cancel_terminal
        tasks_chat
        tasks_close
        tasks_collect
        tasks_collect_prompt
        tasks_crash
        tasks_ends
        tasks_parent_cancelled
        tasks_permission
        tasks_queue
        tasks_steer
        tasks_stop
        twenty
    }
}

#[test]
fn the_environment_of_whoever_plays_a_script_changes_nothing() {
    let variables = [
        ("TALARIA_PROVIDER", "gemini"),
        ("TALARIA_MODEL", "some-model"),
        ("TALARIA_BASE_URL", "http://127.0.0.1:9/"),
        ("TALARIA_API_KEY", "key"),
        ("OPENAI_API_KEY", "key"),
        ("ANTHROPIC_API_KEY", "key"),
    ];
    for name in ["chat", "no_model"] {
        script::play_in(name, &variables);
    }
}

#[test]
fn every_script_is_played() {
    listed("scripts!", SCRIPTS, script::all());
}

#[test]
fn every_story_and_every_script_of_tasks_is_seen_by_all_clients() {
    let of_tasks = script::all().into_iter().filter(|name| name.starts_with("tasks_"));
    let found = script::stories().into_iter().chain(of_tasks).collect();
    listed("screens!", as_every_client::SCRIPTS, found);
}

/// A macro of this file and the scripts that it is to name are the same.
fn listed(macro_name: &str, names: &[&str], found: BTreeSet<String>) {
    let listed: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "add these scripts to `{macro_name}` in tests/it/drive.rs: {missing:?}"
    );
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "these scripts of tests/it/drive.rs have no file: {gone:?}");
}
