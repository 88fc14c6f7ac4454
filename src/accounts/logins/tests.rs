//! Tests of the copies: versions, filling, and what is recorded for whom. `model` tests random histories.

mod model;
mod wire;

use super::{outbox::Told, *};
use crate::{
    accounts::{
        self, Accounts, Write,
        tests::{NOW, change, invite, redeem, send, set_up, write},
    },
    identity::principal::Role,
    platform::store::{OutboxMessage, decode, sqlite::Sqlite},
};

fn account(id: &str, password: &str) -> Account {
    Account {
        id: id.into(),
        password: password.into(),
        status: UserStatus { role: Role::User, active: true, version: 5 },
        factors: Factors { totp: true, passkeys: false, recovery_codes: true },
    }
}

fn copy_of(email: &str, account: Option<Account>) -> AccountCopy {
    AccountCopy { email: EmailHash::of(email), account }
}

fn find(store: &Sqlite, email: &str) -> Reply {
    store.handle::<Logins>(&Command::Find(EmailHash::of(email)), NOW).expect("a reply")
}

#[test]
fn keeps_the_latest_copy_and_answers_once_it_is_filled() {
    let store = Sqlite::of::<Logins>();
    let put = |version, account| {
        let put = Command::Put(version, vec![copy_of("ada@x.example", account)]);
        store.handle::<Logins>(&put, NOW).expect("a reply")
    };
    let found = |account, version| Reply::Account(ReadAccount { account, version: Some(version) });
    put(7, Some(account("ada", "new")));
    put(6, Some(account("ada", "old")));
    assert_eq!(find(&store, "ada@x.example"), Reply::Unfilled);
    store.handle::<Logins>(&Command::Filled, NOW).expect("a reply");
    store.handle::<Logins>(&Command::Filled, NOW).expect("a reply");
    assert_eq!(find(&store, "ada@x.example"), found(Some(account("ada", "new")), 7));
    assert_eq!(find(&store, "bob@x.example"), found(None, 0));
    put(9, None);
    put(8, Some(account("ada", "late")));
    assert_eq!(find(&store, "ada@x.example"), found(None, 9), "a deleted user stays deleted");
    put(10, Some(account("next", "other")));
    assert_eq!(find(&store, "ada@x.example"), found(Some(account("next", "other")), 10));
}

#[test]
fn spreads_addresses_over_all_shards() {
    let shards: std::collections::BTreeSet<String> =
        (0..10_000).map(|at| EmailHash::of(&format!("u{at}@x.example")).shard().to_owned()).collect();
    assert_eq!(shards.len(), 256);
    assert_eq!(EmailHash::of("ada@example.com").shard(), "b5");
}

/// Delivers what the alarm sends, until nothing is due. Returns the shards' stores and the number of alarms.
fn drain(store: &Sqlite, shards: &crate::platform::store::sqlite::Objects) -> usize {
    let mut alarms = 0;
    while Accounts::next_alarm(store, NOW).expect("a time").is_some() {
        alarms += 1;
        for message in Accounts::alarm(store, NOW).expect("messages") {
            wire::deliver(shards, &message);
            let OutboxMessage::Tell { done, .. } = message;
            store.handle::<Accounts>(&decode(&done).expect("a command"), NOW).expect("a reply");
        }
    }
    alarms
}

#[test]
fn fills_the_shards_in_bounded_steps_when_one_is_first_asked() {
    let store = set_up();
    let users = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
        INSERT INTO users (id, email, password, role, active, created_at, version)
        SELECT printf('u%04d', i), 'u' || i || '@x.example', '1$a$b', 'user', 1, 5, 5 FROM n";
    // `run` takes statements as the object sends them.
    store.run(users, &[]).expect("users");
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None), "without shards, nothing is recorded");
    let rows = |table: &str| store.run(&format!("SELECT 1 FROM {table}"), &[]).expect("rows").len();
    assert_eq!(rows("untold_credentials"), 0);
    let reply = send(&store, accounts::Command::FindForShards("u7@x.example".into()));
    let accounts::Reply::Login(ReadAccount { account: Some(found), version: Some(_) }) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(found.id, "u0007");
    let shards = crate::platform::store::sqlite::Objects::default();
    // 1,201 users in steps of 500, then one alarm that says so.
    let alarms = drain(&store, &shards);
    assert!((4..=6).contains(&alarms), "{alarms}");
    for at in 1..=1_200 {
        let hash = EmailHash::of(&format!("u{at}@x.example"));
        let reply = shards.call::<Logins>(hash.shard(), &Command::Find(hash.clone()), NOW);
        let Ok(Reply::Account(ReadAccount { account: Some(found), .. })) = reply else { panic!("{reply:?}") };
        assert_eq!(found.id, format!("u{at:04}"));
    }
    assert_eq!((rows("untold_credentials"), rows("untold_requirements")), (0, 0));
    let reply = send(&store, accounts::Command::FindForShards("u7@x.example".into()));
    assert!(matches!(reply, accounts::Reply::Login(_)));
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None), "filled once");
}

