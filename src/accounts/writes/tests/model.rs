//! Several admins' commands, judged by the gateway at one time and carried out at another, in any order.
//!
//! The model is a table of who may what. Whatever the order: a command whose author may not at the moment it arrives
//! changes nothing, nor does one from a session that ended, and no invite can be redeemed whose author could not make it now.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    accounts::tests::new,
    registry::{self, End, Session, Sessions, Which},
};

const PEOPLE: [&str; 4] = ["root", "ada", "bob", "cy"];

/// What happens next.
#[derive(Clone, Debug)]
enum Happens {
    /// Somebody sends a command; the gateway judges them by what their sessions say.
    Sent { by: usize, by_token: bool, what: What, whom: usize },
    /// A command that is on its way arrives.
    Arrives(usize),
    /// The registry learns how somebody stands. Until then the gateway goes by what it knew.
    Told(usize),
    /// A user's sessions are ended: by the user, or by another one who is an admin.
    SignedOut { by: usize, whom: usize },
    /// A user signs in again.
    SignedIn(usize),
    /// Somebody tries an invite.
    Redeemed(usize),
}

#[derive(Clone, Copy, Debug)]
enum What {
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

fn happens() -> impl Strategy<Value = Happens> {
    let what = prop_oneof![
        Just(What::Promote),
        Just(What::Demote),
        Just(What::Enable),
        Just(What::Disable),
        Just(What::Delete),
        Just(What::Invite),
        Just(What::Token),
        Just(What::AgentToken),
        Just(What::Revoke),
        Just(What::TakeOver),
        Just(What::EndSessions),
    ];
    prop_oneof![
        6 => (0..PEOPLE.len(), prop::bool::weighted(0.2), what, 0..PEOPLE.len())
            .prop_map(|(by, by_token, what, whom)| Happens::Sent { by, by_token, what, whom }),
        6 => any::<prop::sample::Index>().prop_map(|at| Happens::Arrives(at.index(1_000))),
        2 => (0..PEOPLE.len()).prop_map(Happens::Told),
        1 => (0..PEOPLE.len(), 0..PEOPLE.len()).prop_map(|(by, whom)| Happens::SignedOut { by, whom }),
        1 => (0..PEOPLE.len()).prop_map(Happens::SignedIn),
        1 => any::<prop::sample::Index>().prop_map(|at| Happens::Redeemed(at.index(1_000))),
    ]
}

/// The true state of affairs, as replies told it.
struct World {
    accounts: Sqlite,
    sessions: BTreeMap<&'static str, Sqlite>,
    /// The latest session of each user.
    latest: BTreeMap<String, String>,
    /// The sessions that ended, as replies told it.
    ended: BTreeSet<String>,
    /// Who is there, and what they may do; `None` who may not come in.
    may: BTreeMap<String, Option<Role>>,
    /// Each token's owner, while it is not revoked.
    tokens: BTreeMap<String, String>,
    /// Each invite's author, and the token that made it.
    invites: Vec<(String, Author)>,
    on_their_way: Vec<(Author, Write)>,
    made: usize,
}

impl World {
    fn new() -> Self {
        let accounts = set_up();
        let mut may = BTreeMap::from([("root".to_owned(), Some(Role::Admin))]);
        for (name, role) in [("ada", Role::Admin), ("bob", Role::Admin), ("cy", Role::User)] {
            invite(&accounts, &format!("for {name}"), None, role, None);
            assert!(matches!(redeem(&accounts, &format!("for {name}"), name), Reply::Standing(_)));
            may.insert(name.to_owned(), Some(role));
        }
        let mut world = Self {
            accounts,
            sessions: PEOPLE.iter().map(|name| (*name, Sqlite::of::<Sessions>())).collect(),
            latest: BTreeMap::new(),
            ended: BTreeSet::new(),
            may,
            tokens: BTreeMap::new(),
            invites: Vec::new(),
            on_their_way: Vec::new(),
            made: 0,
        };
        for name in PEOPLE {
            world.sign_in(name);
            let author = world.in_person(name);
            world.carry_out(author, put(&format!("tok_{name}"), "mul_", name));
        }
        world
    }

