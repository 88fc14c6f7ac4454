//! Ends redirect loops between the login page and the rest of the site: the browser gets a page instead of a redirect.
//!
//! A loop happens when the gateway and upstream disagree about a session, or when a browser keeps a cookie in two
//! places. The gateway counts each of its redirects to or from the login path in a short-lived cookie. Within
//! [`WINDOW`] seconds, it does not send the fourth redirect that has the same page at its other end. Several tabs that
//! are opened at once lead to different pages and are not a loop. The cookie proves nothing and protects nothing: a
//! client that forges it only gets the page sooner.
//!
//! When a session begins, the user has signed in, so this was not a loop: the count is reset
//! ([`RedirectCount::restart`]). But upstream may also begin one session after another that does not last. So the count
//! is reset at most [`MOST_SIGN_INS`] times while each sign-in follows the one before within [`WINDOW`] seconds.
//!
//! With `login = "upstream"`, a redirect from upstream to the login page is counted as well if the user has a session
//! at the gateway: upstream has lost its own session. The page of such a redirect is the login page. While its count is
//! within the limit, the user sees upstream's login page and is not redirected away from it
//! ([`RedirectCount::is_counted`]). Above the limit, the gateway sends its own page.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::{
    base::time::Timestamp,
    http::cookie::{self, CookieName, Scope, SetCookie},
};

/// Seconds within which redirects are counted together.
pub const WINDOW: i64 = 10;

/// The maximum number of redirects within [`WINDOW`].
pub const MOST: u32 = 3;

/// The maximum number of sign-ins that reset the count, if each follows the one before within [`WINDOW`].
pub const MOST_SIGN_INS: u32 = 5;

/// The count of redirects that a browser's cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectCount {
    count: u32,
    since: Timestamp,
    page_hash: u32,
    sign_ins: u32,
}

impl RedirectCount {
    /// Reads the count for `page` from a `Cookie` header; zero if there is no current one. `page` is the end of the
    /// redirect that is not the login page.
    #[must_use]
    pub fn read(cookies: &str, name: &CookieName, page: &str, now: Timestamp) -> Self {
        let hash = FixedState::default().hash_one(page);
        let page_hash = u32::try_from(hash >> 32).unwrap_or_default();
        Self::current(cookies, name, now).find(|hops| hops.page_hash == page_hash).unwrap_or(Self {
            count: 0,
            since: now,
            page_hash,
            sign_ins: 0,
        })
    }

    /// Returns the current count, for any page, reset to zero and with one more sign-in. Returns `None` if nothing is
    /// counted, or if there were too many sign-ins: then the count goes on.
    #[must_use]
    pub fn restart(cookies: &str, name: &CookieName, now: Timestamp) -> Option<Self> {
        let hops = Self::current(cookies, name, now).next()?;
        (hops.sign_ins < MOST_SIGN_INS).then(|| Self {
            count: 0,
            since: now,
            sign_ins: hops.sign_ins.saturating_add(1),
            ..hops
        })
    }

    /// Reads the counts that began within [`WINDOW`].
    fn current(cookies: &str, name: &CookieName, now: Timestamp) -> impl Iterator<Item = Self> {
        cookie::values(cookies, name.as_str())
            .filter_map(parse)
            .filter(move |hops| (0..WINDOW).contains(&now.seconds_since(hops.since)))
    }

    /// Returns the count plus one, or `None` if that exceeds [`MOST`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self.count < MOST).then(|| self.one_more())
    }

    /// Returns the count plus one, even if that exceeds [`MOST`].
    #[must_use]
    pub fn one_more(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    /// Checks whether redirects were counted for this page.
    #[must_use]
    pub fn is_counted(self) -> bool {
        self.count > 0
    }

    /// Checks whether the count exceeds [`MOST`].
    #[must_use]
    pub fn is_too_many(self) -> bool {
        self.count > MOST
    }

    /// Returns a `Set-Cookie` value that stores the count.
    #[must_use]
    pub fn remember(self, name: &CookieName, secure: bool) -> String {
        let Self { count, since, page_hash, sign_ins } = self;
        let sign_ins = if sign_ins > 0 { format!(".{sign_ins}") } else { String::new() };
        let value = format!("{count}.{}.{page_hash:08x}{sign_ins}", since.0);
        set(name, Some((&value, WINDOW)), secure)
    }
}

/// Returns a `Set-Cookie` value that deletes the count.
#[must_use]
pub fn forget(name: &CookieName, secure: bool) -> String {
    set(name, None, secure)
}

fn set(name: &CookieName, value: Option<(&str, i64)>, secure: bool) -> String {
    let scope = Scope { domain: None, path: "/".to_owned() };
    SetCookie { name, value, scope, secure }.to_string()
}

fn parse(value: &str) -> Option<RedirectCount> {
    let mut parts = value.split('.');
    let (count, since, page_hash) = (parts.next()?, parts.next()?, parts.next()?);
    Some(RedirectCount {
        count: count.parse().ok()?,
        since: Timestamp(since.parse().ok()?),
        page_hash: u32::from_str_radix(page_hash, 16).ok()?,
        sign_ins: parts.next().map_or(Some(0), |sign_ins| sign_ins.parse().ok())?,
    })
}

#[cfg(test)]
mod tests;
