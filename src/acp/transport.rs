//! Standard input and output as a channel of JSON-RPC frames, guarded: a line cap with bounded memory,
//! answers to bad lines (`frames`), back-pressure in both directions. Two plain threads
//! read and write, so that a blocked stream never holds the runtime up. It knows no method.

use std::io::{BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use agent_client_protocol::{Channel, RawJsonRpcMessage, RawJsonRpcResponse, TransportFrame};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::carried;
use super::frames::{self, Read as LineRead};
use super::lines::{Line, Lines, MAX_LINE};
use crate::control::extension;
use crate::log::{Direction, WireTrace};

/// Lines that were read and wait to be handled; above that the pipe itself pushes back.
const READ_AHEAD: usize = 4;
/// Lines that wait for the writer.
const WRITE_AHEAD: usize = 64;
/// Bytes that are written at once.
const WRITE_BATCH: usize = 64 * 1024;
/// Updates on their way to the client; whoever wants to send one more waits.
const UPDATES: usize = 256;
/// Short requests whose answers are not written yet; above that no more input is read.
const UNANSWERED: usize = 1024;
const STACK: usize = 256 * 1024;

/// What the rest of the process needs of the transport.
#[derive(Clone)]
pub(super) struct Wire {
    updates: Arc<Semaphore>,
    /// Updates that were sent beyond their permits.
    debt: Arc<AtomicUsize>,
    owed: Arc<Owed>,
    /// Fires when the client can no longer be reached.
    pub(super) broken: CancellationToken,
}

impl Wire {
    /// Waits until one more update may be sent; false when nobody reads any more.
    pub(super) async fn permit_update(&self) -> bool {
        match self.updates.acquire().await {
            Ok(permit) => {
                // Given back by the writing thread when the update is written.
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Says how many updates were sent for one permit; each gives one back when it is written.
    pub(super) fn took_permits(&self, updates: usize) {
        match updates.checked_sub(1) {
            None => self.updates.add_permits(1),
            Some(more) => {
                self.debt.fetch_add(more, Ordering::SeqCst);
            }
        }
    }

    /// Waits until one more update may be sent, and takes no place for it: who may hold one for long would
    /// keep it from all others. False when nobody reads any more.
    pub(super) async fn room(&self) -> bool {
        self.updates.acquire().await.is_ok()
    }

    /// Whether one more update may be sent now.
    pub(super) fn has_room(&self) -> bool {
        self.updates.available_permits() > 0
    }

    /// Says how many updates were sent without a permit. Several may find the same room; what they sent
    /// beyond it is paid back before there is room again.
    pub(super) fn took_room(&self, updates: usize) {
        let found = self.updates.forget_permits(updates);
        self.debt.fetch_add(updates.saturating_sub(found), Ordering::SeqCst);
    }

    /// A prompt is open until the guard is dropped: its answer may take for ever, so it is not one of
    /// the short requests that the reader waits for.
    pub(super) fn open_prompt(&self) -> OpenPrompt {
        self.owed.prompts.fetch_add(1, Ordering::SeqCst);
        self.owed.changed.notify_waiters();
        OpenPrompt { owed: self.owed.clone() }
    }

    /// How much of the debt `updates` written updates pay.
    fn settle(&self, updates: usize) -> usize {
        let take = |debt: usize| (debt > 0).then(|| debt.saturating_sub(updates));
        let owed = self.debt.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        owed.map_or(0, |debt| debt.min(updates))
    }
}

/// A prompt whose answer is not known yet.
pub(super) struct OpenPrompt {
    owed: Arc<Owed>,
}

impl Drop for OpenPrompt {
    fn drop(&mut self) {
        self.owed.prompts.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Requests that were read and whose answers are not written.
#[derive(Default)]
struct Owed {
    requests: AtomicUsize,
    prompts: AtomicUsize,
    changed: Notify,
}

impl Owed {
    async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            let short = self
                .requests
                .load(Ordering::SeqCst)
                .saturating_sub(self.prompts.load(Ordering::SeqCst));
            if short < UNANSWERED {
                return;
            }
            changed.await;
        }
    }

    fn answered(&self) {
        let _previous = self
            .requests
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| Some(owed.saturating_sub(1)));
        self.changed.notify_waiters();
    }
}

/// A line for the writer, and what to give back when it is written.
struct Written {
    text: String,
    kind: Sent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Update,
    Response,
    Other,
}

/// The two ends of a started transport.
pub(super) struct Transport {
    /// The end for the ACP connection.
    pub(super) channel: Channel,
    pub(super) wire: Wire,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// Resolves when the writer has written everything, after `outgoing` ended.
    pub(super) written: oneshot::Receiver<()>,
}

/// Starts the threads.
pub(super) fn start(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    trace: WireTrace,
) -> std::io::Result<Transport> {
    let wire = Wire {
        updates: Arc::new(Semaphore::new(UPDATES)),
        debt: Arc::default(),
        owed: Arc::default(),
        broken: CancellationToken::new(),
    };
    let (line_sender, lines) = mpsc::channel(READ_AHEAD);
    let (text_sender, texts) = mpsc::channel(WRITE_AHEAD);
    // Never joined: it may be blocked in a read until the process ends.
    let _reader: thread::JoinHandle<()> = thread::Builder::new()
        .name("stdin".to_owned())
        .stack_size(STACK)
        .spawn(move || read_lines(input, &line_sender))?;
    let (done, written) = oneshot::channel();
    let writer_wire = wire.clone();
    let _writer: thread::JoinHandle<()> =
        thread::Builder::new().name("stdout".to_owned()).stack_size(STACK).spawn(move || {
            write_lines(output, texts, &writer_wire);
            // Nobody waits when the process is ending for another reason.
            let _unheard = done.send(());
        })?;
    let (ours, channel) = Channel::duplex();
    let (frames_out, frames_in) = ours.into_parts();
    Ok(Transport {
        channel,
        incoming: Incoming {
            lines,
            frames: frames_in,
            replies: text_sender.clone(),
            owed: wire.owed.clone(),
            trace: trace.clone(),
        },
        outgoing: Outgoing { frames: frames_out, texts: text_sender, trace },
        wire,
        written,
    })
}

fn read_lines(input: impl Read, sender: &mpsc::Sender<Line>) {
    let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, input), MAX_LINE);
    loop {
        match lines.next_line() {
            Ok(Some(line)) => {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "standard input cannot be read");
                return;
            }
        }
    }
}

