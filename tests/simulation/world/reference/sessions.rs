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
            (Command::SignOut(id), _) => self.end(|session, replaced| session == id || replaced == Some(id)),
            (Command::End(end), Reply::Done(_)) => {
                let own = end.author.as_ref().and_then(|author| match &author.credential {
                    Credential::Session(id) => Some(id.clone()),
                    Credential::Token(_) => None,
                });
                let kept = own.as_ref().and_then(|own| self.replaced_by.get(own)).cloned();
                let of: BTreeSet<String> = self.of(user).collect();
                match &end.which {
                    Which::One(id) => self.end(|session, replaced| session == id || replaced == Some(id)),
                    Which::All => self.end(|session, _| of.contains(session)),
                    Which::Others => self.end(|session, _| {
                        of.contains(session)
                            && Some(session) != own.as_ref()
                            && Some(session) != kept.as_ref()
                    }),
                }
            }
            (Command::Apply(new), Reply::UserStatus(Some(known))) if new == known && !known.active => {
                let of: BTreeSet<String> = self.of(user).collect();
                self.end(|session, _| of.contains(session));
            }
            (Command::PasswordChanged(change), _) => {
                let kept = change.kept_session.as_ref().filter(|kept| !self.ended.contains(*kept));
                let replacement = kept.and_then(|kept| self.replaced_by.get(kept)).cloned();
                for session in kept.into_iter().chain(&replacement) {
                    if let Some(sign_in) = self.sign_ins.get_mut(session) {
                        sign_in.version = sign_in.version.max(change.version);
                    }
                }
                let earlier: BTreeSet<String> =
                    self.of(user).filter(|id| self.sign_ins[id].version < change.version).collect();
                self.end(|session, _| earlier.contains(session));
            }
            (Command::Reauthenticate(request), Reply::Replacement(replacement)) => {
                if let Credential::Session(old) = &request.author.credential {
                    assert!(!self.ended.contains(old), "{old} had ended");
                    let sign_in = self.sign_ins[old].clone();
                    self.sign_ins.entry(replacement.id.clone()).or_insert(sign_in);
                    self.opened.insert(replacement.id.clone());
                    self.replaced_by.insert(old.clone(), replacement.id.clone());
                }
            }
            _ => {}
        }
    }

    /// Returns the open and ended sessions of a user.
    pub(in crate::world) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = String> + 'a {
        self.opened.iter().filter(move |id| self.sign_ins[*id].user == user).cloned()
    }

    fn end(&mut self, which: impl Fn(&String, Option<&String>) -> bool) {
        let ended: Vec<String> =
            self.opened.iter().filter(|id| which(id, self.replaced_by.get(*id))).cloned().collect();
        self.ended.extend(ended);
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