    /// Opens a session, if the user may come in.
    fn sign_in(&mut self, name: &'static str) {
        let Reply::Account(Some(account)) = ask(&self.accounts, Command::Find(format!("{name}@example.com")))
        else {
            return;
        };
        self.made += 1;
        let id = format!("ses_{name}_{}", self.made);
        let session = Session {
            id: id.clone(),
            created_at: NOW,
            last_seen_at: NOW,
            expires_at: Timestamp(NOW.0 + 1_000),
            user_agent: None,
            address: None,
        };
        if account.standing.active
            && self.session(name, registry::Command::Open(account.standing, session))
                == registry::Reply::Done(1)
        {
            self.latest.insert(name.into(), id);
        }
    }

    fn in_person(&self, name: &str) -> Author {
        let id = self.latest.get(name).cloned().unwrap_or_default();
        Author { credential: Credential::Session(id), ..Author::in_person(name, NOW) }
    }

    /// Ends sessions of a user, as the gateway does: it tells the accounts before it answers.
    fn sign_out(&mut self, by: &str, whom: &str) {
        let own = (by == whom).then(|| self.in_person(by));
        if own.is_none() {
            let author = self.in_person(by);
            return self.carry_out(author, Write::EndSessions(whom.into()));
        }
        let end = registry::Command::End(End { author: own, of: whom.into(), which: Which::All });
        if let registry::Reply::Done(_) = self.session(whom, end) {
            self.tell_ended(whom);
        }
    }

    fn tell_ended(&mut self, whom: &str) {
        let registry::Reply::RecentlyEnded(recent) = self.session(whom, registry::Command::RecentlyEnded)
        else {
            panic!("what ended");
        };
        if let Some(id) = self.latest.get(whom)
            && self.session(whom, registry::Command::Look(id.clone())) == registry::Reply::Gone
        {
            let is_told = recent.sessions.as_ref().is_some_and(|all| all.contains(&format!("{id:?}")));
            assert!(is_told, "{id} has ended, and is not told");
        }
        let of_them = format!("ses_{whom}_");
        let open: Vec<String> = match self.session(whom, registry::Command::List) {
            registry::Reply::Sessions(all) => all.into_iter().map(|session| session.id).collect(),
            other => panic!("{other:?}"),
        };
        let sent = self.on_their_way.iter().filter_map(|(author, _)| match &author.credential {
            Credential::Session(id) if id.starts_with(&of_them) && !open.contains(id) => Some(id.clone()),
            _ => None,
        });
        self.ended.extend(sent.chain(self.latest.get(whom).filter(|id| !open.contains(id)).cloned()));
        if let Some(sessions) = recent.sessions {
            ask(&self.accounts, Command::EndedSessions(sessions));
        }
    }

    fn session(&self, name: &str, command: registry::Command) -> registry::Reply {
        self.sessions[name].handle::<Sessions>(&command, NOW).expect("a reply")
    }

    /// What the gateway lets somebody send.
    fn send(&mut self, by: &'static str, by_token: bool, what: What, whom: &'static str) {
        let stands = if by_token {
            match self.session(by, registry::Command::Stand) {
                registry::Reply::Standing(Some(standing)) if standing.active => Some(standing.role),
                _ => None,
            }
        } else {
            match self.session(by, registry::Command::Check(self.latest.get(by).cloned().unwrap_or_default()))
            {
                registry::Reply::Live(role, _) => Some(role),
                _ => None,
            }
        };
        self.made += 1;
        let id = format!("{}", self.made);
        let set = |role, active| change(whom, role, active);
        let write = match what {
            What::Promote => set(Some(Role::Admin), Some(true)),
            What::Demote => set(Some(Role::User), None),
            What::Enable => set(None, Some(true)),
            What::Disable => set(None, Some(false)),
            What::Delete => Write::DeleteUser(whom.into()),
            What::Invite => making(&format!("inv_{id}"), by),
            What::Token => put(&format!("tok_{id}"), "mul_", by),
            What::AgentToken => put(&format!("tok_{id}"), "mk_", by),
            What::Revoke => Write::RevokeToken(format!("tok_{whom}")),
            What::TakeOver => Write::TakeOverToken(format!("tok_{whom}")),
            What::EndSessions => Write::EndSessions(whom.into()),
        };
        let is_enough = match write.needs() {
            Needs::User => stands.is_some(),
            Needs::Admin => stands == Some(Role::Admin),
        };
        if is_enough {
            let author = self.in_person(by);
            let token = Credential::Token(format!("tok_{by}"));
            self.on_their_way
                .push((if by_token { Author { credential: token, ..author } } else { author }, write));
        }
    }

