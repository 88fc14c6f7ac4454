//! The sessions of one user. Their `Sessions` object agrees with a plain list of them, whatever changes arrive late,
//! twice or in another order: what has ended stays ended.

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use vestibule::{
    base::time::Timestamp,
    identity::{
        author::{Author, Credential},
        principal::Role,
    },
    platform::store::Store,
    sessions::{
        lifetime::Limits,
        registry::{
            Command, End, Logout, PasswordChange, Profile, Reauthentication, Reply, Session, Sessions,
            UserStatus, Which,
        },
    },
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const USER: &str = "usr_a";
const LIMITS: [Limits; 2] =
    [Limits { max_lifetime: None, idle: None }, Limits { max_lifetime: Some(900), idle: Some(200) }];

#[test]
fn sessions_are_those_of_a_plain_list_and_never_come_back() {
    simulate("registry", 25, run);
}

/// A session that is stored.
#[derive(Clone, Debug)]
struct Row {
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    authenticated_at: i64,
    /// The version of the user that the sign-in read.
    version: i64,
    replaced_by: Option<String>,
}

#[derive(Default)]
struct Reference {
    rows: BTreeMap<String, Row>,
    status: Option<UserStatus>,
    password_version: i64,
    required_clock: i64,
    /// When ended sessions are no longer reported.
    reported: BTreeMap<String, i64>,
    logout_tokens: BTreeSet<String>,
    profile: Option<Profile>,
    /// All sessions that have ended.
    ended: BTreeSet<String>,
    /// Messages about changes, each of which may arrive late or again.
    messages: Vec<Command>,
    version: i64,
    clock: i64,
}

fn run(simulation: &mut Simulation) {
    let store = Sqlite::of::<Sessions>();
    let mut reference = Reference { version: 10, clock: 10, ..Reference::default() };
    for _ in 0..180 {
        simulation.now += match simulation.random.below(25) {
            0 => simulation.random.within(60, 400),
            1 => simulation.random.within(-5, 0),
            _ => simulation.random.within(0, 6),
        };
        if simulation.random.one_in(4) {
            reference.change(simulation);
        }
        let command = reference.command(simulation);
        for _ in 0..2 {
            let sent = simulation.send::<Sessions>(&store, &command);
            let is_answered = sent.is_answered();
            match sent {
                Sent::Answered(reply) | Sent::Lost(reply) => {
                    let wanted = reference.apply(&command, simulation.now);
                    assert_eq!(reply, wanted, "{command:?}");
                }
                Sent::Failed => assert!(Reference::fails(&command, simulation.now), "{command:?} failed"),
                Sent::Killed => {}
            }
            // Not every client repeats a command that got no answer. None opens the same session again.
            if is_answered || matches!(command, Command::Open(..)) || simulation.random.one_in(2) {
                break;
            }
        }
        reference.check(simulation, &store);
    }
}

impl Reference {
    /// `Accounts` changes the user, and sends a message.
    fn change(&mut self, simulation: &mut Simulation) {
        self.version += 1;
        let role = *simulation.random.pick(&[Role::User, Role::Admin]);
        let status = UserStatus { role, active: simulation.random.below(4) > 0, version: self.version };
        self.messages.push(match simulation.random.below(4) {
            0 => {
                self.clock += 1;
                Command::RequireCredentials(self.clock)
            }
            1 => Command::PasswordChanged(PasswordChange {
                version: self.version,
                kept_session: simulation.random.one_in(2).then(|| self.a_session(simulation)),
                status: UserStatus { active: true, ..status },
            }),
            _ => Command::Apply(status),
        });
    }

    fn a_session(&self, simulation: &mut Simulation) -> String {
        let known: Vec<&String> = self.rows.keys().collect();
        let ended: Vec<&String> = self.ended.iter().collect();
        match simulation.random.below(8) {
            0 if !ended.is_empty() => (*simulation.random.pick(&ended)).clone(),
            _ if !known.is_empty() => (*simulation.random.pick(&known)).clone(),
            _ => "ses_unknown".to_owned(),
        }
    }

    fn author(&self, simulation: &mut Simulation) -> Author {
        Author {
            user: Some(USER.to_owned()),
            credential: Credential::Session(self.a_session(simulation)),
            checked_at: Timestamp(simulation.now - simulation.random.within(0, 6)),
        }
    }

    fn command(&mut self, simulation: &mut Simulation) -> Command {
        let (id, limits) = (self.a_session(simulation), *simulation.random.pick(&LIMITS));
        let now = simulation.now;
        match simulation.random.weighted(&[6, 5, 2, 2, 2, 2, 1, 2, 1, 6, 1, 1, 1]) {
            0 => {
                // A sign-in read the user some changes ago.
                let version = self.version - simulation.random.within(0, 2);
                let status = UserStatus { role: Role::User, active: true, version };
                let clock = self.clock - simulation.random.within(0, 1);
                let credentials = simulation.random.one_in(2).then_some(clock);
                let end = Timestamp(now + simulation.random.within(20, 1_000));
                let session = Session::opened(&simulation.name("ses_"), Timestamp(now), end);
                Command::Open(status, Session { credentials, ..session })
            }
            1 => Command::Check(id, limits),
            2 => Command::CheckReadOnly(id, limits),
            3 => Command::Extend(id, Timestamp(now + simulation.random.within(0, 1_000))),
            4 => Command::List(limits),
            5 => Command::SignOut(id),
            6 => {
                let author = simulation.random.one_in(2).then(|| self.author(simulation));
                let which = match simulation.random.below(3) {
                    0 => Which::One(id),
                    1 => Which::All,
                    _ => Which::Others,
                };
                Command::End(End { author, of: USER.to_owned(), which })
            }
            7 => Command::Reauthenticate(Reauthentication {
                author: self.author(simulation),
                new_session: simulation.name("ses_"),
                expires_at: Timestamp(now + 600),
            }),
            8 => Command::LogOut(Logout {
                token: format!("jti {}", simulation.random.below(4)),
                until: Timestamp(i64::MAX >> 12),
                which: if simulation.random.one_in(4) { Which::All } else { Which::One(id) },
            }),
            9 if !self.messages.is_empty() => simulation.random.pick(&self.messages).clone(),
            10 => Command::Profile(Profile { name: Some(simulation.name("name ")), email: None }),
            11 => Command::WithProfile(Box::new(Command::ReadUserStatus)),
            _ => Command::Deciding { session: id, object: "object".to_owned() },
        }
    }

    /// Nothing that has ended is live, and what ended a moment ago is reported.
    fn check(&self, simulation: &mut Simulation, store: &Sqlite) {
        let now = simulation.time();
        for id in self.ended.iter().rev().take(3) {
            let check = Command::CheckReadOnly(id.clone(), Limits::default());
            assert_eq!(store.handle::<Sessions>(&check, now), Ok(Reply::Gone), "{id} lives again");
        }
        let reported = match store.handle::<Sessions>(&Command::RecentlyEnded, now) {
            Ok(Reply::RecentlyEnded(recent)) => recent.sessions,
            other => panic!("{other:?}"),
        };
        let reported: BTreeSet<String> =
            reported.map_or_else(BTreeSet::new, |ids| serde_json::from_str(&ids).expect("ids"));
        let wanted = self.reported.iter().filter(|(_, until)| **until > now.0).map(|(id, _)| id.clone());
        assert_eq!(reported, wanted.collect());
        let rows = store.run("SELECT count(*) FROM ended_sessions", &[]).expect("a count");
        assert_eq!(rows[0].integer(0), Ok(i64::try_from(self.reported.len()).unwrap()));
    }
}
