//! Random histories of sign-ins, changes and links, whose messages arrive late, twice or in another order.
//!
//! A session is *good for* the password that its sign-in compared, or that its user set in it. Once everything is told,
//! each live session of a user is good for the user's password. And each link replaces a password once, while it is
//! good.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::sessions::{
    lifetime::Limits,
    registry::{PasswordChange, Session, Sessions, UserStatus},
};

const USERS: [&str; 3] = ["root", "ada", "eve"];

#[derive(Clone, Debug)]
enum Step {
    /// A sign-in reads the user and compares the password.
    Read(usize),
    /// Such a sign-in opens its session.
    Open(usize),
    /// A user changes the password in one of their sessions, after an earlier or the present password was compared.
    Change {
        session: usize,
        is_stale: bool,
    },
    /// A user asks for a link by mail.
    Request(usize),
    /// An admin makes a link.
    Make {
        by: usize,
        of: usize,
    },
    UseLink(usize),
    Recover(usize),
    Switch {
        user: usize,
        active: bool,
    },
    SetRole {
        user: usize,
        role: Role,
    },
    /// A Worker tells the registry, perhaps late or again.
    Tell(usize),
    /// The alarm tells everything.
    Alarm,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS.len();
    let at = || 0..100_usize;
    prop_oneof![
        6 => user.clone().prop_map(Step::Read),
        6 => at().prop_map(Step::Open),
        4 => (at(), prop::bool::weighted(0.2)).prop_map(|(session, is_stale)| Step::Change { session, is_stale }),
        3 => user.clone().prop_map(Step::Request),
        3 => (user.clone(), user.clone()).prop_map(|(by, of)| Step::Make { by, of }),
        5 => at().prop_map(Step::UseLink),
        1 => user.clone().prop_map(Step::Recover),
        1 => (user.clone(), any::<bool>()).prop_map(|(user, active)| Step::Switch { user, active }),
        1 => (user, prop_oneof![Just(Role::User), Just(Role::Admin)])
            .prop_map(|(user, role)| Step::SetRole { user, role }),
        4 => at().prop_map(Step::Tell),
        1 => Just(Step::Alarm),
        1 => (1_i64..2_000).prop_map(Step::Wait),
    ]
}

/// A sign-in that has compared the password.
struct SignIn {
    user: usize,
    password: String,
    status: UserStatus,
}

struct Link {
    token: String,
    user: usize,
    made_by: Option<usize>,
    ends: i64,
}

struct World {
    accounts: Sqlite,
    sessions: Vec<Sqlite>,
    now: Timestamp,
    names: usize,
    sign_ins: Vec<SignIn>,
    /// The user of each session, and the password that it is good for.
    good_for: BTreeMap<String, (usize, String)>,
    links: Vec<Link>,
    used: BTreeSet<String>,
    messages: Vec<(usize, PasswordChange)>,
}

impl World {
    fn new() -> Self {
        let accounts = set_up();
        for user in &USERS[1..] {
            add_user(&accounts, user, Role::Admin);
        }
        Self {
            accounts,
            sessions: USERS.map(|_| Sqlite::of::<Sessions>()).into(),
            now: NOW,
            names: 0,
            sign_ins: Vec::new(),
            good_for: BTreeMap::new(),
            links: Vec::new(),
            used: BTreeSet::new(),
            messages: Vec::new(),
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what} {}", self.names)
    }

    fn send(&self, command: &Command) -> Reply {
        self.accounts.handle::<Accounts>(command, self.now).expect("a reply")
    }

