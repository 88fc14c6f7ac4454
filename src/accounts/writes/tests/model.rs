//! Random histories of several admins' commands. The gateway checks a command when it is sent. `Accounts` checks it
//! again when it arrives, and then carries it out. Commands arrive in any order.
//!
//! The model is a table of what each user may do. Two rules must hold in each order:
//!
//! 1. A command changes nothing if, when it arrives, its author may not give it or the author's session has ended.
//! 2. An invite cannot be redeemed while its author may not make such an invite.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    accounts::tests::new,
    sessions::{
        lifetime::Limits,
        registry::{self, End, Session, Sessions, Which},
    },
};

const PEOPLE: [&str; 4] = ["root", "ada", "bob", "cy"];

/// A step of a history. Users are indexes into [`PEOPLE`].
#[derive(Clone, Debug)]
enum Step {
    /// A user sends a command. The gateway checks the user by the reply of `Sessions`.
    Send { by: usize, by_token: bool, action: Action, target: usize },
    /// A command that was sent arrives.
    Arrive(usize),
    /// The registry applies a user's new status. Until then the gateway checks by the old one.
    UpdateRegistry(usize),
    /// A user ends all their own sessions, or an admin ends those of another user.
    SignOut { by: usize, target: usize },
    /// A user signs in again.
    SignIn(usize),
    /// A new user tries to redeem an invite.
    Redeem(usize),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Promote,
    Demote,
    Enable,
    Disable,
    Delete,
    Invite,
    Token,
    AgentToken,
    Revoke,
    TakeOver,
    EndSessions,
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        Just(Action::Promote),
        Just(Action::Demote),
        Just(Action::Enable),
        Just(Action::Disable),
        Just(Action::Delete),
        Just(Action::Invite),
        Just(Action::Token),
        Just(Action::AgentToken),
        Just(Action::Revoke),
        Just(Action::TakeOver),
        Just(Action::EndSessions),
    ];
    prop_oneof![
        6 => (0..PEOPLE.len(), prop::bool::weighted(0.2), action, 0..PEOPLE.len())
            .prop_map(|(by, by_token, action, target)| Step::Send { by, by_token, action, target }),
        6 => any::<prop::sample::Index>().prop_map(|at| Step::Arrive(at.index(1_000))),
        2 => (0..PEOPLE.len()).prop_map(Step::UpdateRegistry),
        1 => (0..PEOPLE.len(), 0..PEOPLE.len()).prop_map(|(by, target)| Step::SignOut { by, target }),
        1 => (0..PEOPLE.len()).prop_map(Step::SignIn),
        1 => any::<prop::sample::Index>().prop_map(|at| Step::Redeem(at.index(1_000))),
    ]
}

/// The objects, and the state that their replies imply.
struct World {
    accounts: Sqlite,
    sessions: BTreeMap<&'static str, Sqlite>,
    /// The latest session of each user.
    latest: BTreeMap<String, String>,
    /// The sessions that have ended, according to replies.
    ended: BTreeSet<String>,
    /// Each user's role; `None` for a disabled or deleted user.
    roles: BTreeMap<String, Option<Role>>,
    /// Each token's owner, while it is not revoked.
    tokens: BTreeMap<String, String>,
    /// Each invite's id and author. The author's credential shows whether a token made the invite.
    invites: Vec<(String, Author)>,
    /// Commands that were sent and have not arrived.
    in_flight: Vec<(Author, Write)>,
    /// The number of ids that were made, so that each id is unique.
    count: usize,
}

impl World {
    fn new() -> Self {
        let accounts = set_up();
        let mut roles = BTreeMap::from([("root".to_owned(), Some(Role::Admin))]);
        for (name, role) in [("ada", Role::Admin), ("bob", Role::Admin), ("cy", Role::User)] {
            invite(&accounts, &format!("for {name}"), None, role, None);
            assert!(matches!(redeem(&accounts, &format!("for {name}"), name), Reply::UserStatus(_)));
            roles.insert(name.to_owned(), Some(role));
        }
        let mut world = Self {
            accounts,
            sessions: PEOPLE.iter().map(|name| (*name, Sqlite::of::<Sessions>())).collect(),
            latest: BTreeMap::new(),
            ended: BTreeSet::new(),
            roles,
            tokens: BTreeMap::new(),
            invites: Vec::new(),
            in_flight: Vec::new(),
            count: 0,
        };
        for name in PEOPLE {
            world.sign_in(name);
            let author = world.in_person(name);
            world.carry_out(author, put(&format!("tok_{name}"), "mul_", name));
        }
        world
    }

    /// Opens a session, if the user is active.
    fn sign_in(&mut self, name: &'static str) {
        let Reply::Account(Some(account)) =
            send(&self.accounts, Command::Find(format!("{name}@example.com")))
        else {
            return;
        };
        self.count += 1;
        let id = format!("ses_{name}_{}", self.count);
        let session = Session::opened(&id, NOW, Timestamp(NOW.0 + 1_000));
        if account.status.active
            && self.session(name, registry::Command::Open(account.status, session))
                == registry::Reply::Done(1)
        {
            self.latest.insert(name.into(), id);
        }
    }

