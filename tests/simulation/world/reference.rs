//! What the world must be. It follows from the commands in the order in which `Accounts` and `Sessions` carried them
//! out.

mod passwords;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use vestibule::{
    accounts::{
        Command, Invite, NewUser, Reply, Write,
        factors::{Enrollment, FactorReply, FactorWrite},
        passwords::{PasswordReply, PasswordWrite},
        transfer::Outcome,
    },
    base::time::Timestamp,
    identity::{
        author::{Author, Credential},
        principal::Role,
    },
    sessions::registry::UserStatus,
};

use super::{is_admin, tokens::KnownToken};

/// A state of a user, as far as it admits somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) active: bool,
    pub(super) role: Role,
    pub(super) password: String,
    pub(super) factor: Option<String>,
}

/// A user, also after the deletion.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) email: String,
    pub(super) exists: bool,
    /// All states, the latest last.
    pub(super) states: Vec<State>,
    /// The first states whose status and credentials still count, as far as answers say.
    pub(super) answered: Answered,
    version: i64,
    /// Versions, and the indexes of the states that have them.
    versions: Vec<(i64, usize)>,
    /// The version of the last change that disabled or deleted the user.
    pub(super) ended_at: i64,
    /// The version of the last deletion. The registry of a user who was imported again may still have it.
    pub(super) deleted_at: i64,
}

/// Indexes of states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered {
    pub(super) status: usize,
    pub(super) credentials: usize,
}

/// What a sign-in compared.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) has_proved_factor: bool,
    /// The version of the user that it read, or that `Sessions` got with a change in the session.
    pub(super) version: i64,
}

struct KnownInvite {
    author: String,
    email: Option<String>,
    role: Role,
    is_used: bool,
    is_revoked: bool,
}

struct KnownLink {
    user: String,
    maker: Option<String>,
    until: i64,
}

#[derive(Default)]
pub(super) struct Reference {
    pub(super) people: BTreeMap<String, Person>,
    /// By session.
    pub(super) sign_ins: BTreeMap<String, SignIn>,
    pub(super) opened: BTreeSet<String>,
    pub(super) ended: BTreeSet<String>,
    replaced_by: BTreeMap<String, String>,
    /// When `Accounts` learnt that a session has ended.
    reported: BTreeMap<String, i64>,
    /// By id.
    pub(super) tokens: BTreeMap<String, KnownToken>,
    /// By the hash of the token.
    invites: BTreeMap<String, KnownInvite>,
    /// By selector.
    links: BTreeMap<String, KnownLink>,
    used: BTreeSet<String>,
    /// The highest version of a deleted user.
    last_deletion: i64,
}

impl Person {
    pub(super) fn state(&self) -> &State {
        self.states.last().expect("a state")
    }

    /// Returns the states by whose role and status an object may go.
    pub(super) fn possible(&self) -> &[State] {
        &self.states[self.answered.status..]
    }

    /// Returns the index of the state with this version.
    pub(super) fn index_of(&self, version: i64) -> usize {
        self.versions.iter().find(|(known, _)| *known == version).expect("a version").1
    }

    fn is_admin(&self) -> bool {
        self.exists && self.state().active && is_admin(self.state().role)
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.state().clone();
        change(&mut state);
        self.states.push(state);
    }

    fn set_version(&mut self, version: i64) {
        assert!(version > self.version, "the version must grow");
        self.version = version;
        self.versions.push((version, self.states.len()));
    }
}

impl Reference {
    pub(super) fn person(&self, id: &str) -> Option<&Person> {
        self.people.get(id).filter(|person| person.exists)
    }

    pub(super) fn by_email(&self, email: &str) -> Option<&String> {
        self.people.iter().find(|(_, person)| person.exists && person.email == email).map(|(id, _)| id)
    }

    fn admins(&self) -> usize {
        self.people.values().filter(|person| person.is_admin()).count()
    }

    fn person_mut(&mut self, id: &str) -> &mut Person {
        self.people.get_mut(id).expect("a user")
    }

