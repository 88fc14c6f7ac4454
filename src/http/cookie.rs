//! Parses `Cookie` headers and writes `Set-Cookie` headers (RFC 6265bis §5.6, from the server's side).
//!
//! Parsing never fails. A `Cookie` header is split at `;`, and each part at its first `=`. Spaces and tabs around names
//! and values are removed. Parts without a name are dropped. Order and duplicates are kept. Names are case-sensitive.
//! Quotes, commas and percent signs are data.
//!
//! [`SetCookie`] writes a cookie. Its fields must hold text that a user agent's parser does not cut or change.

use std::fmt;

/// Returns the name–value pairs of a `Cookie` header, in order.
pub fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    header.split(';').filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        let name = trim(name);
        (!name.is_empty()).then(|| (name, trim(value)))
    })
}

/// Returns the values of one cookie name, in order.
pub fn values<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> + Clone {
    pairs(header).filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// Returns a `Cookie` header without the pairs whose name is removed, or `None` if nothing is left.
#[must_use]
pub fn without(header: &str, is_removed: impl Fn(&str) -> bool) -> Option<String> {
    let kept: Vec<&str> = header
        .split(';')
        .map(trim)
        .filter(|part| {
            !part.is_empty() && part.split_once('=').is_none_or(|(found, _)| !is_removed(trim(found)))
        })
        .collect();
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// Returns the name of the cookie that a `Set-Cookie` line from upstream sets.
#[must_use]
pub fn name_set_by(line: &str) -> &str {
    let pair = line.split(';').next().unwrap_or_default();
    trim(pair.split('=').next().unwrap_or_default())
}

/// The name of a cookie: a token (RFC 9110 §5.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// Parses a token of 1–64 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_token_byte);
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns the name as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks for the prefix `__Host-`, with which user agents require `Path=/` and no `Domain`.
    #[must_use]
    pub fn is_host_prefixed(&self) -> bool {
        self.has_prefix("__host-")
    }

    /// Checks for the prefix `__Host-` or `__Secure-`, with which user agents require `Secure`.
    #[must_use]
    pub fn demands_secure(&self) -> bool {
        self.is_host_prefixed() || self.has_prefix("__secure-")
    }

    /// Checks for a prefix, ignoring case as user agents do (RFC 6265bis §5.7).
    fn has_prefix(&self, prefix: &str) -> bool {
        self.0.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

/// The scope of a cookie in a browser. Cookies of the same name can exist in several scopes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The `Domain` attribute; `None` makes the cookie host-only.
    pub domain: Option<String>,
    /// The `Path` attribute.
    pub path: String,
}

/// A change of one cookie in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// The cookie's name.
    pub name: &'a CookieName,
    /// The new value and its `Max-Age` in seconds; `None` expires the cookie.
    pub value: Option<(&'a str, i64)>,
    /// The scope to change.
    pub scope: Scope,
    /// Whether a new value gets `Secure`. The prefixes `__Host-` and `__Secure-` always get it.
    pub secure: bool,
}

/// Writes the value of the `Set-Cookie` header.
impl fmt::Display for SetCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, max_age) = self.value.unwrap_or(("", 0));
        write!(f, "{}={value}; Path={}", self.name.as_str(), self.scope.path)?;
        if let Some(domain) = &self.scope.domain {
            write!(f, "; Domain={domain}")?;
        }
        write!(f, "; Max-Age={max_age}")?;
        if self.value.is_some() {
            f.write_str("; HttpOnly; SameSite=Lax")?;
        }
        if self.name.demands_secure() || (self.secure && self.value.is_some()) {
            f.write_str("; Secure")?;
        }
        Ok(())
    }
}

/// Checks whether a token may contain a byte (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_cookie_header() {
        for (header, want) in [
            ("", vec![]),
            (";;; ;", vec![]),
            ("a=b", vec![("a", "b")]),
            (" a = b ;\tc=d\t", vec![("a", "b"), ("c", "d")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("=v; nameless; x=", vec![("x", "")]),
            ("a=1; a=2; A=3", vec![("a", "1"), ("a", "2"), ("A", "3")]),
            ("a=\"q;b\"=r", vec![("a", "\"q"), ("b\"", "r")]),
            ("z=y, a=b", vec![("z", "y, a=b")]),
        ] {
            assert_eq!(pairs(header).collect::<Vec<_>>(), want, "{header:?}");
        }
    }

    #[test]
    fn without_removes_every_pair_of_one_name() {
        for (header, want) in [
            ("s=1", None),
            ("s=1; s=2", None),
            ("a=1; s=2; b=3", Some("a=1; b=3")),
            ("s2=1; as=2", Some("s2=1; as=2")),
            (" s =1;flag; a=s=1", Some("flag; a=s=1")),
        ] {
            assert_eq!(without(header, |name| name == "s").as_deref(), want, "{header:?}");
        }
    }

    #[test]
    fn writes_set_cookie_headers() {
        let name = CookieName::parse("mk_session").expect("token");
        let host = CookieName::parse("__Host-s").expect("token");
        let root_scope = Scope { domain: None, path: "/".into() };
        let domain_scope = Scope { domain: Some("example.com".into()), path: "/m".into() };
        for (cookie, want) in [
            (
                SetCookie { name: &name, value: Some(("v", 60)), scope: root_scope.clone(), secure: true },
                "mk_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                SetCookie { name: &name, value: Some(("v", 60)), scope: root_scope.clone(), secure: false },
                "mk_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
            ),
            (
                SetCookie { name: &name, value: None, scope: root_scope.clone(), secure: true },
                "mk_session=; Path=/; Max-Age=0",
            ),
            (
                SetCookie { name: &name, value: None, scope: domain_scope, secure: true },
                "mk_session=; Path=/m; Domain=example.com; Max-Age=0",
            ),
            (
                SetCookie { name: &host, value: None, scope: root_scope, secure: false },
                "__Host-s=; Path=/; Max-Age=0; Secure",
            ),
        ] {
            assert_eq!(cookie.to_string(), want);
        }
    }

    #[test]
    fn parses_cookie_names() {
        assert!(CookieName::parse("").is_none());
        assert!(CookieName::parse("a b").is_none());
        assert!(CookieName::parse("a=b").is_none());
        assert!(CookieName::parse("sé").is_none());
        assert!(CookieName::parse("__HOST-x").is_some_and(|n| n.is_host_prefixed()));
        assert_eq!(name_set_by(" mk_session = x; Path=/"), "mk_session");
        assert_eq!(name_set_by("flag"), "flag");
        assert_eq!(name_set_by(""), "");
    }
}