fn write_lines(mut output: impl Write, mut texts: mpsc::Receiver<Written>, wire: &Wire) {
    let mut batch = String::new();
    while let Some(first) = texts.blocking_recv() {
        let mut updates = 0;
        let mut responses = 0;
        let mut next = Some(first);
        while let Some(written) = next {
            batch.push_str(&written.text);
            batch.push('\n');
            match written.kind {
                Sent::Update => updates += 1,
                Sent::Response => responses += 1,
                Sent::Other => {}
            }
            next = if batch.len() < WRITE_BATCH { texts.try_recv().ok() } else { None };
        }
        if let Err(error) = output.write_all(batch.as_bytes()).and_then(|()| output.flush()) {
            tracing::info!(%error, "standard output is closed");
            wire.updates.close();
            wire.broken.cancel();
            return;
        }
        batch.clear();
        if batch.capacity() > 4 * WRITE_BATCH {
            batch = String::new();
        }
        wire.updates.add_permits(updates - wire.settle(updates));
        for _ in 0..responses {
            wire.owed.answered();
        }
    }
}

/// Lines that become frames.
pub(super) struct Incoming {
    lines: mpsc::Receiver<Line>,
    frames: UnboundedSender<TransportFrame>,
    replies: mpsc::Sender<Written>,
    owed: Arc<Owed>,
    trace: WireTrace,
}

impl Incoming {
    /// Hands lines over until input ends. The connection stays up until `self` is dropped, so that open
    /// requests can still be answered.
    pub(super) async fn pump(&mut self) {
        while let Some(line) = self.lines.recv().await {
            self.owed.room().await;
            if let Line::Text(text) = &line {
                self.trace.line(Direction::FromEditor, text);
            }
            match frames::read(line) {
                LineRead::Frame(frame) => {
                    if matches!(frame, TransportFrame::Single(RawJsonRpcMessage::Request(_))) {
                        self.owed.requests.fetch_add(1, Ordering::SeqCst);
                    }
                    if self.frames.unbounded_send(frame).is_err() {
                        return;
                    }
                }
                LineRead::Reply(reply) => {
                    let text = reply.to_string();
                    // Waits while the client does not read: bad lines cost no memory either.
                    if self.replies.send(Written { text, kind: Sent::Other }).await.is_err() {
                        return;
                    }
                }
                LineRead::Nothing => {}
            }
            // The connection takes this frame before the next line is read, so its inbox, which has no
            // bound of its own, holds one.
            tokio::task::yield_now().await;
        }
    }
}

/// Frames that become lines.
pub(super) struct Outgoing {
    frames: UnboundedReceiver<TransportFrame>,
    texts: mpsc::Sender<Written>,
    trace: WireTrace,
}

impl Outgoing {
    /// Hands frames over until the connection has ended and all are written or the client is gone.
    pub(super) async fn pump(mut self) {
        while let Some(frame) = self.frames.next().await {
            let TransportFrame::Single(mut message) = frame else { continue };
            let kind = kind_of(&message);
            let text = if let Some(line) = carried::take_line(&mut message) {
                line
            } else {
                hide_input(&mut message);
                match serde_json::to_string(&message) {
                    Ok(text) => text,
                    Err(error) => {
                        tracing::error!(%error, "a message could not be written as JSON");
                        continue;
                    }
                }
            };
            self.trace.line(Direction::ToEditor, &text);
            if self.texts.send(Written { text, kind }).await.is_err() {
                return;
            }
        }
    }
}

fn kind_of(message: &RawJsonRpcMessage) -> Sent {
    match message {
        RawJsonRpcMessage::Notification(notification)
            if [carried::UPDATE, extension::EVENT].contains(&&*notification.method) =>
        {
            Sent::Update
        }
        RawJsonRpcMessage::Response(_) => Sent::Response,
        RawJsonRpcMessage::Notification(_) | RawJsonRpcMessage::Request(_) => Sent::Other,
    }
}

/// Errors that the SDK makes of input carry that input; ours never have these codes with data.
fn hide_input(message: &mut RawJsonRpcMessage) {
    if let RawJsonRpcMessage::Response(RawJsonRpcResponse::Error { error, .. }) = message
        && [-32700, -32600].contains(&error.code)
    {
        error.data = agent_client_protocol::schema::MaybeUndefined::Undefined;
    }
}
