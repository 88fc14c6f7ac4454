//! A browser that is sent to the login page and back, over and over, is shown a page instead.
//!
//! It happens when two sides disagree about a session, or a browser keeps a cookie in two places. Each
//! redirect of ours to or from the login path counts itself in a short-lived cookie; the fourth within
//! [`WINDOW`] seconds that has the same place at its other end is not sent. Several tabs that are opened
//! at once go to several places and are no loop. The cookie proves nothing and protects nothing: who
//! forges it sees the page sooner.
//!
//! When a session begins, somebody has signed in, and the count starts anew ([`Hops::start_anew`]): it was no loop. But upstream may also
//! begin sessions for ever that do not hold. So the count starts anew at most [`MOST_SIGN_INS`] times while each follows the one before
//! within [`WINDOW`] seconds.
//!
//! With `login = "upstream"`, a redirect of upstream's to the login page is counted as well, if the user is signed in here: upstream
//! has lost its own session. Its place is the login page. While it is not one too many, upstream's login page is shown to the
//! user, who would otherwise be redirected away from it ([`Hops::is_counted`]). The next one is the page.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::{
    cookie::{self, CookieName, Scope, SetCookie},
    time::Timestamp,
};

/// Seconds in which redirects are counted together.
pub const WINDOW: i64 = 10;

/// Redirects that are sent within [`WINDOW`]; the next one is not.
pub const MOST: u32 = 3;

/// Sessions that start the count anew, if each begins within [`WINDOW`] of the one before.
pub const MOST_SIGN_INS: u32 = 5;

/// Redirects so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    count: u32,
    since: Timestamp,
    place: u32,
    sign_ins: u32,
}

impl Hops {
    /// Reads what a browser brought along, as far as it is about `place`: the end of the redirect that is
    /// not the login page.
    #[must_use]
    pub fn read(cookies: &str, name: &CookieName, place: &str, now: Timestamp) -> Self {
        let place = FixedState::default().hash_one(place);
        let place = u32::try_from(place >> 32).unwrap_or_default();
        Self::current(cookies, name, now).find(|hops| hops.place == place).unwrap_or(Self {
            count: 0,
            since: now,
            place,
            sign_ins: 0,
        })
    }

    /// Returns what a browser brought along with no count and one sign-in more, whatever the place. `None` where nothing is counted, or
    /// there were too many sign-ins already: the count then goes on.
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

    /// Reads the counts that are not over.
    fn current(cookies: &str, name: &CookieName, now: Timestamp) -> impl Iterator<Item = Self> {
        cookie::values(cookies, name.as_str())
            .filter_map(parse)
            .filter(move |hops| (0..WINDOW).contains(&now.seconds_since(hops.since)))
    }

