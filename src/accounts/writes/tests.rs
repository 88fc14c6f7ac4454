//! Tests of commands and their authors. `model` tests random histories of several admins' commands.

mod model;

use super::*;
use crate::{
    accounts::{
        Accounts, Command, Invite, MOST_TOKENS,
        tests::{NOW, change, invite, invite_status, redeem, send, set_up, users, write},
    },
    platform::store::{Object, OutboxMessage, decode, sqlite::Sqlite},
    tokens::Hash,
};

/// Returns the content of all tables that commands change.
fn all_tables(store: &Sqlite) -> String {
    let tables = [
        "SELECT id, role, active, version FROM users ORDER BY id",
        "SELECT id, role, status, created_by, used_by FROM invites ORDER BY id",
        "SELECT id, owner, revoked_at FROM tokens ORDER BY id",
        "SELECT invite, token FROM invited_by_token ORDER BY invite",
    ];
    tables.map(|select| format!("{:?}", store.run(select, &[]).expect("rows"))).concat()
}

pub(in crate::accounts) fn token(id: &str, prefix: &str, owner: &str, expires_at: Option<i64>) -> Token {
    Token {
        id: id.into(),
        name: "a token".into(),
        prefix: prefix.into(),
        owner: owner.into(),
        agent: None,
        task: None,
        created_at: NOW,
        expires_at: expires_at.map(Timestamp),
        revoked_at: None,
        last_used_at: None,
        made_by_token: None,
        takeovers: 0,
        scope: None,
    }
}

fn put(id: &str, prefix: &str, owner: &str) -> Write {
    let token = token(id, prefix, owner, None);
    Write::PutToken { hash: format!("hash of {id}"), token, is_for_admins: prefix == "mk_" }
}

fn new_invite(id: &str, created_by: &str) -> Write {
    let invite = Invite {
        id: id.into(),
        email: None,
        role: Role::Admin,
        status: Status::Unused,
        created_at: NOW,
        created_by: created_by.into(),
        expires_at: None,
        used_by: None,
        used_at: None,
    };
    Write::MakeInvite { invite, token_hash: format!("hash of {id}") }
}

/// Returns every command that people can give.
fn each_write() -> Vec<Write> {
    vec![
        change("root", None, Some(false)),
        change("ada", Some(Role::Admin), Some(true)),
        Write::DeleteUser("root".into()),
        new_invite("more", "ada"),
        Write::ChangeInvite { id: "old".into(), role: Some(Role::Admin), status: None },
        Write::DeleteInvite("old".into()),
        put("tok_more", "mul_", "ada"),
        put("tok_agents", "mk_", "ada"),
        Write::RevokeToken("tok_root".into()),
        Write::TakeOverToken("tok_root".into()),
        Write::AuthorizeEndingSessions("root".into()),
        Write::Factor(FactorWrite::RemoveAll("root".into())),
    ]
}

#[test]
fn refuses_an_author_without_permission() {
    let by_token = |id: &str| Author {
        user: Some("ada".into()),
        credential: Credential::Token(id.into()),
        checked_at: NOW,
    };
    let in_person = Author::in_person("ada", NOW);
    let agent = Author { user: None, ..by_token("tok_ada") };
    for (change_before, author, want) in [
        (Some(change("ada", Some(Role::User), None)), in_person.clone(), Refusal::Role),
        (Some(change("ada", None, Some(false))), in_person.clone(), Refusal::SessionEnded),
        (Some(Write::DeleteUser("ada".into())), in_person.clone(), Refusal::SessionEnded),
        (Some(change("ada", None, Some(false))), by_token("tok_ada"), Refusal::TokenRevoked),
        (Some(Write::RevokeToken("tok_ada".into())), by_token("tok_ada"), Refusal::TokenRevoked),
        (None, by_token("tok_old"), Refusal::TokenExpired),
        (None, by_token("tok_root"), Refusal::TokenRevoked),
        (None, by_token("tok_unknown"), Refusal::TokenRevoked),
        (None, Author::in_person("nobody", NOW), Refusal::SessionEnded),
        (None, agent, Refusal::Kind),
    ] {
        for command in each_write() {
            let store = set_up();
            invite(&store, "i", None, Role::Admin, None);
            invite(&store, "old", None, Role::User, None);
            redeem(&store, "i", "ada");
            send(&store, Command::Write(in_person.clone(), put("tok_ada", "mul_", "ada")));
            write(&store, put("tok_root", "mk_", "root"));
            tokens::put(&store, "hash of tok_old", &token("tok_old", "mul_", "ada", Some(NOW.0)))
                .expect("put");
            if let Some(change) = &change_before {
                let reply = write(&store, change.clone());
                assert!(matches!(reply, Reply::UserStatus(_) | Reply::Tokens(_)), "{reply:?}");
            }
            let before = all_tables(&store);
            let reply = send(&store, Command::Write(author.clone(), command.clone()));
            // A user may make and revoke their own tokens, but no other user's.
            match (&command, want) {
                (Write::PutToken { is_for_admins: false, .. }, Refusal::Role) => {
                    assert_eq!(reply, Reply::Done(true));
                    continue;
                }
                (Write::RevokeToken(_), Refusal::Role) => assert_eq!(reply, Reply::NotFound),
                _ => assert_eq!(reply, Reply::Refused(want), "{author:?} {command:?}"),
            }
            assert_eq!(all_tables(&store), before, "{author:?} {command:?}");
        }
    }
}

