use super::*;
use crate::platform::store::sqlite::Sqlite;

#[test]
fn stores_uses_and_revokes_a_token() {
    let store = Sqlite::of::<Tokens>();
    let send = |at, command| store.handle::<Tokens>(&command, Timestamp(at)).expect("a reply");
    let hash = Hash::of("mul_x");
    assert_eq!((hash.0.len(), hash.object()), (64, &hash.0[..2]));
    let new = Token {
        id: "tok_1".into(),
        name: "laptop".into(),
        prefix: "mul_".into(),
        owner: "usr_1".into(),
        agent: None,
        task: Some("t".into()),
        created_at: Timestamp(5),
        expires_at: Some(Timestamp(9)),
        revoked_at: None,
        last_used_at: None,
        made_by_token: Some("hash of another".into()),
        takeovers: 0,
        scope: Some(TokenScope { operations: Some(vec!["orders.*".into()]), ..TokenScope::default() }),
    };
    let find = || Command::Find(hash.0.clone());
    assert_eq!(send(5, find()), None);
    assert_eq!(send(5, Command::Put(hash.0.clone(), new.clone())), Some(new.clone()));
    assert_eq!(send(5, find()), Some(new.clone()));
    assert!(new.must_record_use(Timestamp(5)));
    let used = send(6, Command::Used(hash.0.clone())).expect("a token");
    assert_eq!(used.last_used_at, Some(Timestamp(6)));
    assert!(!used.must_record_use(Timestamp(65)) && used.must_record_use(Timestamp(66)));
    send(7, Command::Revoke(hash.0.clone(), new.clone()));
    let revoked = send(8, Command::Revoke(hash.0.clone(), new.clone())).expect("a token");
    assert_eq!(revoked.revoked_at, Some(Timestamp(7)), "time of the first revocation");
    assert_eq!(send(9, Command::Put(hash.0.clone(), new.clone())), Some(revoked), "stays revoked");
    let unknown =
        send(9, Command::Revoke("other".into(), Token { id: "tok_2".into(), ..new })).expect("a token");
    assert_eq!(unknown.revoked_at, Some(Timestamp(9)), "even if it was never stored");
}

#[test]
fn deletes_expired_tokens_in_batches() {
    let store = Sqlite::of::<Tokens>();
    let send = |at, command| store.handle::<Tokens>(&command, Timestamp(at)).expect("a reply");
    let token = |id: &str, expires_at: Option<i64>| Token {
        id: id.into(),
        name: "x".into(),
        prefix: "mat_".into(),
        owner: "usr_1".into(),
        agent: None,
        task: None,
        created_at: Timestamp(0),
        expires_at: expires_at.map(Timestamp),
        revoked_at: None,
        last_used_at: None,
        made_by_token: None,
        takeovers: 0,
        scope: None,
    };
    let count = || store.run("SELECT count(*) FROM tokens", &[]).expect("rows")[0].integer(0);
    for number in 0..250 {
        let id = format!("t{number}");
        send(0, Command::Put(id.clone(), token(&id, Some(10))));
    }
    send(0, Command::Put("kept".into(), token("kept", None)));
    send(EXPIRED_KEPT + 9, Command::Put("a".into(), token("a", None)));
    assert_eq!(count(), Ok(252), "they expired less than EXPIRED_KEPT ago");
    for (name, left) in [("b", 153), ("c", 54), ("d", 5), ("e", 6)] {
        send(EXPIRED_KEPT + 10, Command::Put(name.into(), token(name, None)));
        assert_eq!(count(), Ok(left), "{name}");
    }
    assert!(send(EXPIRED_KEPT + 10, Command::Find("kept".into())).is_some());
}

#[test]
fn the_latest_takeover_sets_the_owner() {
    let store = Sqlite::of::<Tokens>();
    let configured = ConfiguredToken { name: "x".into(), prefix: "mk_".into(), hash: Hash("h".into()) };
    let taken_over = |owner: &str, takeovers| Token {
        owner: owner.into(),
        takeovers,
        ..configured.token("tok_1".into(), Timestamp(0))
    };
    let own = |token| {
        let own = Command::Own("h".into(), token);
        store.handle::<Tokens>(&own, Timestamp(1)).expect("a reply").expect("a token").owner
    };
    store.handle::<Tokens>(&Command::Put("h".into(), taken_over("root", 0)), Timestamp(0)).expect("a reply");
    assert_eq!(own(taken_over("ada", 1)), "ada");
    assert_eq!(own(taken_over("root", 3)), "root");
    assert_eq!(own(taken_over("bee", 2)), "root", "a delayed takeover changes nothing");
    assert_eq!(own(taken_over("ada", 4)), "ada");
}

#[test]
fn opens_a_database_of_an_earlier_version() {
    let before = "CREATE TABLE IF NOT EXISTS tokens (
        hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
        owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER,
        revoked_at INTEGER, last_used_at INTEGER) STRICT, WITHOUT ROWID";
    let row =
        "INSERT INTO tokens VALUES ('h', 'tok_1', 'x', 'mul_', 'usr_1', NULL, NULL, 5, NULL, NULL, NULL)";
    let store = Sqlite::of_earlier::<Tokens>(&[before, row]);
    let found = store.handle::<Tokens>(&Command::Find("h".into()), Timestamp(9)).expect("a reply");
    let found = found.expect("a token");
    assert_eq!((found.id.as_str(), found.made_by_token, found.takeovers), ("tok_1", None, 0));
    assert_eq!(found.scope, None, "a token of an earlier version has no scope");
}

#[test]
fn refuses_a_scope_that_it_cannot_read() {
    let store = Sqlite::of::<Tokens>();
    let configured = ConfiguredToken { name: "x".into(), prefix: "mk_".into(), hash: Hash("h".into()) };
    let put = Command::Put("h".into(), configured.token("tok_1".into(), Timestamp(0)));
    store.handle::<Tokens>(&put, Timestamp(0)).expect("a reply");
    for text in ["", "null", "{}x", r#"{"operations":"*"}"#, r#"{"paths":["/"]}"#] {
        store.run("UPDATE tokens SET scope = ?", &[text.into()]).expect("a statement");
        let found = store.handle::<Tokens>(&Command::Find("h".into()), Timestamp(0));
        assert!(found.is_err(), "{text}: {found:?}");
    }
}
