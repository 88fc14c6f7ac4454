//! Tests of users, invites, and changes for the registry.

#![allow(clippy::needless_pass_by_value, reason = "a test")]

use super::{settings::RequiredFactor, *};
use crate::{
    identity::{author::Author, principal::Role},
    platform::store::{decode, sqlite::Sqlite},
    sessions::registry::PasswordChange,
};

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000);
const FIRST: i64 = 1_700_000_000_000;

pub(super) fn send(store: &Sqlite, command: Command) -> Reply {
    store.handle::<Accounts>(&command, NOW).expect("a reply")
}

/// Makes a change as the admin `root`, with a session.
pub(super) fn write(store: &Sqlite, write: Write) -> Reply {
    send(store, Command::Write(Author::in_person("root", NOW), write))
}

pub(super) fn change(id: &str, role: Option<Role>, active: Option<bool>) -> Write {
    Write::ChangeUser { id: id.into(), role, active, required: RequiredFactor::Nobody }
}

pub(super) fn new(id: &str) -> NewUser {
    NewUser { id: id.into(), email: format!("{id}@example.com"), name: None, password: "1$a$b".into() }
}

pub(super) fn invite(store: &Sqlite, id: &str, email: Option<&str>, role: Role, expires_at: Option<i64>) {
    let new = Invite {
        id: id.into(),
        email: email.map(str::to_owned),
        role,
        status: Status::Unused,
        created_at: NOW,
        created_by: "root".into(),
        expires_at: expires_at.map(Timestamp),
        used_by: None,
        used_at: None,
    };
    let made = write(store, Write::MakeInvite { invite: new, token_hash: format!("hash of {id}") });
    assert!(matches!(made, Reply::Invite(_)));
}

pub(super) fn redeem(store: &Sqlite, invite: &str, user: &str) -> Reply {
    send(store, Command::Redeem(format!("hash of {invite}"), new(user)))
}

pub(super) fn set_up() -> Sqlite {
    let store = Sqlite::of::<Accounts>();
    let status = UserStatus { role: Role::Admin, active: true, version: FIRST };
    assert_eq!(send(&store, Command::SetUp(new("root"))), Reply::UserStatus(status));
    store
}

