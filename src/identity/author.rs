//! The author of a command that writes: the user, the credential, and the time when the gateway checked them.
//!
//! 1. Every command by which a principal changes something in an object carries its [`Author`].
//! 2. `Accounts` stores users, roles and tokens. It checks the author again in the transaction that writes. The
//!    `Sessions` object of a user does the same for that user's own sessions.
//! 3. Other objects store no roles. They reject an author who was checked more than [`FRESH`] seconds ago, so a
//!    command that was delayed writes nothing.
//! 4. A follow-up of a change, such as a message to `Sessions` or `Tokens`, has no author.

use serde::{Deserialize, Serialize};

use crate::{
    base::time::Timestamp,
    http::problem::{Reason, Rejection},
    identity::principal::{Actor, Principal},
    platform::store::StoreError,
};

/// Seconds for which an object that stores no roles trusts the gateway's check of an author. A store that does
/// not answer within two seconds counts as unavailable, so no client waits for an older command.
pub const FRESH: i64 = 5;

/// The author of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user's id; `None` for an agent.
    pub user: Option<String>,
    /// The credential of the request.
    pub credential: Credential,
    /// When the gateway checked the author.
    pub checked_at: Timestamp,
}

/// The credential of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// A session, by its id.
    Session(String),
    /// A token, by its id.
    Token(String),
}

/// Why an author may not give a command. The client gets the same [`Rejection`] as from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The session has ended, or its user is disabled or deleted.
    SessionEnded,
    /// The token is revoked, or its user is disabled or deleted.
    TokenRevoked,
    /// The token has expired.
    TokenExpired,
    /// The author is not a user.
    Kind,
    /// The user lacks the role.
    Role,
}

impl Author {
    /// Returns the principal of a request as an author who was checked at this time.
    #[must_use]
    pub fn of(principal: &Principal, checked_at: Timestamp) -> Self {
        let credential = match &principal.actor {
            Actor::Session { id } => Credential::Session(id.clone()),
            Actor::Token { id, .. } => Credential::Token(id.clone()),
        };
        Self { user: principal.user_id().map(str::to_owned), credential, checked_at }
    }

    /// Returns an author with the session `ses_1`, for tests.
    #[cfg(test)]
    pub(crate) fn in_person(user: &str, checked_at: Timestamp) -> Self {
        Self { user: Some(user.to_owned()), credential: Credential::Session("ses_1".to_owned()), checked_at }
    }

    /// Checks that the gateway checked the author at most [`FRESH`] seconds ago.
    ///
    /// # Errors
    /// [`StoreError`] if the command came too late. The gateway has to check the author again.
    pub fn check_age(&self, now: Timestamp) -> Result<(), StoreError> {
        if now.seconds_since(self.checked_at) <= FRESH {
            Ok(())
        } else {
            Err(StoreError("this command's author was checked too long ago".to_owned()))
        }
    }

    /// Returns the refusal for a credential that is no longer valid.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self.credential {
            Credential::Session(_) => Refusal::SessionEnded,
            Credential::Token(_) => Refusal::TokenRevoked,
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SessionEnded => Self::Unauthorized(Reason::SessionEnded),
            Refusal::TokenRevoked => Self::Unauthorized(Reason::TokenRevoked),
            Refusal::TokenExpired => Self::Unauthorized(Reason::TokenExpired),
            Refusal::Kind => Self::ForbiddenKind,
            Refusal::Role => Self::ForbiddenRole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_an_author_who_was_checked_too_long_ago() {
        let author = Author {
            user: Some("usr_a".into()),
            credential: Credential::Session("ses_1".into()),
            checked_at: Timestamp(100),
        };
        // The clock of the Worker may be ahead of the object's clock: such a command is not late.
        for (now, want) in [(90, true), (100, true), (105, true), (106, false), (1_000, false)] {
            assert_eq!(author.check_age(Timestamp(now)).is_ok(), want, "{now}");
        }
    }
}
