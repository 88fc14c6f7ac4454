//! Tests of passwords in the `Accounts` object. `model` tests random histories of commands.

#![allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects, reason = "a test")]

mod model;

use std::cell::RefCell;

use super::*;
use crate::{
    accounts::{
        Accounts, Command, Reply, Write,
        factors::{ConfirmTotp, Enrollment, FactorWrite, factors_of},
        tests::{NOW, change, invite, redeem, send, set_up, write as write_as_root},
        writes::tests::token as named_token,
    },
    identity::principal::Role,
    platform::store::{Object, OutboxMessage, SqlRow, Value, decode, sqlite::Sqlite},
    sessions::registry,
};

fn proof(token: &str) -> LinkProof {
    LinkProof { selector: format!("selector of {token}"), hash: format!("hash of {token}") }
}

fn link(token: &str) -> NewLink {
    NewLink { proof: proof(token), expires_at: NOW.plus(LIFETIME) }
}

fn new(stored: &str) -> NewPassword {
    NewPassword { stored: stored.into(), revoke_tokens: false }
}

fn password_at(store: &Sqlite, command: PasswordCommand, now: Timestamp) -> PasswordReply {
    match store.handle::<Accounts>(&Command::Password(command), now).expect("a reply") {
        Reply::Password(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn password(store: &Sqlite, command: PasswordCommand) -> PasswordReply {
    password_at(store, command, NOW)
}

/// Makes a change as this user, with the session `ses_1`.
fn in_person(store: &Sqlite, user: &str, write: PasswordWrite) -> Reply {
    send(store, Command::Write(Author::in_person(user, NOW), Write::Password(write)))
}

fn make_link(store: &Sqlite, by: &str, user: &str, token: &str) -> Reply {
    in_person(store, by, PasswordWrite::MakeLink(user.into(), link(token)))
}

fn use_link(store: &Sqlite, token: &str) -> PasswordReply {
    password(store, PasswordCommand::UseLink(proof(token), new(&format!("by {token}"))))
}

fn request(store: &Sqlite, email: &str, token: &str) -> PasswordReply {
    password(store, PasswordCommand::RequestLink(email.into(), link(token)))
}

fn stored(store: &Sqlite, user: &str) -> String {
    match send(store, Command::Find(format!("{user}@example.com"))) {
        Reply::Account(Some(account)) => account.password,
        other => panic!("{other:?}"),
    }
}

fn add_user(store: &Sqlite, id: &str, role: Role) {
    invite(store, &format!("for {id}"), None, role, None);
    redeem(store, &format!("for {id}"), id);
}

fn has_changed(reply: &PasswordReply) -> bool {
    matches!(reply, PasswordReply::Changed(_))
}

/// A store that records its statements, and the number of rows that each has written.
struct Recorder<'a> {
    store: &'a Sqlite,
    statements: RefCell<Vec<(String, i64)>>,
}

impl Store for Recorder<'_> {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError> {
        let total =
            || self.store.run("SELECT total_changes()", &[]).expect("a row")[0].integer(0).expect("a count");
        let before = total();
        let rows = self.store.run(statement, parameters);
        self.statements.borrow_mut().push((statement.to_owned(), total() - before));
        rows
    }
}

const MADE: Reply = Reply::Password(PasswordReply::Made);

#[test]
fn a_link_is_used_once_by_200_who_race() {
    let store = set_up();
    add_user(&store, "ada", Role::User);
    assert_eq!(make_link(&store, "root", "ada", "one"), MADE);
    let used: Vec<bool> = (0..200)
        .map(|at| {
            let new = new(&format!("by {at}"));
            has_changed(&password(&store, PasswordCommand::UseLink(proof("one"), new)))
        })
        .collect();
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert_eq!(stored(&store, "ada"), "by 0");
}

#[test]
fn a_link_needs_both_parts_of_its_token() {
    let store = set_up();
    make_link(&store, "root", "root", "one");
    for (selector, hash) in [("one", "two"), ("two", "one"), ("", "one"), ("one", "")] {
        let proof = LinkProof { selector: proof(selector).selector, hash: proof(hash).hash };
        assert_eq!(password(&store, PasswordCommand::CheckLink(proof.clone())), PasswordReply::Unusable);
        assert_eq!(password(&store, PasswordCommand::UseLink(proof, new("x"))), PasswordReply::Unusable);
    }
    assert_eq!(password(&store, PasswordCommand::CheckLink(proof("one"))), PasswordReply::Usable);
    assert!(has_changed(&use_link(&store, "one")));
}