#[test]
fn refuses_a_session_that_ended() {
    let end = |store: &Sqlite, ids: &[&str], at: i64| {
        let ids = serde_json::to_string(ids).expect("ids");
        store.handle::<Accounts>(&Command::EndedSessions(ids), Timestamp(NOW.0 + at)).expect("noted")
    };
    let by = |credential| Author { user: Some("root".into()), credential, checked_at: NOW };
    for command in each_write() {
        let store = set_up();
        write(&store, put("tok", "mul_", "root"));
        end(&store, &["ses_0", "ses_1"], 0);
        let before = all_tables(&store);
        let of = |credential| send(&store, Command::Write(by(credential), command.clone()));
        for ended in ["ses_0", "ses_1"] {
            let refused = Reply::Refused(Refusal::SessionEnded);
            assert_eq!(of(Credential::Session(ended.into())), refused, "{command:?}");
        }
        assert_eq!(all_tables(&store), before, "{command:?}");
        // A new session works in the same second. A token with the id of an ended session is not taken for the session.
        assert!(!matches!(of(Credential::Token("ses_1".into())), Reply::Refused(Refusal::SessionEnded)));
        assert!(!matches!(of(Credential::Session("ses_2".into())), Reply::Refused(_)), "{command:?}");
    }
    let store = set_up();
    for at in 0..200 {
        end(&store, &[&format!("ses_{at}")], at);
        let noted = store.run("SELECT 1 FROM ended_sessions", &[]).expect("rows").len();
        assert!(noted <= 60, "{noted} sessions are recorded");
    }
}

#[test]
fn refuses_a_delayed_command() {
    for command in each_write() {
        let store = set_up();
        let late = Command::Write(Author::in_person("root", Timestamp(NOW.0 - 6)), command);
        let before = all_tables(&store);
        assert!(store.handle::<Accounts>(&late, NOW).is_err());
        assert_eq!(all_tables(&store), before);
    }
}