    fn account(&self, user: usize) -> (String, UserStatus) {
        match self.send(&Command::Find(format!("{}@example.com", USERS[user]))) {
            Reply::Account(Some(account)) => (account.password, account.status),
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, by: usize, session: &str, write: Write) -> Reply {
        let credential = Credential::Session(session.to_owned());
        let author = Author { user: Some(USERS[by].into()), credential, checked_at: self.now };
        self.send(&Command::Write(author, write))
    }

    fn tell(&self, user: usize, change: &PasswordChange) {
        let command = registry::Command::PasswordChanged(change.clone());
        self.sessions[user].handle::<Sessions>(&command, self.now).expect("a reply");
    }

    fn alarm(&self) {
        for message in Accounts::alarm(&self.accounts, self.now).expect("messages") {
            let OutboxMessage::Tell { name, command, done, .. } = message;
            let user = USERS.iter().position(|user| *user == name).expect("a user");
            let command: registry::Command = decode(&command).expect("a command");
            self.sessions[user].handle::<Sessions>(&command, self.now).expect("a reply");
            self.send(&decode(&done).expect("a command"));
        }
    }

    /// Records that a password was replaced.
    fn changed(&mut self, user: usize, reply: PasswordReply) {
        let PasswordReply::Changed(changed) = reply else { panic!("{reply:?}") };
        if let Some(session) = &changed.change.kept_session {
            self.good_for.insert(session.clone(), (user, self.account(user).0));
        }
        self.messages.push((user, changed.change));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(user) => {
                let (password, status) = self.account(user);
                if status.active {
                    self.sign_ins.push(SignIn { user, password, status });
                }
            }
            Step::Open(at) if !self.sign_ins.is_empty() => {
                let id = self.name("ses");
                let SignIn { user, password, status } = &self.sign_ins[at % self.sign_ins.len()];
                let session = Session::opened(&id, self.now, Timestamp(self.now.0 + 1_000_000));
                let open = registry::Command::Open(status.clone(), session);
                self.sessions[*user].handle::<Sessions>(&open, self.now).expect("a reply");
                self.good_for.insert(id, (*user, password.clone()));
            }
            Step::Change { session, is_stale } if !self.good_for.is_empty() => {
                let stored = self.name("password");
                let (id, (user, _)) = self.good_for.iter().nth(session % self.good_for.len()).expect("one");
                let (id, user) = (id.clone(), *user);
                let (present, status) = self.account(user);
                let compared = if is_stale { "1$a$b".to_owned() } else { present.clone() };
                let is_right = compared == present;
                let change = Write::Password(PasswordWrite::Change { compared, new: new(&stored) });
                match self.write(user, &id, change) {
                    Reply::Password(PasswordReply::Wrong) => assert!(!is_right),
                    Reply::Password(reply) => {
                        assert!(is_right && status.active);
                        self.end_links_of_changed(user);
                        self.changed(user, reply);
                    }
                    Reply::Refused(_) => assert!(!status.active),
                    other => panic!("{other:?}"),
                }
            }
            Step::Request(user) => {
                let token = self.name("link");
                let link = NewLink { proof: proof(&token), expires_at: self.now.plus(LIFETIME) };
                let email = format!("{}@example.com", USERS[user]);
                let reply = password_at(&self.accounts, PasswordCommand::RequestLink(email, link), self.now);
                let is_active = self.account(user).1.active;
                assert_eq!(matches!(reply, PasswordReply::Requested(Some(_))), is_active);
                if is_active {
                    self.replace_link(Link { token, user, made_by: None, ends: self.now.plus(LIFETIME).0 });
                }
            }
            Step::Make { by, of } => {
                let token = self.name("link");
                let link = NewLink { proof: proof(&token), expires_at: self.now.plus(LIFETIME) };
                let make = Write::Password(PasswordWrite::MakeLink(USERS[of].into(), link));
                if self.write(by, "ses", make) == MADE {
                    assert!(self.is_admin(by) && self.account(of).1.active);
                    let ends = self.now.plus(LIFETIME).0;
                    self.replace_link(Link { token, user: of, made_by: Some(by), ends });
                }
            }
            Step::UseLink(at) if self.names > 0 => {
                let token = format!("link {}", at % self.names + 1);
                let stored = self.name("password");
                let command = PasswordCommand::UseLink(proof(&token), new(&stored));
                let reply = password_at(&self.accounts, command, self.now);
                let found = self.links.iter().find(|link| link.token == token);
                let is_good = found.is_some_and(|link| {
                    link.ends > self.now.0 && link.made_by.is_none_or(|by| self.is_admin(by))
                });
                assert_eq!(has_changed(&reply), is_good, "{token}");
                if let Some(user) = found.map(|link| link.user).filter(|_| is_good) {
                    assert!(self.used.insert(token), "used twice");
                    self.end_links_of_changed(user);
                    self.changed(user, reply);
                }
            }
            Step::Recover(user) => {
                let stored = self.name("password");
                let email = format!("{}@example.com", USERS[user]);
                let command = PasswordCommand::Recover(email, new(&stored));
                let reply = password_at(&self.accounts, command, self.now);
                if reply == PasswordReply::NotFound {
                    assert!(!self.is_admin(user));
                } else {
                    self.end_links_of_changed(user);
                    self.changed(user, reply);
                }
            }
            Step::Switch { user, active } => self.change_user(user, change(USERS[user], None, Some(active))),
            Step::SetRole { user, role } => self.change_user(user, change(USERS[user], Some(role), None)),
            Step::Tell(at) if !self.messages.is_empty() => {
                let (user, change) = &self.messages[at % self.messages.len()];
                self.tell(*user, change);
            }
            Step::Alarm => self.alarm(),
            Step::Wait(seconds) => self.now = Timestamp(self.now.0 + seconds),
            Step::Open(_) | Step::Change { .. } | Step::UseLink(_) | Step::Tell(_) => {}
        }
    }

