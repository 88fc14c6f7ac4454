//! Tests of how long sessions last: single limits, and random histories of requests.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    crypto::{
        jwt::{
            Keys,
            claims::{Expected, SessionIds},
        },
        secret::Secret,
    },
    http::cookie::CookieName,
    identity::principal::Role,
    platform::store::sqlite::Sqlite,
    sessions::{
        cookies::{self, CookieContext, Policy, SessionStatus, SessionTimes},
        registry::{Command, Reply, Session, Sessions, UserStatus},
    },
};

const T0: i64 = 1_700_000_000;
const IDS: SessionIds<'_> = SessionIds { user: "usr_a", session: "ses_1" };
const CONTEXT: CookieContext<'_> =
    CookieContext { succeeded: true, authority: "app.example", path: "/", secure: true };

fn keys() -> Keys {
    Keys::new(&Secret::from_bytes((1..=32).collect()).expect("a secret"), None).expect("a key")
}

fn policy(lifetime: Lifetime) -> Policy {
    let expected = Expected {
        user_claim: "userId".into(),
        session_claim: "sessionId".into(),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
    };
    Policy {
        cookie: CookieName::parse("s").expect("a name"),
        previous: None,
        domain: None,
        lifetime,
        expected,
        forward: true,
    }
}

fn minutes(lifetime: u64, refresh_after: u64, max_lifetime: Option<u64>, idle: Option<u64>) -> Lifetime {
    let span = |minutes: u64| Duration::from_mins(minutes);
    Lifetime {
        lifetime: span(lifetime),
        refresh_after: span(refresh_after),
        max_lifetime: max_lifetime.map(span),
        idle: idle.map(span),
    }
}

#[test]
fn the_earliest_limit_ends_a_session() {
    let claims = |issued_at: i64, started_at: i64| Claims {
        user_id: "u".into(),
        session_id: "s".into(),
        issued_at: Timestamp(issued_at * 60),
        expires_at: Timestamp(100_000 * 60),
        started_at: Timestamp(started_at * 60),
    };
    for (lifetime, issued_at, started_at, end, expiry) in [
        (minutes(1_000, 60, None, None), 500, 0, 100_000, 1_500),
        (minutes(1_000, 60, Some(600), None), 500, 0, 600, 600),
        (minutes(1_000, 60, None, Some(30)), 500, 0, 530, 530),
        (minutes(1_000, 60, Some(520), Some(30)), 500, 0, 520, 520),
        (minutes(20, 10, Some(520), Some(30)), 500, 300, 530, 520),
    ] {
        assert_eq!(lifetime.end(&claims(issued_at, started_at)), Timestamp(end * 60), "{lifetime:?}");
        let found = lifetime.expiry(Timestamp(started_at * 60), Timestamp(issued_at * 60));
        assert_eq!(found, Timestamp(expiry * 60), "{lifetime:?}");
    }
}

#[test]
fn a_session_in_use_is_refreshed_ten_times_within_idle() {
    for (refresh_after, idle, want) in [(1_440, Some(30), 180), (1, Some(30), 60), (1_440, None, 86_400)] {
        let lifetime = minutes(43_200, refresh_after, None, idle);
        assert_eq!(lifetime.refresh_after(), Duration::from_secs(want));
    }
}

#[test]
fn a_token_from_before_the_limits_ends_in_time() {
    let now = Timestamp(T0);
    for (age, max_lifetime, idle, lives) in [
        (59, Some(60), None, true),
        (60, Some(60), None, false),
        (29, None, Some(30), true),
        (30, None, Some(30), false),
    ] {
        let old = policy(minutes(43_200, 1_440, None, None));
        let token = cookies::mint(&old, &keys(), IDS, SessionTimes::of_sign_in(Timestamp(T0 - age * 60)))
            .expect("a token");
        let header = format!("s={token}");
        let read = cookies::read(&policy(minutes(43_200, 1_440, max_lifetime, idle)), &keys(), &header, now);
        assert_eq!(matches!(read.status, SessionStatus::User(_)), lives, "{age} {max_lifetime:?} {idle:?}");
    }
}