    fn add(&mut self, new: &NewUser, role: Role, active: bool, version: i64) {
        assert_eq!(self.by_email(&new.email), None, "{} has two users", new.email);
        let state = State { active, role, password: new.password.clone(), factor: None };
        let person = self.people.entry(new.id.clone()).or_insert_with(|| Person {
            email: new.email.clone(),
            exists: true,
            states: Vec::new(),
            answered: Answered::default(),
            version: 0,
            versions: Vec::new(),
            ended_at: 0,
            deleted_at: 0,
        });
        assert!(person.states.is_empty() || !person.exists);
        (person.exists, person.email) = (true, new.email.clone());
        person.set_version(version);
        person.states.push(state);
    }

    /// A command that `Accounts` carried out.
    pub(super) fn accounts(&mut self, command: &Command, reply: &Reply, now: Timestamp) {
        match (command, reply) {
            (Command::SetUp(new), Reply::UserStatus(status)) => {
                assert!(self.people.is_empty());
                self.add(new, Role::Admin, true, status.version);
            }
            (Command::Redeem(hash, new), _) => self.redeem(hash, new, reply),
            (Command::Write(_, _), Reply::Refused(_)) => {}
            (Command::Write(author, write), _) => {
                self.check_author(author, write, now);
                self.write(author, write, reply, now);
            }
            (Command::EndedSessions(ids), _) => {
                let ids: Vec<String> = serde_json::from_str(ids).expect("ids");
                for id in ids {
                    self.reported.insert(id, now.0);
                }
            }
            (Command::Password(command), Reply::Password(reply)) => self.password(command, reply, now),
            _ => {}
        }
    }

    fn redeem(&mut self, hash: &str, new: &NewUser, reply: &Reply) {
        let invite = self.invites.get(hash);
        let good = invite.filter(|invite| {
            let author = self.person(&invite.author);
            !invite.is_used && !invite.is_revoked && author.is_some_and(Person::is_admin)
        });
        match reply {
            Reply::UserStatus(status) => {
                let invite = good.expect("a good invite");
                assert!(invite.email.as_ref().is_none_or(|email| *email == new.email));
                let role = invite.role;
                assert_eq!(status.role, role);
                self.add(new, role, true, status.version);
                self.invites.get_mut(hash).expect("an invite").is_used = true;
            }
            Reply::Unusable => assert!(good.is_none(), "a good invite was refused"),
            Reply::EmailMismatch => assert!(good.is_some()),
            other => panic!("{other:?}"),
        }
    }

    /// Checks that an author whom `Accounts` did not refuse may write now.
    fn check_author(&self, author: &Author, write: &Write, now: Timestamp) {
        let user = author.user.as_deref().expect("a user");
        let person = self.person(user).expect("an author");
        assert!(person.state().active, "{user} is disabled");
        let is_for_users = match write {
            Write::PutToken { is_for_admins, .. } => !is_for_admins,
            Write::RevokeToken(_)
            | Write::Password(PasswordWrite::Change { .. })
            | Write::Factor(FactorWrite::Enroll(_) | FactorWrite::RemoveTotp(_)) => true,
            _ => false,
        };
        assert!(is_for_users || is_admin(person.state().role), "{user} is no admin");
        match &author.credential {
            Credential::Session(id) => {
                let is_reported = self.reported.get(id).is_some_and(|at| now.0 - at < 50);
                assert!(!is_reported, "{id} has ended");
            }
            Credential::Token(id) => {
                let token = self.tokens.get(id).expect("a token");
                assert!(!token.is_revoked && token.owner == user, "{id} is revoked");
            }
        }
    }

