//! Return paths: the targets to which the gateway may send a browser, from the `next` of a login or from the `Location`
//! of a redirect.
//!
//! A return path
//!
//! 1. starts with exactly one `/` and is at most [`LONGEST`] bytes long;
//! 2. has, up to its query, no control character, backslash, encoded slash or dot segment, raw or percent-encoded; and
//!    no control character anywhere;
//! 3. stays on the origin of a fixed base URL if the WHATWG URL rules resolve it against that base, and the resolved
//!    path does not start with `//`;
//! 4. is neither the login path, nor an endpoint of the gateway, nor a path at which a `GET` signs in, in any spelling:
//!    paths are compared by their laxest reading ([`fold`]), without the endings that static assets ignore.
//!
//! Query and fragment are data and are kept. Anything else is replaced with the home path, without an error: an invalid
//! `next` is no reason to refuse a request.
//!
//! The result is a URI reference (RFC 3986 §4.1) to its last character. The WHATWG URL rules keep some characters that
//! are not allowed in one, such as `|` and a `%` that escapes nothing; this module escapes them.

use std::fmt::Write as _;

use url::{Position, Url};

use crate::http::{
    origin::Origin,
    path::{CanonicalPath, fold, page},
    request::Request,
};

/// The maximum length of a return path, in bytes.
pub const LONGEST: usize = 4_096;

/// The home and login paths, and the trusted origins.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The path of the login page.
    pub login: String,
    /// The path that replaces a missing or invalid return path.
    pub home: String,
    /// The patterns of the gateway's own endpoints.
    pub endpoints: Vec<LaxPattern>,
    /// The patterns of the rules under which a `GET` may sign in.
    pub sign_ins: Vec<LaxPattern>,
    /// The public origins of this site; the first is canonical.
    pub public: Vec<Origin>,
    /// Other origins to which a redirect may lead.
    pub elsewhere: Vec<Origin>,
}

/// A target to which a browser may be sent: a path of this site, or a URL on a trusted origin, as a URI reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Returns the target as a value of `Location`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Policy {
    /// Returns the return path from the query of a request, or the home path.
    #[must_use]
    pub fn asked_for(&self, request: &Request<'_>) -> ReturnTo {
        PARAMETERS
            .iter()
            .find_map(|name| request.parameter(name))
            .and_then(|requested| self.accept(&requested))
            .unwrap_or_else(|| self.home())
    }

    /// Returns the home path.
    #[must_use]
    pub fn home(&self) -> ReturnTo {
        ReturnTo(uri_reference(&self.home))
    }

    /// Checks a return path. Returns `None` if it is not allowed.
    #[must_use]
    pub fn accept(&self, candidate: &str) -> Option<ReturnTo> {
        let (path, accepted) = on_this_site(candidate)?;
        let is_excluded =
            path == laxest_reading(&self.login) || self.is_endpoint(&path) || self.signs_in(&path);
        (!is_excluded).then_some(accepted)
    }

    /// Restricts a `Location` of upstream's to allowed targets, for a rule with `redirects = "strict"`. Any other is
    /// replaced with the home path.
    ///
    /// The login page is allowed here, because a failed login leads to it.
    #[must_use]
    pub fn hold(&self, location: &str) -> ReturnTo {
        self.trusted_target(location, |path| !self.is_endpoint(path)).unwrap_or_else(|| self.home())
    }

    /// Checks the value of a return field from a client: [`Policy::hold`] must allow it, and it must not be a path at
    /// which a `GET` signs in.
    #[must_use]
    pub fn may_be_named(&self, field: &str) -> bool {
        self.trusted_target(field, |path| !self.is_endpoint(path) && !self.signs_in(path)).is_some()
    }

    /// Checks a path of this site or a URL on a trusted origin. `is_allowed` decides about the paths of this site, also
    /// in a URL on a public origin.
    fn trusted_target(&self, location: &str, is_allowed: impl Fn(&str) -> bool) -> Option<ReturnTo> {
        match on_this_site(location) {
            Some((path, accepted)) => is_allowed(&path).then_some(accepted),
            None => self.on_trusted_origin(location, is_allowed),
        }
    }

    fn is_endpoint(&self, path: &str) -> bool {
        self.endpoints.iter().any(|pattern| pattern.matches(path))
    }

    fn signs_in(&self, path: &str) -> bool {
        self.sign_ins.iter().any(|pattern| pattern.matches(path))
    }

    fn on_trusted_origin(&self, location: &str, is_allowed: impl Fn(&str) -> bool) -> Option<ReturnTo> {
        if location.len() > LONGEST || location.chars().any(|c| c.is_control() || c == '\\') {
            return None;
        }
        let url = Url::parse(location).ok()?;
        let origin = url.origin().ascii_serialization();
        let is_public = self.public.iter().any(|own| own.as_str() == origin);
        let is_trusted = is_public || self.elsewhere.iter().any(|other| other.as_str() == origin);
        // On a public origin, the paths are those of this site.
        if is_public
            && !CanonicalPath::parse(url.path()).is_ok_and(|path| is_allowed(&laxest_reading(path.as_str())))
        {
            return None;
        }
        // A URL with another scheme (blob:) can have a trusted origin.
        let is_web = matches!(url.scheme(), "http" | "https");
        let is_plain = is_web && url.username().is_empty() && url.password().is_none();
        (is_trusted && is_plain).then(|| ReturnTo(to_uri(&url)))
    }
}

