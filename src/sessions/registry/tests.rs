//! Tests of the session registry.

#![allow(clippy::arithmetic_side_effects, clippy::needless_pass_by_value, reason = "a test may fail")]

use super::*;
use crate::{
    identity::author::{Author, Credential},
    platform::store::sqlite::Sqlite,
};

mod authentication;

const T0: i64 = 1_700_000_000;

struct Registry(Sqlite);

impl Registry {
    fn new() -> Self {
        Self(Sqlite::of::<Sessions>())
    }

    #[track_caller]
    fn at(&self, seconds: i64, command: Command) -> Reply {
        self.0.handle::<Sessions>(&command, Timestamp(T0 + seconds)).expect("a reply")
    }

    #[track_caller]
    fn open(&self, seconds: i64, id: &str, status: UserStatus) -> Reply {
        self.at(seconds, Command::Open(status, session(seconds, id)))
    }

    #[track_caller]
    fn ids(&self, seconds: i64) -> Vec<String> {
        match self.at(seconds, Command::List(Limits::default())) {
            Reply::Sessions(all) => all.into_iter().map(|session| session.id).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn session(seconds: i64, id: &str) -> Session {
    let address = Some("192.0.2.1".to_owned());
    Session { address, ..Session::opened(id, Timestamp(T0 + seconds), Timestamp(T0 + seconds + 1_000)) }
}

fn status(role: Role, active: bool, version: i64) -> UserStatus {
    UserStatus { role, active, version }
}

/// Returns the reply for a live session that was opened at `T0`.
fn live(role: Role, expires_at: i64) -> Reply {
    let (created_at, authenticated_at) = (Timestamp(T0), Timestamp(T0));
    Reply::Live(LiveSession { role, expires_at: Timestamp(T0 + expires_at), created_at, authenticated_at })
}

fn check(id: &str) -> Command {
    Command::Check(id.to_owned(), Limits::default())
}

/// Returns a command by which a session of `usr_a` ends sessions of `usr_a`.
fn ends(by: &str, checked_at: i64, which: Which) -> Command {
    let checked_at = Timestamp(T0 + checked_at);
    let author =
        Author { user: Some("usr_a".into()), credential: Credential::Session(by.to_owned()), checked_at };
    Command::End(End { author: Some(author), of: "usr_a".into(), which })
}

#[test]
fn a_session_is_live_from_opening_to_expiry() {
    let registry = Registry::new();
    assert_eq!(registry.at(0, check("a")), Reply::Gone);
    assert_eq!(registry.open(0, "a", status(Role::User, true, 1)), Reply::Done(1));
    assert_eq!(registry.at(999, check("a")), live(Role::User, 1_000));
    assert_eq!(registry.at(1_000, check("a")), Reply::Gone, "a session ends in the second of its expiry");
    let later = Timestamp(T0 + 5_000);
    assert_eq!(
        registry.at(1_000, Command::Extend("a".into(), later)),
        Reply::Done(0),
        "an expired session cannot be extended"
    );
    assert_eq!(registry.at(999, Command::Extend("a".into(), later)), Reply::Done(1));
    assert_eq!(registry.at(999, Command::Extend("a".into(), Timestamp(T0))), Reply::Done(1));
    assert_eq!(registry.at(4_999, check("a")), live(Role::User, 5_000), "the expiry never moves back");
}

#[test]
fn ends_one_session_or_all_others() {
    let registry = Registry::new();
    for (at, id) in [(0, "a"), (1, "b"), (2, "c")] {
        registry.open(at, id, status(Role::User, true, 1));
    }
    assert_eq!(registry.ids(3), ["c", "b", "a"]);
    assert_eq!(registry.at(3, ends("c", 3, Which::One("b".into()))), Reply::Done(1));
    assert_eq!(registry.at(3, ends("c", 3, Which::One("b".into()))), Reply::Done(0));
    assert_eq!(registry.at(3, check("b")), Reply::Gone);
    assert_eq!(registry.at(3, Command::Extend("b".into(), Timestamp(T0 + 9_999))), Reply::Done(0));
    assert_eq!(registry.at(3, ends("c", 3, Which::Others)), Reply::Done(1));
    assert_eq!(registry.ids(3), ["c"]);
    assert_eq!(registry.ids(2_000), Vec::<String>::new());
}

#[test]
fn applies_only_the_latest_status() {
    let registry = Registry::new();
    assert_eq!(registry.at(0, Command::ReadUserStatus), Reply::UserStatus(None));
    registry.open(0, "a", status(Role::Admin, true, 5));
    registry.at(1, Command::Apply(status(Role::User, true, 4)));
    assert_eq!(registry.at(1, check("a")), live(Role::Admin, 1_000), "an older version changes nothing");
    registry.at(1, Command::Apply(status(Role::User, true, 6)));
    assert_eq!(registry.at(1, check("a")), live(Role::User, 1_000));
    registry.at(2, Command::Apply(status(Role::User, false, 7)));
    assert_eq!(registry.at(2, check("a")), Reply::Gone);
    assert_eq!(
        registry.open(2, "b", status(Role::User, true, 6)),
        Reply::Gone,
        "a login with an older version"
    );
    assert_eq!(
        registry.at(3, Command::Apply(status(Role::User, true, 8))),
        Reply::UserStatus(Some(status(Role::User, true, 8)))
    );
    assert_eq!(registry.at(3, check("a")), Reply::Gone, "an ended session stays ended");
    assert_eq!(registry.open(3, "c", status(Role::User, true, 8)), Reply::Done(1));
}

#[test]
fn updates_last_seen_at_most_once_a_minute() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    let seen = |at: i64| {
        registry.at(at, check("a"));
        match registry.at(at, Command::List(Limits::default())) {
            Reply::Sessions(all) => all[0].last_seen_at.0 - T0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([seen(1), seen(59), seen(60), seen(119), seen(120)], [0, 0, 60, 60, 120]);
}

#[test]
fn keeps_at_most_100_sessions() {
    let registry = Registry::new();
    for at in 0..150 {
        assert_eq!(registry.open(at, &format!("s{at}"), status(Role::User, true, 1)), Reply::Done(1));
    }
    let ids = registry.ids(150);
    assert_eq!(ids.len(), 100);
    assert_eq!((ids[0].as_str(), ids[99].as_str()), ("s149", "s50"));
}

#[test]
fn an_ended_session_ends_no_other() {
    let refused = Reply::Refused(Refusal::SessionEnded);
    for which in [Which::One("b".into()), Which::Others, Which::All] {
        let registry = Registry::new();
        registry.open(0, "a", status(Role::User, true, 1));
        registry.open(0, "b", status(Role::User, true, 1));
        // The gateway checks session a, then session b ends it, and then its command arrives.
        let late = ends("a", 1, which);
        assert_eq!(registry.at(1, ends("b", 1, Which::One("a".into()))), Reply::Done(1));
        assert_eq!(registry.at(1, late), refused);
        assert_eq!(registry.ids(1), ["b"]);
    }
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    assert_eq!(registry.at(1_000, ends("a", 1_000, Which::All)), refused, "expired");
}

#[test]
fn a_token_ends_sessions_while_its_user_is_active() {
    let registry = Registry::new();
    let by_token = |of: &str| {
        let credential = Credential::Token("tok_1".into());
        let author = Author { user: Some("usr_a".into()), credential, checked_at: Timestamp(T0) };
        Command::End(End { author: Some(author), of: of.to_owned(), which: Which::All })
    };
    registry.open(0, "a", status(Role::User, true, 1));
    assert_eq!(registry.at(0, by_token("usr_a")), Reply::Done(1));
    registry.at(1, Command::Apply(status(Role::User, false, 2)));
    assert_eq!(registry.at(1, by_token("usr_a")), Reply::Refused(Refusal::TokenRevoked));
    // An admin in another user's object: the gateway's check counts, for a few seconds.
    assert_eq!(registry.at(5, by_token("usr_b")), Reply::Done(0));
    let late = registry.0.handle::<Sessions>(&by_token("usr_b"), Timestamp(T0 + 6));
    assert!(late.is_err());
}

fn recently_ended(registry: &Registry, seconds: i64) -> (Vec<String>, Vec<String>) {
    match registry.at(seconds, Command::RecentlyEnded) {
        Reply::RecentlyEnded(RecentlyEnded { sessions, objects }) => (
            sessions.map_or(Vec::new(), |ids| serde_json::from_str(&ids).expect("ids")),
            objects.split(' ').filter(|object| !object.is_empty()).map(str::to_owned).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_an_ended_session_for_a_minute() {
    let by_admin = Command::End(End { author: None, of: "usr_a".into(), which: Which::All });
    for (how, end, ended) in [
        ("one", ends("a", 1, Which::One("b".into())), vec!["b"]),
        ("others", ends("a", 1, Which::Others), vec!["b"]),
        ("all", ends("a", 1, Which::All), vec!["a", "b"]),
        ("by an admin", by_admin, vec!["a", "b"]),
        ("signs out", Command::SignOut("a".into()), vec!["a"]),
        ("disabled", Command::Apply(status(Role::User, false, 2)), vec!["a", "b"]),
    ] {
        let registry = Registry::new();
        registry.open(0, "a", status(Role::User, true, 1));
        registry.open(0, "b", status(Role::User, true, 1));
        assert_eq!(recently_ended(&registry, 1).0, Vec::<String>::new(), "{how}");
        registry.at(1, end.clone());
        registry.at(2, end);
        for at in [1, 2, 60] {
            assert_eq!(recently_ended(&registry, at).0, ended, "{how}: also if it is requested again");
        }
        assert_eq!(recently_ended(&registry, 61).0, Vec::<String>::new(), "{how}");
    }
    let registry = Registry::new();
    for number in 0..=MOST_SESSIONS {
        registry.open(number, &format!("s{number}"), status(Role::User, true, 1));
    }
    assert_eq!(recently_ended(&registry, MOST_SESSIONS).0, ["s0"], "the session above the limit");
}

#[test]
fn records_a_decision_only_for_a_live_session() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    let deciding = |at: i64, session: &str, object: &str| {
        let command = Command::Deciding { session: session.into(), object: object.into() };
        registry.at(at, command) != Reply::Gone
    };
    assert!(deciding(1, "a", "x"));
    assert!(deciding(2, "a", "y"));
    assert!(!deciding(2, "b", "z"));
    assert_eq!(recently_ended(&registry, 2).1, ["x", "y"]);
    assert_eq!(recently_ended(&registry, 61).1, ["y"]);
    registry.at(3, Command::SignOut("a".into()));
    assert!(!deciding(3, "a", "z"), "the session has ended");
    assert_eq!(recently_ended(&registry, 3), (vec!["a".into()], vec!["x".into(), "y".into()]));
}

#[test]
fn creates_missing_tables() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    for table in ["ended_sessions", "deciding", "schema_version"] {
        registry.0.run(&format!("DROP TABLE {table}"), &[]).expect("done");
    }
    let registry = Registry(registry.0.restarted::<Sessions>());
    registry.at(1, Command::SignOut("a".into()));
    assert_eq!(recently_ended(&registry, 1).0, ["a"]);
}

#[test]
fn a_session_from_before_authenticated_when_it_was_opened() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    registry.0.run("UPDATE sessions SET authenticated_at = NULL", &[]).expect("done");
    assert_eq!(registry.at(9, check("a")), live(Role::User, 1_000));
    let Reply::Sessions(all) = registry.at(9, Command::List(Limits::default())) else { panic!("sessions") };
    assert_eq!(all[0].authenticated_at, Timestamp(T0));
}

#[test]
fn a_session_that_passed_a_limit_ends() {
    let limits = |max_lifetime, idle| Limits { max_lifetime, idle };
    for (limits, last, ends) in [
        (limits(Some(500), None), 499, 500),
        (limits(None, Some(300)), 299, 300),
        (limits(Some(5_000), Some(5_000)), 999, 1_000),
    ] {
        let registry = Registry::new();
        registry.open(0, "a", status(Role::User, true, 1));
        let at = |seconds: i64, command: fn(String, Limits) -> Command| {
            registry.at(seconds, command("a".into(), limits)) != Reply::Gone
        };
        let listed = |seconds: i64| match registry.at(seconds, Command::List(limits)) {
            Reply::Sessions(all) => all.iter().map(|session| session.expires_at.0 - T0).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(last), [ends], "{limits:?}");
        assert_eq!(listed(ends), Vec::<i64>::new(), "{limits:?}");
        assert!(at(last, Command::CheckReadOnly) && !at(ends, Command::CheckReadOnly), "{limits:?}");
        assert!(at(ends - 1, Command::CheckReadOnly), "a look without writing ends nothing");
        assert!(!at(ends, Command::Check), "{limits:?}");
        if ends < 1_000 {
            assert_eq!(recently_ended(&registry, ends).0, ["a"], "commands on their way are refused");
            assert_eq!(registry.at(ends, Command::Extend("a".into(), Timestamp(T0 + 9_999))), Reply::Done(0));
        }
    }
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    let check = |at: i64| registry.at(at, Command::Check("a".into(), limits(None, Some(300)))) != Reply::Gone;
    assert_eq!([check(250), check(500), check(799), check(1_100)], [true, true, true, false], "it is in use");
}

#[test]
fn accepts_a_logout_token_once() {
    let registry = Registry::new();
    for id in ["a", "b", "c"] {
        registry.open(0, id, status(Role::User, true, 1));
    }
    let log_out = |at: i64, token: &str, which: Which| {
        let until = Timestamp(T0 + 100);
        registry.at(at, Command::LogOut(Logout { token: token.to_owned(), until, which }))
    };
    assert_eq!(log_out(1, "j1", Which::One("a".into())), Reply::Done(1));
    assert_eq!(log_out(1, "j1", Which::All), Reply::AlreadyUsed, "whatever it is for");
    assert_eq!(registry.ids(1), ["b", "c"]);
    assert_eq!(recently_ended(&registry, 1).0, ["a"]);
    assert_eq!(log_out(2, "j2", Which::One("a".into())), Reply::Done(0), "it has ended");
    assert_eq!(log_out(2, "j3", Which::All), Reply::Done(2));
    assert_eq!(registry.ids(2), Vec::<String>::new());
    registry.open(3, "d", status(Role::User, true, 1));
    assert_eq!(log_out(99, "j1", Which::All), Reply::AlreadyUsed);
    log_out(100, "j4", Which::One("x".into()));
    let rows = registry.0.run("SELECT id FROM logout_tokens", &[]).expect("rows");
    assert_eq!(rows.len(), 1, "an expired token is forgotten");
}

#[test]
fn recognizes_the_devices_of_a_user() {
    let registry = Registry::new();
    let mut number = 0;
    let mut open = |at: i64, device: &str| {
        number += 1;
        let device = Some(device.to_owned());
        let session = Session { device, ..session(at, &format!("s{number}")) };
        registry.at(at, Command::Open(status(Role::User, true, 1), session)) == Reply::OpenedOnNewDevice
    };
    assert!(!open(0, "Firefox on Windows, DE"), "the first sign-in is not told");
    assert!(!open(1, "Firefox on Windows, DE"));
    assert!(open(2, "Firefox on Windows, FR"));
    assert!(open(3, "Chrome on Android, DE"));
    assert!(!open(4, "Firefox on Windows, FR"));
    for other in 0..50 {
        assert!(open(10 + other, &format!("{other}")));
    }
    assert!(open(100, "Firefox on Windows, DE"), "it was forgotten");
    let rows = registry.0.run("SELECT name FROM devices", &[]).expect("rows");
    assert_eq!(rows.len(), 50);
    registry.at(101, Command::Apply(status(Role::User, false, 2)));
    assert!(registry.0.run("SELECT name FROM devices", &[]).expect("rows").is_empty(), "a disabled user");
}