    fn in_person(&self, name: &str) -> Author {
        let id = self.latest.get(name).cloned().unwrap_or_default();
        Author { credential: Credential::Session(id), ..Author::in_person(name, NOW) }
    }

    /// Ends sessions of a user, as the gateway does: it reports them to `Accounts` before it answers.
    fn sign_out(&mut self, by: &str, target: &str) {
        let own = (by == target).then(|| self.in_person(by));
        if own.is_none() {
            let author = self.in_person(by);
            return self.carry_out(author, Write::AuthorizeEndingSessions(target.into()));
        }
        let end = registry::Command::End(End { author: own, of: target.into(), which: Which::All });
        if let registry::Reply::Done(_) = self.session(target, end) {
            self.report_ended(target);
        }
    }

    fn report_ended(&mut self, target: &str) {
        let registry::Reply::RecentlyEnded(recent) = self.session(target, registry::Command::RecentlyEnded)
        else {
            panic!("expected the ended sessions");
        };
        if let Some(id) = self.latest.get(target)
            && self.session(target, registry::Command::CheckReadOnly(id.clone(), Limits::default()))
                == registry::Reply::Gone
        {
            // `sessions` is a JSON array of ids, so an id in quotes is found in it.
            let is_reported = recent.sessions.as_ref().is_some_and(|all| all.contains(&format!("{id:?}")));
            assert!(is_reported, "{id} has ended, but is not reported");
        }
        let prefix = format!("ses_{target}_");
        let open: Vec<String> = match self.session(target, registry::Command::List(Limits::default())) {
            registry::Reply::Sessions(all) => all.into_iter().map(|session| session.id).collect(),
            other => panic!("{other:?}"),
        };
        let in_flight = self.in_flight.iter().filter_map(|(author, _)| match &author.credential {
            Credential::Session(id) if id.starts_with(&prefix) && !open.contains(id) => Some(id.clone()),
            _ => None,
        });
        self.ended.extend(in_flight.chain(self.latest.get(target).filter(|id| !open.contains(id)).cloned()));
        if let Some(sessions) = recent.sessions {
            send(&self.accounts, Command::EndedSessions(sessions));
        }
    }

    fn session(&self, name: &str, command: registry::Command) -> registry::Reply {
        self.sessions[name].handle::<Sessions>(&command, NOW).expect("a reply")
    }

    /// Sends a command, if the gateway admits it.
    fn send(&mut self, by: &'static str, by_token: bool, action: Action, target: &'static str) {
        let role_at_gateway = if by_token {
            match self.session(by, registry::Command::ReadUserStatus) {
                registry::Reply::UserStatus(Some(status)) if status.active => Some(status.role),
                _ => None,
            }
        } else {
            match self.session(
                by,
                registry::Command::Check(self.latest.get(by).cloned().unwrap_or_default(), Limits::default()),
            ) {
                registry::Reply::Live(live) => Some(live.role),
                _ => None,
            }
        };
        self.count += 1;
        let id = format!("{}", self.count);
        let set = |role, active| change(target, role, active);
        let write = match action {
            Action::Promote => set(Some(Role::Admin), Some(true)),
            Action::Demote => set(Some(Role::User), None),
            Action::Enable => set(None, Some(true)),
            Action::Disable => set(None, Some(false)),
            Action::Delete => Write::DeleteUser(target.into()),
            Action::Invite => new_invite(&format!("inv_{id}"), by),
            Action::Token => put(&format!("tok_{id}"), "mul_", by),
            Action::AgentToken => put(&format!("tok_{id}"), "mk_", by),
            Action::Revoke => Write::RevokeToken(format!("tok_{target}")),
            Action::TakeOver => Write::TakeOverToken(format!("tok_{target}")),
            Action::EndSessions => Write::AuthorizeEndingSessions(target.into()),
        };
        let is_admitted = match write.required_role() {
            Role::User => role_at_gateway.is_some(),
            Role::Admin => role_at_gateway == Some(Role::Admin),
        };
        if is_admitted {
            let author = self.in_person(by);
            let token = Credential::Token(format!("tok_{by}"));
            self.in_flight
                .push((if by_token { Author { credential: token, ..author } } else { author }, write));
        }
    }

    /// Returns whether an author may give a command now, according to the model.
    fn is_permitted(&self, author: &Author, required: Role) -> bool {
        let user = author.user.as_deref().expect("a user");
        let role = self.roles.get(user).copied().flatten();
        let is_valid = match &author.credential {
            Credential::Session(id) => !self.ended.contains(id),
            Credential::Token(id) => self.tokens.get(id).is_some_and(|owner| owner == user),
        };
        is_valid && role.is_some_and(|role| required == Role::User || role == Role::Admin)
    }