#[test]
fn makes_the_author_the_owner_whatever_the_command_names() {
    let store = set_up();
    invite(&store, "i", None, Role::Admin, None);
    redeem(&store, "i", "ada");
    write(&store, new_invite("forged", "ada"));
    write(&store, put("tok_forged", "mk_", "ada"));
    let all = all_tables(&store);
    assert!(all.contains(r#"String("forged"), String("admin"), String("unused"), String("root")"#), "{all}");
    assert!(all.contains(r#"String("tok_forged"), String("root")"#), "{all}");
}

#[test]
fn revokes_invites_with_the_token_that_made_them() {
    let store = set_up();
    let by_token =
        Author { user: Some("root".into()), credential: Credential::Token("tok".into()), checked_at: NOW };
    write(&store, put("tok", "mul_", "root"));
    for id in ["a", "b"] {
        let made = send(&store, Command::Write(by_token.clone(), new_invite(id, "root")));
        assert!(matches!(made, Reply::Invite(_)));
    }
    invite(&store, "c", None, Role::User, None);
    assert!(matches!(redeem(&store, "a", "ada"), Reply::UserStatus(_)));
    assert!(matches!(write(&store, Write::RevokeToken("tok".into())), Reply::Tokens(_)));
    assert_eq!(invite_status(&store, "b"), Some(Status::Revoked));
    assert_eq!(redeem(&store, "b", "bob"), Reply::Unusable);
    assert!(matches!(redeem(&store, "c", "bob"), Reply::UserStatus(_)), "made with a session");
    // Even if the invite had not been revoked with the token, it would be unusable.
    store.run("UPDATE invites SET status = 'unused' WHERE id = 'b'", &[]).expect("done");
    assert_eq!(send(&store, Command::Usable("hash of b".into())), Reply::Unusable);
    assert_eq!(redeem(&store, "b", "eve"), Reply::Unusable);
}

#[test]
fn redeems_only_invites_of_an_active_admin() {
    for role_and_status in ["role = 'user'", "active = 0"] {
        let store = set_up();
        invite(&store, "i", None, Role::Admin, None);
        // The author is no longer an active admin, but the invite was not revoked.
        store.run(&format!("UPDATE users SET {role_and_status}"), &[]).expect("done");
        assert_eq!(send(&store, Command::Usable("hash of i".into())), Reply::Unusable);
        assert_eq!(redeem(&store, "i", "ada"), Reply::Unusable);
        assert_eq!(users(&store), ["root"]);
    }
}

#[test]
fn keeps_an_invite_revoked_when_its_author_is_an_admin_again() {
    let by_ada = |store: &Sqlite, write| send(store, Command::Write(Author::in_person("ada", NOW), write));
    for (end, is_restored) in [
        (change("ada", Some(Role::User), None), true),
        (change("ada", None, Some(false)), true),
        (Write::DeleteUser("ada".into()), false),
    ] {
        let store = set_up();
        invite(&store, "i", None, Role::Admin, None);
        redeem(&store, "i", "ada");
        assert!(matches!(by_ada(&store, new_invite("mine", "ada")), Reply::Invite(_)));
        assert!(matches!(write(&store, end.clone()), Reply::UserStatus(_)));
        assert_eq!(invite_status(&store, "mine"), Some(Status::Revoked), "{end:?}");
        if is_restored {
            write(&store, change("ada", Some(Role::Admin), Some(true)));
            assert_eq!(redeem(&store, "mine", "eve"), Reply::Unusable, "{end:?}");
            assert!(matches!(by_ada(&store, new_invite("anew", "ada")), Reply::Invite(_)));
        }
    }
}

#[test]
fn rejects_an_invite_of_a_token_with_another_owner() {
    let store = set_up();
    invite(&store, "i", None, Role::Admin, None);
    redeem(&store, "i", "ada");
    let in_person = Author::in_person("ada", NOW);
    let by_token = Author { credential: Credential::Token("tok".into()), ..in_person.clone() };
    send(&store, Command::Write(in_person, put("tok", "mul_", "ada")));
    send(&store, Command::Write(by_token, new_invite("mine", "ada")));
    assert_eq!(send(&store, Command::Usable("hash of mine".into())), Reply::Done(true));
    assert!(matches!(write(&store, Write::TakeOverToken("tok".into())), Reply::Tokens(_)));
    assert_eq!(redeem(&store, "mine", "eve"), Reply::Unusable);
}

#[test]
fn repeats_a_revocation_until_the_token_object_has_it() {
    let store = set_up();
    write(&store, put("tok_1", "mul_", "root"));
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None));
    write(&store, Write::RevokeToken("tok_1".into()));
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(Some(NOW)));
    let messages = Accounts::alarm(&store, NOW).expect("messages");
    let [OutboxMessage::Tell { binding, name, command, done }] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!((*binding, name.as_str()), ("TOKENS", "ha"), "the first byte of its hash");
    let command: crate::tokens::Command = decode(command).expect("a command");
    assert!(
        matches!(&command, crate::tokens::Command::Revoke(hash, _) if hash == "hash of tok_1"),
        "{command:?}"
    );
    assert_eq!(
        send(&store, Command::Tokens(None, None, 10)),
        Reply::Tokens(vec![]),
        "a revoked token is not listed"
    );
    assert!(matches!(write(&store, Write::RevokeToken("tok_1".into())), Reply::Tokens(_)), "revoked again");
    send(&store, decode(done).expect("a command"));
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None));
    assert_eq!(write(&store, Write::RevokeToken("tok_1".into())), Reply::NotFound);
}

