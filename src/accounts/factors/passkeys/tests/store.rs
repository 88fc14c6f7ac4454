//! Tests of stored passkeys in the `Accounts` object.

use crate::{
    accounts::{
        Accounts, Command, Reply, Write,
        factors::{
            Enrollment, FactorCommand, FactorReply, FactorWrite, Proof, Ticket,
            passkeys::{MOST_PASSKEYS, NewPasskey, UsedCeremony, UsedPasskey},
            ticket::{self, Purpose},
        },
        settings::RequiredFactor,
        tests::{NOW, change, invite, redeem, send, set_up, write},
    },
    base::time::Timestamp,
    identity::{
        author::{Author, Credential, Refusal},
        principal::Role,
    },
    platform::store::{Store, sqlite::Sqlite},
};

pub(super) fn ceremony(id: &str) -> UsedCeremony {
    UsedCeremony { id: format!("cer_{id}"), expires_at: Timestamp(NOW.0 + 300) }
}

pub(super) fn new(id: &str, counter: u32) -> NewPasskey {
    NewPasskey {
        id: id.into(),
        name: format!("name of {id}"),
        credential: format!("credential of {id}"),
        algorithm: -7,
        public_key: format!("key of {id}"),
        counter,
        ceremony: ceremony(&format!("for {id}")),
        recovery_codes: vec![format!("code of {id}")],
    }
}

pub(super) fn used(id: &str, counter: u32, by: &str) -> UsedPasskey {
    UsedPasskey { id: id.into(), counter, ceremony: ceremony(by) }
}

