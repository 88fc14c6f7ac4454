//! Ends redirect loops between the login page and the rest of the site: the browser gets a page instead of a redirect.
//!
//! A loop happens when the gateway and upstream disagree about a session, or when a browser keeps a cookie in two
//! places. The gateway counts each of its redirects to or from the login path in a short-lived cookie. Within
//! [`WINDOW`] seconds, it does not send the fourth redirect that has the same page at its other end. Several tabs that
//! are opened at once lead to different pages and are not a loop. The cookie proves nothing and protects nothing: a
//! client that forges it only gets the page sooner.
//!
//! When a session begins, the user has signed in, so this was not a loop: the count is reset ([`Hops::start_anew`]).
//! But upstream may also begin one session after another that does not last. So the count is reset at most
//! [`MOST_SIGN_INS`] times while each sign-in follows the one before within [`WINDOW`] seconds.
//!
//! With `login = "upstream"`, a redirect from upstream to the login page is counted as well if the user has a session
//! at the gateway: upstream has lost its own session. The page of such a redirect is the login page. While its count is
//! within the limit, the user sees upstream's login page and is not redirected away from it ([`Hops::is_counted`]).
//! Above the limit, the gateway sends its own page.

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
pub struct Hops {
    count: u32,
    since: Timestamp,
    page_hash: u32,
    sign_ins: u32,
}

impl Hops {
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
    pub fn start_anew(cookies: &str, name: &CookieName, now: Timestamp) -> Option<Self> {
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

fn parse(value: &str) -> Option<Hops> {
    let mut parts = value.split('.');
    let (count, since, page_hash) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Hops {
        count: count.parse().ok()?,
        since: Timestamp(since.parse().ok()?),
        page_hash: u32::from_str_radix(page_hash, 16).ok()?,
        sign_ins: parts.next().map_or(Some(0), |sign_ins| sign_ins.parse().ok())?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn name() -> CookieName {
        CookieName::parse("h").expect("a name")
    }

    /// Returns the cookie that a browser sends after a number of redirects that have `page` at one end.
    fn after(redirects: usize, page: &str, now: Timestamp) -> String {
        let mut cookies = String::new();
        for _ in 0..redirects {
            let hops = Hops::read(&cookies, &name(), page, now).next().expect("within the limit");
            cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
        }
        cookies
    }

    #[test]
    fn ends_the_loop_at_the_fourth_redirect() {
        let next = |cookies: &str, page: &str, now: i64| {
            Hops::read(cookies, &name(), page, Timestamp(now)).next().map(|hops| hops.count)
        };
        for (redirects, page, now, want) in [
            (0, "/a", 1_000, Some(1)),
            (2, "/a", 1_009, Some(3)),
            (3, "/a", 1_009, None),
            (3, "/a", 1_010, Some(1)),
            (3, "/a", 999, Some(1)),
            (3, "/b", 1_000, Some(1)),
        ] {
            assert_eq!(next(&after(redirects, "/a", NOW), page, now), want, "{redirects} {page} {now}");
        }
    }

    #[test]
    fn keeps_a_count_above_the_limit() {
        let mut cookies = String::new();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let hops = Hops::read(&cookies, &name(), "/login", NOW).one_more();
            cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
            let hops = Hops::read(&cookies, &name(), "/login", NOW);
            assert!(hops.is_counted());
            seen.push(hops.is_too_many());
        }
        assert_eq!(seen, [false, false, false, true, true]);
        assert!(!Hops::read(&cookies, &name(), "/login", Timestamp(NOW.0 + WINDOW)).is_counted());
        assert!(!Hops::read(&cookies, &name(), "/", NOW).is_counted());
    }

    /// Simulates rounds of redirects, each followed by a sign-in. Returns the round in which the loop is ended, if any.
    fn ended_in_round(redirects: u32, seconds: u64, rounds: u32) -> Option<u32> {
        let (mut cookies, mut now) = (String::new(), NOW);
        for round in 1..=rounds {
            for _ in 0..redirects {
                let Some(hops) = Hops::read(&cookies, &name(), "/a", now).next() else { return Some(round) };
                cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
            }
            now = now.plus(Duration::from_secs(seconds));
            if let Some(hops) = Hops::start_anew(&cookies, &name(), now) {
                cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
            }
        }
        None
    }

    #[test]
    fn resets_the_count_at_a_sign_in() {
        for (redirects, seconds, rounds, want) in [
            // A user who signs in and out for the same page.
            (1, 1, 5, None),
            (2, 3, 5, None),
            (3, 2, 6, None),
            // Sessions that never last: the count goes on after the fifth.
            (1, 0, 99, Some(9)),
            (2, 0, 99, Some(7)),
            (1, 2, 99, Some(9)),
            (4, 0, 99, Some(1)),
            // A slow loop is not detected: the fourth redirect is later than the window.
            (1, 4, 99, None),
        ] {
            assert_eq!(ended_in_round(redirects, seconds, rounds), want, "{redirects} {seconds} {rounds}");
        }
    }

    #[test]
    fn resets_only_a_current_count() {
        let counted = after(3, "/a", NOW);
        for (cookies, now, want) in [
            (counted.as_str(), 1_009, Some("h=0.1009.")),
            (&counted, 1_010, None),
            ("", 1_000, None),
            ("h=3.1000.0000abcd.4", 1_000, Some("h=0.1000.0000abcd.5;")),
            ("h=3.1000.0000abcd.5", 1_000, None),
            ("h=3.1000.0000abcd.4294967295", 1_000, None),
            ("h=3.1000.0000abcd.x", 1_000, None),
        ] {
            let line =
                Hops::start_anew(cookies, &name(), Timestamp(now)).map(|hops| hops.remember(&name(), true));
            assert_eq!(line.is_some(), want.is_some(), "{cookies} {now}");
            if let (Some(line), Some(want)) = (line, want) {
                assert!(line.starts_with(want), "{line}");
            }
        }
    }

    #[test]
    fn a_forged_count_only_ends_the_loop_sooner() {
        let real = after(1, "/a", NOW);
        let page_hash = real.rsplit('.').next().expect("a hash");
        for (value, want) in [
            (format!("h=99999.1000.{page_hash}"), None),
            (format!("h=4294967295.1000.{page_hash}"), None),
            (format!("h=4294967296.1000.{page_hash}"), Some(1)),
            (format!("h=1.-5.{page_hash}"), Some(1)),
            (format!("h=; h=2.1000.{page_hash}"), Some(3)),
            (format!("h=1.9223372036854775807.{page_hash}"), Some(1)),
            (format!("h=1.-9223372036854775808.{page_hash}"), Some(1)),
            ("h=3.1000".to_owned(), Some(1)),
            ("h=3.1000.zz".to_owned(), Some(1)),
            ("h=x".to_owned(), Some(1)),
        ] {
            let next = Hops::read(&value, &name(), "/a", NOW).next();
            assert_eq!(next.map(|hops| hops.count), want, "{value}");
        }
    }

    #[test]
    fn stores_the_count_for_the_window() {
        let line = Hops::read("", &name(), "/a", NOW).remember(&name(), true);
        assert!(line.starts_with("h=0.1000."), "{line}");
        assert!(line.ends_with("; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure"), "{line}");
        assert_eq!(forget(&name(), true), "h=; Path=/; Max-Age=0");
    }
}
