//! Where a provider's API begins, which dialect it speaks, and the keys for it.

use std::net::IpAddr;

use reqwest::Url;

use crate::config::{ProviderKind, Secret};
use crate::fault::{Fault, Kind};

/// One way to reach a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub kind: ProviderKind,
    /// Its path ends with `/`.
    pub base_url: String,
    /// Each request uses one of them. Local servers need none.
    pub keys: Vec<Secret>,
}

impl Endpoint {
    /// The provider's own address.
    pub fn official(kind: ProviderKind, keys: impl IntoIterator<Item = Secret>) -> Self {
        let base_url = match kind {
            ProviderKind::Openai => "https://api.openai.com/v1/",
            ProviderKind::Anthropic => "https://api.anthropic.com/v1/",
        };
        Self { kind, base_url: base_url.to_owned(), keys: keys.into_iter().collect() }
    }

    /// An address as a user writes it: the scheme, the version and the last `/` may be missing, and
    /// the path of the chat endpoint may be there.
    pub fn at(
        kind: ProviderKind,
        address: &str,
        keys: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, Fault> {
        let fault = |reason: String| {
            Fault::new(
                Kind::Config,
                format!("the address of the provider cannot be used: {reason}"),
            )
            .with_hint("Set `TALARIA_BASE_URL` to an address such as `http://127.0.0.1:8080/v1/`.")
        };
        let address = address.trim();
        let address =
            if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let mut url = Url::parse(&address).map_err(|error| fault(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fault(format!("`{}` is not `http` or `https`", url.scheme())));
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/chat/completions").unwrap_or(path);
        let path = path.strip_suffix("/messages").unwrap_or(path);
        let has_version = path.rsplit('/').next().is_some_and(is_version);
        let path = match kind {
            _ if path.is_empty() => "/v1/".to_owned(),
            // The convention for this dialect's base address leaves the version out.
            ProviderKind::Anthropic if !has_version => format!("{path}/v1/"),
            ProviderKind::Openai | ProviderKind::Anthropic => format!("{path}/"),
        };
        url.set_path(&path);
        Ok(Self { kind, base_url: url.into(), keys: keys.into_iter().collect() })
    }

    /// The whole address that requests go to.
    pub(super) fn chat_url(&self) -> String {
        let path = match self.kind {
            ProviderKind::Openai => "chat/completions",
            ProviderKind::Anthropic => "messages",
        };
        // Some servers want a query behind it.
        let Ok(mut url) = Url::parse(&self.base_url) else { return self.base_url.clone() };
        let path = format!("{}{path}", url.path());
        url.set_path(&path);
        url.into()
    }

    /// Whether this is the dialect's first server, which takes fields that other servers stumble over.
    pub(super) fn is_openai(&self) -> bool {
        self.base_url.starts_with("https://api.openai.com/")
    }

    /// Whether this is one of the two dialects' own servers.
    pub(super) fn is_official(&self) -> bool {
        self.is_openai() || self.base_url.starts_with("https://api.anthropic.com/")
    }

    /// Where requests go, for a message: no query, no credentials.
    pub(super) fn public_url(&self) -> String {
        Url::parse(&self.chat_url()).map_or_else(|_| String::new(), |url| public(&url))
    }

    /// Where a redirect goes, for a message: no query, no credentials.
    pub(super) fn public_redirect(&self, location: &str) -> Option<String> {
        let url = Url::parse(&self.chat_url()).ok()?.join(location).ok()?;
        Some(public(&url))
    }

    /// Whether the server is on this machine, where no proxy leads to.
    pub(super) fn is_loopback(&self) -> bool {
        let Ok(url) = Url::parse(&self.base_url) else { return false };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_name = host == "localhost" || host.ends_with(".localhost");
        is_name || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The address for a message: no path, no credentials.
    pub(super) fn host(&self) -> String {
        Url::parse(&self.base_url)
            .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }
}

fn public(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// `v1`, `v1beta`, …
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_messages_hold_no_secrets() {
        let at = |address| Endpoint::at(ProviderKind::Openai, address, None).unwrap();
        let endpoint = at("http://user:pw@host:81/a/v1/?key=k");
        assert_eq!(endpoint.public_url(), "http://host:81/a/v1/chat/completions");
        let to = |location| endpoint.public_redirect(location);
        assert_eq!(to("/login?next=k#x").as_deref(), Some("http://host:81/login"));
        assert_eq!(to("https://u:p@other/").as_deref(), Some("https://other/"));
        for (address, expected) in [
            ("http://localhost:1", true),
            ("127.5.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(at(address).is_loopback(), expected, "{address}");
        }
    }

    #[test]
    fn the_two_official_servers_are_known_however_they_are_set() {
        let is_official =
            |address| Endpoint::at(ProviderKind::Openai, address, None).unwrap().is_official();
        assert!(is_official("https://api.openai.com"));
        assert!(is_official("https://api.anthropic.com/v1/"));
        assert!(!is_official("https://api.openai.com.example/v1"));
        assert!(!is_official("http://127.0.0.1:8080/api.openai.com/"));
        for kind in [ProviderKind::Openai, ProviderKind::Anthropic] {
            assert!(Endpoint::official(kind, [Secret::new("k")]).is_official());
        }
    }

    #[test]
    fn addresses_are_completed() {
        let at = |kind, address: &str| {
            Endpoint::at(kind, address, None).map(|endpoint| endpoint.base_url)
        };
        for (address, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/"),
            ("127.0.0.1:8080/", "http://127.0.0.1:8080/v1/"),
            ("localhost:8080/v1", "http://localhost:8080/v1/"),
            ("https://host/openai/", "https://host/openai/"),
            ("https://host/v1/chat/completions", "https://host/v1/"),
        ] {
            assert_eq!(at(ProviderKind::Openai, address).as_deref(), Ok(expected), "{address}");
        }
        for (address, expected) in [
            ("https://api.anthropic.com", "https://api.anthropic.com/v1/"),
            ("https://host/anthropic", "https://host/anthropic/v1/"),
            ("https://host/anthropic/v1/messages", "https://host/anthropic/v1/"),
        ] {
            assert_eq!(at(ProviderKind::Anthropic, address).as_deref(), Ok(expected), "{address}");
        }
        assert_eq!(
            at(ProviderKind::Openai, "ftp://host").map_err(|fault| fault.kind),
            Err(Kind::Config)
        );
        assert_eq!(at(ProviderKind::Openai, "").map_err(|fault| fault.kind), Err(Kind::Config));
    }
}
