//! Cookies as a server meets them (RFC 6265bis §5.6 read from the other side).
//!
//! Reading is total: a `Cookie` line is split at `;`, each part trimmed of spaces and tabs and split at
//! its first `=`. Parts without a name are dropped; order and duplicates are kept; names are
//! case-sensitive; quotes, commas and percent signs are data.
//!
//! Writing goes through [`SetCookie`], whose fields can only hold what survives a user agent's parser.

use std::fmt;

/// Iterates over the name–value pairs of a `Cookie` header.
pub fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    header.split(';').filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        let name = trim(name);
        (!name.is_empty()).then(|| (name, trim(value)))
    })
}

/// Iterates over the values of one cookie name, in order.
pub fn values<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> + Clone {
    pairs(header).filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// Rewrites a `Cookie` header without the pairs of one name; `None` where nothing is left.
#[must_use]
pub fn without(header: &str, name: &str) -> Option<String> {
    let kept: Vec<&str> = header
        .split(';')
        .map(trim)
        .filter(|part| !part.is_empty() && part.split_once('=').is_none_or(|(found, _)| trim(found) != name))
        .collect();
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// Tells which cookie a `Set-Cookie` line of upstream's sets.
#[must_use]
pub fn name_set_by(line: &str) -> &str {
    let pair = line.split(';').next().unwrap_or_default();
    trim(pair.split('=').next().unwrap_or_default())
}

/// A cookie's name: a token (RFC 9110 §5.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// Accepts a token of 1–64 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_token_byte);
        fits.then(|| Self(text.to_owned()))
    }

    /// Gives the name as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether user agents demand `Path=/` and no `Domain` for it.
    #[must_use]
    pub fn is_host_prefixed(&self) -> bool {
        self.has_prefix("__host-")
    }

    /// Tells whether user agents demand `Secure` for it.
    #[must_use]
    pub fn demands_secure(&self) -> bool {
        self.is_host_prefixed() || self.has_prefix("__secure-")
    }

    /// User agents fold the case of these prefixes (RFC 6265bis §5.7).
    fn has_prefix(&self, prefix: &str) -> bool {
        self.0.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

/// Where a cookie lives in a browser: the same name may live in several scopes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The `Domain` attribute; `None` is host-only.
    pub domain: Option<String>,
    /// The `Path` attribute.
    pub path: String,
}

/// One change of one cookie in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// The cookie's name.
    pub name: &'a CookieName,
    /// The new value and the seconds it is to live; `None` expires it.
    pub value: Option<(&'a str, i64)>,
    /// Where.
    pub scope: Scope,
    /// Whether to set `Secure`.
    pub secure: bool,
}

/// The `Set-Cookie` line.
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

/// Tells whether a byte may stand in a token (RFC 9110 §5.6.2).
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
    fn reading_is_total() {
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
    fn one_name_taken_out() {
        for (header, want) in [
            ("s=1", None),
            ("s=1; s=2", None),
            ("a=1; s=2; b=3", Some("a=1; b=3")),
            ("s2=1; as=2", Some("s2=1; as=2")),
            (" s =1;flag; a=s=1", Some("flag; a=s=1")),
        ] {
            assert_eq!(without(header, "s").as_deref(), want, "{header:?}");
        }
    }

    #[test]
    fn written_for_user_agents() {
        let name = CookieName::parse("mk_session").expect("token");
        let host = CookieName::parse("__Host-s").expect("token");
        let root = Scope { domain: None, path: "/".into() };
        let wide = Scope { domain: Some("example.com".into()), path: "/m".into() };
        for (cookie, want) in [
            (
                SetCookie { name: &name, value: Some(("v", 60)), scope: root.clone(), secure: true },
                "mk_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                SetCookie { name: &name, value: Some(("v", 60)), scope: root.clone(), secure: false },
                "mk_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
            ),
            (
                SetCookie { name: &name, value: None, scope: root.clone(), secure: true },
                "mk_session=; Path=/; Max-Age=0",
            ),
            (
                SetCookie { name: &name, value: None, scope: wide, secure: true },
                "mk_session=; Path=/m; Domain=example.com; Max-Age=0",
            ),
            (
                SetCookie { name: &host, value: None, scope: root, secure: false },
                "__Host-s=; Path=/; Max-Age=0; Secure",
            ),
        ] {
            assert_eq!(cookie.to_string(), want);
        }
    }

    #[test]
    fn names() {
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
