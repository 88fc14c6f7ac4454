//! A person's session: one HS256 JWT in one cookie.
//!
//! **Reading.** The gateway tries every value of the cookie's name, up to [`MOST_COPIES`] of them.
//!
//! 1. No cookie: anonymous.
//! 2. One user has valid tokens: signed in. Of several tokens, the one issued last is the session.
//! 3. Several users have valid tokens: rejected as ambiguous.
//! 4. No token is valid: rejected, with the reason of the copy that came closest to being valid.
//!
//! While the cookie changes its name, its former name is read, too: only if the request has no cookie under the present
//! name, so that nobody can plant a former cookie beside a `__Host-` cookie.
//!
//! **Changing.** When the answer is known, the gateway decides about the cookie:
//!
//! 1. If upstream's answer sets this cookie, the gateway changes nothing.
//! 2. If the cookie was rejected, the gateway expires it in its own scope. If the request had several copies, it also
//!    expires them in every other scope from which a browser can have sent them.
//! 3. If a signed-in user has several copies, the gateway sets the cookie in its own scope and expires all others.
//!    A cookie under the former name is set under the present one, and expired.
//! 4. If the token was verified with a key that no longer signs, it is signed again with the same expiry.
//! 5. If the request succeeded for this user, and the token is older than `refresh_after`, it is renewed with a
//!    new expiry (`lifetime.rs`).

mod scopes;
mod token;

use self::scopes::scopes;
pub use self::token::{SessionTimes, mint};
use crate::{
    base::{
        sorting::sorted_by,
        time::{Timestamp, whole_seconds},
    },
    crypto::jwt::{
        self, Invalid, Keys, LONGEST, Verified,
        claims::{self, Claims, Expected, Refused},
    },
    http::{
        cookie::{self, CookieName, Scope, SetCookie},
        problem::Reason,
    },
    sessions::lifetime::Lifetime,
};

/// Maximum number of values of the cookie that are tried. Further values are ignored.
pub const MOST_COPIES: usize = 8;

/// Settings of session cookies and tokens.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Name of the cookie.
    pub cookie: CookieName,
    /// Former name of the cookie, during a change of its name.
    pub previous: Option<CookieName>,
    /// `Domain` of the cookie. `None` means host-only.
    pub domain: Option<String>,
    /// How long sessions last.
    pub lifetime: Lifetime,
    /// Required claims of the token.
    pub expected: Expected,
    /// Whether the cookie and `Authorization` are forwarded to upstream.
    pub forward: bool,
}

/// The session cookies of a request.
#[derive(Debug)]
pub struct SessionCookies<'a> {
    /// The session that counts, or the reason why there is no valid one.
    pub status: SessionStatus<'a>,
    /// Other sessions with valid tokens, in order of issue.
    other_sessions: Vec<Live<'a>>,
    copies: usize,
    previous: Previous,
    is_withheld: bool,
}

/// Whether a request has the cookie under its former name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Previous {
    /// It does not.
    Absent,
    /// It does, and also has the cookie under its present name. The former one is ignored.
    Ignored,
    /// It does, and only so: this is the session.
    Read,
}

impl Policy {
    /// Lists the names under which a session cookie is read.
    pub fn names(&self) -> impl Iterator<Item = &CookieName> {
        std::iter::once(&self.cookie).chain(&self.previous)
    }

    /// Checks whether a cookie of this name is a session cookie.
    #[must_use]
    pub fn is_session(&self, name: &str) -> bool {
        self.names().any(|own| own.as_str() == name)
    }
}

/// The result of reading the session cookies.
#[derive(Debug)]
pub enum SessionStatus<'a> {
    /// There are no session cookies.
    Anonymous,
    /// They are invalid, ended or ambiguous.
    Rejected(Reason),
    /// A signed-in user.
    User(Live<'a>),
}

/// A session with a valid token.
#[derive(Debug)]
pub struct Live<'a> {
    /// Claims of the token.
    pub claims: Claims,
    text: &'a str,
    token: Verified,
}

/// Facts about the request and its answer that decide how the cookie is written.
#[derive(Clone, Copy, Debug)]
pub struct CookieContext<'a> {
    /// Whether the request was admitted with this session, and its answer is a success.
    pub succeeded: bool,
    /// Host of the request, with or without its port.
    pub authority: &'a str,
    /// Path of the request.
    pub path: &'a str,
    /// Whether cookies get the attribute `Secure`.
    pub secure: bool,
}

/// The browser that sent a request: its session cookies, and how its cookies are written.
#[derive(Clone, Copy, Debug)]
pub struct Browser<'a> {
    /// The session cookies of the request.
    pub cookies: &'a SessionCookies<'a>,
    /// The facts about the request that decide how session cookies are written.
    pub context: CookieContext<'a>,
}

/// The `Set-Cookie` lines that the gateway adds to an answer of upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieChanges {
    /// The lines, in order.
    pub lines: Vec<String>,
    /// Whether they start a new session.
    pub is_new_session: bool,
}

