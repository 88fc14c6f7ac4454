//! Tests of exports and imports: what a line says, what is refused, and what others may do meanwhile.

mod model;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::{
    line::{LineError, LineKeys},
    *,
};
use crate::{
    accounts::{
        Accounts, Command,
        tests::{NOW, change, invite, redeem, send, set_up, write},
        writes::{Write, tests::token as named_token},
    },
    base::encoding,
    crypto::{
        derive::{DerivedKey, KeyDerivation},
        secret::Secret,
    },
    http::problem::Fault,
    identity::author::{Author, Credential, Refusal},
    platform::{
        effects::{OpenedText, SealedTexts},
        store::{Object, OutboxMessage, encode, sqlite::Sqlite},
    },
    sessions::registry::{self, PasswordChange},
    tokens::Tokens,
};

/// Stands in for AES-GCM: a text opens only with its key.
struct FakeSeals;

impl SealedTexts for FakeSeals {
    async fn seal_text(&self, key: &DerivedKey, text: &str) -> Result<String, Fault> {
        Ok(encoding::base64url(format!("{} {text}", encoding::hex(key)).as_bytes()))
    }

    async fn open_text(&self, keys: &[DerivedKey], sealed: &str) -> Result<Option<OpenedText>, Fault> {
        let plain = encoding::from_base64url(sealed).and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((with, text)) = plain.as_deref().and_then(|plain| plain.split_once(' ')) else {
            return Ok(None);
        };
        let at = keys.iter().position(|key| encoding::hex(key) == with);
        Ok(at.map(|at| OpenedText { text: text.to_owned(), has_stale_key: at > 0 }))
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn derivation(byte: u8) -> KeyDerivation {
    KeyDerivation::new(&Secret::from_bytes(vec![byte; 32]).expect("a secret"), None)
}

/// The keys of a deployment: one for exports, one for what is stored.
struct Deployment(KeyDerivation, KeyDerivation);

impl Deployment {
    fn new(export: u8, stored: u8) -> Self {
        Self(derivation(export), derivation(stored))
    }

    fn keys(&self) -> LineKeys<'_> {
        LineKeys { export: &self.0, stored: &self.1 }
    }

    fn write(&self, record: &UserRecord) -> String {
        now(line::write(&FakeSeals, self.keys(), record)).expect("a line")
    }

    fn read(&self, line: &str) -> Result<UserRecord, LineError> {
        now(line::read(&FakeSeals, self.keys(), line)).expect("no fault")
    }

    fn sealed_secret(&self, user: &str) -> String {
        let key = self.1.keys(&[crate::accounts::factors::totp::SEALING, user])[0];
        now(FakeSeals.seal_text(&key, SECRET)).expect("sealed")
    }
}

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const HASH: &str = "1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

fn record(name: &str) -> UserRecord {
    UserRecord {
        id: format!("usr_{name:0>16}"),
        email: format!("{name}@example.com"),
        name: Some("Zoë".into()),
        role: Role::Admin,
        active: false,
        created_at: Timestamp(1_600_000_000),
        password: HASH.into(),
        totp: None,
        recovery_codes: Vec::new(),
        passkeys: Vec::new(),
    }
}

fn with_factors(name: &str, at: &Deployment) -> UserRecord {
    let plain = record(name);
    let passkey = PasskeyRecord {
        id: format!("pk_{name}"),
        credential: format!("credential of {name}").replace(' ', "_"),
        name: "a key".into(),
        algorithm: -7,
        public_key: "AAAA".into(),
        counter: 3,
        created_at: 5,
        last_used_at: None,
    };
    let sealed = at.sealed_secret(&plain.id);
    UserRecord {
        totp: Some(TotpRecord { id: "totp_1".into(), sealed, last_step: 7, created_at: NOW }),
        recovery_codes: vec!["aa".into(), "bb".into()],
        passkeys: vec![passkey],
        ..plain
    }
}

fn numbered(records: &[UserRecord]) -> Vec<NumberedRecord> {
    (1..).zip(records).map(|(line, record)| NumberedRecord { line, record: record.clone() }).collect()
}

fn import(store: &Sqlite, records: &[UserRecord], is_dry_run: bool) -> Vec<Outcome> {
    match write(store, Write::ImportUsers { records: numbered(records), is_dry_run }) {
        Reply::Imported(all) => all.into_iter().map(|(_, outcome)| outcome).collect(),
        other => panic!("{other:?}"),
    }
}

fn export(store: &Sqlite, after: Option<&str>, limit: i64) -> Vec<UserRecord> {
    match write(store, Write::ExportUsers(after.map(str::to_owned), limit)) {
        Reply::Exported(records) => records,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_moves_to_another_deployment_with_all_factors() {
    let (from, to) = (Deployment::new(1, 2), Deployment::new(1, 3));
    let there = with_factors("ada", &from);
    let line = from.write(&there);
    for secret in [HASH, SECRET, "aa", "credential"] {
        assert!(!line.contains(secret), "{line}");
    }
    let read = to.read(&line).expect("a record");
    let sealed = to.sealed_secret(&there.id);
    let totp = there.totp.clone().map(|totp| TotpRecord { sealed, ..totp });
    assert!(read == UserRecord { totp, ..there }, "sealed under the key of its deployment");
    let store = set_up();
    assert_eq!(import(&store, std::slice::from_ref(&read), false), [Outcome::Added]);
    assert!(export(&store, None, 10).contains(&read));
    assert_eq!(import(&store, &[read], false), [Outcome::Unchanged]);
}

#[test]
fn a_secret_that_does_not_open_stays_a_factor() {
    let (from, to) = (Deployment::new(1, 2), Deployment::new(1, 3));
    let mut there = with_factors("ada", &from);
    let other = Deployment::new(1, 9).sealed_secret(&there.id);
    there.totp.as_mut().expect("codes").sealed.clone_from(&other);
    let read = to.read(&from.write(&there)).expect("a record");
    assert_eq!(read.totp.expect("codes").sealed, other);
}

#[test]
fn an_import_revives_no_token_of_a_deleted_user() {
    let store = set_up();
    let ada = UserRecord { active: true, role: Role::User, ..record("ada") };
    let put = |author: &Author, id: &str| {
        let token = named_token(id, "mul_", &ada.id, None);
        let put = Write::PutToken { hash: format!("hash of {id}"), token, is_for_admins: false };
        send(&store, Command::Write(author.clone(), put))
    };
    assert_eq!(import(&store, std::slice::from_ref(&ada), false), [Outcome::Added]);
    assert_eq!(put(&Author::in_person(&ada.id, NOW), "tok_1"), Reply::Done(true));
    write(&store, Write::DeleteUser(ada.id.clone()));
    assert_eq!(import(&store, std::slice::from_ref(&ada), false), [Outcome::Added]);
    let credential = Credential::Token("tok_1".into());
    let by_token = Author { credential, ..Author::in_person(&ada.id, NOW) };
    assert_eq!(put(&by_token, "tok_2"), Reply::Refused(Refusal::TokenRevoked));
    let told = Accounts::alarm(&store, NOW).expect("messages");
    let is_told = |message: &OutboxMessage| {
        let OutboxMessage::Tell { binding, .. } = message;
        *binding == Tokens::CLASS.binding
    };
    assert_eq!(told.iter().filter(|message| is_told(message)).count(), 1, "its own object is told");
}

#[test]
fn refuses_lines_that_are_no_records() {
    let at = Deployment::new(1, 2);
    let line = at.write(&with_factors("ada", &at));
    let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let changed = |name: &str, value: serde_json::Value| {
        let mut parsed = parsed.clone();
        parsed[name] = value;
        parsed.to_string()
    };
    let other = at.write(&record("bob"));
    let of_other: serde_json::Value = serde_json::from_str(&other).expect("JSON");
    for (line, want) in [
        (String::new(), LineError::Form),
        ("[]".into(), LineError::Form),
        ("{}".into(), LineError::Form),
        (changed("extra", 1.into()), LineError::Form),
        (line.replace("\"name\":\"Zoë\",", ""), LineError::Form),
        (format!("{}{}", &line[..line.len() - 1], ",\"id\":\"usr_x\"}"), LineError::Form),
        (changed("id", "usr_0000000000000bob".into()), LineError::Key),
        (changed("email", "bob@example.com".into()), LineError::Key),
        (changed("sealed", of_other["sealed"].clone()), LineError::Key),
        (changed("sealed", "".into()), LineError::Key),
        (changed("role", "user".into()), LineError::Changed),
        (changed("status", "active".into()), LineError::Changed),
        (changed("name", serde_json::Value::Null), LineError::Changed),
        (changed("createdAt", "2020-01-01T00:00:00Z".into()), LineError::Changed),
    ] {
        assert_eq!(at.read(&line).map(|record| record.id), Err(want), "{line}");
    }
    assert_eq!(Deployment::new(4, 2).read(&line).map(|record| record.id), Err(LineError::Key));
    let wrong = |change: &dyn Fn(&mut UserRecord)| {
        let mut record = with_factors("ada", &at);
        change(&mut record);
        at.read(&at.write(&record)).map(|record| record.id)
    };
    for (member, change) in [
        ("id", &(|record: &mut UserRecord| record.id = "x".into()) as &dyn Fn(&mut UserRecord)),
        ("id", &|record| record.id = "usr_/../../etc/passwd".into()),
        ("email", &|record| record.email = "Ada@example.com".into()),
        ("email", &|record| record.email = "ada".into()),
        ("name", &|record| record.name = Some(String::new())),
        ("name", &|record| record.name = Some("\u{202e}".into())),
        ("createdAt", &|record| record.created_at = Timestamp(-1)),
        ("password", &|record| record.password = "correct horse battery".into()),
        ("password", &|record| record.password = "1$$".into()),
        ("recoveryCodes", &|record| record.recovery_codes = vec!["a".into(); 2]),
        ("recoveryCodes", &|record| record.recovery_codes = (10..21).map(|code| code.to_string()).collect()),
        ("recoveryCodes", &|record| (record.totp, record.passkeys) = (None, Vec::new())),
        ("passkeys", &|record| record.passkeys.push(record.passkeys[0].clone())),
        ("passkeys", &|record| record.passkeys[0].counter = -1),
    ] {
        assert_eq!(wrong(change), Err(LineError::Member(member)));
    }
}

#[test]
fn each_record_has_its_own_outcome() {
    let at = Deployment::new(1, 2);
    let [ada, bob] = [with_factors("ada", &at), with_factors("bob", &at)];
    let store = set_up();
    assert_eq!(import(&store, std::slice::from_ref(&ada), false), [Outcome::Added]);
    let eve = record("eve");
    let batch = [
        ada.clone(),
        UserRecord { role: Role::User, ..ada.clone() },
        UserRecord { email: "new@example.com".into(), ..ada.clone() },
        UserRecord { email: ada.email.clone(), ..record("zoe") },
        UserRecord { passkeys: ada.passkeys.clone(), ..record("kim") },
        bob.clone(),
        UserRecord { passkeys: bob.passkeys.clone(), ..record("lee") },
        eve.clone(),
        UserRecord { email: eve.email.clone(), ..record("max") },
    ];
    let (refused, added) = (Outcome::Refused, Outcome::Added);
    let want = [
        Outcome::Unchanged,
        refused(RefusedRecord::Differs),
        refused(RefusedRecord::IdTaken),
        refused(RefusedRecord::EmailTaken),
        refused(RefusedRecord::PasskeyTaken),
        added,
        refused(RefusedRecord::PasskeyTaken),
        added,
        refused(RefusedRecord::EmailTaken),
    ];
    let before = export(&store, None, 100);
    assert_eq!(import(&store, &batch, true), want, "a dry run decides the same");
    assert!(export(&store, None, 100) == before, "and stores nothing");
    assert_eq!(import(&store, &batch, false), want);
    assert!(
        export(&store, None, 100)
            .iter()
            .filter(|record| record.id.starts_with("usr_"))
            .eq([&ada, &bob, &eve])
    );
    // An imported user is found, and signs in.
    let Reply::Account(Some(account)) = send(&store, Command::Find(bob.email.clone())) else {
        panic!("an account")
    };
    assert!(account.factors.totp && account.factors.passkeys && !account.status.active);
    let words = store.run("SELECT 1 FROM user_words WHERE word = 'bob@example.com'", &[]).expect("rows");
    assert_eq!(words.len(), 1);
}

#[test]
fn judges_the_author_of_each_batch() {
    let store = set_up();
    invite(&store, "i", None, Role::Admin, None);
    redeem(&store, "i", "ada");
    let by_ada = |write| send(&store, Command::Write(Author::in_person("ada", NOW), write));
    let batch = |name: &str| Write::ImportUsers { records: numbered(&[record(name)]), is_dry_run: false };
    assert_eq!(by_ada(batch("one")), Reply::Imported(vec![(1, Outcome::Added)]));
    assert!(matches!(by_ada(Write::ExportUsers(None, 1)), Reply::Exported(_)));
    write(&store, change("ada", Some(Role::User), None));
    assert_eq!(by_ada(batch("two")), Reply::Refused(Refusal::Role));
    assert_eq!(by_ada(Write::ExportUsers(None, 1)), Reply::Refused(Refusal::Role));
    assert!(export(&store, None, 100).iter().all(|record| record.email != "two@example.com"));
}

/// A record has every column that signs a user in. A new column fails this test until an export has it.
#[test]
fn exports_every_column() {
    let store = set_up();
    for (table, known) in [
        ("users", "id email name password role active created_at version"),
        ("totp", "user state id sealed last_step created_at"),
        ("recovery_codes", "user hash"),
        ("passkeys", "id user credential name algorithm public_key counter created_at last_used_at"),
    ] {
        let rows =
            store.run("SELECT name FROM pragma_table_info(?) ORDER BY cid", &[table.into()]).expect("rows");
        let columns: Vec<String> = rows.iter().map(|row| row.text(0).expect("a name")).collect();
        assert_eq!(columns.join(" "), known, "{table}");
    }
}

/// A user of another kind of id, which no gateway makes, is exported and is refused by the import.
#[test]
fn refuses_ids_that_no_gateway_makes() {
    let at = Deployment::new(1, 2);
    let store = set_up();
    let line = at.write(&export(&store, None, 1)[0]);
    assert_eq!(at.read(&line).map(|record| record.id), Err(LineError::Member("id")));
}

#[test]
fn a_user_who_comes_back_is_not_taken_for_the_deleted_one() {
    let store = set_up();
    invite(&store, "i", None, Role::User, None);
    redeem(&store, "i", "ada");
    // Two changes within the second in which the user is deleted.
    for active in [false, true] {
        write(&store, change("ada", None, Some(active)));
    }
    let Reply::UserStatus(deleted) = write(&store, Write::DeleteUser("ada".into())) else { panic!() };
    let ada = UserRecord { id: "ada".into(), email: "ada@example.com".into(), ..record("ada") };
    assert_eq!(import(&store, &[ada], false), [Outcome::Added]);
    let Reply::Account(Some(found)) = send(&store, Command::Find("ada@example.com".into())) else { panic!() };
    assert!(found.status.version > deleted.version, "{found:?} {deleted:?}");
    // The registry has not learnt of the deletion: sessions from before it end all the same.
    let messages = Accounts::alarm(&store, NOW).expect("messages");
    let version = found.status.version;
    let change = PasswordChange { status: found.status, version, kept_session: None };
    let change = encode(&registry::Command::PasswordChanged(change)).expect("bytes");
    assert!(messages.iter().any(|OutboxMessage::Tell { command, .. }| *command == change), "{messages:?}");
}
