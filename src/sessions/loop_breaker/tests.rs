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
        let hops = RedirectCount::read(&cookies, &name(), page, now).next().expect("within the limit");
        cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
    }
    cookies
}

#[test]
fn ends_the_loop_at_the_fourth_redirect() {
    let next = |cookies: &str, page: &str, now: i64| {
        RedirectCount::read(cookies, &name(), page, Timestamp(now)).next().map(|hops| hops.count)
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
        let hops = RedirectCount::read(&cookies, &name(), "/login", NOW).one_more();
        cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
        let hops = RedirectCount::read(&cookies, &name(), "/login", NOW);
        assert!(hops.is_counted());
        seen.push(hops.is_too_many());
    }
    assert_eq!(seen, [false, false, false, true, true]);
    assert!(!RedirectCount::read(&cookies, &name(), "/login", Timestamp(NOW.0 + WINDOW)).is_counted());
    assert!(!RedirectCount::read(&cookies, &name(), "/", NOW).is_counted());
}

/// Simulates rounds of redirects, each followed by a sign-in. Returns the round in which the loop is ended, if any.
fn ended_in_round(redirects: u32, seconds: u64, rounds: u32) -> Option<u32> {
    let (mut cookies, mut now) = (String::new(), NOW);
    for round in 1..=rounds {
        for _ in 0..redirects {
            let Some(hops) = RedirectCount::read(&cookies, &name(), "/a", now).next() else {
                return Some(round);
            };
            cookies = hops.remember(&name(), true).split(';').next().expect("a cookie pair").to_owned();
        }
        now = now.plus(Duration::from_secs(seconds));
        if let Some(hops) = RedirectCount::restart(&cookies, &name(), now) {
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
            RedirectCount::restart(cookies, &name(), Timestamp(now)).map(|hops| hops.remember(&name(), true));
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
        let next = RedirectCount::read(&value, &name(), "/a", NOW).next();
        assert_eq!(next.map(|hops| hops.count), want, "{value}");
    }
}

#[test]
fn stores_the_count_for_the_window() {
    let line = RedirectCount::read("", &name(), "/a", NOW).remember(&name(), true);
    assert!(line.starts_with("h=0.1000."), "{line}");
    assert!(line.ends_with("; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure"), "{line}");
    assert_eq!(forget(&name(), true), "h=; Path=/; Max-Age=0");
}
