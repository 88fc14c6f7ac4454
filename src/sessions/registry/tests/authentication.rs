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
