use super::*;

#[test]
fn a_user_who_authenticates_again_gets_a_new_session() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    registry.open(0, "b", status(Role::User, true, 1));
    let renew = |at: i64, credential: Credential, new: &str| {
        let author = Author { user: Some("usr_a".into()), credential, checked_at: Timestamp(T0 + at) };
        let expires_at = Timestamp(T0 + 1_000);
        registry
            .at(at, Command::Reauthenticate(Reauthentication { author, new_session: new.into(), expires_at }))
    };
    let session = |id: &str| Credential::Session(id.to_owned());
    let authenticated_at = |at: i64, id: &str| match registry.at(at, check(id)) {
        Reply::Live(live) => Some((live.authenticated_at.0 - T0, live.created_at.0 - T0)),
        _ => None,
    };
    assert_eq!(authenticated_at(500, "a"), Some((0, 0)));
    let replacement = |reply: Reply| match reply {
        Reply::Replacement(Replacement { id, live }) => (id, live.authenticated_at.0 - T0),
        other => panic!("{other:?}"),
    };
    assert_eq!(replacement(renew(500, session("a"), "a2")), ("a2".to_owned(), 500));
    assert_eq!(authenticated_at(600, "a2"), Some((500, 0)), "it keeps the time of the sign-in");
    assert_eq!(authenticated_at(600, "b"), Some((0, 0)), "only the author's session");
    assert_eq!(replacement(renew(400, session("a2"), "a3")), ("a3".to_owned(), 400));
    assert_eq!(authenticated_at(600, "a3"), Some((400, 0)), "a clock that was ahead does not count for ever");
    let token = Credential::Token("tok_1".into());
    assert_eq!(renew(600, token, "x"), Reply::Refused(Refusal::Kind));
    registry.at(601, Command::SignOut("a3".into()));
    assert_eq!(renew(601, session("a3"), "x"), Reply::Refused(Refusal::SessionEnded));
    assert_eq!(renew(1_000, session("b"), "x"), Reply::Refused(Refusal::SessionEnded), "expired");
    registry.at(602, Command::Apply(status(Role::User, false, 2)));
    assert_eq!(renew(602, session("b"), "x"), Reply::Refused(Refusal::SessionEnded), "disabled");
}

#[test]
fn a_replaced_session_ends_soon_and_gains_nothing() {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    registry.open(0, "b", status(Role::User, true, 1));
    let renew = |at: i64, old: &str, new: &str| {
        let credential = Credential::Session(old.into());
        let author = Author { user: Some("usr_a".into()), credential, checked_at: Timestamp(T0 + at) };
        let expires_at = Timestamp(T0 + 900);
        let request = Reauthentication { author, new_session: new.into(), expires_at };
        match registry.at(at, Command::Reauthenticate(request)) {
            Reply::Replacement(Replacement { id, .. }) => Some(id),
            _ => None,
        }
    };
    let is_live = |at: i64, id: &str| registry.at(at, check(id)) != Reply::Gone;
    assert_eq!(renew(100, "a", "c").as_deref(), Some("c"));
    assert_eq!(registry.ids(110), ["c", "b"], "the replaced one is not listed");
    let Reply::Live(old) = registry.at(110, check("a")) else { panic!("live") };
    assert_eq!((old.authenticated_at.0, old.expires_at.0), (T0, T0 + 130));
    let extended = registry.at(110, Command::Extend("a".into(), Timestamp(T0 + 1_000)));
    assert_eq!(extended, Reply::Done(0));
    assert_eq!(renew(120, "a", "d").as_deref(), Some("c"), "two tabs that asked at once share the new one");
    assert!(is_live(129, "a") && !is_live(130, "a") && is_live(130, "c"));

    // Signing out of a session, or of all others, counts for the replaced one, too.
    assert_eq!(renew(200, "c", "d").as_deref(), Some("d"));
    let author = Author {
        user: Some("usr_a".into()),
        credential: Credential::Session("c".into()),
        checked_at: Timestamp(T0 + 201),
    };
    let end = End { author: Some(author), of: "usr_a".into(), which: Which::Others };
    assert_eq!(registry.at(201, Command::End(end)), Reply::Done(1));
    assert_eq!(registry.ids(201), ["d"]);
    assert_eq!(registry.at(202, Command::SignOut("d".into())), Reply::Done(1));
    assert!(!is_live(202, "c") && !is_live(202, "d"));
    assert_eq!(recently_ended(&registry, 202).0, ["a", "b", "c", "d"]);
}

