//! Tests of lists and searches: their content, their order while others write, and their cost with many users.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    accounts::{
        Accounts, Command, Invite, NewUser, Status,
        tests::{NOW, change, invite, new, send, set_up, write},
        writes::{Write, tests::token},
    },
    platform::store::{Object, sqlite::Sqlite},
};

fn user(id: &str, email: &str, name: Option<&str>) -> NewUser {
    NewUser { email: email.into(), name: name.map(str::to_owned), ..new(id) }
}

/// Adds users, by an invite each.
fn add(store: &Sqlite, all: &[NewUser]) {
    for new in all {
        invite(store, &format!("inv_{}", new.id), None, Role::User, None);
        let reply = send(store, Command::Redeem(format!("hash of inv_{}", new.id), new.clone()));
        assert!(matches!(reply, Reply::UserStatus(_)), "{reply:?}");
    }
}

fn page(store: &Sqlite, query: UserQuery) -> (Vec<String>, Option<Cursor>) {
    match send(store, Command::Users(query)) {
        Reply::Users(page) => (page.users.into_iter().map(|user| user.id).collect(), page.next),
        other => panic!("{other:?}"),
    }
}

/// Returns all pages of a query. Each cursor takes the way through its text.
fn all(store: &Sqlite, mut query: UserQuery) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let (users, next) = page(store, query.clone());
        assert!(i64::try_from(users.len()).expect("few") <= query.limit);
        found.extend(users);
        let Some(next) = next else { return found };
        query.after = Some(Cursor::parse(next.text(), next.word.is_some()).expect("a cursor"));
    }
}

fn search(text: &str, limit: i64) -> UserQuery {
    UserQuery { text: Some(text.into()), limit, ..UserQuery::default() }
}

#[test]
fn finds_users_by_the_beginnings_of_their_words() {
    let store = set_up();
    add(
        &store,
        &[
            user("ada", "ada.lovelace@math.example", Some("Ada Lovelace")),
            user("bea", "bea@ada.example", None),
            user("zoe", "z@x.example", Some("Zoë  O'Neil")),
            user("pct", "100%_x@x.example", Some("50% off")),
        ],
    );
    for (text, want) in [
        ("ada", &["ada", "bea"][..]),
        ("LOVE", &["ada"]),
        (" ada   love ", &["ada"]),
        ("x.example", &["pct", "zoe"]),
        ("zoË o", &["zoe"]),
        ("%", &[]),
        ("100%_", &["pct"]),
        ("_", &[]),
        ("ovelace", &[]),
        ("\u{10ffff}", &[]),
        ("", &["ada", "bea", "pct", "root", "zoe"]),
    ] {
        let mut found = all(&store, search(text, 2));
        found.sort();
        assert_eq!(found, want, "{text:?}");
    }
    write(&store, change("bea", None, Some(false)));
    let disabled = UserQuery { active: Some(false), ..search("ada", 2) };
    assert_eq!(all(&store, disabled), ["bea"]);
    write(&store, Write::DeleteUser("ada".into()));
    assert_eq!(all(&store, search("ada", 2)), ["bea"], "a deleted user is not found");
    let words = store.run("SELECT 1 FROM user_words WHERE id = 'ada'", &[]).expect("rows");
    assert!(words.is_empty(), "a deleted user has no words");
}

#[test]
fn adds_the_words_of_users_from_before_the_index() {
    let store = Sqlite::empty();
    let migrations = Accounts::CLASS.migrations;
    // The number of migrations before the index.
    let before = 3;
    for migration in &migrations[..before] {
        migration(&store).expect("tables of before");
    }
    for at in 0..2_500 {
        let insert = format!(
            "INSERT INTO users VALUES ('u{at:04}', 'u{at:04}@x.example', 'Old {at}', '1$a$b', 'user', 1, 5, 5)"
        );
        store.run(&insert, &[]).expect("a user");
    }
    for migration in &migrations[before..] {
        migration(&store).expect("a migration");
    }
    let mut alarms = 0;
    while Accounts::next_alarm(&store, NOW).expect("a time").is_some() {
        assert_eq!(Accounts::alarm(&store, NOW), Ok(Vec::new()));
        alarms += 1;
    }
    assert_eq!(alarms, 4, "bounded, and it ends");
    assert_eq!(all(&store, search("old 2499", 10)), ["u2499"]);
    assert_eq!(all(&store, search("x.example", 100)).len(), 2_500);
}