pub(super) fn users(store: &Sqlite) -> Vec<String> {
    match send(store, Command::Users(UserQuery::all(None, 100))) {
        Reply::Users(page) => page.users.into_iter().map(|user| user.id).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn invite_status(store: &Sqlite, id: &str) -> Option<Status> {
    match send(store, Command::Invites(None, 100)) {
        Reply::Invites(all) => all.into_iter().find(|invite| invite.id == id).map(|invite| invite.status),
        other => panic!("{other:?}"),
    }
}

#[test]
fn opens_a_database_of_an_earlier_version() {
    let before = [
        "CREATE TABLE users (
            id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, password TEXT NOT NULL,
            role TEXT NOT NULL, active INTEGER NOT NULL, created_at INTEGER NOT NULL,
            version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE invites (
            id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, email TEXT, role TEXT NOT NULL,
            status TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
            expires_at INTEGER, used_by TEXT UNIQUE) STRICT, WITHOUT ROWID",
        "CREATE TABLE tokens (
            hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
            owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL,
            expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER) STRICT, WITHOUT ROWID",
        "INSERT INTO users VALUES ('root', 'root@example.com', 'Root', '1$a$b', 'admin', 1, 5, 5)",
        "INSERT INTO invites VALUES ('old', 'h', NULL, 'user', 'used', 5, 'root', NULL, 'bob')",
        "INSERT INTO tokens VALUES ('th', 'tok_1', 'x', 'mul_', 'root', NULL, NULL, 5, NULL, NULL, NULL)",
    ];
    let store = Sqlite::of_earlier::<Accounts>(&before);
    invite(&store, "i", None, Role::User, None);
    redeem(&store, "i", "ada");
    let Reply::Invites(invites) = send(&store, Command::Invites(None, 10)) else { panic!("invites") };
    let used: Vec<_> = invites.iter().map(|invite| (invite.id.as_str(), invite.used_at)).collect();
    assert_eq!(used, [("i", Some(NOW)), ("old", None)]);
    let Reply::Tokens(tokens) = send(&store, Command::Tokens(None, None, 10)) else { panic!("tokens") };
    assert_eq!((tokens.len(), &tokens[0].1.made_by_token), (1, &None));
}

#[test]
fn returns_names_of_existing_users_by_id() {
    let store = set_up();
    let of = |ids: &[&str]| match send(&store, Command::Names(ids.iter().map(|id| (*id).into()).collect())) {
        Reply::Names(names) => names,
        other => panic!("{other:?}"),
    };
    invite(&store, "i", None, Role::User, None);
    let ada = NewUser { name: Some("Ada".into()), ..new("ada") };
    send(&store, Command::Redeem("hash of i".into(), ada));
    assert_eq!(
        of(&["ada", "root", "nobody", "ada", "x' OR '1'='1"]),
        [("ada".into(), Some("Ada".into())), ("root".into(), None)]
    );
    write(&store, Write::DeleteUser("ada".into()));
    assert_eq!(of(&["ada"]), []);
    assert_eq!(of(&vec!["root"; 100]).len(), 1);
}

#[test]
fn sets_up_only_once() {
    let store = set_up();
    assert_eq!(send(&store, Command::SetUp(new("mallory"))), Reply::AlreadySetUp);
    assert_eq!(users(&store), ["root"]);
}

#[test]
fn redeems_an_invite_only_once() {
    let store = set_up();
    invite(&store, "i", None, Role::Admin, None);
    let status = UserStatus { role: Role::Admin, active: true, version: FIRST };
    assert_eq!(redeem(&store, "i", "ada"), Reply::UserStatus(status));
    assert_eq!(redeem(&store, "i", "bob"), Reply::Unusable);
    assert_eq!(redeem(&store, "i", "ada"), Reply::Unusable);
    assert_eq!(redeem(&store, "none", "bob"), Reply::Unusable);
    assert_eq!(users(&store), ["ada", "root"]);
    assert_eq!(invite_status(&store, "i"), Some(Status::Used));
    let change = Write::ChangeInvite { id: "i".into(), role: None, status: Some(Status::Unused) };
    assert_eq!(write(&store, change), Reply::Unusable, "a used invite stays used");
}

#[test]
fn rejects_another_or_a_taken_address() {
    let store = set_up();
    invite(&store, "for-ada", Some("ada@example.com"), Role::User, None);
    invite(&store, "for-all", None, Role::User, None);
    assert_eq!(redeem(&store, "for-ada", "bob"), Reply::EmailMismatch);
    assert_eq!(redeem(&store, "for-all", "root"), Reply::EmailMismatch, "the address has an account");
    assert_eq!(users(&store), ["root"]);
    assert_eq!(
        invite_status(&store, "for-ada"),
        Some(Status::Unused),
        "a failed attempt does not use the invite"
    );
    assert!(matches!(redeem(&store, "for-ada", "ada"), Reply::UserStatus(_)));
}

#[test]
fn redeems_only_unused_invites() {
    let store = set_up();
    invite(&store, "old", None, Role::User, Some(NOW.0));
    invite(&store, "new", None, Role::User, Some(NOW.0 + 1));
    assert_eq!(invite_status(&store, "old"), Some(Status::Expired));
    assert_eq!(redeem(&store, "old", "ada"), Reply::Unusable);
    let set =
        |status| write(&store, Write::ChangeInvite { id: "new".into(), role: None, status: Some(status) });
    set(Status::Disabled);
    assert_eq!(redeem(&store, "new", "ada"), Reply::Unusable);
    set(Status::Unused);
    set(Status::Revoked);
    assert_eq!(redeem(&store, "new", "ada"), Reply::Unusable);
    assert_eq!(set(Status::Unused), Reply::Unusable, "a revoked invite stays revoked");
    assert_eq!(write(&store, Write::DeleteInvite("new".into())), Reply::Done(true));
    assert_eq!(write(&store, Write::DeleteInvite("new".into())), Reply::NotFound);
    assert_eq!(users(&store), ["root"]);
}

#[test]
fn keeps_the_last_active_admin() {
    let store = set_up();
    let last = [
        Write::DeleteUser("root".into()),
        change("root", Some(Role::User), None),
        change("root", None, Some(false)),
    ];
    for command in &last {
        assert_eq!(write(&store, command.clone()), Reply::LastAdmin);
    }
    invite(&store, "i", None, Role::Admin, None);
    redeem(&store, "i", "ada");
    write(&store, change("ada", None, Some(false)));
    for command in &last {
        assert_eq!(write(&store, command.clone()), Reply::LastAdmin, "a disabled admin does not count");
    }
    write(&store, change("ada", None, Some(true)));
    assert!(matches!(write(&store, Write::DeleteUser("root".into())), Reply::UserStatus(_)));
    let by_ada = |write| send(&store, Command::Write(Author::in_person("ada", NOW), write));
    assert_eq!(by_ada(Write::DeleteUser("ada".into())), Reply::LastAdmin);
    assert_eq!(by_ada(Write::DeleteUser("nobody".into())), Reply::NotFound);
}

#[test]
fn repeats_a_change_until_the_registry_has_it() {
    let store = set_up();
    invite(&store, "i", None, Role::User, None);
    redeem(&store, "i", "ada");
    assert_eq!(Accounts::alarm(&store, Timestamp(0)).expect("messages").len(), 0);
    let change = |active| write(&store, change("ada", None, Some(active)));
    let disabled = UserStatus { role: Role::User, active: false, version: FIRST + 1 };
    assert_eq!(change(false), Reply::UserStatus(disabled.clone()));
    assert_eq!(change(false), Reply::UserStatus(disabled), "a repeated change has the same version");
    change(true);
    send(&store, Command::StatusDelivered("ada".into(), FIRST + 1));
    let messages = Accounts::alarm(&store, Timestamp(0)).expect("messages");
    let enabled = UserStatus { role: Role::User, active: true, version: FIRST + 2 };
    let apply = registry::Command::Apply(enabled.clone());
    // The registry may not have learnt that the user was disabled: the sessions from before end all the same.
    let version = enabled.version;
    let change = PasswordChange { status: enabled, version, kept_session: None };
    let sent: Vec<_> = messages.iter().map(|OutboxMessage::Tell { command, .. }| command.clone()).collect();
    let wanted = [encode(&apply), encode(&registry::Command::PasswordChanged(change))];
    assert_eq!(sent, wanted.map(|bytes| bytes.expect("bytes")));
    for OutboxMessage::Tell { done, .. } in &messages {
        send(&store, decode(done).expect("a command"));
    }
    assert_eq!(Accounts::alarm(&store, Timestamp(0)).expect("messages").len(), 0);
    write(&store, Write::DeleteUser("ada".into()));
    let messages = Accounts::alarm(&store, Timestamp(0)).expect("messages");
    let deleted = UserStatus { role: Role::User, active: false, version: FIRST + 3 };
    let command = encode(&registry::Command::Apply(deleted)).expect("bytes");
    assert!(
        matches!(&messages[..], [OutboxMessage::Tell { name, command: sent, .. }] if name == "ada" && *sent == command),
        "{messages:?}"
    );
}

#[test]
fn lists_invites_in_pages() {
    let store = set_up();
    for at in 0..5 {
        invite(&store, &format!("i{at}"), None, Role::User, None);
    }
    let page = |after: Option<&str>| match send(&store, Command::Invites(after.map(str::to_owned), 2)) {
        Reply::Invites(all) => all.into_iter().map(|invite| invite.id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!([page(None), page(Some("i1")), page(Some("i3"))].concat(), ["i0", "i1", "i2", "i3", "i4"]);
}
