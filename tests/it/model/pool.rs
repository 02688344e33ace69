//! Several keys: each rule of the pool on the wire. The pool's clock is the test's.

use talaria::clock::{Clock, Hand, Timestamp};
use talaria::config::{Config, Environment, Proxies};
use talaria::model::catalog::{self, Choice};

use super::*;
use crate::support::provider::Request as Sent;

const KEYS: [&str; 3] = ["sk-test-key-one", "sk-test-key-two", "sk-test-key-three"];
const FAILED: &str = r#"{"error": {"message": "it is KEY"}}"#;

/// A process with a provider that has keys.
pub(super) struct Process {
    pub(super) provider: Provider,
    pub(super) config: Config,
    http: HttpClient,
    hand: Hand,
}

impl Process {
    pub(super) async fn with_keys(count: usize) -> Self {
        let provider = Provider::start().await;
        let mut config = Config::default();
        config.model.base_url = Some(provider.url());
        config.model.name = Some("some-model".to_owned());
        config.model.api_key = Some(Secret::new(KEYS[..count].join(",")));
        let (clock, hand) = Clock::driven(Timestamp(1_000_000));
        let http = HttpClient::start_with(Proxies::default()).with_clock(clock);
        Self { provider, config, http, hand }
    }

    /// The choice of a new session.
    pub(super) fn session(&self) -> Choice {
        catalog::resolve(&self.config, &Environment::default(), &self.http).unwrap()
    }

    /// What a new session's request is answered with.
    async fn ask(&self) -> String {
        ask(&self.session()).await
    }

    /// The places of the keys that requests were sent with since the last look, from 1.
    fn used(&self, since: usize) -> Vec<usize> {
        let place = |key: &String| KEYS.iter().position(|known| known == key).unwrap() + 1;
        self.provider.keys()[since..].iter().map(place).collect()
    }

    fn later(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }
}

pub(super) async fn ask(choice: &Choice) -> String {
    let request = Request { model: choice.name.clone(), ..hello() };
    read(choice.model.stream(request)).await
}

pub(super) const OK: &str = "say \"ok\"\nend Finished 0/0/0\n";

pub(super) fn ok() -> Reply {
    Reply::openai().text("ok")
}

/// Whether a request comes with the key at `place`, from 1.
pub(super) fn of_key(place: usize) -> impl Fn(&Sent) -> bool + Send + 'static {
    move |request| request.key() == KEYS[place - 1]
}

fn limited(milliseconds: u64) -> Reply {
    Reply::status(429).header("retry-after-ms", &milliseconds.to_string()).body(FAILED)
}

#[tokio::test]
async fn requests_beside_each_other_share_the_keys_evenly_over_all_sessions() {
    let process = Process::with_keys(3).await;
    let gate = Gate::new();
    process.provider.rule(|_| true, Reply::openai().gate(&gate).text("ok"));
    let mut sessions = tokio::task::JoinSet::new();
    for number in 1..=7 {
        let choice = process.session();
        sessions.spawn(async move { ask(&choice).await });
        process.provider.arrived(number).await;
    }
    assert_eq!(process.used(0), [1, 2, 3, 1, 2, 3, 1]);
    gate.open();
    while let Some(answer) = sessions.join_next().await {
        assert_eq!(answer.unwrap(), OK);
    }
    // All are given back.
    assert_eq!(process.ask().await, OK);
    assert_eq!(process.used(7), [2]);
}

#[tokio::test]
async fn a_request_that_is_dropped_gives_its_key_back() {
    let process = Process::with_keys(2).await;
    let gate = Gate::new();
    process.provider.rule(of_key(1), Reply::openai().gate(&gate).text("ok"));
    process.provider.rule(of_key(2), ok());
    let first = process.session();
    for _ in 0..2 {
        let mut deltas = first.model.stream(hello());
        let sent = process.provider.requests().len();
        tokio::select! {
            _ = deltas.next() => panic!("the gate is shut"),
            () = process.provider.arrived(sent + 1) => {}
        }
        // While it runs another session takes the other key.
        assert_eq!(process.ask().await, OK);
    }
    assert_eq!(process.used(0), [1, 2, 1, 2]);
}

#[tokio::test]
async fn one_session_keeps_its_key_and_another_takes_the_next() {
    let process = Process::with_keys(3).await;
    process.provider.rule(|_| true, ok());
    let (first, second) = (process.session(), process.session());
    for choice in [&first, &first, &second, &first, &second] {
        assert_eq!(ask(choice).await, OK);
    }
    assert_eq!(process.used(0), [1, 1, 2, 1, 2]);
}

