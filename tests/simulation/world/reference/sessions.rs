//! What `Sessions` objects carried out.

use std::collections::BTreeSet;

use vestibule::{identity::author::Credential, sessions::registry};

use super::{Reference, State};

impl Reference {
    /// A command that the `Sessions` object of a user carried out.
    pub(in crate::world) fn sessions(
        &mut self,
        user: &str,
        command: &registry::Command,
        reply: &registry::Reply,
    ) {
        use registry::{Command, Reply, Which};
        match (command, reply) {
            (Command::Open(status, session), Reply::Done(1) | Reply::OpenedOnNewDevice) => {
                self.check_opened(user, &session.id);
                assert_eq!(self.sign_ins[&session.id].version, status.version);
                self.opened.insert(session.id.clone());
            }
            (Command::SignOut(id), _) => self.end_one(id),
            (Command::End(end), Reply::Done(_)) => {
                let own = end.author.as_ref().and_then(|author| match &author.credential {
                    Credential::Session(id) => Some(id.clone()),
                    Credential::Token(_) => None,
                });
                let kept = own.as_ref().map_or(vec![], |own| self.latest(own));
                let of: BTreeSet<String> = self.of(user).collect();
                match &end.which {
                    Which::One(id) => self.end_one(id),
                    Which::All => self.end(|session| of.contains(session)),
                    Which::Others => self.end(|session| of.contains(session) && !kept.contains(session)),
                }
            }
            (Command::Apply(new), Reply::UserStatus(Some(known))) if new == known && !known.active => {
                let of: BTreeSet<String> = self.of(user).collect();
                self.end(|session| of.contains(session));
            }
            (Command::PasswordChanged(change), _) => {
                let kept = change.kept_session.as_ref().filter(|kept| !self.ended.contains(*kept));
                for session in kept.map_or(vec![], |kept| self.latest(kept)) {
                    if let Some(sign_in) = self.sign_ins.get_mut(&session) {
                        sign_in.version = sign_in.version.max(change.version);
                    }
                }
                let earlier: BTreeSet<String> =
                    self.of(user).filter(|id| self.sign_ins[id].version < change.version).collect();
                self.end(|session| earlier.contains(session));
            }
            (Command::Reauthenticate(request), Reply::Replacement(replacement)) => {
                if let Credential::Session(old) = &request.author.credential {
                    assert!(!self.ended.contains(old), "{old} had ended");
                    let sign_in = self.sign_ins[old].clone();
                    self.sign_ins.entry(replacement.id.clone()).or_insert(sign_in);
                    self.opened.insert(replacement.id.clone());
                    // A replaced session gets the latest of those that have replaced it.
                    self.replaced_by.entry(old.clone()).or_insert_with(|| replacement.id.clone());
                }
            }
            _ => {}
        }
    }

    /// Returns the open and ended sessions of a user.
    pub(in crate::world) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = String> + 'a {
        self.opened.iter().filter(move |id| self.sign_ins[*id].user == user).cloned()
    }

    fn end(&mut self, which: impl Fn(&String) -> bool) {
        let ended: Vec<String> = self.opened.iter().filter(|id| which(id)).cloned().collect();
        self.ended.extend(ended);
    }

    /// Ends a session, those that it has replaced, and those that have replaced it.
    fn end_one(&mut self, one: &String) {
        let of: Vec<String> =
            self.opened.iter().filter(|id| self.latest(id).contains(one)).cloned().collect();
        let later = self.latest(one);
        self.end(|session| of.contains(session) || later.contains(session));
    }

    /// Returns a session and those that have replaced it.
    fn latest(&self, one: &str) -> Vec<String> {
        std::iter::successors(Some(one.to_owned()), |id| self.replaced_by.get(id).cloned()).collect()
    }

    /// Checks that a sign-in may open its session.
    fn check_opened(&self, user: &str, session: &str) {
        let sign_in = &self.sign_ins[session];
        assert!(!self.opened.contains(session), "{session} was opened before");
        let person = &self.people[user];
        let (possible, credentials) = (person.possible(), &person.states[person.answered.credentials..]);
        let fits = |state: &State| {
            state.password == sign_in.password && (state.factor.is_none() || sign_in.has_proved_factor)
        };
        assert!(
            possible.iter().any(|state| state.active) && credentials.iter().any(fits),
            "{user} signed in by {sign_in:?}, but may only by {possible:?} and {credentials:?}"
        );
    }
}
