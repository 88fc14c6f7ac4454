//! Passwords and links, and what is revoked with them.

use vestibule::{
    accounts::passwords::{NewPassword, PasswordChanged, PasswordCommand, PasswordReply},
    base::time::Timestamp,
};

use super::{KnownLink, Person, Reference};

impl Reference {
    pub(super) fn password(&mut self, command: &PasswordCommand, reply: &PasswordReply, now: Timestamp) {
        match (command, reply) {
            (PasswordCommand::RequestLink(_, link), PasswordReply::Requested(Some(recipient))) => {
                self.add_link(&recipient.user, None, &link.proof.selector, link.expires_at);
            }
            (PasswordCommand::UseLink(proof, new), _) => {
                let good = self.links.get(&proof.selector).filter(|link| {
                    link.until > now.0
                        && link.maker.as_ref().is_none_or(|by| self.person(by).is_some_and(Person::is_admin))
                });
                match reply {
                    PasswordReply::Changed(changed) => {
                        assert_eq!(good.expect("a good link").user, changed.user);
                        assert!(self.used.insert(proof.selector.clone()), "a link was used twice");
                        self.changed(new, changed);
                    }
                    _ => assert!(good.is_none(), "a good link was refused"),
                }
            }
            _ => {}
        }
    }

    pub(super) fn add_link(&mut self, user: &str, maker: Option<String>, selector: &str, until: Timestamp) {
        self.links.retain(|_, link| link.user != user);
        let known = KnownLink { user: user.to_owned(), maker, until: until.0 };
        self.links.insert(selector.to_owned(), known);
    }

    /// Ends the links of a user who has changed.
    pub(super) fn end_links(&mut self, user: &str) {
        self.links.retain(|_, link| link.user != user);
    }

    /// A password was replaced.
    pub(super) fn changed(
        &mut self,
        NewPassword { stored, revoke_tokens }: &NewPassword,
        changed: &PasswordChanged,
    ) {
        let PasswordChanged { user, change, tokens, .. } = changed;
        let person = self.person_mut(user);
        assert!(person.exists && person.state().active);
        person.set_version(change.version);
        person.change(|state| state.password.clone_from(stored));
        self.end_links(user);
        self.links.retain(|_, link| link.maker.as_ref() != Some(user));
        if let Some(kept) = &change.kept_session {
            let replacement = self.replaced_by.get(kept).cloned();
            for session in [Some(kept.clone()), replacement].into_iter().flatten() {
                if let Some(sign_in) = self.sign_ins.get_mut(&session) {
                    sign_in.password.clone_from(stored);
                }
            }
        }
        for (_, token) in tokens {
            self.revoke(&token.id);
        }
        if *revoke_tokens {
            self.revoke_invites(user);
        }
    }

    pub(super) fn revoke(&mut self, id: &str) {
        let Some(token) = self.tokens.get_mut(id) else { return };
        token.is_revoked = true;
        let hash = token.hash.clone();
        for child in self.tokens.values_mut().filter(|token| token.parent.as_ref() == Some(&hash)) {
            child.is_revoked = true;
        }
    }

    pub(super) fn revoke_invites(&mut self, author: &str) {
        for invite in self.invites.values_mut().filter(|invite| invite.author == author) {
            invite.is_revoked = true;
        }
    }
}