    /// Changes a user as some admin. Every change of the user ends the user's links, and those that the user has made.
    fn change_user(&mut self, user: usize, change: Write) {
        let before = self.account(user).1;
        let by = (0..USERS.len()).find(|by| self.is_admin(*by)).expect("an admin");
        self.write(by, "ses", change);
        if self.account(user).1 != before {
            self.end_links_of_changed(user);
        }
    }

    fn is_admin(&self, user: usize) -> bool {
        let (_, status) = self.account(user);
        status.active && status.role == Role::Admin
    }

    fn replace_link(&mut self, link: Link) {
        self.end_links(link.user);
        self.links.push(link);
    }

    fn end_links(&mut self, user: usize) {
        self.links.retain(|link| link.user != user);
    }

    /// Ends the links of a user whose password or status has changed, and those that the user has made.
    fn end_links_of_changed(&mut self, user: usize) {
        self.end_links(user);
        self.links.retain(|link| link.made_by != Some(user));
    }

    /// Checks all live sessions, once everything is told.
    fn check(&mut self) {
        self.alarm();
        assert_eq!(Accounts::next_alarm(&self.accounts, self.now), Ok(None));
        for (at, (user, store)) in USERS.iter().zip(&self.sessions).enumerate() {
            let listed = registry::Command::List(Limits::default());
            let registry::Reply::Sessions(live) =
                store.handle::<Sessions>(&listed, self.now).expect("a reply")
            else {
                panic!("sessions")
            };
            let (password, status) = self.account(at);
            for session in live {
                assert!(status.active, "{user} is disabled");
                assert_eq!(self.good_for[&session.id].1, password, "{user} {}", session.id);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_session_is_good_for_the_password(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.check();
        // Messages that arrive after everything was told change nothing.
        for (user, change) in std::mem::take(&mut world.messages) {
            world.tell(user, &change);
        }
        world.check();
    }
}

/// A change keeps the session in which it was made, and sign-ins with the new password.
#[test]
fn a_change_ends_no_session_of_the_new_password() {
    let mut world = World::new();
    for step in [Step::Read(1), Step::Open(0), Step::Read(1), Step::Open(1)] {
        world.step(step);
    }
    world.step(Step::Change { session: 0, is_stale: false });
    world.step(Step::Read(1));
    world.step(Step::Open(2));
    world.check();
    let listed = registry::Command::List(Limits::default());
    let registry::Reply::Sessions(live) =
        world.sessions[1].handle::<Sessions>(&listed, NOW).expect("a reply")
    else {
        panic!("sessions")
    };
    assert_eq!(live.len(), 2, "the session of the change, and the one of the new password");
}