#[test]
fn a_link_ends_with_whatever_it_depends_on() {
    type Change = fn(&Sqlite);
    let changes: [(&str, Change); 11] = [
        ("an hour", |_| {}),
        ("a newer link", |store| drop(make_link(store, "root", "ada", "newer"))),
        ("a newer link by mail", |store| drop(request(store, "ada@example.com", "newer"))),
        ("a new password", |store| {
            let compared = stored(store, "ada");
            let change = PasswordWrite::Change { compared, new: new("changed") };
            assert!(matches!(in_person(store, "ada", change), Reply::Password(PasswordReply::Changed(_))));
        }),
        ("a disabled user", |store| drop(write_as_root(store, change("ada", None, Some(false))))),
        ("a user who was disabled", |store| {
            write_as_root(store, change("ada", None, Some(false)));
            write_as_root(store, change("ada", None, Some(true)));
        }),
        ("a deleted user", |store| drop(write_as_root(store, Write::DeleteUser("ada".into())))),
        ("a demoted maker", |store| drop(write_as_root(store, change("eve", Some(Role::User), None)))),
        ("a maker who was demoted", |store| {
            write_as_root(store, change("eve", Some(Role::User), None));
            write_as_root(store, change("eve", Some(Role::Admin), None));
        }),
        ("a maker with a new password", |store| {
            let change = PasswordWrite::Change { compared: stored(store, "eve"), new: new("changed") };
            assert!(matches!(in_person(store, "eve", change), Reply::Password(PasswordReply::Changed(_))));
        }),
        ("a deleted maker", |store| drop(write_as_root(store, Write::DeleteUser("eve".into())))),
    ];
    for (what, happens) in changes {
        let store = set_up();
        add_user(&store, "ada", Role::User);
        add_user(&store, "eve", Role::Admin);
        assert_eq!(make_link(&store, "eve", "ada", "one"), MADE);
        let now = if what == "an hour" { NOW.plus(LIFETIME) } else { NOW };
        assert_eq!(
            password_at(&store, PasswordCommand::CheckLink(proof("one")), Timestamp(now.0 - 1)),
            PasswordReply::Usable
        );
        happens(&store);
        for command in
            [PasswordCommand::CheckLink(proof("one")), PasswordCommand::UseLink(proof("one"), new("x"))]
        {
            assert_eq!(password_at(&store, command, now), PasswordReply::Unusable, "{what}");
        }
    }
}

#[test]
fn only_an_admin_with_a_session_makes_links() {
    let store = set_up();
    add_user(&store, "ada", Role::User);
    let refused = |refusal| Reply::Refused(refusal);
    assert_eq!(make_link(&store, "ada", "ada", "one"), refused(Refusal::Role));
    assert_eq!(make_link(&store, "nobody", "ada", "one"), refused(Refusal::SessionEnded));
    assert_eq!(make_link(&store, "root", "nobody", "one"), Reply::Password(PasswordReply::NotFound));
    let own = named_token("tok_1", "mul_", "root", None);
    write_as_root(&store, Write::PutToken { hash: "h".into(), token: own, is_for_admins: false });
    let author = Author { credential: Credential::Token("tok_1".into()), ..Author::in_person("root", NOW) };
    for change in [
        PasswordWrite::MakeLink("ada".into(), link("one")),
        PasswordWrite::Change { compared: stored(&store, "root"), new: new("x") },
    ] {
        let command = Command::Write(author.clone(), Write::Password(change));
        assert_eq!(send(&store, command), refused(Refusal::Kind));
    }
    write_as_root(&store, change("ada", None, Some(false)));
    assert_eq!(make_link(&store, "root", "ada", "one"), Reply::Password(PasswordReply::Disabled));
    // Demoted on the way.
    add_user(&store, "eve", Role::Admin);
    write_as_root(&store, change("eve", Some(Role::User), None));
    assert_eq!(make_link(&store, "eve", "root", "one"), refused(Refusal::Role));
    assert_eq!(use_link(&store, "one"), PasswordReply::Unusable);
}

#[test]
fn asking_by_mail_runs_the_same_statements_for_every_address() {
    let store = set_up();
    add_user(&store, "off", Role::User);
    write_as_root(&store, change("off", None, Some(false)));
    let run = |email: &str| {
        let recorder = Recorder { store: &store, statements: RefCell::default() };
        link::request(&recorder, email, &link(&format!("for {email}")), NOW).expect("a reply");
        let statements = recorder.statements.into_inner();
        let written = |(_, rows): &(String, i64)| *rows;
        assert_eq!(statements.iter().map(written).max(), Some(1), "one row is written");
        statements.into_iter().map(|(statement, _)| statement).collect::<Vec<_>>()
    };
    let known = run("root@example.com");
    assert_eq!(run("nobody@example.com"), known);
    assert_eq!(run("off@example.com"), known);
    let found = |email| match request(&store, email, "again") {
        PasswordReply::Requested(found) => found.map(|recipient| recipient.user),
        other => panic!("{other:?}"),
    };
    assert_eq!(found("root@example.com").as_deref(), Some("root"));
    for email in ["nobody@example.com", "off@example.com"] {
        assert_eq!(found(email), None);
        assert_eq!(use_link(&store, "again"), PasswordReply::Unusable, "{email}");
    }
}

