//! Which key is taken, and when a key is used again.

use super::*;

const NEVER: usize = usize::MAX;

fn pool(count: usize) -> (PoolState, Vec<usize>) {
    let mut state = PoolState::default();
    let keys = (0..count).map(|at| state.add(&Secret::new(format!("key-{at}")))).collect();
    (state, keys)
}

fn at(seconds: u64) -> At<'static> {
    ("one", Timestamp(seconds * 1_000))
}

fn take(state: &mut PoolState, keys: &[usize], last: usize, at: At<'_>) -> Option<usize> {
    state.lease(keys, last, at).map(|(key, _)| key)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_key_with_the_fewest_leases_is_taken_in_order() {
    let (mut state, keys) = pool(3);
    let taken: Vec<_> = (0..7).map(|_| take(&mut state, &keys, NEVER, at(0)).unwrap()).collect();
    assert_eq!(taken, [0, 1, 2, 0, 1, 2, 0]);
    state.give_back(1);
    state.give_back(1);
    assert_eq!(take(&mut state, &keys, NEVER, at(0)), Some(1));
    assert_eq!(take(&mut state, &keys, NEVER, at(0)), Some(1));
}

#[test]
fn among_equals_a_conversation_keeps_its_key_and_a_new_one_takes_the_longest_unused() {
    let (mut state, keys) = pool(3);
    let mut one_after_another = |last| {
        let key = take(&mut state, &keys, last, at(0)).unwrap();
        state.give_back(key);
        key
    };
    let taken = [NEVER, 0, 0, NEVER, 1, NEVER, NEVER].map(&mut one_after_another);
    assert_eq!(taken, [0, 0, 0, 1, 1, 2, 0]);
}

#[test]
fn a_known_key_is_the_same_key() {
    let (mut state, keys) = pool(2);
    assert_eq!(state.add(&Secret::new("key-1")), keys[1]);
    assert_eq!(state.add(&Secret::new("key-2")), 2);
}

#[test]
fn a_key_that_is_set_aside_is_used_again_when_its_time_is_over() {
    let (mut state, keys) = pool(2);
    let rest = state.set_aside(0, at(100), Why::Limited, Some(seconds(30)));
    assert_eq!(rest, (seconds(30), false));
    assert_eq!(take(&mut state, &keys, 0, at(129)), Some(1));
    state.give_back(1);
    assert!(state.is_resting(0, at(129)) && !state.is_resting(0, at(130)));
    assert_eq!(take(&mut state, &keys, 0, at(130)), Some(0));
}

#[test]
fn limits_without_a_time_last_longer_each_time_in_a_row() {
    let (mut state, _) = pool(1);
    let mut now = 0;
    let mut lengths = Vec::new();
    for _ in 0..9 {
        let (length, _) = state.set_aside(0, at(now), Why::Limited, None);
        // Another request that fails at the same time makes it no longer.
        assert_eq!(state.set_aside(0, at(now), Why::Limited, None).0, length);
        lengths.push(length.as_secs());
        now += length.as_secs();
    }
    assert_eq!(lengths, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    state.worked(0, at(now));
    assert_eq!(state.set_aside(0, at(now), Why::Limited, None).0, seconds(60));
    // The row ends by itself, too.
    let later = now + 60 + 3_600;
    assert_eq!(state.set_aside(0, at(later), Why::Limited, None).0, seconds(60));
}

#[test]
fn the_other_defaults_and_the_longest_time() {
    let (mut state, _) = pool(3);
    let hour = seconds(3_600);
    assert_eq!(state.set_aside(0, at(0), Why::WithoutCredit, None), (hour, true));
    assert_eq!(state.set_aside(1, at(0), Why::Refused, None), (seconds(300), true));
    let long = state.set_aside(2, at(0), Why::Limited, Some(Duration::MAX));
    assert_eq!(long, (seconds(7 * 24 * 3_600), false));
}

#[test]
fn limits_and_credit_are_of_one_model_and_a_refusal_is_of_all() {
    let (mut state, _) = pool(3);
    let other = |at: At<'static>| ("two", at.1);
    state.set_aside(0, at(0), Why::Limited, None);
    state.set_aside(1, at(0), Why::WithoutCredit, None);
    state.set_aside(2, at(0), Why::Refused, None);
    assert_eq!([0, 1, 2].map(|key| state.is_resting(key, at(1))), [true, true, true]);
    assert_eq!([0, 1, 2].map(|key| state.is_resting(key, other(at(1)))), [false, false, true]);
    let whys: Vec<_> = state.resting(&[2, 0], at(1)).iter().map(|rest| rest.why).collect();
    assert_eq!(whys, [Why::Refused, Why::Limited]);
}

#[test]
fn a_refusal_is_news_once_until_the_key_has_worked() {
    let (mut state, _) = pool(2);
    let refuse = |state: &mut PoolState, now| state.set_aside(0, at(now), Why::Refused, None).1;
    assert!(refuse(&mut state, 0));
    assert!(!refuse(&mut state, 0));
    assert!(!refuse(&mut state, 400));
    // A request that began before is no proof.
    state.worked(0, at(500));
    assert!(!refuse(&mut state, 600));
    state.worked(0, at(2_000));
    assert!(refuse(&mut state, 2_001));
    state.forget();
    assert!(refuse(&mut state, 2_001));
}

#[test]
fn a_single_key_is_never_set_aside() {
    let (mut state, keys) = pool(1);
    state.set_aside(0, at(0), Why::Refused, None);
    assert_eq!(take(&mut state, &keys, NEVER, at(1)), Some(0));
}
