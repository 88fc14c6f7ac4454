//! A browser that is sent to the login page and back, over and over, is shown a page instead.
//!
//! It happens when two sides disagree about a session, or a browser keeps a cookie in two places. Each
//! redirect of ours to or from the login path counts itself in a short-lived cookie; the fourth within
//! [`WINDOW`] seconds is not sent. The cookie proves nothing and protects nothing: who forges it sees
//! the page sooner.

use crate::{
    cookie::{self, CookieName, Scope, SetCookie},
    time::Timestamp,
};

/// Seconds in which redirects are counted together.
pub const WINDOW: i64 = 10;

/// Redirects that are sent within [`WINDOW`]; the next one is not.
pub const MOST: u32 = 3;

/// Redirects so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    count: u32,
    since: Timestamp,
}

impl Hops {
    /// Reads what a browser brought along.
    #[must_use]
    pub fn read(cookies: &str, name: &CookieName, now: Timestamp) -> Self {
        cookie::values(cookies, name.as_str())
            .filter_map(parse)
            .find(|hops| (0..WINDOW).contains(&now.seconds_since(hops.since)))
            .unwrap_or(Self { count: 0, since: now })
    }

    /// Counts one more; `None` where it is one too many.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self.count < MOST).then(|| Self { count: self.count.saturating_add(1), ..self })
    }

    /// Writes the cookie that remembers this.
    #[must_use]
    pub fn remember(self, name: &CookieName, secure: bool) -> String {
        let value = format!("{}.{}", self.count, self.since.0);
        set(name, Some((&value, WINDOW)), secure)
    }
}

/// Writes the cookie that forgets.
#[must_use]
pub fn forget(name: &CookieName, secure: bool) -> String {
    set(name, None, secure)
}

fn set(name: &CookieName, value: Option<(&str, i64)>, secure: bool) -> String {
    let scope = Scope { domain: None, path: "/".to_owned() };
    SetCookie { name, value, scope, secure }.to_string()
}

fn parse(value: &str) -> Option<Hops> {
    let (count, since) = value.split_once('.')?;
    Some(Hops { count: count.parse().ok()?, since: Timestamp(since.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_is_one_too_many() {
        let name = CookieName::parse("h").expect("a name");
        let now = Timestamp(1_000);
        let read = |cookies: &str| Hops::read(cookies, &name, now).next().map(|h| (h.count, h.since.0));
        for (cookies, want) in [
            ("", Some((1, 1_000))),
            ("h=1.1000", Some((2, 1_000))),
            ("h=2.991", Some((3, 991))),
            ("h=3.991", None),
            ("h=3.990", Some((1, 1_000))),
            ("h=99999.1000", None),
            ("h=4294967295.1000", None),
            ("h=3.1001", Some((1, 1_000))),
            ("h=x", Some((1, 1_000))),
            ("h=1.-5", Some((1, 1_000))),
            ("h=; h=2.1000", Some((3, 1_000))),
            ("h=99999999999.1000", Some((1, 1_000))),
            ("h=1.9223372036854775807", Some((1, 1_000))),
            ("h=1.-9223372036854775808", Some((1, 1_000))),
        ] {
            assert_eq!(read(cookies), want, "{cookies}");
        }
    }

    #[test]
    fn remembered_for_the_window() {
        let name = CookieName::parse("h").expect("a name");
        let hops = Hops { count: 2, since: Timestamp(7) };
        assert_eq!(hops.remember(&name, true), "h=2.7; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(forget(&name, true), "h=; Path=/; Max-Age=0");
    }
}
