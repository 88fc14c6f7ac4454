//! A human's session: one HS256 JWT in one cookie.
//!
//! **Reading.** Every value of the cookie's name is tried, at most [`MOST_COPIES`] of them.
//!
//! 1. None there: nobody.
//! 2. One user's token holds: that is the session; of several, the one issued last.
//! 3. Tokens of two different users hold: nobody, for nobody can tell which one is meant.
//! 4. None holds: nobody, for the reason of the copy that came closest.
//!
//! **Changing.** What becomes of the cookie is decided from that, once the answer is known.
//!
//! 1. Upstream's answer sets this cookie itself: its word stands and nothing is added.
//! 2. Nobody's: it is expired where it belongs; where several copies came, in every other scope that a
//!    browser could have sent it from too.
//! 3. Somebody's, in several copies: it is set anew where it belongs and expired everywhere else.
//! 4. Somebody's, verified by a key that no longer signs: minted again, with the same expiry.
//! 5. Somebody's, who was identified and succeeded, and older than `refresh_after`: minted again, with
//!    a new expiry.

use std::time::Duration;

use crate::{
    cookie::{self, CookieName, Scope, SetCookie},
    jwt::{
        self, Invalid, Keys, LONGEST, Verified,
        claims::{self, Claims, Expected, Refused},
    },
    origin::host_of,
    problem::Reason,
    sorting::sorted_by,
    time::{Timestamp, whole_seconds},
};

/// Values of the cookie's name that are tried; what lies beyond is not looked at.
pub const MOST_COPIES: usize = 8;

/// How sessions look and live.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The cookie's name.
    pub cookie: CookieName,
    /// The cookie's `Domain`; `None` is host-only.
    pub domain: Option<String>,
    /// How long a session lives from its minting.
    pub lifetime: Duration,
    /// Age from which a session that is used is minted again.
    pub refresh_after: Duration,
    /// What the token must claim.
    pub expected: Expected,
    /// Whether upstream sees the cookie and `Authorization`.
    pub forward: bool,
}

/// What the session cookies of a request amount to.
#[derive(Debug)]
pub struct SessionCookies<'a> {
    /// Whose they are.
    pub holder: SessionStatus<'a>,
    /// The other sessions that hold by their tokens, the one issued last at the end.
    others: Vec<Live<'a>>,
    copies: usize,
}

/// Whose session cookies they are.
#[derive(Debug)]
pub enum SessionStatus<'a> {
    /// There are none.
    Nobody,
    /// They are no good.
    Rejected(Reason),
    /// One user's.
    User(Live<'a>),
}

/// A session that holds now.
#[derive(Debug)]
pub struct Live<'a> {
    /// What it says.
    pub claims: Claims,
    text: &'a str,
    token: Verified,
}

/// How the request ended, as far as the cookie is concerned.
#[derive(Clone, Copy, Debug)]
pub struct CookieContext<'a> {
    /// The session was what let the request in, and the answer is a success.
    pub succeeded: bool,
    /// The request's host, with or without its port.
    pub authority: &'a str,
    /// The request's path.
    pub path: &'a str,
    /// Whether cookies are to be `Secure`.
    pub secure: bool,
}

/// Reads the session cookies of a request.
#[must_use]
pub fn present<'a>(policy: &Policy, keys: &Keys, cookies: &'a str, now: Timestamp) -> SessionCookies<'a> {
    let mut reason = None;
    let mut others: Vec<Live<'a>> = Vec::new();
    let values = cookie::values(cookies, policy.cookie.as_str()).take(MOST_COPIES);
    let copies = values.clone().count();
    for text in values {
        match verify(policy, keys, text, now) {
            Ok(found) => others.push(found),
            Err(found) => reason = reason.max(Some(Closeness(found))),
        }
    }
    let users = |live: &Live<'_>, other: &Live<'_>| live.claims.user_id != other.claims.user_id;
    let ambiguous = others.windows(2).any(|pair| matches!(pair, [one, other] if users(one, other)));
    if others.len() > 1 {
        // Of those issued at once the first one counts: the sort is stable, and from behind.
        others.reverse();
        others = sorted_by(others, |one, other| one.claims.issued_at.cmp(&other.claims.issued_at));
    }
    let holder = if ambiguous {
        SessionStatus::Rejected(Reason::SessionAmbiguous)
    } else {
        match (others.pop(), reason) {
            (Some(live), _) => SessionStatus::User(live),
            (None, Some(Closeness(reason))) => SessionStatus::Rejected(reason),
            (None, None) => SessionStatus::Nobody,
        }
    };
    SessionCookies { holder, others, copies }
}