#[test]
fn rejects_cursors_of_another_kind() {
    let place = Cursor { word: Some("ada lovelace".into()), id: "usr_1".into() };
    assert_eq!(Cursor::parse(place.text(), true), Some(place));
    let by_id = Cursor { word: None, id: "usr_1".into() };
    assert_eq!(Cursor::parse(by_id.text(), false), Some(by_id));
    for text in ["usr_1", "", "=", "_w"] {
        assert_eq!(Cursor::parse(text.into(), true), None, "{text}");
    }
}

/// The cost of each list and of each change, with ten users and with 100,000: the same, but for the depth of an index.
#[test]
fn costs_the_same_with_many_users() {
    let few = costs(10);
    let many = costs(100_000);
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        assert!(many.scanned <= few.scanned + 2, "{name} scans: {few:?} {many:?}");
        let limit = if name.contains("list") || name.contains("search") { 40_000 } else { 1_500 };
        assert!(many.instructions <= limit, "{name}: {few:?} {many:?}");
        println!("{name:<40} {:>8} {:>8}", few.instructions, many.instructions);
    }
}

fn costs(count: i64) -> Vec<(&'static str, crate::platform::store::sqlite::Work)> {
    let store = set_up();
    fill(&store, count);
    let mut costs = Vec::new();
    let mut measure = |name, command: Command| {
        store.take_work();
        let reply = store.handle::<Accounts>(&command, NOW);
        costs.push((name, store.take_work()));
        assert!(reply.is_ok(), "{name}: {reply:?}");
    };
    let by_root = |write| Command::Write(crate::identity::author::Author::in_person("root", NOW), write);
    let query = |text: Option<&str>, role, active| {
        Command::Users(UserQuery { text: text.map(str::to_owned), role, active, after: None, limit: 50 })
    };
    measure("sign-in: find", Command::Find("u000007@x.example".into()));
    measure("sign-in: unknown", Command::Find("nobody@x.example".into()));
    measure("list users", query(None, None, None));
    measure("list users, admins", query(None, Some(Role::Admin), None));
    measure("list users, disabled", query(None, None, Some(false)));
    measure("list users, disabled admins", query(None, Some(Role::Admin), Some(false)));
    measure("search, one match", query(Some("u000007"), None, None));
    measure("search, all match", query(Some("x.example"), None, None));
    measure("search, all match, none fits", query(Some("x.example"), Some(Role::Admin), None));
    measure("search, no match", query(Some("nobody"), None, None));
    measure("list invites", Command::Invites(None, 50));
    measure("list tokens of all", Command::Tokens(None, None, 50));
    measure("list tokens of one", Command::Tokens(Some("root".into()), None, 50));
    measure("read a user", Command::User("u000007".into()));
    let new_invite = Invite {
        id: "inv_new".into(),
        email: Some("new@x.example".into()),
        role: Role::User,
        status: Status::Unused,
        created_at: NOW,
        created_by: "root".into(),
        expires_at: None,
        used_by: None,
        used_at: None,
    };
    measure("invite", by_root(Write::MakeInvite { invite: new_invite, token_hash: "h".into() }));
    let redeem = Command::Redeem("h".into(), NewUser { email: "new@x.example".into(), ..new("usr_new") });
    measure("redeem an invite", redeem);
    measure("disable a user", by_root(change("u000007", None, Some(false))));
    measure("make a user an admin", by_root(change("u000008", Some(Role::Admin), None)));
    measure("demote an admin", by_root(change("u000008", Some(Role::User), None)));
    measure("delete a user", by_root(Write::DeleteUser("u000007".into())));
    let task = token("tok_new", "mul_", "root", None);
    measure("make a token", by_root(Write::PutToken { hash: "t".into(), token: task, is_for_admins: false }));
    measure("revoke a token", by_root(Write::RevokeToken("tok_new".into())));
    costs
}