#[test]
fn a_change_needs_the_password_that_was_compared() {
    let store = set_up();
    let change = |compared: &str, stored: &str| {
        let change = PasswordWrite::Change { compared: compared.into(), new: new(stored) };
        match in_person(&store, "root", change) {
            Reply::Password(reply) => reply,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change("2$other", "x"), PasswordReply::Wrong);
    let PasswordReply::Changed(changed) = change("1$a$b", "new") else { panic!("not changed") };
    assert_eq!(changed.change.kept_session.as_deref(), Some("ses_1"));
    assert_eq!(change("1$a$b", "x"), PasswordReply::Wrong);
    assert_eq!(stored(&store, "root"), "new");
}

#[test]
fn recovery_is_for_active_admins_and_removes_their_factors() {
    let store = set_up();
    add_user(&store, "ada", Role::User);
    let factor = |change| send(&store, Command::Write(Author::in_person("root", NOW), Write::Factor(change)));
    factor(FactorWrite::Enroll(Enrollment::BeginTotp { id: "f".into(), sealed: "s".into() }));
    let confirm = ConfirmTotp { id: "f".into(), step: 1, recovery_codes: vec!["c".into()] };
    factor(FactorWrite::Enroll(Enrollment::ConfirmTotp(confirm)));
    assert!(factors_of(&store, "root").expect("factors").is_enrolled());
    let recover = |email: &str| password(&store, PasswordCommand::Recover(email.into(), new("new")));
    for email in ["ada@example.com", "nobody@example.com"] {
        assert_eq!(recover(email), PasswordReply::NotFound);
    }
    assert!(factors_of(&store, "root").expect("factors").is_enrolled());
    assert!(has_changed(&recover("root@example.com")));
    assert!(!factors_of(&store, "root").expect("factors").is_enrolled());
    assert_eq!((stored(&store, "root"), stored(&store, "ada")), ("new".into(), "1$a$b".into()));
}

#[test]
fn revokes_tokens_on_request_with_those_that_they_made() {
    let store = set_up();
    add_user(&store, "ada", Role::User);
    let put = |id: &str, owner: &str, maker: Option<&str>| {
        let made_by_token = maker.map(|maker| format!("hash of {maker}"));
        let token = crate::tokens::Token { made_by_token, ..named_token(id, "mul_", owner, None) };
        let put = Write::PutToken { hash: format!("hash of {id}"), token, is_for_admins: false };
        let reply = send(&store, Command::Write(Author::in_person(owner, NOW), put));
        assert_eq!(reply, Reply::Done(true));
    };
    put("a", "ada", None);
    put("0", "ada", Some("a"));
    put("b", "ada", None);
    put("r", "root", None);
    request(&store, "ada@example.com", "one");
    let new = NewPassword { revoke_tokens: true, ..new("new") };
    let PasswordReply::Changed(changed) = password(&store, PasswordCommand::UseLink(proof("one"), new))
    else {
        panic!("not changed")
    };
    let ids: Vec<&str> = changed.tokens.iter().map(|(_, token)| token.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(changed.tokens.iter().all(|(_, token)| token.revoked_at == Some(NOW)));
    let rows = store.run("SELECT id FROM tokens WHERE revoked_at IS NULL", &[]).expect("rows");
    assert_eq!(rows.iter().map(|row| row.text(0).expect("an id")).collect::<Vec<_>>(), ["r"]);
    let told = Accounts::alarm(&store, NOW).expect("messages");
    assert_eq!(told.len(), 3, "one change of a password, two tokens");
}

#[test]
fn revokes_unused_invites_with_the_tokens() {
    let store = set_up();
    invite(&store, "one", None, Role::Admin, None);
    let change = |compared: &str, new: NewPassword| {
        in_person(&store, "root", PasswordWrite::Change { compared: compared.into(), new });
        send(&store, Command::Usable("hash of one".into()))
    };
    assert_eq!(change("1$a$b", new("2")), Reply::Done(true));
    assert_eq!(change("2", NewPassword { revoke_tokens: true, ..new("3") }), Reply::Unusable);
}

#[test]
fn a_rehash_replaces_only_what_was_compared() {
    let store = set_up();
    let version = |store: &Sqlite| match send(store, Command::Find("root@example.com".into())) {
        Reply::Account(Some(account)) => account.status.version,
        other => panic!("{other:?}"),
    };
    let read = version(&store);
    let rehash = |compared: &str, stored: &str| {
        let rehash =
            Rehash { user: "root".into(), compared: compared.into(), version: read, stored: stored.into() };
        password(&store, PasswordCommand::Rehash(rehash))
    };
    assert_eq!(rehash("1$a$b", "2"), PasswordReply::Stored(Some("2".into())));
    assert_eq!(version(&store), read, "a sign-in that is under way still counts");
    assert_eq!(rehash("1$a$b", "3"), PasswordReply::Stored(Some("2".into())), "another sign-in was first");
    let change = PasswordWrite::Change { compared: "2".into(), new: new("new") };
    in_person(&store, "root", change);
    assert_eq!(rehash("2", "4"), PasswordReply::Stored(None));
    assert_eq!(stored(&store, "root"), "new");
}