/// Every statement that changes what a sign-in reads is recorded, whatever command runs it.
#[test]
fn records_each_change_that_concerns_signing_in() {
    for (statement, is_recorded, requires) in [
        ("UPDATE users SET password = '1$c$d' WHERE id = 'ada'", true, true),
        ("UPDATE users SET password = password WHERE id = 'ada'", false, false),
        ("UPDATE users SET role = 'admin', version = version + 1 WHERE id = 'ada'", true, false),
        ("UPDATE users SET active = 0 WHERE id = 'ada'", true, false),
        ("UPDATE users SET email = 'new@example.com' WHERE id = 'ada'", true, true),
        ("UPDATE users SET name = 'Ada' WHERE id = 'ada'", false, false),
        ("DELETE FROM users WHERE id = 'ada'", true, false),
        ("INSERT INTO totp VALUES ('ada', 'pending', 'f', 's', 0, 5)", false, false),
        ("INSERT INTO totp VALUES ('ada', 'confirmed', 'f', 's', 0, 5)", true, true),
        ("UPDATE totp SET last_step = 7, sealed = 't' WHERE user = 'bob'", false, false),
        ("UPDATE totp SET state = 'pending' WHERE user = 'bob'", true, true),
        ("DELETE FROM totp WHERE user = 'bob'", true, true),
        ("INSERT INTO recovery_codes VALUES ('ada', 'h')", true, false),
        ("DELETE FROM recovery_codes WHERE user = 'bob'", true, false),
        ("INSERT INTO passkeys VALUES ('p', 'ada', 'c', 'n', -7, 'k', 0, 5, NULL)", true, true),
        ("UPDATE passkeys SET counter = 9, last_used_at = 9, name = 'm' WHERE user = 'bob'", false, false),
        ("DELETE FROM passkeys WHERE user = 'bob'", true, true),
        ("DELETE FROM invites", false, false),
    ] {
        let store = set_up();
        for name in ["ada", "bob"] {
            invite(&store, name, None, Role::User, None);
            redeem(&store, name, name);
        }
        for of_bob in [
            "INSERT INTO totp VALUES ('bob', 'confirmed', 'f', 's', 0, 5)",
            "INSERT INTO recovery_codes VALUES ('bob', 'h')",
            "INSERT INTO passkeys VALUES ('q', 'bob', 'd', 'n', -7, 'k', 0, 5, NULL)",
        ] {
            store.run(of_bob, &[]).expect(of_bob);
        }
        send(&store, accounts::Command::FindForShards("x@x.example".into()));
        let clock = || store.run("SELECT version FROM credentials_clock", &[]).expect("rows")[0].integer(0);
        let before = clock().expect("a clock");
        store.run(statement, &[]).expect(statement);
        let rows = |table: &str| !store.run(&format!("SELECT 1 FROM {table}"), &[]).expect("rows").is_empty();
        assert_eq!(rows("untold_credentials"), is_recorded, "{statement}");
        assert_eq!(rows("untold_requirements"), requires, "{statement}");
        assert_eq!(clock().expect("a clock") > before, is_recorded, "{statement}");
    }
}

#[test]
fn a_record_stays_if_another_change_came_after() {
    let store = set_up();
    send(&store, accounts::Command::FindForShards("x@x.example".into()));
    drain(&store, &crate::platform::store::sqlite::Objects::default());
    invite(&store, "i", None, Role::User, None);
    redeem(&store, "i", "ada");
    let untold = || match send(&store, accounts::Command::Untold("ada".into())) {
        accounts::Reply::Untold(untold) => untold,
        other => panic!("{other:?}"),
    };
    let first = untold().expect("a copy");
    assert_eq!((first.required, first.copies.len()), (None, 1));
    write(&store, change("ada", None, Some(false)));
    let told = Told { version: first.version, emails: first.emails, user: None };
    send(&store, accounts::Command::Told(told));
    let second = untold().expect("the later change");
    assert!(second.version > first.version);
    assert!(second.copies[0].account.as_ref().is_some_and(|account| !account.status.active));
    write(&store, Write::DeleteUser("ada".into()));
    assert_eq!(untold().expect("a deletion").copies, [copy_of("ada@example.com", None)]);
}
