//! What went wrong, from `genai`'s errors and the provider's words: short, on one line, without keys.

use std::sync::Arc;
use std::time::Duration;

use genai::webc::StreamTimeout;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use super::endpoint::Endpoint;
use super::frames::Trouble;
use super::{HEADER_TIMEOUT, READ_TIMEOUT};
use crate::model::ModelError;
use crate::model::failure::{self, Failure};

/// So long may a provider's words be.
const LONGEST_MESSAGE: usize = 300;

/// Whether the connection failed, as opposed to what came over it. The stream has ended then.
pub(super) fn is_transport(error: &genai::Error) -> bool {
    matches!(error, genai::Error::WebStream { .. })
}

/// Makes errors for one request.
pub(super) struct Translator {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) model: String,
    /// Which proxy the environment names for the server.
    pub(super) proxy: Option<String>,
}

impl Translator {
    pub(super) fn error(&self, error: &genai::Error) -> ModelError {
        let genai::Error::WebStream { error: cause, .. } = error else {
            return ModelError::Malformed { message: self.clean(&error.to_string()) };
        };
        if let Some(timeout) = cause.downcast_ref::<StreamTimeout>() {
            return ModelError::TimedOut {
                after: match timeout {
                    StreamTimeout::Headers => HEADER_TIMEOUT,
                    StreamTimeout::Read => READ_TIMEOUT,
                },
            };
        }
        if let Some(genai::Error::HttpError { status, body, headers, .. }) =
            cause.downcast_ref::<genai::Error>()
        {
            return self.http(status.as_u16(), body, headers);
        }
        match cause.downcast_ref::<reqwest::Error>() {
            Some(error) if error.is_connect() || error.is_request() => {
                let proxy = self.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}"));
                let (host, proxy) = (self.endpoint.host(), proxy.unwrap_or_default());
                let message = format!("{host}{proxy}: {}", innermost(error));
                ModelError::Unreachable { message: self.clean(&message) }
            }
            Some(error) => ModelError::Dropped { message: self.clean(&innermost(error)) },
            None => ModelError::Malformed { message: self.clean(&cause.to_string()) },
        }
    }

    /// The connection ended in order, and too early.
    pub(super) fn cut() -> ModelError {
        ModelError::Dropped { message: "the connection ended before the reply did".to_owned() }
    }

    /// An answer without a single event of the dialect.
    pub(super) fn nothing(&self) -> ModelError {
        let message = format!(
            "{} answered without any event of a chat; it may speak another dialect, or have sent one whole \
             answer or error where a stream was asked for",
            self.endpoint.host()
        );
        ModelError::Malformed { message }
    }

    /// What the provider said in the stream itself.
    pub(super) fn trouble(&self, trouble: Trouble) -> ModelError {
        match trouble {
            Trouble::Unreadable(message) => ModelError::Malformed { message: self.clean(&message) },
            Trouble::Said(body) => {
                let said = Said::of(&body);
                let status = said.status.or_else(|| failure::status_of(&said.kind)).unwrap_or(500);
                self.failure(status, None, said)
            }
        }
    }

    fn http(&self, status: u16, body: &str, headers: &HeaderMap) -> ModelError {
        let said = match serde_json::from_str::<Value>(body) {
            _ if (300..400).contains(&status) => Said::text(self.redirect(headers)),
            Ok(body) => Said::of(&body),
            Err(_) => Said::text(page(body).unwrap_or_else(|| body.to_owned())),
        };
        self.failure(status, retry_after(headers), said)
    }

    fn redirect(&self, headers: &HeaderMap) -> String {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        match location.and_then(|location| self.endpoint.public_redirect(location)) {
            Some(location) => format!("it redirects to `{location}`"),
            None => "it redirects without saying where".to_owned(),
        }
    }

    fn failure(&self, status: u16, after: Option<Duration>, said: Said) -> ModelError {
        let is_of_provider = said.is_of_provider(&self.model);
        let message = self.clean(&said.message);
        let message = if message.is_empty() {
            format!("no reason given by {}", self.endpoint.host())
        } else {
            message
        };
        failure::error(Failure {
            status,
            after,
            kind: said.kind,
            message,
            model: self.model.clone(),
            is_of_provider,
            address: self.endpoint.public_url(),
        })
    }

    /// On one line, short, and without the keys, which some providers repeat.
    fn clean(&self, text: &str) -> String {
        let keys = self.endpoint.keys.iter().map(|key| key.reveal().trim());
        let text = keys
            .filter(|key| !key.is_empty())
            .fold(text.to_owned(), |text, key| text.replace(key, "(key)"));
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= LONGEST_MESSAGE {
            return line;
        }
        line.chars().take(LONGEST_MESSAGE - 1).chain(['…']).collect()
    }
}

