//! Tests of second factors in the `Accounts` object. `model` tests random histories of commands.

#![allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects, reason = "a test")]

mod model;

use super::*;
use crate::{
    accounts::{
        Accounts, Command, Reply, Write,
        tests::{NOW, change, invite, redeem, send, set_up, write},
    },
    identity::author::{Author, Credential, Refusal},
    platform::store::sqlite::Sqlite,
};
use ticket::Purpose;

fn factor(store: &Sqlite, command: FactorCommand) -> FactorReply {
    factor_at(store, command, NOW)
}

fn factor_at(store: &Sqlite, command: FactorCommand, now: Timestamp) -> FactorReply {
    match store.handle::<Accounts>(&Command::Factor(command), now).expect("a reply") {
        Reply::Factor(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Changes factors as this user, in person.
fn in_person(store: &Sqlite, user: &str, change: FactorWrite) -> FactorReply {
    match send(store, Command::Write(Author::in_person(user, NOW), Write::Factor(change))) {
        Reply::Factor(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Returns a ticket for a user as they are now.
fn ticket(store: &Sqlite, user: &str, purpose: Purpose, id: &str) -> Ticket {
    let Reply::Account(Some(account)) = send(store, Command::Find(format!("{user}@example.com"))) else {
        panic!("{user} is missing")
    };
    Ticket {
        id: id.into(),
        purpose,
        user: user.into(),
        generation: ticket::generation(&account.password, &account.status),
        expires_at: Timestamp(NOW.0 + 300),
    }
}

fn begin(id: &str) -> Enrollment {
    Enrollment::BeginTotp { id: id.into(), sealed: format!("sealed {id}") }
}

fn confirm(id: &str, step: i64) -> Enrollment {
    let recovery_codes = vec![format!("{id} first"), format!("{id} second")];
    Enrollment::ConfirmTotp(ConfirmTotp { id: id.into(), step, recovery_codes })
}

fn enroll(store: &Sqlite, user: &str, id: &str, step: i64) {
    let begun = in_person(store, user, FactorWrite::Enroll(begin(id)));
    assert_eq!(begun, FactorReply::Begun(format!("{user}@example.com")));
    assert_eq!(in_person(store, user, FactorWrite::Enroll(confirm(id, step))), FactorReply::Done);
}

fn code(id: &str, step: i64) -> Proof {
    Proof::Totp(UsedStep { id: id.into(), step, resealed: None })
}

fn recovery_code(hash: &str) -> Proof {
    Proof::RecoveryCode(hash.into())
}

fn sign_in(store: &Sqlite, ticket: Ticket, proof: Proof) -> FactorReply {
    factor(store, FactorCommand::SignIn(ticket, proof))
}

fn add_user(store: &Sqlite, id: &str) {
    invite(store, &format!("for {id}"), None, Role::User, None);
    redeem(store, &format!("for {id}"), id);
}

fn has_signed_in(reply: &FactorReply) -> bool {
    matches!(reply, FactorReply::SignedIn(_))
}

fn factors(store: &Sqlite, user: &str) -> Factors {
    factors_of(store, user).expect("factors")
}

#[test]
fn accepts_each_code_and_each_ticket_once() {
    let store = set_up();
    enroll(&store, "root", "fac_1", 100);
    let attempt =
        |id: &str, proof: Proof| sign_in(&store, ticket(&store, "root", Purpose::SignIn, id), proof);
    assert_eq!(attempt("t1", code("fac_1", 100)), FactorReply::Wrong, "the code confirmed the factor");
    assert_eq!(attempt("t1", code("fac_2", 101)), FactorReply::Wrong, "another factor was compared");
    assert!(has_signed_in(&attempt("t1", code("fac_1", 101))), "a wrong code did not use the ticket");
    assert_eq!(attempt("t1", code("fac_1", 102)), FactorReply::TicketUnusable);
    assert_eq!(attempt("t2", code("fac_1", 101)), FactorReply::Wrong, "the step was used");
    assert_eq!(attempt("t2", code("fac_1", 99)), FactorReply::Wrong, "an earlier step");
    assert!(has_signed_in(&attempt("t2", code("fac_1", 102))));
    assert_eq!(attempt("t3", recovery_code("unknown")), FactorReply::Wrong);
    assert!(has_signed_in(&attempt("t3", recovery_code("fac_1 first"))));
    assert_eq!(attempt("t4", recovery_code("fac_1 first")), FactorReply::Wrong);
    assert!(has_signed_in(&attempt("t4", recovery_code("fac_1 second"))));
    assert_eq!(factor(&store, FactorCommand::Read("root".into())), enrolled_with(0));
}

fn enrolled_with(recovery_codes_left: i64) -> FactorReply {
    FactorReply::Enrolled(Enrolled { totp: true, recovery_codes_left, passkeys: Vec::new() })
}

type Event = fn(&Sqlite);

#[test]
fn a_ticket_ends_when_its_user_changes() {
    let events: [(&str, Event); 5] = [
        ("the user was disabled", |store| {
            write(store, change("ada", None, Some(false)));
        }),
        ("the user was disabled and enabled", |store| {
            write(store, change("ada", None, Some(false)));
            write(store, change("ada", None, Some(true)));
        }),
        ("the user got another role", |store| {
            write(store, change("ada", Some(Role::Admin), None));
        }),
        ("the user was deleted", |store| {
            write(store, Write::DeleteUser("ada".into()));
        }),
        ("the password changed", |store| {
            store.run("UPDATE users SET password = '1$c$d' WHERE id = 'ada'", &[]).expect("changed");
        }),
    ];
    for (event, happen) in events {
        let store = set_up();
        add_user(&store, "ada");
        enroll(&store, "ada", "fac_1", 1);
        let to_sign_in = ticket(&store, "ada", Purpose::SignIn, "t1");
        let to_enroll = ticket(&store, "ada", Purpose::Enrollment, "t2");
        happen(&store);
        for proof in [code("fac_1", 2), recovery_code("fac_1 first")] {
            assert_eq!(sign_in(&store, to_sign_in.clone(), proof), FactorReply::TicketUnusable, "{event}");
        }
        remove_all(&store, "ada").expect("removed");
        let enrolled = factor(&store, FactorCommand::Enroll(to_enroll, begin("fac_2")));
        assert_eq!(enrolled, FactorReply::TicketUnusable, "{event}");
    }
}

#[test]
fn a_ticket_is_good_for_its_purpose_until_it_ends() {
    let store = set_up();
    enroll(&store, "root", "fac_1", 1);
    let signing_in = ticket(&store, "root", Purpose::SignIn, "t1");
    let enrolling = ticket(&store, "root", Purpose::Enrollment, "t2");
    assert_eq!(sign_in(&store, enrolling.clone(), code("fac_1", 2)), FactorReply::TicketUnusable);
    let at = |seconds| {
        let command = FactorCommand::SignIn(signing_in.clone(), code("fac_1", 2));
        factor_at(&store, command, Timestamp(NOW.0 + seconds))
    };
    assert_eq!(at(300), FactorReply::TicketUnusable, "it has ended");
    assert!(has_signed_in(&at(299)));
    // With a factor, the password alone does not enroll another one.
    let enroll = |ticket: &Ticket, step| factor(&store, FactorCommand::Enroll(ticket.clone(), step));
    assert_eq!(enroll(&enrolling, begin("fac_2")), FactorReply::TicketUnusable);
    remove_all(&store, "root").expect("removed");
    assert_eq!(enroll(&signing_in, begin("fac_2")), FactorReply::TicketUnusable);
    assert_eq!(enroll(&enrolling, begin("fac_2")), FactorReply::Begun("root@example.com".into()));
    assert_eq!(enroll(&enrolling, confirm("fac_1", 3)), FactorReply::Wrong, "another secret is pending");
    assert_eq!(factors(&store, "root"), Factors::default(), "a pending secret counts for nothing");
    assert_eq!(enroll(&enrolling, confirm("fac_2", 3)), FactorReply::Done);
    assert_eq!(enroll(&enrolling, begin("fac_3")), FactorReply::TicketUnusable);
    let has = Factors { totp: true, passkeys: false, recovery_codes: true };
    assert_eq!((factors(&store, "root"), has.methods()), (has, vec!["totp", "recovery_code"]));
}

#[test]
fn a_new_secret_replaces_the_old_one_when_it_is_confirmed() {
    let store = set_up();
    enroll(&store, "root", "fac_1", 10);
    assert_eq!(
        in_person(&store, "root", FactorWrite::Enroll(begin("fac_2"))),
        FactorReply::Begun("root@example.com".into())
    );
    let find = |state| factor(&store, FactorCommand::FindTotp("root".into(), state));
    let stored =
        |id: &str| FactorReply::Totp(Some(StoredTotp { id: id.into(), sealed: format!("sealed {id}") }));
    assert_eq!(find(TotpState::Confirmed), stored("fac_1"));
    assert_eq!(find(TotpState::Pending), stored("fac_2"));
    assert_eq!(in_person(&store, "root", FactorWrite::Enroll(confirm("fac_2", 5))), FactorReply::Done);
    assert_eq!(find(TotpState::Confirmed), stored("fac_2"));
    assert_eq!(find(TotpState::Pending), FactorReply::Totp(None));
    let attempt = |proof| sign_in(&store, ticket(&store, "root", Purpose::SignIn, "t"), proof);
    assert_eq!(attempt(code("fac_1", 11)), FactorReply::Wrong);
    assert_eq!(attempt(recovery_code("fac_1 first")), FactorReply::Wrong, "the codes were replaced");
    let resealed = Proof::Totp(UsedStep { id: "fac_2".into(), step: 6, resealed: Some("again".into()) });
    assert!(has_signed_in(&attempt(resealed)));
    let again = StoredTotp { id: "fac_2".into(), sealed: "again".into() };
    assert_eq!(find(TotpState::Confirmed), FactorReply::Totp(Some(again)));
}

#[test]
fn the_last_factor_stays_while_the_policy_requires_it() {
    use RequiredFactor::{Admins, Everybody, Nobody};
    for (user, required, want) in [
        ("root", Nobody, FactorReply::Done),
        ("root", Admins, FactorReply::LastFactor),
        ("root", Everybody, FactorReply::LastFactor),
        ("ada", Nobody, FactorReply::Done),
        ("ada", Admins, FactorReply::Done),
        ("ada", Everybody, FactorReply::LastFactor),
    ] {
        let store = set_up();
        add_user(&store, "ada");
        let remove = || in_person(&store, user, FactorWrite::RemoveTotp(required));
        assert_eq!(remove(), FactorReply::NotFound);
        enroll(&store, user, "fac_1", 1);
        assert_eq!(remove(), want, "{user} {required:?}");
        let is_removed = want == FactorReply::Done;
        assert_eq!(factors(&store, user) == Factors::default(), is_removed, "{user} {required:?}");
        let renewed = in_person(&store, user, FactorWrite::RenewRecoveryCodes(vec!["new".into()]));
        assert_eq!(renewed, if is_removed { FactorReply::NotFound } else { FactorReply::Done });
        // An admin can remove it at any time.
        let removed = in_person(&store, "root", FactorWrite::RemoveAll(user.into()));
        assert_eq!(removed, FactorReply::Done);
        assert_eq!(factors(&store, user), Factors::default());
    }
}

#[test]
fn only_a_person_changes_their_own_factors_and_an_admin_removes_others() {
    let store = set_up();
    add_user(&store, "ada");
    enroll(&store, "root", "fac_1", 1);
    let by = |author: Author, change| send(&store, Command::Write(author, Write::Factor(change)));
    let refused = by(Author::in_person("ada", NOW), FactorWrite::RemoveAll("root".into()));
    assert_eq!(refused, Reply::Refused(Refusal::Role));
    let unknown = by(Author::in_person("root", NOW), FactorWrite::RemoveAll("nobody".into()));
    assert_eq!(unknown, Reply::Factor(FactorReply::NotFound));
    let put = Write::PutToken {
        hash: "h".into(),
        token: crate::accounts::writes::tests::token("tok_1", "mul_", "root", None),
        is_for_admins: false,
    };
    assert_eq!(write(&store, put), Reply::Done(true));
    let token = Author { credential: Credential::Token("tok_1".into()), ..Author::in_person("root", NOW) };
    for change in [
        FactorWrite::Enroll(begin("fac_2")),
        FactorWrite::RemoveTotp(RequiredFactor::Nobody),
        FactorWrite::RenewRecoveryCodes(Vec::new()),
        FactorWrite::RemoveAll("ada".into()),
    ] {
        assert_eq!(by(token.clone(), change), Reply::Refused(Refusal::Kind));
    }
    assert!(factors(&store, "root").totp);
}

#[test]
fn nobody_becomes_an_admin_without_the_required_factor() {
    use RequiredFactor::{Admins, Everybody, Nobody};
    for required in [Nobody, Admins, Everybody] {
        let store = set_up();
        add_user(&store, "ada");
        let promote =
            || Write::ChangeUser { id: "ada".into(), role: Some(Role::Admin), active: None, required };
        if required != Nobody {
            assert_eq!(write(&store, promote()), Reply::SecondFactorMissing, "{required:?}");
            enroll(&store, "ada", "fac_1", 1);
        }
        assert!(matches!(write(&store, promote()), Reply::UserStatus(_)), "{required:?}");
        // Who is an admin already can be disabled and enabled.
        remove_all(&store, "ada").expect("removed");
        for active in [false, true] {
            let change = Write::ChangeUser { id: "ada".into(), role: None, active: Some(active), required };
            assert!(matches!(write(&store, change), Reply::UserStatus(_)), "{required:?}");
        }
    }
}

#[test]
fn a_deleted_user_leaves_no_factor() {
    let store = set_up();
    add_user(&store, "ada");
    enroll(&store, "ada", "fac_1", 1);
    in_person(&store, "ada", FactorWrite::Enroll(begin("fac_2")));
    write(&store, Write::DeleteUser("ada".into()));
    for table in ["totp", "recovery_codes", "passkeys"] {
        let rows = store.run(&format!("SELECT 1 FROM {table}"), &[]).expect("rows");
        assert_eq!(rows.len(), 0, "{table}");
    }
}

#[test]
fn records_of_used_tickets_are_deleted_when_the_tickets_have_ended() {
    let store = set_up();
    enroll(&store, "root", "fac_1", 1);
    for step in 2..=40 {
        let now = Timestamp(NOW.0 + step * 60);
        let ticket = Ticket {
            expires_at: Timestamp(now.0 + 300),
            ..ticket(&store, "root", Purpose::SignIn, &format!("t{step}"))
        };
        let reply = factor_at(&store, FactorCommand::SignIn(ticket, code("fac_1", step)), now);
        assert!(has_signed_in(&reply));
    }
    assert_eq!(store.run("SELECT 1 FROM used_tickets", &[]).expect("rows").len(), 5);
}