/// Reads the session cookies of a request.
#[must_use]
pub fn read<'a>(policy: &Policy, keys: &Keys, cookies: &'a str, now: Timestamp) -> SessionCookies<'a> {
    let mut reason = None;
    let mut sessions: Vec<Live<'a>> = Vec::new();
    let has = |name: &CookieName| cookie::values(cookies, name.as_str()).next().is_some();
    let (name, previous) = match &policy.previous {
        Some(previous) if has(previous) && has(&policy.cookie) => (&policy.cookie, Previous::Ignored),
        Some(previous) if has(previous) => (previous, Previous::Read),
        _ => (&policy.cookie, Previous::Absent),
    };
    let values = cookie::values(cookies, name.as_str()).take(MOST_COPIES);
    let copies = values.clone().count();
    for text in values {
        match verify(policy, keys, text, now) {
            Ok(found) => sessions.push(found),
            Err(found) => reason = reason.max(Some(RankedReason(found))),
        }
    }
    let differ = |one: &Live<'_>, other: &Live<'_>| one.claims.user_id != other.claims.user_id;
    let ambiguous = sessions.windows(2).any(|pair| matches!(pair, [one, other] if differ(one, other)));
    if sessions.len() > 1 {
        // Of tokens issued in the same second, the first one counts: it must be last after this stable sort.
        sessions.reverse();
        sessions = sorted_by(sessions, |one, other| one.claims.issued_at.cmp(&other.claims.issued_at));
    }
    let status = if ambiguous {
        SessionStatus::Rejected(Reason::SessionAmbiguous)
    } else {
        match (sessions.pop(), reason) {
            (Some(live), _) => SessionStatus::User(live),
            (None, Some(RankedReason(reason))) => SessionStatus::Rejected(reason),
            (None, None) => SessionStatus::Anonymous,
        }
    };
    SessionCookies { status, other_sessions: sessions, copies, previous, is_withheld: false }
}

impl<'a> SessionCookies<'a> {
    /// Lists every session with a valid token, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Live<'a>> {
        let first = match &self.status {
            SessionStatus::User(live) => Some(live),
            SessionStatus::Anonymous | SessionStatus::Rejected(_) => None,
        };
        first.into_iter().chain(&self.other_sessions)
    }

    /// Rejects the current session, which has ended. The user's next session in the cookies, if any, becomes current.
    pub fn reject(&mut self, reason: Reason) {
        self.status = self.other_sessions.pop().map_or(SessionStatus::Rejected(reason), SessionStatus::User);
    }
}

impl SessionCookies<'_> {
    /// Withholds the session cookies from upstream, because the registry could not be asked about them, or because another
    /// site may have sent the request. An upstream that knows the secret would accept them.
    pub fn withhold(&mut self) {
        self.is_withheld = true;
    }

    /// Checks whether the cookies differ from what upstream may get: all sessions have ended, they are withheld, or there
    /// are several copies, of which upstream could have picked another one.
    #[must_use]
    pub fn must_be_rewritten(&self) -> bool {
        let has_ended = matches!(self.status, SessionStatus::Rejected(Reason::SessionEnded));
        self.has_other_copies() || has_ended || self.is_withheld
    }

    /// Checks whether the cookies are invalid, ended or ambiguous.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self.status, SessionStatus::Rejected(_))
    }

    /// Returns the session and its new expiry, if its token gets a later expiry when the request succeeds.
    #[must_use]
    pub fn needing_refresh(&self, policy: &Policy, now: Timestamp) -> Option<(&Live<'_>, Timestamp)> {
        let SessionStatus::User(live) = &self.status else { return None };
        live.needs_refresh(policy, now).then(|| (live, policy.lifetime.expiry(live.claims.started_at, now)))
    }

    /// Returns the `Set-Cookie` lines that start a session in this browser.
    #[must_use]
    pub fn begin(
        &self,
        policy: &Policy,
        context: CookieContext<'_>,
        token: &str,
        times: SessionTimes,
    ) -> Vec<String> {
        let max_age = times.expiry(policy).seconds_since(times.issued_at);
        self.write(policy, context, Some((token, max_age)))
    }

    /// Checks whether the request has several copies of the cookie, or one under its former name.
    #[must_use]
    fn has_other_copies(&self) -> bool {
        self.copies > 1 || self.previous != Previous::Absent
    }

    /// Returns the token of the current session, unless it is withheld.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match &self.status {
            SessionStatus::User(live) if !self.is_withheld => Some(live.text),
            SessionStatus::User(_) | SessionStatus::Anonymous | SessionStatus::Rejected(_) => None,
        }
    }

    /// Returns the `Set-Cookie` lines that renew, repair or expire the cookie, in order. Empty if nothing changes.
    #[must_use]
    pub fn changes(
        &self,
        policy: &Policy,
        keys: &Keys,
        context: CookieContext<'_>,
        now: Timestamp,
    ) -> Vec<String> {
        let live = match &self.status {
            SessionStatus::Anonymous => return Vec::new(),
            SessionStatus::Rejected(_) => return self.write(policy, context, None),
            SessionStatus::User(live) => live,
        };
        let renewed = live.renewed(policy, keys, context.succeeded, now);
        let (token, expires_at) = match &renewed {
            Some((token, expires_at)) => (token.as_str(), *expires_at),
            None if self.copies > 1 || self.previous == Previous::Read => (live.text, live.claims.expires_at),
            None => return Vec::new(),
        };
        self.write(policy, context, Some((token, expires_at.seconds_since(now).max(1))))
    }

    /// Returns the `Set-Cookie` lines that end the session in this browser, whether or not the request has a cookie.
    #[must_use]
    pub fn end(&self, policy: &Policy, context: CookieContext<'_>) -> Vec<String> {
        self.write(policy, context, None)
    }

    /// Writes the cookie in its own scope. If the request has several copies, first expires it in all other scopes.
    /// They come first because some browsers treat two scopes as one, and keep the last line. A `__Host-` cookie has
    /// only one scope. A cookie under the former name is expired in every scope that it can have.
    fn write(&self, policy: &Policy, context: CookieContext<'_>, value: Option<(&str, i64)>) -> Vec<String> {
        let write = |name, value, scope| SetCookie { name, value, scope, secure: context.secure }.to_string();
        let own = Scope { domain: policy.domain.clone(), path: "/".to_owned() };
        let mut lines = Vec::new();
        if let Some(previous) = policy.previous.as_ref().filter(|_| self.previous != Previous::Absent) {
            let has_copies = self.copies > 1 && self.previous == Previous::Read;
            let path = if has_copies { context.path } else { "/" };
            lines.extend(scopes(context.authority, path).map(|scope| write(previous, None, scope)));
        }
        let name = &policy.cookie;
        if self.copies > 1 && self.previous != Previous::Read && !name.is_host_prefixed() {
            let others = scopes(context.authority, context.path).filter(|scope| *scope != own);
            lines.extend(others.map(|scope| write(name, None, scope)));
        }
        lines.push(write(name, value, own));
        lines
    }
}

