//! Random histories of changes, lost and late messages, alarms and sign-ins.
//!
//! 1. Once a change was answered, a sign-in succeeds only by the state after it, or by a later one: the user is active,
//!    the password is right, and no second factor is missing. So it is however long the sign-in takes, and whatever
//!    messages are lost.
//! 2. When everything is delivered, each shard has what `Accounts` has.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;

use super::super::{
    Command, EmailHash, Logins, ReadAccount, Reply,
    tell::{Source, find, tell},
};
use super::wire::{Wire, deliver};
use crate::{
    accounts::{
        self, Accounts, NAME,
        tests::{NOW, change, new},
        writes::Write,
    },
    base::time::Timestamp,
    http::problem::Fault,
    identity::author::Author,
    platform::{
        effects::ObjectCalls,
        store::{Object, OutboxMessage, decode, sqlite::Objects},
    },
    sessions::registry::{self, Session, Sessions},
};

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Add,
    Delete,
    Disable,
    Enable,
    Password(u8),
    Enroll,
    RemoveFactor,
}

#[derive(Clone, Debug)]
enum Step {
    /// A change of a user. The Worker makes this many calls afterwards, then it dies.
    Change { at: u8, change: Change, calls: u8, last_arrives: bool },
    /// A sign-in reads the account, and compares this password.
    Begin { at: u8, password: u8 },
    /// One of the sign-ins that have begun opens its session.
    Finish(u8),
    /// The alarm of `Accounts` fires.
    Alarm,
    /// One of the alarm's messages arrives, and its sender learns of it or not.
    Deliver { at: u8, is_done: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        2 => Just(Change::Add),
        1 => Just(Change::Delete),
        1 => Just(Change::Disable),
        1 => Just(Change::Enable),
        3 => (0..3_u8).prop_map(Change::Password),
        1 => Just(Change::Enroll),
        1 => Just(Change::RemoveFactor),
    ];
    prop_oneof![
        4 => (0..3_u8, change, prop_oneof![Just(20), 0..8_u8], any::<bool>())
            .prop_map(|(at, change, calls, last_arrives)| Step::Change { at, change, calls, last_arrives }),
        4 => (0..3_u8, 0..3_u8).prop_map(|(at, password)| Step::Begin { at, password }),
        4 => any::<u8>().prop_map(Step::Finish),
        2 => Just(Step::Alarm),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(at, is_done)| Step::Deliver { at, is_done }),
    ]
}

/// A state of a user, as far as it decides a sign-in by a password alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    is_active: bool,
    password: u8,
    has_factor: bool,
}

/// A user's states, and the indexes of the last changes of the status and of the credentials that were answered.
#[derive(Debug, Default)]
struct History {
    states: Vec<State>,
    answered_status: usize,
    answered_credentials: usize,
}

struct SignIn {
    email: String,
    password: u8,
    read: ReadAccount,
}

#[derive(Default)]
struct World {
    objects: Objects,
    /// By user id.
    histories: BTreeMap<String, History>,
    sign_ins: Vec<SignIn>,
    messages: Vec<OutboxMessage>,
    ids: u32,
    sessions: u32,
}

const EMAILS: [&str; 3] = ["a@x.example", "b@x.example", "c@x.example"];

fn stored(password: u8) -> String {
    format!("1$a${password}")
}

impl World {
    fn accounts(&self, command: &accounts::Command) -> accounts::Reply {
        self.objects.call::<Accounts>(NAME, command, NOW).expect("a reply")
    }

    fn sql(&self, statement: &str) {
        self.objects.with::<Accounts, _>(NAME, |store| {
            crate::platform::store::Store::run(store, statement, &[]).expect(statement);
        });
    }

