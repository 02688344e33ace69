//! Trying again: which errors are worth another try, when, and a stream that does it unseen as long
//! as nothing of the reply was yielded. It knows no keys; `pool` does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use tokio::time::{Instant, Sleep};

use super::{Delta, Deltas, ModelError};

/// The longest wait that a provider may ask for and get.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// After this long nothing is tried again, whatever failed.
const LONGEST_STORY: Duration = Duration::from_mins(5);

/// How long to wait before the next try, or `None` to give up. `tries` counts those that failed, this
/// one included; `elapsed` is the time since the first began.
pub fn next(error: &ModelError, tries: u32, elapsed: Duration) -> Option<Duration> {
    if elapsed > LONGEST_STORY {
        return None;
    }
    match error {
        ModelError::RateLimited { after: Some(after), .. }
        | ModelError::Overloaded { after: Some(after), .. } => {
            (tries == 1 && *after <= LONGEST_WAIT).then_some(*after)
        }
        ModelError::RateLimited { after: None, .. } => step(&[1000, 2000], tries),
        ModelError::Overloaded { after: None, .. } | ModelError::TimedOut { .. } => {
            step(&[500, 1000], tries)
        }
        ModelError::Unreachable { .. } => step(&[300], tries),
        ModelError::ContextFull { .. }
        | ModelError::Auth { .. }
        | ModelError::Payment { .. }
        | ModelError::UnknownModel { .. }
        | ModelError::WrongAddress { .. }
        | ModelError::Refused { .. }
        | ModelError::Dropped { .. }
        | ModelError::Rejected { .. }
        | ModelError::Malformed { .. }
        | ModelError::NoKey { .. } => None,
    }
}

fn step(waits: &[u64], tries: u32) -> Option<Duration> {
    let at = usize::try_from(tries).ok()?.checked_sub(1)?;
    waits.get(at).copied().map(Duration::from_millis)
}

/// One request, told how its tries go. It says when the next one begins.
pub(super) trait Tries: Send + Unpin {
    /// Begins the next try.
    fn open(&mut self) -> Result<Deltas, ModelError>;

    /// The try failed before anything of the reply was yielded, `elapsed` after the first began: how long
    /// to wait before the next, or the error to give up with.
    fn failed(&mut self, error: ModelError, elapsed: Duration) -> Result<Duration, ModelError>;

    /// The reply has begun.
    fn answered(&mut self) {}
}

/// The stream that `open` makes, made again after an error that another try may mend. `open` is told
/// which try it is, from 1, and is first called when the stream is first polled. The log is told what
/// failed for good, and that it did so at `place`.
pub(super) fn stream(
    place: impl Into<String>,
    open: impl FnMut(u32) -> Deltas + Send + Unpin + 'static,
) -> Deltas {
    stream_of(place, Counted { open, tries: 0 })
}

/// The same by rules of the caller's.
pub(super) fn stream_of(place: impl Into<String>, tries: impl Tries + 'static) -> Deltas {
    let place = place.into();
    Box::pin(Retried { place, tries, state: State::Idle, count: 0, began: None, yielded: false })
}

/// Tries by the table.
struct Counted<F> {
    open: F,
    tries: u32,
}

impl<F: FnMut(u32) -> Deltas + Send + Unpin> Tries for Counted<F> {
    fn open(&mut self) -> Result<Deltas, ModelError> {
        self.tries += 1;
        Ok((self.open)(self.tries))
    }

    fn failed(&mut self, error: ModelError, elapsed: Duration) -> Result<Duration, ModelError> {
        next(&error, self.tries, elapsed).ok_or(error)
    }
}

struct Retried<T> {
    place: String,
    tries: T,
    state: State,
    count: u32,
    began: Option<Instant>,
    yielded: bool,
}

enum State {
    Idle,
    Streaming(Deltas),
    Waiting(Pin<Box<Sleep>>),
    Over,
}

impl<T: Tries> Retried<T> {
    fn give_up(&mut self, error: ModelError) -> Poll<Option<Result<Delta, ModelError>>> {
        let (place, tries) = (&self.place, self.count);
        tracing::warn!(place, tries, %error, "a request to the model failed");
        self.state = State::Over;
        Poll::Ready(Some(Err(error)))
    }
}