impl<'a> SessionCookies<'a> {
    /// Lists every session that holds by its token.
    pub fn all(&self) -> impl Iterator<Item = &Live<'a>> {
        let first = match &self.holder {
            SessionStatus::User(live) => Some(live),
            SessionStatus::Nobody | SessionStatus::Rejected(_) => None,
        };
        first.into_iter().chain(&self.others)
    }

    /// Turns the session away that counted, which was ended; the next one of the same user counts now.
    pub fn reject(&mut self, reason: Reason) {
        self.holder = self.others.pop().map_or(SessionStatus::Rejected(reason), SessionStatus::User);
    }
}

impl SessionCookies<'_> {
    /// Tells whether every session that came was ended.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        matches!(self.holder, SessionStatus::Rejected(Reason::SessionRevoked))
    }

    /// Tells the expiry that the session would get if the request succeeds, where that is due.
    #[must_use]
    pub fn due(&self, policy: &Policy, now: Timestamp) -> Option<(&Live<'_>, Timestamp)> {
        let SessionStatus::User(live) = &self.holder else { return None };
        live.is_due(policy, now).then(|| (live, now.plus(policy.lifetime)))
    }

    /// Begins a session in this browser: `Set-Cookie` lines.
    #[must_use]
    pub fn begin(
        &self,
        policy: &Policy,
        ending: CookieContext<'_>,
        (token, lifetime): (&str, Duration),
    ) -> Vec<String> {
        self.write(policy, ending, Some((token, whole_seconds(lifetime))))
    }

    /// Tells whether several copies of the cookie came.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.copies > 1
    }

    /// Gives the token that counts, if one does.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match &self.holder {
            SessionStatus::User(live) => Some(live.text),
            SessionStatus::Nobody | SessionStatus::Rejected(_) => None,
        }
    }

    /// Decides what becomes of the cookie: `Set-Cookie` lines, in order.
    #[must_use]
    pub fn changes(
        &self,
        policy: &Policy,
        keys: &Keys,
        ending: CookieContext<'_>,
        now: Timestamp,
    ) -> Vec<String> {
        let live = match &self.holder {
            SessionStatus::Nobody => return Vec::new(),
            SessionStatus::Rejected(_) => return self.write(policy, ending, None),
            SessionStatus::User(live) => live,
        };
        let renewed = live.renewed(policy, keys, ending.succeeded, now);
        let (token, expires_at) = match &renewed {
            Some((token, expires_at)) => (token.as_str(), *expires_at),
            None if self.copies > 1 => (live.text, live.claims.expires_at),
            None => return Vec::new(),
        };
        self.write(policy, ending, Some((token, expires_at.seconds_since(now).max(1))))
    }

    /// Ends the session in this browser: `Set-Cookie` lines, whether or not a cookie came.
    #[must_use]
    pub fn end(&self, policy: &Policy, ending: CookieContext<'_>) -> Vec<String> {
        self.write(policy, ending, None)
    }

    /// Writes the cookie where it belongs and, where several copies came, clears all other scopes;
    /// those go first, so that a browser that takes two scopes for one keeps the last word.
    fn write(&self, policy: &Policy, ending: CookieContext<'_>, value: Option<(&str, i64)>) -> Vec<String> {
        let write = |value, scope| {
            SetCookie { name: &policy.cookie, value, scope, secure: ending.secure }.to_string()
        };
        let home = Scope { domain: policy.domain.clone(), path: "/".to_owned() };
        let mut lines = Vec::new();
        if self.copies > 1 && !policy.cookie.is_host_prefixed() {
            let others = scopes(ending.authority, ending.path).filter(|scope| *scope != home);
            lines.extend(others.map(|scope| write(None, scope)));
        }
        lines.push(write(value, home));
        lines
    }
}