/// Opens the session `a` at 0, and replaces it by `b` at 100 and that by `c` at 110. Another one is `other`.
fn replaced_twice() -> Registry {
    let registry = Registry::new();
    registry.open(0, "a", status(Role::User, true, 1));
    registry.open(0, "other", status(Role::User, true, 1));
    assert_eq!(prove(&registry, 100, "a", "b"), Some(("b".to_owned(), 100)));
    assert_eq!(prove(&registry, 110, "b", "c"), Some(("c".to_owned(), 110)));
    registry
}

/// Lets the user of a session authenticate again. Returns the id of the session that replaces it, and the time at which
/// that one was authenticated.
fn prove(registry: &Registry, at: i64, by: &str, new: &str) -> Option<(String, i64)> {
    let credential = Credential::Session(by.into());
    let author = Author { user: Some("usr_a".into()), credential, checked_at: Timestamp(T0 + at) };
    let expires_at = Timestamp(T0 + 900);
    let request = Reauthentication { author, new_session: new.into(), expires_at };
    match registry.at(at, Command::Reauthenticate(request)) {
        Reply::Replacement(Replacement { id, live }) => Some((id, live.authenticated_at.0 - T0)),
        Reply::Refused(Refusal::SessionEnded) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ending_a_replaced_session_ends_those_that_replaced_it() {
    let log_out = |which| Command::LogOut(Logout { token: "j".into(), until: Timestamp(T0 + 900), which });
    for session in ["a", "b", "c"] {
        for end in [
            Command::SignOut(session.into()),
            ends("other", 120, Which::One(session.into())),
            ends(session, 120, Which::One(session.into())),
            log_out(Which::One(session.into())),
        ] {
            let registry = replaced_twice();
            assert_eq!(registry.at(120, end.clone()), Reply::Done(1), "{end:?}");
            assert_eq!(registry.ids(120), ["other"], "{end:?}");
            assert_eq!(recently_ended(&registry, 120).0, ["a", "b", "c"], "{end:?}");
        }
    }
    let registry = replaced_twice();
    registry.at(130, Command::SignOut("a".into()));
    assert_eq!(registry.ids(130), ["c", "other"], "a copy of an expired one ends nothing");
}

#[test]
fn ending_all_others_keeps_those_that_replaced_the_own_one() {
    for (own, ended) in [("a", 1), ("b", 1), ("c", 1), ("other", 1)] {
        let registry = replaced_twice();
        assert_eq!(registry.at(120, ends(own, 120, Which::Others)), Reply::Done(ended), "{own}");
        assert_eq!(registry.ids(120), [if own == "other" { own } else { "c" }], "{own}");
        let is_live = |id: &&str| registry.at(120, check(id)) != Reply::Gone;
        let all: Vec<&str> = ["a", "b", "c", "other"].into_iter().filter(is_live).collect();
        let kept = ["a", "b", "c", "other"].into_iter().skip_while(|id| *id != own);
        assert_eq!(all, kept.filter(|id| (*id == "other") == (own == "other")).collect::<Vec<_>>(), "{own}");
    }
}

#[test]
fn a_replaced_session_that_is_proved_again_gets_the_latest_one_unchanged() {
    let registry = replaced_twice();
    for old in ["a", "b"] {
        assert_eq!(prove(&registry, 120, old, "x"), Some(("c".into(), 110)), "a copy of c gains nothing");
        let Reply::Live(live) = registry.at(120, check("b")) else { panic!("live") };
        assert_eq!(live.authenticated_at, Timestamp(T0 + 100), "a copy of b gains nothing");
    }
    assert_eq!(prove(&registry, 120, "c", "d"), Some(("d".into(), 120)));
    // A user with too many sessions loses the one that was unused for longest.
    registry.0.run("DELETE FROM sessions WHERE id = 'd'", &[]).expect("done");
    assert_eq!(prove(&registry, 121, "b", "x"), None);
}

#[test]
fn a_new_password_keeps_those_that_replaced_the_session_of_the_change() {
    let registry = replaced_twice();
    let status = status(Role::User, true, 2);
    let change = PasswordChange { status, version: 2, kept_session: Some("a".into()) };
    assert_eq!(registry.at(120, Command::PasswordChanged(change)), Reply::Done(1));
    assert_eq!(registry.ids(120), ["c"]);
}
