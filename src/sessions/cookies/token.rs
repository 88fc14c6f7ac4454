//! The token of a new session.

use super::Policy;
use crate::{
    base::time::Timestamp,
    crypto::jwt::{
        Keys, LONGEST,
        claims::{self, SessionIds},
    },
};

/// The times of a new session's token.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimes {
    /// The sign-in.
    pub started_at: Timestamp,
    /// The issue of the token.
    pub issued_at: Timestamp,
}

impl SessionTimes {
    /// Returns the times of a session whose user signs in now.
    #[must_use]
    pub fn of_sign_in(now: Timestamp) -> Self {
        Self { started_at: now, issued_at: now }
    }

    /// Returns the time at which the session expires if it is not extended.
    #[must_use]
    pub fn expiry(self, policy: &Policy) -> Timestamp {
        policy.lifetime.expiry(self.started_at, self.issued_at)
    }
}

/// Signs the token of a new session with the current key. Returns `None` if it is too long.
#[must_use]
pub fn mint(policy: &Policy, keys: &Keys, ids: SessionIds<'_>, times: SessionTimes) -> Option<String> {
    let SessionTimes { started_at, issued_at } = times;
    let started_at = policy.lifetime.max_lifetime.map(|_| started_at);
    let payload = claims::fresh(&policy.expected, ids, issued_at, times.expiry(policy), started_at)?;
    let token = keys.sign(&payload);
    (token.len() <= LONGEST).then_some(token)
}