#[tokio::test]
async fn a_limit_is_waited_for_once_on_the_same_key() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), limited(40));
    process.provider.rule(|_| true, ok());
    let began = tokio::time::Instant::now();
    assert_eq!(process.ask().await, OK);
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_eq!(process.used(0), [1, 1]);
}

#[tokio::test]
async fn the_second_limit_sets_the_key_aside_until_the_provider_says() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), limited(40));
    process.provider.once(of_key(1), limited(90_000));
    process.provider.rule(|_| true, ok());
    assert_eq!(process.ask().await, OK);
    assert_eq!(process.used(0), [1, 1, 2]);
    process.later(89);
    assert_eq!((process.ask().await.as_str(), process.used(3)), (OK, vec![2]));
    process.later(1);
    assert_eq!((process.ask().await.as_str(), process.used(4)), (OK, vec![1]));
}

#[tokio::test]
async fn a_long_limit_is_not_waited_for() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), Reply::status(429).header("retry-after", "61").body(FAILED));
    process.provider.rule(|_| true, ok());
    assert_eq!(process.ask().await, OK);
    assert_eq!(process.used(0), [1, 2]);
}

#[tokio::test]
async fn a_limit_without_a_time_is_tried_once_more_and_lasts_a_minute_then_two() {
    let process = Process::with_keys(2).await;
    for _ in 0..4 {
        process.provider.once(of_key(1), Reply::status(429).body(FAILED));
    }
    process.provider.rule(|_| true, ok());
    assert_eq!(process.ask().await, OK);
    assert_eq!(process.used(0), [1, 1, 2]);
    process.later(59);
    assert_eq!((process.ask().await.as_str(), process.used(3)), (OK, vec![2]));
    process.later(1);
    assert_eq!((process.ask().await.as_str(), process.used(4)), (OK, vec![1, 1, 2]));
    process.later(119);
    assert_eq!((process.ask().await.as_str(), process.used(7)), (OK, vec![2]));
    process.later(1);
    assert_eq!((process.ask().await.as_str(), process.used(8)), (OK, vec![1]));
}

#[tokio::test]
async fn a_key_without_credit_is_left_at_once_for_an_hour_and_told_of() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), Reply::status(402).body(FAILED));
    process.provider.rule(|_| true, ok());
    let session = process.session();
    assert_eq!((ask(&session).await.as_str(), process.used(0)), (OK, vec![1, 2]));
    let notice = session.take_notice().unwrap().message;
    assert!(notice.starts_with("key 1 of 2 for `http://127.0.0.1:"), "{notice}");
    assert!(notice.ends_with("has no credit left and is set aside"), "{notice}");
    process.later(3_599);
    assert_eq!((process.ask().await.as_str(), process.used(2)), (OK, vec![2]));
    process.later(1);
    assert_eq!((process.ask().await.as_str(), process.used(3)), (OK, vec![1]));
}

#[tokio::test]
async fn a_refused_key_is_set_aside_for_five_minutes_and_told_of_once() {
    for status in [401, 403] {
        let process = Process::with_keys(3).await;
        process.provider.rule(of_key(2), Reply::status(status).body(FAILED));
        process.provider.rule(|_| true, ok());
        let sessions = [process.session(), process.session()];
        assert_eq!(ask(&sessions[0]).await, OK);
        assert_eq!(sessions[0].take_notice(), None);
        assert_eq!(ask(&sessions[1]).await, OK);
        assert_eq!(process.used(0), [1, 2, 3]);
        // Any session tells it, and only one does; a task is no place to tell it.
        let task = sessions[0].for_task(&process.config.delegation, None).unwrap();
        assert_eq!(task.take_notice(), None);
        let notice = sessions[0].take_notice().unwrap().sentence();
        let url = process.provider.url();
        let expected = expect![
            "Key 2 of 3 for `HOST` was refused by the provider and is set aside. The other keys are used in its place. Check it where the keys are set: in `TALARIA_API_KEY`, in `config.yaml` or in the provider's own variable."
        ];
        expected.assert_eq(&notice.replace(url.trim_end_matches("/v1/"), "HOST"));
        assert_eq!(sessions[1].take_notice(), None);
        for _ in 0..3 {
            process.later(99);
            assert_eq!(process.ask().await, OK);
        }
        assert!(!process.used(3).contains(&2));
        process.later(3);
        assert_eq!(process.ask().await, OK);
        assert!(process.used(6).contains(&2));
        assert_eq!(process.session().take_notice(), None);
    }
}