    /// Whether an author may at this moment, by the model.
    fn may(&self, author: &Author, needs: Needs) -> bool {
        let user = author.user.as_deref().expect("a user");
        let role = self.may.get(user).copied().flatten();
        let is_good = match &author.credential {
            Credential::Session(id) => !self.ended.contains(id),
            Credential::Token(id) => self.tokens.get(id).is_some_and(|owner| owner == user),
        };
        is_good && role.is_some_and(|role| needs == Needs::User || role == Role::Admin)
    }

    fn carry_out(&mut self, author: Author, write: Write) {
        let before = everything(&self.accounts);
        let may = self.may(&author, write.needs());
        let reply = ask(&self.accounts, Command::Write(author.clone(), write.clone()));
        let is_refused = matches!(reply, Reply::Refused(_));
        assert_eq!(is_refused, !may, "{author:?} {write:?} {reply:?}");
        if is_refused {
            assert_eq!(everything(&self.accounts), before, "{author:?} {write:?}");
            return;
        }
        let user = author.user.clone().expect("a user");
        match (write, reply) {
            (Write::ChangeUser { id, .. } | Write::DeleteUser(id), Reply::Standing(standing)) => {
                self.may.insert(id, standing.active.then_some(standing.role));
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
            // As the gateway goes on.
            (Write::EndSessions(whom), Reply::Done(true)) => {
                let end = registry::Command::End(End { author: None, of: whom.clone(), which: Which::All });
                if self.sessions.contains_key(whom.as_str()) {
                    self.session(&whom, end);
                    self.tell_ended(&whom);
                }
            }
            (_, Reply::NotFound | Reply::LastAdmin | Reply::Done(false)) => {}
            (write, reply) => panic!("{write:?}: {reply:?}"),
        }
    }

    /// Tells the registry, as the request that changed a user does before it is answered.
    fn tell(&mut self, name: &str) {
        for errand in Accounts::wake(&self.accounts, NOW).expect("errands") {
            if let OutboxMessage::Tell { binding: "SESSIONS", name: whom, command, done } = errand
                && whom == name
            {
                self.session(name, decode(&command).expect("a command"));
                ask(&self.accounts, decode(&done).expect("a command"));
            }
        }
        self.tell_ended(name);
    }

    fn redeem(&mut self, at: usize) {
        let Some((id, _)) = self.invites.get(at % self.invites.len().max(1)) else { return };
        self.made += 1;
        let (command, name) = (format!("hash of {id}"), format!("new_{}", self.made));
        let before = everything(&self.accounts);
        match ask(&self.accounts, Command::Redeem(command, new(&name))) {
            Reply::Standing(standing) => {
                assert!(self.is_good(id), "{id}");
                self.may.insert(name, Some(standing.role));
            }
            _ => assert_eq!(everything(&self.accounts), before),
        }
    }

    /// Whether an invite may be good at all: could its author make it now?
    fn is_good(&self, invite: &str) -> bool {
        self.invites.iter().any(|(id, author)| {
            // What a session made stays when it ends.
            let session = matches!(author.credential, Credential::Session(_));
            let user = author.user.as_ref().and_then(|user| self.may.get(user));
            id == invite
                && if session { user == Some(&Some(Role::Admin)) } else { self.may(author, Needs::Admin) }
        })
    }

    /// No invite can be used beyond what its author is now.
    fn check(&self) {
        for (id, _) in &self.invites {
            let usable = ask(&self.accounts, Command::Usable(format!("hash of {id}"))) == Reply::Done(true);
            assert!(!usable || self.is_good(id), "{id} can be used");
        }
        let admins = self.may.values().filter(|role| **role == Some(Role::Admin)).count();
        assert!(admins > 0, "nobody is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_changed_by_who_may_no_more(history in prop::collection::vec(happens(), 1..60)) {
        let mut world = World::new();
        for next in history {
            match next {
                Happens::Sent { by, by_token, what, whom } => {
                    world.send(PEOPLE[by], by_token, what, PEOPLE[whom]);
                }
                Happens::Arrives(at) => {
                    if !world.on_their_way.is_empty() {
                        let at = at % world.on_their_way.len();
                        let (author, write) = world.on_their_way.swap_remove(at);
                        world.carry_out(author, write);
                    }
                }
                Happens::Told(whom) => world.tell(PEOPLE[whom]),
                Happens::SignedOut { by, whom } => world.sign_out(PEOPLE[by], PEOPLE[whom]),
                Happens::SignedIn(who) => world.sign_in(PEOPLE[who]),
                Happens::Redeemed(at) => world.redeem(at),
            }
            world.check();
        }
    }
}