    /// Counts one more; `None` where it is one too many.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self.count < MOST).then(|| self.one_more())
    }

    /// Counts one more, one too many as well.
    #[must_use]
    pub fn one_more(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    /// Tells whether there were redirects with this place.
    #[must_use]
    pub fn is_counted(self) -> bool {
        self.count > 0
    }

    /// Tells whether there was one too many.
    #[must_use]
    pub fn is_too_many(self) -> bool {
        self.count > MOST
    }

    /// Writes the cookie that remembers this.
    #[must_use]
    pub fn remember(self, name: &CookieName, secure: bool) -> String {
        let Self { count, since, place, sign_ins } = self;
        let sign_ins = if sign_ins > 0 { format!(".{sign_ins}") } else { String::new() };
        let value = format!("{count}.{}.{place:08x}{sign_ins}", since.0);
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
    let mut parts = value.split('.');
    let (count, since, place) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Hops {
        count: count.parse().ok()?,
        since: Timestamp(since.parse().ok()?),
        place: u32::from_str_radix(place, 16).ok()?,
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

    /// The cookie as a browser sends it after a number of redirects that have `place` at one end.
    fn after(redirects: usize, place: &str, now: Timestamp) -> String {
        let mut cookies = String::new();
        for _ in 0..redirects {
            let hops = Hops::read(&cookies, &name(), place, now).next().expect("not too many");
            cookies = hops.remember(&name(), true).split(';').next().expect("a pair").to_owned();
        }
        cookies
    }

    #[test]
    fn the_fourth_is_one_too_many() {
        let next = |cookies: &str, place: &str, now: i64| {
            Hops::read(cookies, &name(), place, Timestamp(now)).next().map(|hops| hops.count)
        };
        for (redirects, place, now, want) in [
            (0, "/a", 1_000, Some(1)),
            (2, "/a", 1_009, Some(3)),
            (3, "/a", 1_009, None),
            (3, "/a", 1_010, Some(1)),
            (3, "/a", 999, Some(1)),
            (3, "/b", 1_000, Some(1)),
        ] {
            assert_eq!(next(&after(redirects, "/a", NOW), place, now), want, "{redirects} {place} {now}");
        }
    }

    #[test]
    fn one_more_than_too_many_is_remembered() {
        let mut cookies = String::new();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let hops = Hops::read(&cookies, &name(), "/login", NOW).one_more();
            cookies = hops.remember(&name(), true).split(';').next().expect("a pair").to_owned();
            let hops = Hops::read(&cookies, &name(), "/login", NOW);
            assert!(hops.is_counted());
            seen.push(hops.is_too_many());
        }
        assert_eq!(seen, [false, false, false, true, true]);
        assert!(!Hops::read(&cookies, &name(), "/login", Timestamp(NOW.0 + WINDOW)).is_counted());
        assert!(!Hops::read(&cookies, &name(), "/", NOW).is_counted());
    }

    /// A browser goes round: redirects, then a session that begins. Returns in which round it is too many, if it is.
    fn broken_in_round(redirects: u32, seconds: u64, rounds: u32) -> Option<u32> {
        let (mut cookies, mut now) = (String::new(), NOW);
        for round in 1..=rounds {
            for _ in 0..redirects {
                let Some(hops) = Hops::read(&cookies, &name(), "/a", now).next() else { return Some(round) };
                cookies = hops.remember(&name(), true).split(';').next().expect("a pair").to_owned();
            }
            now = now.plus(Duration::from_secs(seconds));
            if let Some(hops) = Hops::start_anew(&cookies, &name(), now) {
                cookies = hops.remember(&name(), true).split(';').next().expect("a pair").to_owned();
            }
        }
        None
    }

    #[test]
    fn a_session_that_begins_starts_the_count_anew() {
        for (redirects, seconds, rounds, want) in [
            // People who sign in and out for the same page.
            (1, 1, 5, None),
            (2, 3, 5, None),
            (3, 2, 6, None),
            // Sessions that begin for ever and do not hold: the count goes on after the fifth.
            (1, 0, 99, Some(9)),
            (2, 0, 99, Some(7)),
            (1, 2, 99, Some(9)),
            (4, 0, 99, Some(1)),
            // As slow as what was never a loop: the fourth redirect is later than the window.
            (1, 4, 99, None),
        ] {
            assert_eq!(broken_in_round(redirects, seconds, rounds), want, "{redirects} {seconds} {rounds}");
        }
    }

    #[test]
    fn nothing_starts_anew_where_nothing_is_counted() {
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
    fn a_forged_count_does_no_more_than_end_sooner() {
        let real = after(1, "/a", NOW);
        let place = real.rsplit('.').next().expect("a place");
        for (value, want) in [
            (format!("h=99999.1000.{place}"), None),
            (format!("h=4294967295.1000.{place}"), None),
            (format!("h=4294967296.1000.{place}"), Some(1)),
            (format!("h=1.-5.{place}"), Some(1)),
            (format!("h=; h=2.1000.{place}"), Some(3)),
            (format!("h=1.9223372036854775807.{place}"), Some(1)),
            (format!("h=1.-9223372036854775808.{place}"), Some(1)),
            ("h=3.1000".to_owned(), Some(1)),
            ("h=3.1000.zz".to_owned(), Some(1)),
            ("h=x".to_owned(), Some(1)),
        ] {
            let next = Hops::read(&value, &name(), "/a", NOW).next();
            assert_eq!(next.map(|hops| hops.count), want, "{value}");
        }
    }

    #[test]
    fn remembered_for_the_window() {
        let line = Hops::read("", &name(), "/a", NOW).remember(&name(), true);
        assert!(line.starts_with("h=0.1000."), "{line}");
        assert!(line.ends_with("; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure"), "{line}");
        assert_eq!(forget(&name(), true), "h=; Path=/; Max-Age=0");
    }
}