    fn carry_out(&mut self, author: Author, write: Write) {
        let before = all_tables(&self.accounts);
        let is_permitted = self.is_permitted(&author, write.required_role());
        let reply = send(&self.accounts, Command::Write(author.clone(), write.clone()));
        let is_refused = matches!(reply, Reply::Refused(_));
        assert_eq!(is_refused, !is_permitted, "{author:?} {write:?} {reply:?}");
        if is_refused {
            assert_eq!(all_tables(&self.accounts), before, "{author:?} {write:?}");
            return;
        }
        let user = author.user.clone().expect("a user");
        match (write, reply) {
            (Write::ChangeUser { id, .. } | Write::DeleteUser(id), Reply::UserStatus(status)) => {
                self.roles.insert(id, status.active.then_some(status.role));
            }
            (Write::MakeInvite { invite, .. }, Reply::Invite(_)) => {
                self.invites.push((invite.id, author));
            }
            (Write::PutToken { token, .. }, Reply::Done(true)) => {
                self.tokens.insert(token.id, user);
            }
            (Write::RevokeToken(id), Reply::Tokens(_)) => {
                self.tokens.remove(&id);
            }
            (Write::TakeOverToken(id), Reply::Tokens(_)) => {
                self.tokens.insert(id, user);
            }
            // The gateway then ends the sessions.
            (Write::AuthorizeEndingSessions(target), Reply::Done(true)) => {
                let end = registry::Command::End(End { author: None, of: target.clone(), which: Which::All });
                if self.sessions.contains_key(target.as_str()) {
                    self.session(&target, end);
                    self.report_ended(&target);
                }
            }
            (_, Reply::NotFound | Reply::LastAdmin | Reply::Done(false)) => {}
            (write, reply) => panic!("{write:?}: {reply:?}"),
        }
    }

    /// Sends a user's new status to the registry. The gateway does this before it answers the request that changed the
    /// user.
    fn update_registry(&mut self, name: &str) {
        for message in Accounts::alarm(&self.accounts, NOW).expect("messages") {
            if let OutboxMessage::Tell { binding: "SESSIONS", name: target, command, done } = message
                && target == name
            {
                self.session(name, decode(&command).expect("a command"));
                send(&self.accounts, decode(&done).expect("a command"));
            }
        }
        self.report_ended(name);
    }

    fn redeem(&mut self, at: usize) {
        let Some((id, _)) = self.invites.get(at % self.invites.len().max(1)) else { return };
        self.count += 1;
        let (command, name) = (format!("hash of {id}"), format!("new_{}", self.count));
        let before = all_tables(&self.accounts);
        match send(&self.accounts, Command::Redeem(command, new(&name))) {
            Reply::UserStatus(status) => {
                assert!(self.is_valid(id), "{id}");
                self.roles.insert(name, Some(status.role));
            }
            _ => assert_eq!(all_tables(&self.accounts), before),
        }
    }

    /// Returns whether an invite's author may make such an invite now. Only then may the invite be usable.
    fn is_valid(&self, invite: &str) -> bool {
        self.invites.iter().any(|(id, author)| {
            // An invite that was made with a session stays valid when the session ends.
            let by_session = matches!(author.credential, Credential::Session(_));
            let user = author.user.as_ref().and_then(|user| self.roles.get(user));
            id == invite
                && if by_session {
                    user == Some(&Some(Role::Admin))
                } else {
                    self.is_permitted(author, Role::Admin)
                }
        })
    }

    /// Checks that each usable invite has an author who could make it now, and that an admin is left.
    fn check(&self) {
        for (id, _) in &self.invites {
            let usable = send(&self.accounts, Command::Usable(format!("hash of {id}"))) == Reply::Done(true);
            assert!(!usable || self.is_valid(id), "{id} is usable, but its author could not make it now");
        }
        let admins = self.roles.values().filter(|role| **role == Some(Role::Admin)).count();
        assert!(admins > 0, "no admin is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changes_nothing_without_permission(history in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in history {
            match step {
                Step::Send { by, by_token, action, target } => {
                    world.send(PEOPLE[by], by_token, action, PEOPLE[target]);
                }
                Step::Arrive(at) => {
                    if !world.in_flight.is_empty() {
                        let at = at % world.in_flight.len();
                        let (author, write) = world.in_flight.swap_remove(at);
                        world.carry_out(author, write);
                    }
                }
                Step::UpdateRegistry(target) => world.update_registry(PEOPLE[target]),
                Step::SignOut { by, target } => world.sign_out(PEOPLE[by], PEOPLE[target]),
                Step::SignIn(user) => world.sign_in(PEOPLE[user]),
                Step::Redeem(at) => world.redeem(at),
            }
            world.check();
        }
    }
}