/// A browser that uses a session, and the registry.
struct Browser {
    policy: Policy,
    registry: Option<Sqlite>,
    token: String,
}

impl Browser {
    fn sign_in(policy: Policy, has_registry: bool) -> Self {
        let now = Timestamp(T0);
        let registry = has_registry.then(Sqlite::of::<Sessions>);
        if let Some(registry) = &registry {
            let status = UserStatus { role: Role::User, active: true, version: 1 };
            let session = Session::opened(IDS.session, now, policy.lifetime.expiry(now, now));
            registry.handle::<Sessions>(&Command::Open(status, session), now).expect("a reply");
        }
        let token = cookies::mint(&policy, &keys(), IDS, SessionTimes::of_sign_in(now)).expect("a token");
        Self { policy, registry, token }
    }

    /// Sends a request. Returns whether the session was live.
    fn send(&mut self, now: Timestamp) -> bool {
        let header = format!("s={}", self.token);
        let mut read = cookies::read(&self.policy, &keys(), &header, now);
        let SessionStatus::User(live) = &mut read.status else { return false };
        let limits = self.policy.lifetime.limits();
        if let Some(registry) = &self.registry {
            let check = Command::Check(IDS.session.into(), limits);
            match registry.handle::<Sessions>(&check, now).expect("a reply") {
                Reply::Live(found) => live.claims.started_at = live.claims.started_at.min(found.created_at),
                _ => return false,
            }
            if let Some((_, expires_at)) = read.needing_refresh(&self.policy, now) {
                let extend = Command::Extend(IDS.session.into(), expires_at);
                assert_eq!(registry.handle::<Sessions>(&extend, now), Ok(Reply::Done(1)));
            }
        }
        for line in read.changes(&self.policy, &keys(), CONTEXT, now) {
            line.split(['=', ';']).nth(1).expect("a value").clone_into(&mut self.token);
        }
        true
    }
}

proptest! {
    #[test]
    fn no_history_of_refreshes_outlasts_a_limit(
        (lifetime, refresh_after) in (2_u64..2_000).prop_flat_map(|all| (Just(all), 0..all)),
        max_lifetime in option::of(5_u64..3_000),
        idle in option::of(5_u64..500),
        has_registry in any::<bool>(),
        // The limits may be configured only after the sign-in.
        is_new in any::<bool>(),
        pauses in vec(0_i64..20_000, 1..60),
    ) {
        let limited = policy(minutes(lifetime, refresh_after, max_lifetime, idle));
        let at_sign_in =
            if is_new { policy(minutes(lifetime, refresh_after, None, None)) } else { limited.clone() };
        let mut browser = Browser::sign_in(at_sign_in, has_registry);
        browser.policy = limited;
        let (mut now, mut used, mut has_ended) = (T0, T0, false);
        let seconds = |minutes: Option<u64>| minutes.map_or(i64::MAX, |minutes| 60 * i64::try_from(minutes).unwrap_or(0));
        for pause in pauses {
            now += pause;
            let lives = browser.send(Timestamp(now));
            prop_assert!(!(lives && has_ended), "an ended session stays ended");
            prop_assert!(!lives || now - T0 < seconds(max_lifetime), "max_lifetime");
            prop_assert!(!lives || now - used < seconds(idle), "idle");
            // A session in use does not end early: within its lifetime, less a tenth of `idle` and two minutes.
            let margin = idle.map_or(0, |_| seconds(idle) / 10 + 120);
            let is_within = now - T0 < seconds(max_lifetime)
                && now - used < seconds(idle).saturating_sub(margin)
                && now - used < seconds(Some(lifetime)) - seconds(Some(refresh_after));
            prop_assert!(lives || has_ended || !is_within, "ended early");
            if lives { used = now } else { has_ended = true }
        }
    }
}