#[test]
fn repeats_a_takeover_until_the_token_object_has_it() {
    let store = set_up();
    write(&store, put("tok_1", "mk_", "root"));
    let tell = || {
        let messages = Accounts::alarm(&store, NOW).expect("messages");
        let [OutboxMessage::Tell { command, done, .. }] = &messages[..] else { panic!("{messages:?}") };
        let command: crate::tokens::Command = decode(command).expect("a command");
        (command, decode::<Command>(done).expect("a command"))
    };
    write(&store, Write::TakeOverToken("tok_1".into()));
    let (command, first) = tell();
    assert!(
        matches!(&command, crate::tokens::Command::Own(_, token) if token.takeovers == 1 && token.owner == "root"),
        "{command:?}"
    );
    // Another takeover, and a revocation, are still to be told when the reply to the first one arrives.
    write(&store, Write::TakeOverToken("tok_1".into()));
    send(&store, first);
    let (_, second) = tell();
    write(&store, Write::RevokeToken("tok_1".into()));
    send(&store, second);
    let (command, done) = tell();
    assert!(matches!(&command, crate::tokens::Command::Revoke(..)), "{command:?}");
    send(&store, done);
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None));
}

#[test]
fn a_deleted_token_leaves_nothing_to_tell() {
    let store = set_up();
    write(&store, put("tok_1", "mul_", "root"));
    let child = |token| Token { made_by_token: Some("hash of tok_1".into()), ..token };
    let Write::PutToken { hash, token, is_for_admins } = put("tok_2", "mut_", "root") else { panic!() };
    write(&store, Write::PutToken { hash, token: child(token), is_for_admins });
    // The child's revocation is not told yet when its parent's deletes it.
    write(&store, Write::RevokeToken("tok_2".into()));
    write(&store, Write::RevokeToken("tok_1".into()));
    let messages = Accounts::alarm(&store, NOW).expect("messages");
    let [OutboxMessage::Tell { done, .. }] = &messages[..] else { panic!("{messages:?}") };
    send(&store, decode(done).expect("a command"));
    assert_eq!(Accounts::next_alarm(&store, NOW), Ok(None), "the alarm would fire for ever");
}

#[test]
fn lets_an_admin_take_over_an_agents_token() {
    let store = set_up();
    invite(&store, "i", None, Role::Admin, None);
    redeem(&store, "i", "ada");
    let by_ada = |write| send(&store, Command::Write(Author::in_person("ada", NOW), write));
    by_ada(put("tok_1", "mk_", "ada"));
    for count in 1..=2 {
        match write(&store, Write::TakeOverToken("tok_1".into())) {
            Reply::Tokens(found) => {
                assert_eq!((found[0].1.owner.as_str(), found[0].1.takeovers), ("root", count));
            }
            other => panic!("{other:?}"),
        }
    }
    let seed =
        tokens::ConfiguredToken { name: "deploy".into(), prefix: "mk_".into(), hash: Hash("h".into()) };
    send(&store, Command::SeedToken("h".into(), seed.token("tok_2".into(), NOW)));
    by_ada(put("tok_3", "mk_", "ada"));
    by_ada(Write::RevokeToken("tok_3".into()));
    for id in ["tok_2", "tok_3", "tok_4"] {
        assert_eq!(write(&store, Write::TakeOverToken(id.into())), Reply::NotFound, "{id}");
    }
    for number in 1..MOST_TOKENS {
        write(&store, put(&format!("own_{number}"), "mul_", "root"));
    }
    by_ada(put("tok_5", "mk_", "ada"));
    assert_eq!(write(&store, Write::TakeOverToken("tok_5".into())), Reply::Done(false), "over the limit");
}

#[test]
fn opens_a_database_without_a_schema_version() {
    let old = Sqlite::of::<Accounts>();
    for statement in [
        "DROP TABLE invited_by_token",
        "DROP TABLE untold_tokens",
        "DROP TABLE ended_sessions",
        "DROP TABLE schema_version",
        "INSERT INTO users VALUES ('root', 'root@example.com', NULL, '1$a$b', 'admin', 1, 0, 7)",
        "INSERT INTO invites (id, token_hash, role, status, created_at, created_by)
         VALUES ('i', 'hash of i', 'user', 'unused', 0, 'root')",
    ] {
        old.run(statement, &[]).expect(statement);
    }
    let old = old.restarted::<Accounts>();
    assert!(matches!(redeem(&old, "i", "ada"), Reply::UserStatus(_)), "an older invite can be redeemed");
    assert!(matches!(write(&old, Write::DeleteUser("ada".into())), Reply::UserStatus(_)));
}