impl Live<'_> {
    /// Checks whether the token is old enough for a new one with a later expiry.
    fn needs_refresh(&self, policy: &Policy, now: Timestamp) -> bool {
        let Policy { lifetime, .. } = policy;
        // At the end of its maximum lifetime, a new token would live no longer.
        let is_at_end = lifetime.max_lifetime.is_some()
            && lifetime.expiry(self.claims.started_at, now) == self.claims.expires_at;
        now.seconds_since(self.claims.issued_at) >= whole_seconds(lifetime.refresh_after()) && !is_at_end
    }

    /// Returns a new token for this session and its expiry, if the token must be renewed or signed again.
    fn renewed(
        &self,
        policy: &Policy,
        keys: &Keys,
        succeeded: bool,
        now: Timestamp,
    ) -> Option<(String, Timestamp)> {
        let (issued_at, expires_at) = if succeeded && self.needs_refresh(policy, now) {
            (now, policy.lifetime.expiry(self.claims.started_at, now))
        } else if self.token.stale_key() {
            (self.claims.issued_at, self.claims.expires_at)
        } else {
            return None;
        };
        let started_at = policy.lifetime.max_lifetime.map(|_| self.claims.started_at);
        let token = keys.sign(&claims::renewed(&self.token, issued_at, expires_at, started_at)?);
        // Keep the old token if the new one would be too long to be read again.
        (token.len() <= LONGEST).then_some((token, expires_at))
    }
}

fn verify<'a>(policy: &Policy, keys: &Keys, text: &'a str, now: Timestamp) -> Result<Live<'a>, Reason> {
    let token = keys.verify(text).map_err(|invalid| match invalid {
        Invalid::Malformed => Reason::SessionMalformed,
        Invalid::BadSignature => Reason::SessionBadSignature,
    })?;
    let mut claims =
        jwt::claims::validate(&token, &policy.expected, now).map_err(|refused| match refused {
            Refused::Malformed => Reason::SessionMalformed,
            Refused::Expired => Reason::SessionExpired,
        })?;
    claims.expires_at = policy.lifetime.end(&claims);
    if claims.expires_at.plus(policy.expected.leeway) <= now {
        return Err(Reason::SessionExpired);
    }
    Ok(Live { claims, text, token })
}

/// A reason for rejection. The order is how close the token came to being valid.
#[derive(PartialEq, Eq)]
struct RankedReason(Reason);

impl RankedReason {
    fn rank(&self) -> u8 {
        match self.0 {
            Reason::SessionExpired => 2,
            Reason::SessionBadSignature => 1,
            _ => 0,
        }
    }
}

impl PartialOrd for RankedReason {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RankedReason {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests;
