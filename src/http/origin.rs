//! Origins (RFC 6454): scheme, host and port, in their one canonical form.
//!
//! An [`Origin`] is compared as a whole, byte for byte, with the origin that a browser sends: no wildcard, no suffix.

use std::fmt;

use url::Url;

/// An origin as the WHATWG URL Standard serialises it: `http` or `https`, a host, and a port unless it is the default
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    text: String,
    scheme_end: usize,
}

impl Origin {
    /// Parses an origin in canonical form (`https://app.example.com`).
    ///
    /// # Errors
    /// A message that says what was expected, if the text is not an origin or not in canonical form.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("expected an origin without user name and password".to_owned());
        }
        let not_an_origin = || format!("expected an origin like \"https://app.example.com\", found {text:?}");
        let url = Url::parse(text).map_err(|_| not_an_origin())?;
        let canonical = match url.scheme() {
            "http" | "https" => url.origin().ascii_serialization(),
            _ => return Err(not_an_origin()),
        };
        // The WHATWG URL parser accepts `*` in a host, but no browser sends an origin with one.
        if text.contains('*') {
            return Err(not_an_origin());
        }
        if canonical != text {
            return Err(format!("expected the canonical form {canonical:?}, without a path, found {text:?}"));
        }
        Ok(Self { scheme_end: url.scheme().len(), text: canonical })
    }

    /// Returns the origin as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.text.get(..self.scheme_end).unwrap_or_default()
    }

    /// Returns the host, with the port if it is not the default one.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.get(self.scheme_end.saturating_add(3)..).unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks whether an authority (`host` or `host:port`) is the local machine.
#[must_use]
pub fn is_localhost(authority: &str) -> bool {
    matches!(host_of(authority), "localhost" | "127.0.0.1" | "[::1]")
}

/// Returns an authority without its port.
#[must_use]
pub fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_canonical_origins_only() {
        for text in [
            "https://app.example.com",
            "https://example.com:8080",
            "http://localhost:8787",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(Origin::parse(text).as_ref().map(Origin::as_str), Ok(text));
        }
        for text in [
            "",
            "null",
            "*",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/x",
            "https://example.com?q",
            "https://example.com#f",
            "https://ex ample.com",
            "HTTPS://example.com",
            "https://Example.com",
            "https://example.com:443",
            "https://user@example.com",
            "ftp://example.com",
            "file:///x",
            "https://*.example.com/",
            "https://*.example.com",
            "https://*",
            "https://bücher.example",
            " https://example.com",
            "https://example.com\n",
            "https:example.com",
            "https:\\\\example.com",
            "javascript:alert(1)",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn splits_an_origin_into_its_parts() {
        let origin = Origin::parse("http://localhost:8787").expect("valid");
        assert_eq!((origin.scheme(), origin.authority()), ("http", "localhost:8787"));
        assert!(is_localhost(origin.authority()));
        assert_eq!(host_of("[::1]"), "[::1]");
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(host_of("a.example:8443"), "a.example");
        assert!(!is_localhost("localhost.example.com"));
    }
}
