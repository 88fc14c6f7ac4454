use super::*;
use crate::{
    accounts::{
        Accounts, Command, Write,
        tests::{NOW, invite, redeem, set_up, write},
    },
    identity::{author::Author, principal::Role, token_scope::TokenScope},
    platform::store::sqlite::Sqlite,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0.saturating_add(seconds))
}

/// Returns accounts of the admin `root` and of the users `ada` and `bob`.
fn accounts() -> Sqlite {
    let store = set_up();
    for user in ["ada", "bob"] {
        invite(&store, user, None, Role::User, None);
        redeem(&store, user, user);
    }
    store
}

fn send(store: &Sqlite, seconds: i64, command: Command) -> Reply {
    store.handle::<Accounts>(&command, at(seconds)).expect("a reply")
}

/// Makes a token for a user; `parent` is the id of the token that makes it.
fn make(
    store: &Sqlite,
    seconds: i64,
    id: &str,
    owner: &str,
    ends: Option<i64>,
    parent: Option<&str>,
) -> Reply {
    make_scoped(store, seconds, id, owner, Lifetime { ends, parent, scope: None })
}

/// What limits a token: its expiry, the token that makes it, and its scope.
struct Lifetime<'a> {
    ends: Option<i64>,
    parent: Option<&'a str>,
    scope: Option<TokenScope>,
}

fn make_scoped(store: &Sqlite, seconds: i64, id: &str, owner: &str, lifetime: Lifetime<'_>) -> Reply {
    let Lifetime { ends, parent, scope } = lifetime;
    let token = Token {
        id: id.into(),
        name: "x".into(),
        prefix: "mat_".into(),
        owner: owner.into(),
        agent: None,
        task: None,
        created_at: NOW,
        expires_at: ends.map(at),
        revoked_at: None,
        last_used_at: None,
        made_by_token: parent.map(|id| format!("hash of {id}")),
        takeovers: 0,
        scope,
    };
    let made = Write::PutToken { hash: format!("hash of {id}"), token, is_for_admins: false };
    send(store, seconds, Command::Write(Author::in_person(owner, at(seconds)), made))
}

