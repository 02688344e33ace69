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
    let listed: BTreeSet<String> = SCRIPTS.iter().map(|name| (*name).to_owned()).collect();
    let found = script::all();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "add these scripts to `scripts!` in tests/it/drive.rs: {missing:?}"
    );
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "these scripts of tests/it/drive.rs have no file: {gone:?}");
}