impl Live<'_> {
    fn is_due(&self, policy: &Policy, now: Timestamp) -> bool {
        now.seconds_since(self.claims.issued_at) >= whole_seconds(policy.refresh_after)
    }

    /// Mints this session again where that is due: the token and its expiry.
    fn renewed(
        &self,
        policy: &Policy,
        keys: &Keys,
        succeeded: bool,
        now: Timestamp,
    ) -> Option<(String, Timestamp)> {
        let (issued_at, expires_at) = if succeeded && self.is_due(policy, now) {
            (now, now.plus(policy.lifetime))
        } else if self.token.stale_key() {
            (self.claims.issued_at, self.claims.expires_at)
        } else {
            return None;
        };
        let token = keys.sign(&claims::renewed(&self.token, issued_at, expires_at)?);
        // A token that would outgrow what we read ourselves stays as it is.
        (token.len() <= LONGEST).then_some((token, expires_at))
    }
}

/// Mints a token: the claims that are asked for, under the current key.
#[must_use]
pub fn mint(policy: &Policy, keys: &Keys, ids: (&str, &str), now: Timestamp) -> Option<String> {
    let payload = claims::fresh(&policy.expected, ids, (now, now.plus(policy.lifetime)))?;
    let token = keys.sign(&payload);
    (token.len() <= LONGEST).then_some(token)
}

fn verify<'a>(policy: &Policy, keys: &Keys, text: &'a str, now: Timestamp) -> Result<Live<'a>, Reason> {
    let token = keys.verify(text).map_err(|invalid| match invalid {
        Invalid::Malformed => Reason::SessionMalformed,
        Invalid::BadSignature => Reason::SessionBadSignature,
    })?;
    let claims = jwt::claims::judge(&token, &policy.expected, now).map_err(|refused| match refused {
        Refused::Malformed => Reason::SessionMalformed,
        Refused::Expired => Reason::SessionExpired,
    })?;
    Ok(Live { claims, text, token })
}

/// Orders reasons by how close a copy came to being good.
#[derive(PartialEq, Eq)]
struct Closeness(Reason);

impl Closeness {
    fn rank(&self) -> u8 {
        match self.0 {
            Reason::SessionExpired => 2,
            Reason::SessionBadSignature => 1,
            _ => 0,
        }
    }
}

impl PartialOrd for Closeness {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Closeness {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// Lists the scopes from which a browser could have sent a cookie with a request: host-only, the host
/// and each parent of two labels or more, times each ancestor of the path, the widest first.
fn scopes<'a>(authority: &'a str, path: &'a str) -> impl Iterator<Item = Scope> + 'a {
    let host = host_of(authority);
    let is_name = host.bytes().any(|b| b.is_ascii_alphabetic()) && !host.starts_with('[');
    let parents = host.match_indices('.').filter_map(|(at, _)| host.get(at.saturating_add(1)..));
    let domains: Vec<Option<&str>> = std::iter::once(None)
        .chain(
            std::iter::once(host)
                .chain(parents)
                .filter(move |domain| is_name && (domain.contains('.') || *domain == host))
                .map(Some),
        )
        .collect();
    let mut paths: Vec<&str> = ancestors(path).collect();
    let most = MOST_SCOPES.checked_div(domains.len()).unwrap_or(1);
    if paths.len() > most {
        // The middle goes: what is planted sits close to the root or close to where it was sent from.
        let end = paths.split_off(paths.len().saturating_sub(most / 2));
        paths.truncate(most.saturating_sub(end.len()));
        paths.extend(end);
    }
    paths.into_iter().flat_map(move |path| {
        let path = path.to_owned();
        domains
            .clone()
            .into_iter()
            .map(move |domain| Scope { domain: domain.map(str::to_owned), path: path.clone() })
    })
}

/// Lists `/`, then each ancestor with and without its slash, then the path itself (RFC 6265 §5.1.4).
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let inner = slashes.skip(1).flat_map(|at| [path.get(..at), path.get(..=at)]).flatten();
    std::iter::once("/")
        .chain(inner)
        .chain((path.len() > 1 && !path.ends_with('/')).then_some(path))
        .filter(|path| path.len() <= LONGEST_PATH && !path.contains(';'))
}

/// Scopes that are cleaned up in one answer.
const MOST_SCOPES: usize = 40;

/// Bytes of a path that is cleaned up: all lines together must fit into what proxies take as headers.
const LONGEST_PATH: usize = 256;

#[cfg(test)]
mod tests;