/// Rewrites a `Location` that names upstream itself to the public origin. Returns `None` for any other, which stays
/// unchanged.
#[must_use]
pub fn publish(location: &str, upstream: &Origin, public: &str) -> Option<String> {
    let names_upstream = location
        .get(..upstream.as_str().len())
        .is_some_and(|start| start.eq_ignore_ascii_case(upstream.as_str()))
        || location.contains("//");
    if !names_upstream {
        return None;
    }
    // Resolve a scheme-relative Location with upstream's scheme, as a client of upstream would.
    let url = Url::parse(upstream.as_str()).ok()?.join(location).ok()?;
    let is_absolute = Url::parse(location).is_ok() || location.starts_with("//");
    let is_upstream = url.origin().ascii_serialization() == upstream.as_str();
    (is_absolute && is_upstream).then(|| format!("{public}{}", uri_reference(&url[Position::BeforePath..])))
}

/// Returns the laxest reading of a path. It is the same for all paths that some server reads as the same one.
fn laxest_reading(path: &str) -> String {
    let mut reading = fold(path);
    reading.truncate(page(&reading).len());
    reading
}

/// A path pattern in its laxest reading, computed once.
#[derive(Clone, Debug)]
pub struct LaxPattern(String);

impl LaxPattern {
    /// Reads the pattern of a rule.
    #[must_use]
    pub fn of(pattern: &str) -> Self {
        Self(laxest_reading(pattern))
    }

    /// Checks whether a path, given in its laxest reading, matches the pattern in the reading of some server.
    fn matches(&self, path: &str) -> bool {
        let mut found = path.split('/');
        for wanted in self.0.split('/') {
            if wanted.starts_with("{*") || wanted.starts_with("{+") {
                return true;
            }
            let is_same = found
                .next()
                .is_some_and(|found| wanted == found || (wanted.starts_with('{') && !found.is_empty()));
            if !is_same {
                return false;
            }
        }
        found.next().is_none()
    }
}

/// Parses a path of this site. Returns the laxest reading of its path part, and the target for `Location`.
fn on_this_site(candidate: &str) -> Option<(String, ReturnTo)> {
    if candidate.len() > LONGEST || candidate.chars().any(char::is_control) {
        return None;
    }
    if !candidate.starts_with('/') || candidate.starts_with("//") {
        return None;
    }
    let raw_path = candidate.split(['?', '#']).next().unwrap_or_default();
    let escaped: String = raw_path.replace(' ', "%20");
    let path = laxest_reading(CanonicalPath::parse(&escaped).ok()?.as_str());
    if is_plain(candidate) {
        return Some((path, ReturnTo(candidate.to_owned())));
    }
    let base = Url::parse(BASE).ok()?;
    let url = base.join(candidate).ok()?;
    if url.origin() != base.origin() || url.path().starts_with("//") {
        return None;
    }
    Some((path, ReturnTo(uri_reference(&url[Position::BeforePath..]))))
}

/// Checks for a path and query that the WHATWG URL rules leave unchanged: no escapes, no dot segments, no fragment.
/// Most pages have such a one, and each `401` that names the login page parses one.
fn is_plain(candidate: &str) -> bool {
    let is_unchanged = |byte: u8| byte.is_ascii_alphanumeric() || b"/?=&._~-".contains(&byte);
    candidate.bytes().all(is_unchanged) && !candidate.contains("/.")
}

/// Writes a URL as a URI. Its origin needs no escapes.
fn to_uri(url: &Url) -> String {
    format!("{}{}", &url[..Position::BeforePath], uri_reference(&url[Position::BeforePath..]))
}

/// Escapes the characters that are not allowed in the path, query or fragment of a URI (RFC 3986 §3.3–3.5).
#[must_use]
pub fn uri_reference(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut in_fragment = false;
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let is_kept = match byte {
            b'%' => matches!(tail, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
            // The first `#` begins the fragment; a fragment contains no `#`.
            b'#' => !std::mem::replace(&mut in_fragment, true),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        if is_kept {
            written.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(written, "%{byte:02X}");
        }
        rest = tail;
    }
    written
}

/// The query parameters with a return path. The first one that is present counts.
const PARAMETERS: &[&str] = &[
    "next",
    "return_to",
    "redirect",
    "callbackUrl",
    "returnTo",
    "return_path",
    "redirect_to",
    "redirectTo",
    "success_url",
];

/// A placeholder for this site's origin, to resolve paths. It is never contacted.
const BASE: &str = "https://vestibule.invalid";

#[cfg(test)]
mod tests;