pub(super) fn in_person_at(store: &Sqlite, user: &str, change: FactorWrite, now: Timestamp) -> FactorReply {
    let command = Command::Write(Author::in_person(user, now), Write::Factor(change));
    match store.handle::<Accounts>(&command, now).expect("a reply") {
        Reply::Factor(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn in_person(store: &Sqlite, user: &str, change: FactorWrite) -> FactorReply {
    in_person_at(store, user, change, NOW)
}

fn add(store: &Sqlite, user: &str, new: NewPasskey) -> FactorReply {
    in_person(store, user, FactorWrite::Enroll(Enrollment::AddPasskey(new)))
}

pub(super) fn factor_at(store: &Sqlite, command: FactorCommand, now: Timestamp) -> FactorReply {
    match store.handle::<Accounts>(&Command::Factor(command), now).expect("a reply") {
        Reply::Factor(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn sign_in(store: &Sqlite, used: UsedPasskey) -> FactorReply {
    factor_at(store, FactorCommand::SignInWithPasskey(used), NOW)
}

fn has_signed_in(reply: &FactorReply) -> bool {
    matches!(reply, FactorReply::SignedIn(_))
}

pub(super) fn add_user(store: &Sqlite, id: &str) {
    invite(store, &format!("for {id}"), None, Role::User, None);
    redeem(store, &format!("for {id}"), id);
}

pub(super) fn ticket(store: &Sqlite, user: &str, purpose: Purpose, id: &str) -> Ticket {
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

fn first(is_first: bool) -> FactorReply {
    FactorReply::PasskeyAdded { is_first }
}

#[test]
fn accepts_each_ceremony_once() {
    let store = set_up();
    assert_eq!(add(&store, "root", new("psk_1", 0)), first(true));
    let again = NewPasskey { ceremony: ceremony("for psk_1"), ..new("psk_2", 0) };
    assert_eq!(add(&store, "root", again), FactorReply::CeremonyUnusable, "an enrollment's ceremony");
    assert_eq!(add(&store, "root", new("psk_2", 0)), first(false), "the codes are those of the first factor");
    assert!(has_signed_in(&sign_in(&store, used("psk_1", 0, "a"))));
    for passkey in ["psk_1", "psk_2"] {
        assert_eq!(sign_in(&store, used(passkey, 0, "a")), FactorReply::CeremonyUnusable);
        assert_eq!(sign_in(&store, used(passkey, 0, "for psk_1")), FactorReply::CeremonyUnusable);
    }
    let renew = |by| in_person(&store, "root", FactorWrite::UsePasskey(used("psk_1", 0, by)));
    assert_eq!(renew("a"), FactorReply::CeremonyUnusable);
    assert!(has_signed_in(&renew("b")));
    assert_eq!(sign_in(&store, used("psk_1", 0, "b")), FactorReply::CeremonyUnusable);
    let late = FactorCommand::SignInWithPasskey(used("psk_1", 0, "c"));
    assert_eq!(factor_at(&store, late, Timestamp(NOW.0 + 300)), FactorReply::CeremonyUnusable);
    let codes = store.run("SELECT hash FROM recovery_codes", &[]).expect("rows");
    let codes: Vec<_> = codes.iter().map(|row| row.text(0).expect("a text")).collect();
    assert_eq!(codes, ["code of psk_1"]);
}

#[test]
fn a_counter_never_goes_back() {
    let store = set_up();
    add(&store, "root", new("psk_1", 5));
    let mut made = 0;
    let mut attempt = |counter| {
        made += 1;
        sign_in(&store, used("psk_1", counter, &made.to_string()))
    };
    for counter in [5, 4, 1, 0] {
        assert_eq!(attempt(counter), FactorReply::CounterWentBack, "{counter}");
    }
    assert!(has_signed_in(&attempt(6)));
    assert_eq!(attempt(6), FactorReply::CounterWentBack);
    assert!(has_signed_in(&attempt(u32::MAX)));
    assert_eq!(attempt(u32::MAX), FactorReply::CounterWentBack);
    // Without a counter, nothing is compared.
    add(&store, "root", new("psk_2", 0));
    for by in ["x", "y"] {
        assert!(has_signed_in(&sign_in(&store, used("psk_2", 0, by))));
    }
}

#[test]
fn a_credential_belongs_to_one_user_and_the_number_is_limited() {
    let store = set_up();
    add_user(&store, "ada");
    assert_eq!(add(&store, "root", new("psk_1", 0)), first(true));
    let same = NewPasskey { id: "psk_2".into(), ceremony: ceremony("x"), ..new("psk_1", 0) };
    for user in ["root", "ada"] {
        assert_eq!(add(&store, user, same.clone()), FactorReply::PasskeyTaken);
    }
    let has_codes = store.run("SELECT 1 FROM recovery_codes WHERE user = 'ada'", &[]).expect("rows");
    assert!(has_codes.is_empty());
    for number in 1..MOST_PASSKEYS {
        assert_eq!(add(&store, "root", new(&format!("more {number}"), 0)), first(false));
    }
    assert_eq!(add(&store, "root", new("last", 0)), FactorReply::PasskeyLimit);
    assert_eq!(add(&store, "ada", new("last", 0)), first(true));
}

#[test]
fn a_passkey_is_the_second_factor_of_its_own_user() {
    let store = set_up();
    add_user(&store, "ada");
    add(&store, "root", new("psk_root", 0));
    add(&store, "ada", new("psk_ada", 0));
    let finish = |id: &str, proof| {
        let command = FactorCommand::SignIn(ticket(&store, "ada", Purpose::SignIn, id), proof);
        factor_at(&store, command, NOW)
    };
    let with = |passkey, by| Proof::Passkey(used(passkey, 0, by));
    assert_eq!(finish("t1", with("psk_root", "a")), FactorReply::Wrong, "the passkey of another user");
    assert!(has_signed_in(&finish("t1", with("psk_ada", "a"))));
    assert_eq!(finish("t1", with("psk_ada", "b")), FactorReply::TicketUnusable);
    assert_eq!(finish("t2", with("psk_ada", "a")), FactorReply::CeremonyUnusable);
    assert!(has_signed_in(&finish("t2", with("psk_ada", "b"))));
    let other = in_person(&store, "root", FactorWrite::UsePasskey(used("psk_ada", 0, "c")));
    assert_eq!(other, FactorReply::Wrong, "a passkey of another user proves nothing");
}

#[test]
fn signs_in_an_active_user_only_with_the_role_of_now() {
    let store = set_up();
    add_user(&store, "ada");
    add(&store, "ada", new("psk_1", 0));
    let role = |by| match sign_in(&store, used("psk_1", 0, by)) {
        FactorReply::SignedIn(status) => Some(status.role),
        reply => {
            assert_eq!(reply, FactorReply::Wrong);
            None
        }
    };
    assert_eq!(role("a"), Some(Role::User));
    write(&store, change("ada", Some(Role::Admin), None));
    assert_eq!(role("b"), Some(Role::Admin));
    write(&store, change("ada", Some(Role::User), None));
    assert_eq!(role("c"), Some(Role::User), "demoted");
    write(&store, change("ada", None, Some(false)));
    assert_eq!(role("d"), None, "disabled");
    let find = || factor_at(&store, FactorCommand::PasskeyUser("ada".into()), NOW);
    assert_eq!(find(), FactorReply::PasskeyUser(None));
    write(&store, change("ada", None, Some(true)));
    assert_eq!(role("d"), Some(Role::User), "the ceremony was not used");
    write(&store, Write::DeleteUser("ada".into()));
    assert_eq!(role("e"), None, "deleted");
    assert_eq!(
        factor_at(&store, FactorCommand::FindPasskey("credential of psk_1".into()), NOW),
        FactorReply::Passkey(None)
    );
}

#[test]
fn the_last_factor_stays_while_the_policy_requires_it() {
    use RequiredFactor::{Admins, Everybody, Nobody};
    let store = set_up();
    add_user(&store, "ada");
    let remove = |user: &str, id: &str, required| {
        in_person(&store, user, FactorWrite::RemovePasskey(id.into(), required))
    };
    add(&store, "root", new("psk_1", 0));
    add(&store, "root", new("psk_2", 0));
    assert_eq!(remove("ada", "psk_1", Nobody), FactorReply::NotFound, "another user's");
    assert_eq!(remove("root", "psk_3", Nobody), FactorReply::NotFound);
    assert_eq!(remove("root", "psk_1", Everybody), FactorReply::Done);
    assert_eq!(sign_in(&store, used("psk_1", 0, "a")), FactorReply::Wrong, "removed");
    for required in [Admins, Everybody] {
        assert_eq!(remove("root", "psk_2", required), FactorReply::LastFactor);
    }
    let left = || store.run("SELECT 1 FROM recovery_codes", &[]).expect("rows").len();
    assert_eq!(left(), 1);
    assert_eq!(remove("root", "psk_2", Nobody), FactorReply::Done);
    assert_eq!(left(), 0, "without a factor there are no recovery codes");
    add(&store, "ada", new("psk_4", 0));
    assert_eq!(remove("ada", "psk_4", Admins), FactorReply::Done);
    add(&store, "ada", new("psk_5", 0));
    assert_eq!(in_person(&store, "root", FactorWrite::RemoveAll("ada".into())), FactorReply::Done);
    assert_eq!(sign_in(&store, used("psk_5", 0, "b")), FactorReply::Wrong);
}

#[test]
fn a_ticket_enrolls_a_first_passkey_only() {
    let store = set_up();
    let enroll = |id: &str, new| {
        let ticket = ticket(&store, "root", Purpose::Enrollment, id);
        factor_at(&store, FactorCommand::Enroll(ticket, Enrollment::AddPasskey(new)), NOW)
    };
    let used = NewPasskey { ceremony: ceremony("for psk_1"), ..new("psk_2", 0) };
    assert_eq!(enroll("t1", new("psk_1", 0)), first(true));
    assert_eq!(enroll("t1", new("psk_2", 0)), FactorReply::TicketUnusable);
    assert_eq!(enroll("t2", new("psk_2", 0)), FactorReply::TicketUnusable, "with a factor, no ticket");
    in_person(&store, "root", FactorWrite::RemoveAll("root".into()));
    assert_eq!(enroll("t1", new("psk_2", 0)), FactorReply::TicketUnusable, "the ticket was used");
    assert_eq!(enroll("t3", used), FactorReply::CeremonyUnusable);
    assert_eq!(enroll("t3", new("psk_2", 0)), first(true));
}

#[test]
fn no_token_enrolls_uses_or_removes_a_passkey() {
    let store = set_up();
    add(&store, "root", new("psk_1", 0));
    let put = Write::PutToken {
        hash: "h".into(),
        token: crate::accounts::writes::tests::token("tok_1", "mul_", "root", None),
        is_for_admins: false,
    };
    assert_eq!(write(&store, put), Reply::Done(true));
    let token = Author { credential: Credential::Token("tok_1".into()), ..Author::in_person("root", NOW) };
    for change in [
        FactorWrite::Enroll(Enrollment::AddPasskey(new("psk_2", 0))),
        FactorWrite::UsePasskey(used("psk_1", 0, "a")),
        FactorWrite::RemovePasskey("psk_1".into(), RequiredFactor::Nobody),
    ] {
        let reply = send(&store, Command::Write(token.clone(), Write::Factor(change)));
        assert_eq!(reply, Reply::Refused(Refusal::Kind));
    }
}

#[test]
fn lists_passkeys_with_their_last_use() {
    let store = set_up();
    add(&store, "root", new("psk_1", 0));
    let later = Timestamp(NOW.0 + 60);
    factor_at(&store, FactorCommand::SignInWithPasskey(used("psk_1", 0, "a")), later);
    let FactorReply::Enrolled(enrolled) = factor_at(&store, FactorCommand::Read("root".into()), later) else {
        panic!("enrolled")
    };
    let [passkey] = enrolled.passkeys.as_slice() else { panic!("one passkey") };
    assert_eq!((passkey.name.as_str(), passkey.created_at), ("name of psk_1", NOW));
    assert_eq!((passkey.last_used_at, enrolled.recovery_codes_left), (Some(later), 1));
}