    fn wire(&self, calls: u8, last_arrives: bool) -> Wire<'_> {
        Wire { objects: &self.objects, calls_left: Cell::new(calls), last_arrives }
    }

    fn truth(&self, email: &str) -> Option<accounts::Account> {
        match self.accounts(&accounts::Command::Find(email.to_owned())) {
            accounts::Reply::Account(account) => account,
            other => panic!("{other:?}"),
        }
    }

    fn change(&mut self, at: u8, change_of: Change, calls: u8, last_arrives: bool) {
        let email = EMAILS[usize::from(at)];
        let known = self.truth(email);
        let by_root = |write| accounts::Command::Write(Author::in_person("root", NOW), write);
        let state = known.as_ref().and_then(|account| self.histories[&account.id].states.last().copied());
        let (id, state) = match (change_of, known, state) {
            (Change::Add, None, _) => {
                self.ids += 1;
                let id = format!("usr_{}", self.ids);
                let user = accounts::NewUser { email: email.into(), password: stored(0), ..new(&id) };
                self.objects.with::<Accounts, _>(NAME, |store| {
                    use crate::identity::principal::Role;
                    accounts::users::insert(store, &user, Role::User, NOW).expect("a user")
                });
                (id, State { is_active: true, password: 0, has_factor: false })
            }
            (Change::Add, Some(_), _) | (_, None, _) | (_, _, None) => return,
            (Change::Delete, Some(account), Some(state)) => {
                self.accounts(&by_root(Write::DeleteUser(account.id.clone())));
                (account.id, State { is_active: false, ..state })
            }
            (Change::Disable, Some(account), Some(state)) => {
                self.accounts(&by_root(change(&account.id, None, Some(false))));
                (account.id, State { is_active: false, ..state })
            }
            (Change::Enable, Some(account), Some(state)) => {
                self.accounts(&by_root(change(&account.id, None, Some(true))));
                (account.id, State { is_active: true, ..state })
            }
            (Change::Password(password), Some(account), Some(state)) => {
                let hash = stored(password);
                self.sql(&format!("UPDATE users SET password = '{hash}' WHERE id = '{}'", account.id));
                (account.id, State { password, ..state })
            }
            (Change::Enroll, Some(account), Some(state)) => {
                let id = &account.id;
                self.sql(&format!(
                    "INSERT OR REPLACE INTO totp VALUES ('{id}', 'confirmed', 'f', 's', 0, 5)"
                ));
                (account.id, State { has_factor: true, ..state })
            }
            (Change::RemoveFactor, Some(account), Some(state)) => {
                self.sql(&format!("DELETE FROM totp WHERE user = '{}'", account.id));
                (account.id, State { has_factor: false, ..state })
            }
        };
        let history = self.histories.entry(id.clone()).or_default();
        history.states.push(state);
        let last = history.states.len() - 1;
        let is_status = matches!(change_of, Change::Delete | Change::Disable | Change::Enable);
        if ready(self.answer(&id, is_status, calls, last_arrives)).is_ok()
            && let Some(history) = self.histories.get_mut(&id)
        {
            let answered =
                if is_status { &mut history.answered_status } else { &mut history.answered_credentials };
            *answered = last;
        }
    }

    /// What the Worker does after a change, before it answers.
    async fn answer(&self, id: &str, is_status: bool, calls: u8, last_arrives: bool) -> Result<(), Fault> {
        let wire = self.wire(calls, last_arrives);
        tell(&wire, id).await?;
        if is_status {
            // As the endpoint does, with the status in the reply of `Accounts`.
            let status = self.objects.with::<Accounts, _>(NAME, |store| {
                let select = "SELECT role, active, version FROM untold WHERE id = ?";
                let rows = crate::platform::store::Store::run(store, select, &[id.into()]).expect("rows");
                rows.first().map(|row| accounts::users::read_status(row, 0).expect("a status"))
            });
            if let Some(status) = status {
                let version = status.version;
                wire.call_object::<Sessions>(id, &registry::Command::Apply(status)).await?;
                let delivered = accounts::Command::StatusDelivered(id.to_owned(), version);
                wire.call_object::<Accounts>(NAME, &delivered).await?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: u8, password: u8) {
        let email = EMAILS[usize::from(at)].to_owned();
        let read = ready(find(&self.wire(20, true), true, &email, Source::Copy)).expect("an account");
        self.sign_ins.push(SignIn { email, password, read });
    }

    /// Finishes a sign-in as the endpoint does. Returns whether a session was opened.
    fn finish(&mut self, SignIn { email, password, mut read }: SignIn) -> bool {
        for _ in 0..2 {
            let Some(account) = read.account else { return false };
            if !account.status.active || account.password != stored(password) || account.factors.is_enrolled()
            {
                return false;
            }
            self.sessions += 1;
            let id = format!("ses_{}", self.sessions);
            let session =
                Session { credentials: read.version, ..Session::opened(&id, NOW, Timestamp(NOW.0 + 9)) };
            let open = registry::Command::Open(account.status, session);
            match self.objects.call::<Sessions>(&account.id, &open, NOW).expect("a reply") {
                registry::Reply::Done(1) | registry::Reply::OpenedOnNewDevice => {
                    let history = &self.histories[&account.id];
                    let fits = |state: &State| state.password == password && !state.has_factor;
                    let is_active = |state: &State| state.is_active;
                    assert!(
                        history.states[history.answered_status..].iter().any(is_active)
                            && history.states[history.answered_credentials..].iter().any(fits),
                        "{email} signed in with {password}: {history:?}"
                    );
                    return true;
                }
                registry::Reply::Gone => return false,
                registry::Reply::Stale => {
                    let wire = self.wire(20, true);
                    read = ready(find(&wire, true, &email, Source::Truth)).expect("an account");
                }
                other => panic!("{other:?}"),
            }
        }
        false
    }

    fn alarm(&mut self) {
        let sent =
            self.objects.with::<Accounts, _>(NAME, |store| Accounts::alarm(store, NOW).expect("messages"));
        self.messages.extend(sent);
    }

    fn deliver(&mut self, at: usize, is_done: bool) {
        let message = self.messages[at].clone();
        deliver(&self.objects, &message);
        if is_done {
            self.messages.swap_remove(at);
            let OutboxMessage::Tell { done, .. } = message;
            self.accounts(&decode(&done).expect("a command"));
        }
    }

    /// Delivers everything.
    fn settle(&mut self) {
        for _ in 0..50 {
            while !self.messages.is_empty() {
                self.deliver(0, true);
            }
            let is_due = self.objects.with::<Accounts, _>(NAME, |store| {
                Accounts::next_alarm(store, NOW).expect("a time").is_some()
            });
            if !is_due {
                return;
            }
            self.alarm();
        }
        panic!("the outbox does not become empty");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_copy_lets_nobody_in_whom_the_truth_refuses(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::default();
        world.accounts(&accounts::Command::SetUp(new("root")));
        for step in steps {
            match step {
                Step::Change { at, change, calls, last_arrives } => world.change(at, change, calls, last_arrives),
                Step::Begin { at, password } => world.begin(at, password),
                Step::Finish(_) if world.sign_ins.is_empty() => {}
                Step::Finish(at) => {
                    let at = usize::from(at) % world.sign_ins.len();
                    let sign_in = world.sign_ins.swap_remove(at);
                    world.finish(sign_in);
                }
                Step::Alarm => world.alarm(),
                Step::Deliver { .. } if world.messages.is_empty() => {}
                Step::Deliver { at, is_done } => world.deliver(usize::from(at) % world.messages.len(), is_done),
            }
        }
        // In the end, each shard has what `Accounts` has, and everybody who may sign in does so by the copy.
        world.begin(0, 0);
        world.settle();
        for email in EMAILS {
            let hash = EmailHash::of(email);
            let found = world.objects.call::<Logins>(hash.shard(), &Command::Find(hash.clone()), NOW);
            let Ok(Reply::Account(copy)) = found else { panic!("{found:?}") };
            let truth = world.truth(email);
            prop_assert_eq!(&copy.account, &truth);
            let Some(account) = truth else { continue };
            let state = world.histories[&account.id].states.last().copied().expect("a state");
            let may = state.is_active && !state.has_factor;
            let sign_in = SignIn { email: email.to_owned(), password: state.password, read: copy.clone() };
            prop_assert_eq!(world.finish(sign_in), may);
            let version = copy.version.expect("a version");
            let required = world.objects.with::<Sessions, _>(&account.id, |store| {
                let select = "SELECT version FROM required_credentials";
                let rows = crate::platform::store::Store::run(store, select, &[]).expect("rows");
                rows.first().map_or(0, |row| row.integer(0).expect("a number"))
            });
            prop_assert!(version >= required, "a copy that is up to date stays stale");
        }
    }
}
