//! How tasks end with what is above them, and with their session and its process.

use super::*;

#[test]
fn the_tasks_of_a_task_end_with_it() {
    check(
        2,
        &["start root 1", "start t1 2", "ends t1", "states", "ends t1.1"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 2
          permit t1.1
          run t1.1
        > ends t1
          release t1
          cancel t1.1: the task that started it has ended
          end t1.2: the task that started it has ended
          report t1
        > states
          t1 completed
          t1.1 running
          t1.2 cancelled
        > ends t1.1
          release t1.1
    "#]],
    );
}

#[test]
fn what_was_stopped_is_resumed_with_all_below() {
    let script = ["start root 1", "start t1 2", "stops t1", "states", "stops t1.1", "resume t1.1"];
    check(
        2,
        &script,
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 2
          permit t1.1
          run t1.1
        > stops t1
          release t1
          stop t1.1
        > states
          t1 interrupted
          t1.1 running
          t1.2 interrupted
        > stops t1.1
          release t1.1
          end t1.1: it was cancelled
        > resume t1.1
          resume t1
          resume t1.2
          permit t1
          done 1
          run t1
          report t1.1
          permit t1.2
          run t1.2
    "#]],
    );
}

#[test]
fn a_session_that_attaches_is_told_of_what_it_does_not_know() {
    let script = ["start root 3", "ends t1", "detach", "ends t2", "attach 1", "ends t3"];
    check(
        3,
        &script,
        expect![[r#"
        > start root 3
          permit t1
          permit t2
          permit t3
          run t1
          run t2
          run t3
        > ends t1
          release t1
          report t1
        > detach
        > ends t2
          release t2
        > attach 1
          report t2
        > ends t3
          release t3
          report t3
    "#]],
    );
}

#[test]
fn a_close_ends_all_and_an_end_of_the_process_stops_all() {
    check(
        1,
        &["start root 2", "close", "ends t1", "start root 1"],
        expect![[r#"
        > start root 2
          permit t1
          run t1
        > close
          cancel t1: the session was closed
          end t2: the session was closed
          report t2
        > ends t1
          release t1
          report t1
          closed
        > start root 1
          refused: the session is closed and takes no more of this; open it again, and ask there
    "#]],
    );
    check(
        1,
        &["start root 2", "abandon", "stops t1", "states"],
        expect![[r#"
        > start root 2
          permit t1
          run t1
        > abandon
          stop t1
        > stops t1
          release t1
          closed
        > states
          t1 interrupted
          t2 interrupted
    "#]],
    );
    check(
        1,
        &["close"],
        expect![[r#"
        > close
          closed
    "#]],
    );
}

#[test]
fn one_prompt_takes_so_many_tokens_with_all_that_it_led_to() {
    let script = ["start root 1", "start t1 2", "spent t1 500", "spent t1.1 500", "states"];
    check(
        2,
        &script,
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 2
          permit t1.1
          run t1.1
        > spent t1 500
        > spent t1.1 500
          fail t1.1: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          end t1.2: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          fail t1: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          report t1.2
        > states
          t1 running
          t1.1 running
          t1.2 cancelled
    "#]],
    );
}

#[test]
fn what_is_being_recorded_ends_with_all_the_others() {
    check(
        2,
        &["start root 1", "reserve 1", "stop", "reserve 1", "record", "record", "states"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > reserve 1
            > stop
              cancel t1: enough
            > reserve 1
            > record
              end t2: enough
              report t2
            > record
              permit t3
              run t3
            > states
              t1 running
              t2 cancelled
              t3 running
        "#]],
    );
}

#[test]
fn what_a_prompt_led_to_is_bounded_also_behind_its_limit() {
    let script = [
        "start root 1",
        "stops t1",
        "start root 1",
        "reserve 1",
        "spent t2 1000",
        "record",
        "resume t1",
    ];
    check(
        1,
        &script,
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > stops t1
          release t1
        > start root 1
          permit t2
          run t2
        > reserve 1
        > spent t2 1000
          fail t2: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
        > record
          end t3: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          report t3
        > resume t1
          not done 1: `t1` was not resumed: the tasks of its prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`); raise that and open the session again to resume it, or ask anew for what is left to do
    "#]],
    );
    // One that was told to end is not told again.
    let script = ["start root 1", "stops t1", "resume t1", "spent t1 1000", "spent t1 1"];
    check(
        1,
        &script,
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > stops t1
          release t1
        > resume t1
          resume t1
          permit t1
          done 1
          run t1
        > spent t1 1000
          fail t1: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
        > spent t1 1
    "#]],
    );
}