impl<T: Tries> Stream for Retried<T> {
    type Item = Result<Delta, ModelError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Idle => match this.tries.open() {
                    Ok(deltas) => {
                        this.count += 1;
                        this.state = State::Streaming(deltas);
                    }
                    Err(error) => return this.give_up(error),
                },
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    this.state = State::Idle;
                }
                State::Streaming(deltas) => {
                    let began = *this.began.get_or_insert_with(Instant::now);
                    match ready!(deltas.as_mut().poll_next(context)) {
                        Some(Ok(delta)) => {
                            if !this.yielded {
                                this.yielded = true;
                                this.tries.answered();
                            }
                            return Poll::Ready(Some(Ok(delta)));
                        }
                        Some(Err(error)) if this.yielded => return this.give_up(error),
                        Some(Err(error)) => {
                            let why = error.to_string();
                            match this.tries.failed(error, began.elapsed()) {
                                Ok(wait) => {
                                    let tries = this.count;
                                    tracing::info!(
                                        error = why,
                                        tries,
                                        ?wait,
                                        "trying the model again"
                                    );
                                    this.state = State::Waiting(Box::pin(tokio::time::sleep(wait)));
                                }
                                Err(error) => return this.give_up(error),
                            }
                        }
                        None => {
                            this.state = State::Over;
                            return Poll::Ready(None);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};
    use std::sync::{Arc, Mutex};

    use expect_test::expect;
    use futures::StreamExt;

    use super::*;

    fn limited(after: Option<u64>) -> ModelError {
        ModelError::RateLimited { after: after.map(Duration::from_secs), message: String::new() }
    }

    fn text(text: &str) -> Delta {
        Delta::Text(text.to_owned())
    }

    #[test]
    fn the_table_of_waits() {
        let message = String::new;
        let errors = [
            limited(None),
            limited(Some(5)),
            limited(Some(61)),
            ModelError::Overloaded { status: 529, after: None, message: message() },
            ModelError::Overloaded {
                status: 503,
                after: Some(Duration::from_secs(5)),
                message: message(),
            },
            ModelError::TimedOut { after: Duration::from_mins(2) },
            ModelError::Unreachable { message: message() },
            ModelError::Dropped { message: message() },
            ModelError::Auth { message: message() },
            ModelError::ContextFull { message: message() },
        ];
        let mut table = String::new();
        for error in &errors {
            let waits = [1, 2, 3].map(|tries| match next(error, tries, Duration::ZERO) {
                Some(wait) => format!("{wait:?}"),
                None => "-".to_owned(),
            });
            let name = format!("{error:?}");
            let name = name.split(' ').next().unwrap_or_default();
            table.extend([name, ": ", &waits.join(" "), "\n"]);
            assert_eq!(next(error, 1, Duration::from_secs(301)), None);
        }
        expect![[r#"
            RateLimited: 1s 2s -
            RateLimited: 5s - -
            RateLimited: - - -
            Overloaded: 500ms 1s -
            Overloaded: 5s - -
            TimedOut: 500ms 1s -
            Unreachable: 300ms - -
            Dropped: - - -
            Auth: - - -
            ContextFull: - - -
        "#]]
        .assert_eq(&table);
    }

    /// Plays one list of deltas for each try; answers what came, how many tries there were, and how long
    /// it took.
    async fn play(
        tries: Vec<Vec<Result<Delta, ModelError>>>,
    ) -> (Vec<Result<Delta, ModelError>>, u32, Duration) {
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        let mut tries = tries.into_iter();
        let deltas = stream("the test", move |number| {
            *counted.lock().unwrap() = number;
            Box::pin(futures::stream::iter(tries.next().unwrap_or_default()))
        });
        let began = Instant::now();
        let deltas = deltas.collect().await;
        let count = *count.lock().unwrap();
        (deltas, count, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_try_is_unseen() {
        let played =
            play(vec![vec![Err(limited(Some(7)))], vec![Ok(text("a")), Ok(text("b"))]]).await;
        assert_eq!(played, (vec![Ok(text("a")), Ok(text("b"))], 2, Duration::from_secs(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_is_told() {
        let failed = || vec![Err(limited(None))];
        let played = play(vec![failed(), failed(), failed(), vec![Ok(text("late"))]]).await;
        assert_eq!(played, (failed(), 3, Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_has_what_failed_for_good_once() {
        let mut file = tempfile::tempfile().unwrap();
        let lines = tracing_subscriber::fmt()
            .with_writer(file.try_clone().unwrap())
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .finish();
        let guard = tracing::subscriber::set_default(lines);
        let rejected = ModelError::Rejected { status: 418, message: "a teapot".to_owned() };
        play(vec![vec![Err(limited(None))], vec![Err(rejected)]]).await;
        drop(guard);
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("a request to the model failed"), "{text}");
        assert!(text.contains("the test") && text.contains("(status 418): a teapot"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_tried_again_once_something_was_yielded() {
        let broken = || vec![Ok(text("a")), Err(limited(None))];
        let played = play(vec![broken(), vec![Ok(text("b"))]]).await;
        assert_eq!(played, (broken(), 1, Duration::ZERO));
    }
}