    fn write(&mut self, author: &Author, write: &Write, reply: &Reply, now: Timestamp) {
        let by = author.user.clone().expect("a user");
        match (write, reply) {
            (Write::ChangeUser { id, role, active, .. }, _) => {
                self.change_user(id, *role, *active, reply);
            }
            (Write::DeleteUser(id), Reply::UserStatus(status)) => {
                assert!(!status.active && (!self.people[id].is_admin() || self.admins() > 1));
                self.last_deletion = self.last_deletion.max(status.version);
                let person = self.person_mut(id);
                person.set_version(status.version);
                (person.exists, person.ended_at) = (false, status.version);
                person.deleted_at = status.version;
                person.change(|state| (state.active, state.factor) = (false, None));
                self.revoke_invites(id);
                self.end_links(id);
            }
            (Write::MakeInvite { invite, token_hash }, Reply::Invite(Invite { created_by, .. })) => {
                assert_eq!(*created_by, by);
                let (email, role) = (invite.email.clone(), invite.role);
                let known = KnownInvite { author: by, email, role, is_used: false, is_revoked: false };
                self.invites.insert(token_hash.clone(), known);
            }
            (Write::ImportUsers { records, is_dry_run: false }, Reply::Imported(outcomes)) => {
                for (numbered, (_, outcome)) in records.iter().zip(outcomes) {
                    let record = &numbered.record;
                    let is_free = self.person(&record.id).is_none() && self.by_email(&record.email).is_none();
                    assert_eq!(*outcome == Outcome::Added, is_free);
                    if is_free {
                        self.import(&record.id, &record.email, record.role, &record.password, now);
                    }
                }
            }
            (Write::PutToken { hash, token, .. }, Reply::Done(true)) => {
                let parent = token.made_by_token.clone();
                let known = KnownToken::new(hash, &by, parent, token.prefix == "mk_");
                self.tokens.insert(token.id.clone(), known);
            }
            (Write::RevokeToken(id), Reply::Tokens(_)) => self.revoke(id),
            (Write::TakeOverToken(id), Reply::Tokens(_)) => {
                self.tokens.get_mut(id).expect("a token").owner = by;
            }
            (
                Write::Factor(FactorWrite::Enroll(Enrollment::ConfirmTotp(confirm))),
                Reply::Factor(FactorReply::Done),
            ) => {
                self.person_mut(&by).change(|state| state.factor = Some(confirm.id.clone()));
            }
            (Write::Factor(FactorWrite::RemoveTotp(_)), Reply::Factor(FactorReply::Done)) => {
                self.person_mut(&by).change(|state| state.factor = None);
            }
            (Write::Factor(FactorWrite::RemoveAll(id)), Reply::Factor(FactorReply::Done)) => {
                self.person_mut(id).change(|state| state.factor = None);
            }
            (Write::Password(PasswordWrite::Change { compared, new }), Reply::Password(reply)) => match reply
            {
                PasswordReply::Changed(changed) => {
                    assert_eq!(self.people[&by].state().password, *compared);
                    self.changed(new, changed);
                }
                _ => assert_ne!(self.people[&by].state().password, *compared),
            },
            (Write::Password(PasswordWrite::MakeLink(user, link)), Reply::Password(PasswordReply::Made)) => {
                self.add_link(user, Some(by), &link.proof.selector, link.expires_at);
            }
            (_, Reply::LastAdmin) => assert_eq!(self.admins(), 1),
            _ => {}
        }
    }

    fn import(&mut self, id: &str, email: &str, role: Role, password: &str, now: Timestamp) {
        // Later than the deletion of an earlier user with this id.
        let version = (self.last_deletion + 1).max(now.0 * 1_000);
        let new =
            NewUser { id: id.to_owned(), email: email.to_owned(), name: None, password: password.to_owned() };
        self.add(&new, role, true, version);
        let left: Vec<String> =
            self.tokens.iter().filter(|(_, token)| token.owner == id).map(|(id, _)| id.clone()).collect();
        for token in left {
            self.revoke(&token);
        }
    }

    fn change_user(&mut self, id: &str, role: Option<Role>, active: Option<bool>, reply: &Reply) {
        let admins = self.admins();
        let Some(person) = self.people.get_mut(id).filter(|person| person.exists) else {
            return assert_eq!(*reply, Reply::NotFound);
        };
        let known = person.state().clone();
        let new = State {
            role: role.unwrap_or(known.role),
            active: active.unwrap_or(known.active),
            ..known.clone()
        };
        let loses_admin = person.is_admin() && !(new.active && is_admin(new.role));
        if new == known {
            return;
        }
        if loses_admin && admins == 1 {
            return assert_eq!(*reply, Reply::LastAdmin);
        }
        let Reply::UserStatus(UserStatus { role, active, version }) = reply else { panic!("{reply:?}") };
        assert_eq!((*role, *active), (new.role, new.active));
        person.set_version(*version);
        if known.active && !new.active {
            person.ended_at = *version;
        }
        let is_admin_now = new.active && is_admin(new.role);
        person.states.push(new);
        if !is_admin_now {
            self.revoke_invites(id);
        }
        self.end_links(id);
        if is_admin_now {
            return;
        }
        self.links.retain(|_, link| link.maker.as_deref() != Some(id));
    }
}
