//! The scenarios on the engine in memory, where a window is another worker on the same tasks: all but
//! those that need another process or a restart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use talaria::clock::Clock;
use talaria::tasks::engine::{MemoryEngine, TaskClient as _};

use super::bench::Place;
use super::{client, conformance, crash, inbox, listen, model, worker};

/// The tasks that each folder stands for. A folder is not used twice, so nothing need be taken away.
static FOLDERS: LazyLock<Mutex<HashMap<PathBuf, MemoryEngine>>> = LazyLock::new(Mutex::default);

struct Memory;

impl Place for Memory {
    type Engine = MemoryEngine;
    type Guard = ();
    const TESTS: &'static str = "engine::memory";

    fn open(folder: &Path, clock: Clock) -> (MemoryEngine, ()) {
        let mut folders = FOLDERS.lock().unwrap();
        let first =
            folders.entry(folder.to_owned()).or_insert_with(|| MemoryEngine::new(Clock::real()));
        // The first one lives on here, and runs nothing.
        (first.window(clock), ())
    }
}

conformance! {
    Memory:
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
        a_dead_worker_is_found_by_whoever_looks,
        an_interrupted_task_is_resumed_by_its_name_alone,
        a_cancelled_task_whose_worker_dies_is_cancelled,
    }
    model {
        any_order_of_anything_agrees_with_the_rules,
    }
}

#[test]
fn what_memory_cannot_do_is_said() {
    let capabilities = MemoryEngine::new(Clock::real()).capabilities();
    assert!(!capabilities.survives_restart && !capabilities.remote_workers);
}
