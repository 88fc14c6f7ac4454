//! A request as it arrived: nothing is decided or changed, and all text is borrowed.
//!
//! The edge serializes a request as one string, so that JavaScript passes it to WebAssembly once: the method, the URL,
//! and then each header's name and value, one per line. None of them can contain a line feed.

use std::net::IpAddr;

use memchr::{memchr, memchr_iter};
use serde::{Deserialize, Serialize};

use crate::http::problem::Rejection;

/// A client's request, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, as the client sent it.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, with the port if it is not the scheme's default.
    pub authority: &'a str,
    /// The path as the runtime resolved it.
    pub path: &'a str,
    /// The query with its `?`, or an empty string.
    pub query: &'a str,
    /// The headers, in the order of arrival.
    pub headers: Headers<'a>,
}

/// Header fields. Names are in lower case, as in the Fetch standard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(Vec<(&'a str, &'a str)>);

/// Headers as one text: names in lower case and values, one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderLines(pub String);

impl HeaderLines {
    /// Parses the lines.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::read(&self.0)
    }
}

impl<'a> Request<'a> {
    /// Parses a request that the edge serialized; `None` if it is malformed.
    #[must_use]
    pub fn read(serialized: &'a str) -> Option<Self> {
        let (method, rest) = serialized.split_once('\n')?;
        let (url, fields) = rest.split_once('\n').unwrap_or((rest, ""));
        let (scheme, rest) = url.split_once("://")?;
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let headers = Headers::read(fields);
        Some(Self { method, scheme, authority, path, query, headers })
    }

    /// Rejects the methods that the Fetch standard forbids (§2.2.1): they make a server send back the request, with its
    /// credentials and identity headers, or open a tunnel.
    ///
    /// # Errors
    /// [`Rejection::MethodNotSupported`].
    pub fn check_method(&self) -> Result<(), Rejection> {
        let is_forbidden = FORBIDDEN_METHODS.iter().any(|method| self.method.eq_ignore_ascii_case(method));
        if is_forbidden { Err(Rejection::MethodNotSupported) } else { Ok(()) }
    }

    /// Returns whether the method is safe (RFC 9110 §9.2.1). Unknown methods are not.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Returns whether the request asks for another protocol, such as a WebSocket.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.headers.value("upgrade").is_some()
    }

    /// Returns whether a person requests a page, by `GET` or `HEAD`: in a browser's navigation, or with a client
    /// without Fetch Metadata that accepts HTML.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        matches!(self.method, "GET" | "HEAD") && self.wants_page()
    }

    /// Like [`Request::is_navigation`], for any method: a form that a person submits counts, too.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        match self.headers.value("sec-fetch-mode") {
            _ if self.is_upgrade() => false,
            Some(mode) => mode == "navigate",
            None => self.headers.value("accept").is_some_and(|accept| accept.contains("text/html")),
        }
    }

    /// Returns whether the response may be one of the gateway's pages, also for a rejection: a person navigates. A
    /// client with a bearer token and without Fetch Metadata is a program: some HTTP libraries accept `text/html` by
    /// default.
    #[must_use]
    pub fn takes_page(&self) -> bool {
        self.wants_page() && (self.headers.value("sec-fetch-mode").is_some() || self.bearer().is_none())
    }

    /// Returns whether the response is embedded in another page.
    #[must_use]
    pub fn is_framed(&self) -> bool {
        let dest = self.headers.value("sec-fetch-dest");
        matches!(dest, Some("iframe" | "frame" | "object" | "embed" | "fencedframe"))
    }

    /// Returns the token of `Authorization: Bearer` (RFC 6750 §2.1). The scheme is case-insensitive (RFC 9110 §11.1).
    #[must_use]
    pub fn bearer(&self) -> Option<&'a str> {
        let (scheme, token) = self.headers.value("authorization")?.split_once(' ')?;
        let token = token.trim_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }

    /// Returns whether `Authorization` may have several credentials: repeated headers arrive joined by a comma.
    #[must_use]
    pub fn has_several_credentials(&self) -> bool {
        self.headers.value("authorization").is_some_and(|value| value.contains(','))
    }

    /// Returns the group of clients that a limit by address counts together: the address that the platform saw
    /// (`CF-Connecting-IP`), for IPv6 its /64. Addresses that the client claims do not count.
    #[must_use]
    pub fn client_group(&self) -> String {
        match self.client_address() {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("{:x}/64", address.to_bits() >> 64),
            None => "nowhere".to_owned(),
        }
    }

    /// Returns the client's address that the platform saw (`CF-Connecting-IP`). An IPv4 address that is written as IPv6
    /// is returned as IPv4.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        let address: IpAddr = self.headers.value("cf-connecting-ip")?.parse().ok()?;
        Some(address.to_canonical())
    }

    /// Returns a parameter of the query, form-decoded; the first if there are several.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.query.strip_prefix('?').unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }
}