/// Adds users, and for each an invite and a token, by statements.
fn fill(store: &Sqlite, count: i64) {
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)";
    let text = "printf('u%06d', i)";
    for insert in [
        format!(
            "INSERT INTO users (id, email, name, password, role, active, created_at, version)
             {numbers} SELECT {text}, {text} || '@x.example', 'Name ' || i, '1$a$b', 'user', 1, 5, 5 FROM n"
        ),
        format!("INSERT INTO user_words {numbers} SELECT {text} || '@x.example', {text} FROM n"),
        format!("INSERT INTO user_words {numbers} SELECT 'x.example', {text} FROM n"),
        format!("INSERT INTO user_words {numbers} SELECT 'name ' || i, {text} FROM n"),
        format!(
            "INSERT INTO invites (id, token_hash, role, status, created_at, created_by)
             {numbers} SELECT 'inv_' || i, 'hash ' || i, 'user', 'used', 5, 'gone' FROM n"
        ),
        format!(
            "INSERT INTO tokens (hash, id, name, prefix, owner, created_at)
             {numbers} SELECT 'th' || i, 'tok_' || i, 'x', 'mul_', {text}, 5 FROM n"
        ),
    ] {
        store.run(&insert, &[count.into()]).expect("rows");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Delete(u8),
    Disable(u8),
    Page,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30_u8).prop_map(Step::Add),
        (0..30_u8).prop_map(Step::Delete),
        (0..30_u8).prop_map(Step::Disable),
        Just(Step::Page),
        Just(Step::Page),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// While others write, a list has no user twice, and every user who is there throughout.
    #[test]
    fn a_cursor_is_stable_under_writes(
        steps in prop::collection::vec(step(), 1..40),
        limit in 1..5_i64,
        is_search in any::<bool>(),
    ) {
        let store = set_up();
        let id = |at: u8| format!("u{at:02}");
        let first: Vec<NewUser> = (0..15).map(|at| user(&id(at), &format!("{}@x.example", id(at)), Some("X Y"))).collect();
        add(&store, &first);
        let mut throughout: BTreeSet<String> = first.iter().map(|new| new.id.clone()).collect();
        let mut query = UserQuery { text: is_search.then(|| "x".to_owned()), limit, ..UserQuery::default() };
        let (mut found, mut is_over) = (Vec::new(), false);
        for step in steps {
            match step {
                Step::Add(at) => {
                    let name = id(at);
                    let known = send(&store, Command::User(name.clone()));
                    if matches!(known, Reply::User(None)) {
                        let inv = format!("inv_{name}");
                        write(&store, Write::DeleteInvite(inv));
                        add(&store, &[user(&name, &format!("{name}@x.example"), Some("X Y"))]);
                    }
                }
                Step::Delete(at) => {
                    throughout.remove(&id(at));
                    write(&store, Write::DeleteUser(id(at)));
                }
                Step::Disable(at) => {
                    write(&store, change(&id(at), None, Some(false)));
                }
                Step::Page if is_over => {}
                Step::Page => {
                    let (users, next) = page(&store, query.clone());
                    found.extend(users);
                    is_over = next.is_none();
                    query.after = next;
                }
            }
        }
        if !is_over {
            found.extend(all(&store, query));
        }
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), found.len(), "listed twice: {:?}", found);
        prop_assert!(throughout.is_subset(&distinct), "missing: {:?} of {:?}", found, throughout);
    }
}
