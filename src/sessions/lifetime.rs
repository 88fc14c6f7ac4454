//! How long a session lasts.
//!
//! | limit | counts from |
//! |---|---|
//! | `lifetime` | the issue of a token; each refresh issues a new one |
//! | `max_lifetime` | the sign-in; no refresh moves it |
//! | `idle` | the last use |
//!
//! 1. A new token expires at the earliest of the three limits, and at its own `exp`. So a token that was issued before
//!    a limit was configured, or that upstream issued, ends in time, too.
//! 2. The sign-in is the time in the registry, else the claim `startedAt`, else `iat`. A refresh keeps it.
//! 3. For `idle`, the last use is `iat`. So that this is accurate to a tenth of `idle`, a token in use is refreshed
//!    when a tenth of `idle` has passed. A session never outlasts `idle`, and ends at most a tenth of it too early.
//! 4. The registry applies both limits to its rows, with the times that it stores ([`Limits`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    base::time::{Timestamp, whole_seconds},
    crypto::jwt::claims::Claims,
};

/// The settings of how long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Lifetime of a token from its issue.
    pub lifetime: Duration,
    /// Age at which the token of a session in use is renewed, at the latest.
    pub refresh_after: Duration,
    /// Maximum time from the sign-in to the end of the session.
    pub max_lifetime: Option<Duration>,
    /// Maximum time from the last use to the end of the session.
    pub idle: Option<Duration>,
}

/// The limits that the registry applies, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum time from the opening of a session to its end.
    pub max_lifetime: Option<i64>,
    /// Maximum time from the time at which it was last seen to its end.
    pub idle: Option<i64>,
}

impl Lifetime {
    /// Returns the age at which the token of a session in use is renewed.
    #[must_use]
    pub fn refresh_after(&self) -> Duration {
        self.idle.map_or(self.refresh_after, |idle| {
            self.refresh_after.min(idle.checked_div(USES_PER_IDLE).unwrap_or(idle))
        })
    }

    /// Returns the expiry of a token that is issued now, for a session that started at this time.
    #[must_use]
    pub fn expiry(&self, started_at: Timestamp, now: Timestamp) -> Timestamp {
        self.limit(started_at, now, now.plus(self.lifetime))
    }

    /// Returns the time at which a token ends: its `exp`, or an earlier limit.
    #[must_use]
    pub fn end(&self, claims: &Claims) -> Timestamp {
        self.limit(claims.started_at, claims.issued_at, claims.expires_at)
    }

    /// Returns the limits for the registry.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { max_lifetime: self.max_lifetime.map(whole_seconds), idle: self.idle.map(whole_seconds) }
    }

    fn limit(&self, started_at: Timestamp, used_at: Timestamp, expires_at: Timestamp) -> Timestamp {
        self.limits().end(started_at, used_at, expires_at)
    }
}

impl Limits {
    /// Returns the end of a session: the earliest of its expiry and the two limits.
    #[must_use]
    pub fn end(self, started_at: Timestamp, used_at: Timestamp, expires_at: Timestamp) -> Timestamp {
        let after = |start: Timestamp, limit: Option<i64>| {
            limit.map_or(expires_at, |seconds| Timestamp(start.0.saturating_add(seconds)))
        };
        expires_at.min(after(started_at, self.max_lifetime)).min(after(used_at, self.idle))
    }
}

/// Number of refreshes of a session in constant use within `idle`.
const USES_PER_IDLE: u32 = 10;

#[cfg(test)]
mod tests;
