//! The conformance suite of task engines: what every one of them holds, whatever it is made of. Each
//! scenario is generic over a [`Place`]; the tests are the scenarios on the engine in SQLite, and on the
//! one in memory those that need neither another process nor a restart.

mod bench;
mod client;
mod crash;
mod inbox;
mod listen;
mod memory;
mod model;
mod worker;

use std::path::Path;
use std::sync::Arc;

use talaria::clock::Clock;
use talaria::ids::SessionId;
use talaria::store::{Durability, Opened, Record, Settings, Store, StoreGuard, TitleBy};
use talaria::tasks::engine::SqliteEngine;

use bench::Place;

/// The engine in the store's database.
struct Sqlite;

impl Place for Sqlite {
    type Engine = SqliteEngine;
    type Guard = StoreGuard;
    const TESTS: &'static str = "engine";

    fn open(folder: &Path, clock: Clock) -> (SqliteEngine, StoreGuard) {
        let (store, guard) =
            Store::start(Settings { folder: folder.to_owned(), clock: clock.clone() });
        for id in ["s", "another"] {
            let opened = Opened {
                cwd: folder.to_owned(),
                additional: Vec::new(),
                version: "0".to_owned(),
                forked_from: None,
                parent: None,
            };
            // With a title, so that no clock makes it an old one that was never used. What is there already
            // stays as it is.
            let mut journal = store.create(&SessionId::new(id), opened, Arc::default());
            let title = Record::Title { title: id.to_owned(), by: TitleBy::User };
            journal.append(title, Durability::Process);
        }
        (SqliteEngine::new(store, clock), guard)
    }
}

/// Makes a test of each scenario.
macro_rules! conformance {
    ($place:ty: $($file:ident { $($scenario:ident),* $(,)? })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                $file::$scenario::<$place>().await;
            }
        )*)*
    };
}
use conformance;

conformance! {
    Sqlite:
    client {
        the_same_key_is_the_same_task,
        tasks_are_numbered_without_a_gap_whoever_submits_them,
        tasks_of_one_request_are_added_together,
        numbers_are_above_the_floor_that_is_given,
        what_does_not_exist_is_unknown,
        what_is_too_large_is_refused_and_changes_nothing,
        a_thousand_tasks_are_listed_by_pages,
        a_list_is_of_one_session_and_of_the_states_asked_for,
        a_task_without_a_worker_is_cancelled_at_once,
        a_running_task_is_cancelled_by_its_worker,
        to_cancel_twice_is_to_cancel_once,
        a_final_state_stays,
    }
    inbox {
        messages_come_in_order_and_once,
        a_message_during_a_call_is_seen_before_the_next_request,
        what_no_checkpoint_covers_is_delivered_again,
        receipts_say_what_became_of_a_message,
        a_position_that_the_inbox_does_not_have_is_refused,
    }
    worker {
        a_task_is_claimed_once,
        the_oldest_queued_task_is_next,
        a_stale_lease_writes_nothing,
        everything_of_one_append_or_nothing,
        a_clock_that_jumps_neither_takes_a_lease_nor_loses_one,
        everything_is_there_after_a_restart,
    }
    listen {
        from_the_middle,
        across_the_end,
        two_windows_hear_the_same,
        to_stop_listening_changes_nothing,
        pieces_of_text_pass_in_their_place,
        many_listeners_of_a_busy_task_miss_nothing,
    }
    crash {
        a_killed_worker_loses_nothing_that_it_was_told_is_kept,
        a_dead_worker_is_found_by_whoever_looks,
        an_interrupted_task_is_resumed_by_its_name_alone,
        a_cancelled_task_whose_worker_dies_is_cancelled,
    }
    model {
        any_order_of_anything_agrees_with_the_rules,
    }
}