impl<'a> Headers<'a> {
    /// Parses names and values, one per line.
    #[must_use]
    pub fn read(fields: &'a str) -> Self {
        let lines = memchr_iter(b'\n', fields.as_bytes()).count();
        let mut headers = Vec::with_capacity(lines.div_ceil(2));
        let mut rest = fields;
        // On this text, the longest of every request, memchr is several times faster than the search of `str`.
        while let Some((name, after)) = memchr(b'\n', rest.as_bytes()).and_then(|at| cut(rest, at)) {
            let end = memchr(b'\n', after.as_bytes());
            let (value, next) = end.and_then(|at| cut(after, at)).unwrap_or((after, ""));
            headers.push((name, value));
            rest = next;
        }
        Self(headers)
    }

    /// Returns the value of a name in lower case. The runtime joins repeated fields to one value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Iterates over names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.0.iter().copied()
    }
}

/// Methods that workerd accepts (it answers 501 to others) and that the Fetch standard does not forbid.
pub const SUPPORTED_METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "PURGE",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "MSEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "QUERY",
];

/// Methods that never reach upstream, in upper or lower case.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// Returns the text before and after the byte at `at`.
fn cut(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_a_serialized_request() {
        let request = Request::read("QUERY\nhttps://a.example:8443/p/q?x=1&x=2#f\nhost\na\ncookie\n\nx-y\nz")
            .expect("a request");
        assert_eq!(request.method, "QUERY");
        assert_eq!((request.scheme, request.authority), ("https", "a.example:8443"));
        assert_eq!((request.path, request.query), ("/p/q", "?x=1&x=2"));
        assert_eq!(request.headers.value("cookie"), Some(""));
        assert_eq!(request.headers.value("x-y"), Some("z"));
        assert_eq!(request.headers.value("missing"), None);
        assert_eq!(request.parameter("x").as_deref(), Some("1"));
        assert!(!request.is_safe());
    }

    #[test]
    fn recognizes_navigations() {
        for (serialized, want) in [
            ("GET\nhttp://h/\nsec-fetch-mode\nnavigate", true),
            ("HEAD\nhttp://h/\nsec-fetch-mode\nnavigate", true),
            ("POST\nhttp://h/\nsec-fetch-mode\nnavigate", false),
            ("GET\nhttp://h/\nsec-fetch-mode\ncors\naccept\ntext/html", false),
            ("GET\nhttp://h/\naccept\ntext/html,*/*;q=0.1", true),
            ("GET\nhttp://h/\naccept\n*/*", false),
            ("GET\nhttp://h/", false),
            ("GET\nhttp://h/\naccept\ntext/html\nupgrade\nwebsocket", false),
        ] {
            assert_eq!(Request::read(serialized).map(|r| r.is_navigation()), Some(want), "{serialized}");
        }
    }

    #[test]
    fn offers_pages_only_to_people() {
        for (serialized, want) in [
            ("GET\nhttp://h/\nsec-fetch-mode\nnavigate", true),
            ("POST\nhttp://h/\nsec-fetch-mode\nnavigate", true),
            ("GET\nhttp://h/\nsec-fetch-mode\nnavigate\nauthorization\nBearer x", true),
            ("GET\nhttp://h/\nsec-fetch-mode\nnavigate\nauthorization\nBasic x", true),
            ("POST\nhttp://h/\naccept\ntext/html", true),
            ("GET\nhttp://h/\naccept\ntext/html\nauthorization\nBearer x", false),
            ("POST\nhttp://h/\naccept\ntext/html\nauthorization\nBearer x", false),
            ("GET\nhttp://h/\nsec-fetch-mode\ncors\naccept\ntext/html", false),
            ("POST\nhttp://h/\nsec-fetch-mode\nsame-origin\naccept\ntext/html", false),
            ("GET\nhttp://h/\nsec-fetch-mode\nnavigate\nupgrade\nwebsocket", false),
            ("GET\nhttp://h/\naccept\napplication/json", false),
        ] {
            assert_eq!(Request::read(serialized).map(|r| r.takes_page()), Some(want), "{serialized}");
        }
    }

    #[test]
    fn groups_clients_by_address() {
        for (address, want) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "20010db800010002/64"),
            ("2001:db8:1:2:ffff::1", "20010db800010002/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, 10.0.0.1", "nowhere"),
            ("", "nowhere"),
        ] {
            let serialized =
                format!("GET\nhttp://h/\nx-forwarded-for\n10.0.0.1\ncf-connecting-ip\n{address}");
            let group = Request::read(&serialized).map(|request| request.client_group());
            let found = group.expect("a request");
            assert_eq!(found.trim_start_matches('0'), want.trim_start_matches('0'), "{address}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(serialized in any::<String>()) {
            let _ = Request::read(&serialized);
        }
    }
}