#[tokio::test]
async fn without_a_key_the_error_says_why_and_for_how_long() {
    let process = Process::with_keys(3).await;
    process.provider.rule(of_key(1), Reply::status(401).body("sk-test-key-one is bad"));
    process.provider.rule(of_key(2), Reply::status(402).body(FAILED));
    process.provider.once(of_key(3), Reply::status(429).header("retry-after", "61").body("slow"));
    process.provider.rule(of_key(3), ok());
    let expected = expect![[r#"
        error: none of the 3 keys can be used now: key 1 was refused by the provider, key 2 has no credit left, key 3 is rate limited (the provider said last: slow); the first is tried again in 61 seconds
    "#]];
    expected.assert_eq(&process.ask().await);
    assert_eq!(process.used(0), [1, 2, 3]);
    // The error has told it all.
    assert_eq!(process.session().take_notice(), None);
    process.later(2);
    let expected = expect![[r#"
        error: none of the 3 keys can be used now: key 1 was refused by the provider, key 2 has no credit left, key 3 is rate limited; the first is tried again in 59 seconds
    "#]];
    expected.assert_eq(&process.ask().await);
    assert_eq!(process.used(3), Vec::<usize>::new());
    process.later(59);
    assert_eq!((process.ask().await.as_str(), process.used(3)), (OK, vec![3]));
}

#[tokio::test]
async fn keys_that_are_all_refused_ask_for_other_keys() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), Reply::status(401).body(FAILED));
    process.provider.once(of_key(2), Reply::status(401).body(FAILED));
    process.provider.rule(|_| true, ok());
    let error = last_error(process.session().model.stream(hello())).await;
    assert_eq!(error.fault().kind, talaria::fault::Kind::Auth);
    assert!(error.to_string().ends_with("is tried again in 5 minutes"), "{error}");
    // Who authenticates again says that they are mended.
    process.http.try_all_keys();
    assert_eq!(process.ask().await, OK);
}

#[tokio::test]
async fn other_failures_stay_with_the_key() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), Reply::status(503).body(FAILED));
    process.provider.rule(|_| true, ok());
    assert_eq!((process.ask().await.as_str(), process.used(0)), (OK, vec![1, 1]));
    process.provider.finish();
}

#[tokio::test]
async fn nothing_is_asked_again_once_the_reply_has_begun() {
    let process = Process::with_keys(2).await;
    let error = json!({"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}});
    process.provider.rule(of_key(1), Reply::openai().text("I th").frame(error));
    let expect = expect![[r#"
        say "I th"
        error: the provider limits the rate of requests: slow down
    "#]];
    expect.assert_eq(&process.ask().await);
    assert_eq!(process.used(0), [1]);
}

#[tokio::test]
async fn a_request_that_waits_leaves_a_key_that_another_one_found_useless() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), limited(300));
    process.provider.rule(of_key(1), Reply::status(401).body(FAILED));
    let gate = Gate::new();
    process.provider.once(of_key(2), Reply::openai().gate(&gate).text("ok"));
    process.provider.rule(of_key(2), ok());
    let waiting = process.session();
    let mut sessions = tokio::task::JoinSet::new();
    sessions.spawn(async move { ask(&waiting).await });
    process.provider.arrived(1).await;
    for number in 2..=3 {
        let choice = process.session();
        sessions.spawn(async move { ask(&choice).await });
        process.provider.arrived(number).await;
    }
    gate.open();
    while let Some(answer) = sessions.join_next().await {
        assert_eq!(answer.unwrap(), OK);
    }
    // The first waits with key 1; the second takes key 2; the third tries key 1 and finds out.
    assert_eq!(process.used(0), [1, 2, 1, 2, 2]);
}

#[tokio::test]
async fn one_key_goes_by_the_table_and_is_asked_again_whatever_it_was() {
    let process = Process::with_keys(1).await;
    for status in [401, 402] {
        process.provider.once(|_| true, Reply::status(status).body(FAILED));
        assert!(process.ask().await.starts_with("error: the "), "{status}");
    }
    process.provider.rule(|_| true, ok());
    assert_eq!(process.ask().await, OK);
    assert_eq!(process.session().take_notice(), None);
}

#[tokio::test]
async fn no_key_of_the_pool_is_in_an_error() {
    let process = Process::with_keys(2).await;
    let echo = format!("neither {} nor {} is a key", KEYS[0], KEYS[1]);
    process.provider.rule(|_| true, Reply::status(401).body(echo));
    let answer = process.ask().await;
    assert!(answer.contains("neither (key) nor (key) is a key"), "{answer}");
}

async fn last_error(deltas: Deltas) -> ModelError {
    deltas.collect::<Vec<_>>().await.pop().unwrap().unwrap_err()
}
