//! Models behind HTTP. The crate `genai` writes the requests and carries them; the events of the answer
//! are read from its raw frames, because its own reading of them loses replies that are fine (see
//! `frames`). No type of `genai` leaves this folder.

mod encode;
mod endpoint;
mod errors;
mod frames;
mod http;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use genai::chat::ChatStream;

use super::pool::{Keys, Rotation};
use super::{Delta, Deltas, ModelError, Request, retry, text_calls};
use crate::config::Secret;
use encode::Ask;
pub use endpoint::Endpoint;
use errors::Translator;
use frames::Decoder;
pub use http::HttpClient;

/// How long a provider may take until it begins to answer.
const HEADER_TIMEOUT: Duration = Duration::from_mins(2);

/// How long a provider may be silent within an answer.
const READ_TIMEOUT: Duration = Duration::from_mins(5);

/// A provider's endpoint with the client that reaches it. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    endpoint: Arc<Endpoint>,
    http: HttpClient,
    keys: Keys,
}

impl Provider {
    pub fn new(endpoint: Endpoint, http: HttpClient) -> Self {
        let place = (endpoint.kind, endpoint.base_url.as_str());
        let keys = http.pools().keys(place, &endpoint.keys, endpoint.host());
        Self { endpoint: Arc::new(endpoint), http, keys }
    }

    /// The same for another conversation, which may go on with other keys.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { keys: self.keys.apart(), ..self.clone() }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn stream(&self, request: Request) -> Deltas {
        let tools = request.tools.clone();
        let request = Arc::new(request);
        let provider = self.clone();
        let model = request.model.clone();
        let rotation = Rotation::new(self.keys.clone(), &model, move |key: Option<&Secret>| {
            let (provider, request, key) = (provider.clone(), request.clone(), key.cloned());
            futures::stream::once(async move { provider.open(&request, key.as_ref()).await })
                .try_flatten()
                .boxed()
        });
        let deltas = retry::stream_of(self.endpoint.host(), rotation);
        // Their models make real calls: what they write as one is an example.
        if self.endpoint.is_official() { deltas } else { text_calls::stream(deltas, tools) }
    }

    /// One try. Nothing is sent before the result is polled.
    async fn open(&self, request: &Request, key: Option<&Secret>) -> Result<Reading, ModelError> {
        let errors = Translator {
            endpoint: self.endpoint.clone(),
            model: request.model.clone(),
            proxy: self.http.proxy(&self.endpoint),
        };
        let client = self.http.client().await.ok_or_else(|| ModelError::Unreachable {
            message: "the HTTP client could not be made".to_owned(),
        })?;
        let decoder = Arc::new(Mutex::new(Decoder::new(self.endpoint.kind)));
        let sink = decoder.clone();
        let Ask { target, chat, options } = encode::ask(&self.endpoint, key, request);
        let options = options
            .with_stream_header_timeout(HEADER_TIMEOUT)
            .with_stream_read_timeout(READ_TIMEOUT)
            .with_raw_frame_fn(move |_, frame| {
                tracing::trace!(target: "talaria::model::frames", data = frame.data);
                sink.lock().unwrap_or_else(PoisonError::into_inner).frame(frame.event, frame.data);
            });
        let response = client
            .exec_chat_stream(target, chat, Some(&options))
            .await
            .map_err(|error| errors.error(&error))?;
        Ok(Reading {
            events: Some(response.stream),
            decoder,
            errors,
            ready: VecDeque::new(),
            failure: None,
        })
    }
}

/// A reply as it arrives. `genai` is polled for its effect: it hands each frame to the decoder.
struct Reading {
    /// `None` once nothing more is wanted; dropping it closes the connection.
    events: Option<ChatStream>,
    decoder: Arc<Mutex<Decoder>>,
    errors: Translator,
    ready: VecDeque<Delta>,
    failure: Option<ModelError>,
}

impl Stream for Reading {
    type Item = Result<Delta, ModelError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(delta) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(delta)));
            }
            if let Some(error) = this.failure.take() {
                this.events = None;
                return Poll::Ready(Some(Err(error)));
            }
            let Some(events) = &mut this.events else { return Poll::Ready(None) };
            match ready!(events.poll_next_unpin(context)) {
                Some(Err(error)) if errors::is_transport(&error) => {
                    this.take();
                    this.close(|errors, _| errors.error(&error));
                }
                // Also where `genai` could not read a frame: the decoder has seen it, too, and decides.
                Some(Ok(_) | Err(_)) => this.take(),
                None => {
                    this.take();
                    this.close(|errors, decoder| {
                        if decoder.is_empty() { errors.nothing() } else { Translator::cut() }
                    });
                }
            }
        }
    }
}

impl Reading {
    /// Takes over what the decoder has read.
    fn take(&mut self) {
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut self.ready, decoder.ready());
        if let Some(trouble) = decoder.trouble() {
            self.failure = Some(self.errors.trouble(trouble));
        } else if decoder.is_over() {
            self.ready.push_back(Delta::End(decoder.reply()));
            self.events = None;
        }
    }

    /// The connection has ended: if the provider had said why the reply ends, it is whole.
    fn close(&mut self, error: impl FnOnce(&Translator, &Decoder) -> ModelError) {
        if self.events.take().is_none() || self.failure.is_some() {
            return;
        }
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        if decoder.is_whole() {
            self.ready.push_back(Delta::End(decoder.reply()));
        } else {
            self.failure = Some(error(&self.errors, &decoder));
        }
    }
}