/// A provider's error body, in the shapes that are around.
struct Said {
    /// Its type and code, for the mapping.
    kind: String,
    status: Option<u16>,
    message: String,
    /// Whether it has the shape of both dialects: an object `error` with a message.
    is_shaped: bool,
}

impl Said {
    fn of(body: &Value) -> Self {
        // Gemini's compatible endpoint wraps the object into an array.
        let body = body.get(0).unwrap_or(body);
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let text =
            |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let status = ["code", "status"]
            .iter()
            .find_map(|name| error.get(name)?.as_u64())
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (400..600).contains(status));
        let kind = ["type", "code", "status"].iter().filter_map(|name| text(error, name));
        let message = error
            .as_str()
            .map(str::to_owned)
            .or_else(|| ["message", "detail", "error"].iter().find_map(|name| text(error, name)))
            .or_else(|| text(body, "message"))
            .unwrap_or_else(|| body.to_string());
        let is_shaped = body.pointer("/error/message").is_some_and(Value::is_string);
        Self { kind: kind.collect::<Vec<_>>().join(" "), status, message, is_shaped }
    }

    fn text(message: String) -> Self {
        Self { kind: String::new(), status: None, message, is_shaped: false }
    }

    /// Whether this is about a model, as opposed to a server that has no such path.
    fn is_of_provider(&self, model: &str) -> bool {
        let text = format!("{} {}", self.kind, self.message).to_lowercase();
        let names_model = text.contains("model") || text.contains(&model.to_lowercase());
        names_model || self.is_shaped && !text.contains("invalid url")
    }
}

/// What an HTML page is called, if it is one.
fn page(body: &str) -> Option<String> {
    let lower = body.trim_start().to_ascii_lowercase();
    if !lower.starts_with("<!doctype html") && !lower.starts_with("<html") {
        return None;
    }
    let body = body.trim_start();
    let title = lower.find("<title").zip(lower.find("</title")).and_then(|(from, to)| {
        let (_, title) = body.get(from..to)?.split_once('>')?;
        let title = title.trim();
        (!title.is_empty()).then(|| title.to_owned())
    });
    Some(title.unwrap_or_else(|| "an HTML page".to_owned()))
}

/// The last cause of an error: the words of the system, such as "connection refused".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// How long the provider asks to wait: seconds, or a date that is compared with the answer's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) =
        text("retry-after-ms".parse().ok()?).and_then(|text| text.parse::<f64>().ok())
    {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (then, now) = (http_date(after)?, http_date(text(DATE)?)?);
    Some(Duration::from_secs(then.saturating_sub(now)))
}

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split([' ', ':']);
    let mut word = || words.next();
    let day: u64 = word()?.parse().ok()?;
    let name = word()?;
    let month = u64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let year: u64 = word()?.parse().ok()?;
    let (hour, minute, second): (u64, u64, u64) =
        (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    // Days before the month, counted from March so that the leap day is a year's last.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_seconds() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(http_date("soon"), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<u64>| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(retry_after(&headers), expected.map(Duration::from_millis), "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "2")], Some(2000));
        check(&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1500));
        let now = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), now], Some(3000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], None);
        check(&[("retry-after", "-1")], None);
    }
}