fn ids(store: &Sqlite, owner: &str) -> Vec<String> {
    match send(store, 0, Command::Tokens(Some(owner.into()), None, 1_000)) {
        Reply::Tokens(all) => all.into_iter().map(|(_, token)| token.id).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn counts_only_live_tokens_and_deletes_expired_ones() {
    let store = accounts();
    for number in 0..MOST_TOKENS {
        let ends = (number < 60).then_some(10);
        assert_eq!(make(&store, 0, &format!("t{number}"), "ada", ends, None), Reply::Done(true));
    }
    assert_eq!(make(&store, 9, "more", "ada", None, None), Reply::Done(false));
    assert_eq!(make(&store, 9, "other", "bob", None, None), Reply::Done(true));
    for number in 0..60 {
        assert_eq!(make(&store, 10, &format!("n{number}"), "ada", None, None), Reply::Done(true));
    }
    assert_eq!(make(&store, 10, "more", "ada", None, None), Reply::Done(false));
    assert_eq!(ids(&store, "ada").len(), 160, "expired tokens are listed for a day");
    assert_eq!(make(&store, 10 + EXPIRED_LISTED, "b", "bob", None, None), Reply::Done(true));
    assert_eq!(ids(&store, "ada").len(), 100);
}

#[test]
fn limits_a_token_to_the_owner_and_expiry_of_its_parent() {
    let store = accounts();
    make(&store, 0, "parent", "ada", Some(100), None);
    make(&store, 0, "endless", "ada", None, None);
    for (id, owner, ends, parent, want) in [
        ("a", "ada", Some(100), "parent", Reply::Done(true)),
        ("b", "ada", Some(50), "parent", Reply::Done(true)),
        ("c", "ada", Some(101), "parent", Reply::NotFound),
        ("d", "ada", None, "parent", Reply::NotFound),
        ("e", "bob", Some(50), "parent", Reply::NotFound),
        ("f", "ada", Some(50), "unknown", Reply::NotFound),
        ("g", "ada", None, "endless", Reply::Done(true)),
    ] {
        assert_eq!(make(&store, 1, id, owner, ends, Some(parent)), want, "{id}");
    }
    assert_eq!(make(&store, 100, "late", "ada", Some(100), Some("parent")), Reply::NotFound);
    assert_eq!(ids(&store, "ada"), ["a", "b", "endless", "g", "parent"]);
    assert!(matches!(write(&store, Write::RevokeToken("parent".into())), Reply::Tokens(_)));
    assert_eq!(ids(&store, "ada"), ["endless", "g"], "tokens that it made are deleted with it");
    let late = make(&store, 2, "h", "ada", Some(50), Some("parent"));
    assert_eq!(late, Reply::NotFound, "a revoked token makes no tokens, not even for requests in flight");
}

#[test]
fn limits_a_token_to_the_scope_of_its_parent() {
    let store = accounts();
    let scope = |operations: &[&str], methods: Option<&str>| {
        Some(TokenScope {
            operations: Some(operations.iter().map(ToString::to_string).collect()),
            methods: methods.map(|method| vec![method.to_owned()]),
            addresses: None,
        })
    };
    let make = |id: &str, parent, scope| {
        make_scoped(&store, 1, id, "ada", Lifetime { ends: Some(50), parent, scope })
    };
    assert_eq!(make("parent", None, scope(&["orders.*"], Some("GET"))), Reply::Done(true));
    assert_eq!(make("free", None, None), Reply::Done(true));
    for (id, parent, scope, want) in [
        ("a", "parent", scope(&["orders.*"], Some("GET")), Reply::Done(true)),
        ("b", "parent", scope(&["orders.list"], Some("HEAD")), Reply::Done(true)),
        ("c", "parent", scope(&["*"], Some("GET")), Reply::NotFound),
        ("d", "parent", scope(&["orders.*"], None), Reply::NotFound),
        ("e", "parent", scope(&["orders.*", "refunds.list"], Some("GET")), Reply::NotFound),
        ("f", "parent", None, Reply::NotFound),
        ("g", "free", None, Reply::Done(true)),
        ("h", "free", scope(&["*"], None), Reply::Done(true)),
    ] {
        assert_eq!(make(id, Some(parent), scope), want, "{id}");
    }
    assert_eq!(ids(&store, "ada"), ["a", "b", "free", "g", "h", "parent"]);
    let Reply::Tokens(found) = send(&store, 1, Command::Token(None, "b".into())) else { panic!("no token") };
    assert_eq!(found[0].1.scope, scope(&["orders.list"], Some("HEAD")));
}

#[test]
fn adds_each_configured_token_once_and_keeps_it_revoked() {
    let store = set_up();
    let of = |id: &str, hash: &str| {
        let seed = tokens::ConfiguredToken {
            name: "deploy".into(),
            prefix: "mk_".into(),
            hash: tokens::Hash(hash.into()),
        };
        (hash.to_owned(), seed.token(id.into(), NOW))
    };
    let seed = |id: &str, hash: &str| {
        let (hash, token) = of(id, hash);
        send(&store, 0, Command::SeedToken(hash, token))
    };
    let id = |reply: Reply| match reply {
        Reply::Token(token) => (token.id, token.revoked_at.is_some()),
        other => panic!("{other:?}"),
    };
    assert_eq!(send(&store, 0, Command::SeedTokens(vec![of("tok_1", "h1")])), Reply::Done(true));
    assert_eq!(send(&store, 0, Command::SeedTokens(vec![of("tok_2", "h1")])), Reply::Done(true));
    assert_eq!(
        ids(&store, CONFIG_OWNER),
        ["tok_1"],
        "each token is listed once, however many isolates add it"
    );
    assert_eq!(id(seed("tok_3", "h1")), ("tok_1".into(), false));
    assert_eq!(seed("tok_4", "h2"), Reply::NameTaken);
    send(&store, 0, Command::SeedTokens(vec![of("tok_4", "h2")]));
    assert_eq!(ids(&store, CONFIG_OWNER), ["tok_1"], "a name with another hash is not listed");
    write(&store, Write::RevokeToken("tok_1".into()));
    send(&store, 0, Command::DeleteToken("tok_1".into()));
    assert_eq!(ids(&store, CONFIG_OWNER), Vec::<String>::new());
    send(&store, 0, Command::SeedTokens(vec![of("tok_5", "h1")]));
    assert_eq!(id(seed("tok_5", "h1")), ("tok_1".into(), true), "a revoked token stays revoked");
    assert_eq!(ids(&store, CONFIG_OWNER), Vec::<String>::new());
    assert_eq!(id(seed("tok_6", "h2")), ("tok_6".into(), false), "the name of a revoked token is free");
    assert_eq!(ids(&store, CONFIG_OWNER), ["tok_6"]);
}
