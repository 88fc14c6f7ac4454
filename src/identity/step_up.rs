//! Step-up: whether a person has authenticated recently enough for a rule with `recent`.
//!
//! 1. A rule without `recent` demands nothing.
//! 2. Only a session passes. A token does not prove that a person is present.
//! 3. The user must have authenticated at most `recent` ago: by signing in, or by giving a password or a factor again.
//! 4. Clocks differ a little, so a time of authentication may be up to [`SKEW`] seconds in the future. A later one is
//!    the work of a wrong clock and does not count.

use std::time::Duration;

use crate::{
    base::time::{Timestamp, whole_seconds},
    http::{problem::Rejection, request::Request},
    identity::principal::{Actor, Principal},
};

/// Seconds by which the clocks of two machines may differ.
pub const SKEW: i64 = 60;

/// Checks that the principal has authenticated recently enough. `authenticated_at` is the time in the registry.
///
/// # Errors
/// [`Rejection::ForbiddenHumanOnly`] for a token, [`Rejection::ReauthenticationRequired`] for a session.
pub fn check(
    recent: Option<Duration>,
    principal: &Principal,
    authenticated_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let Some(recent) = recent else { return Ok(()) };
    match principal.actor {
        Actor::Token { .. } => Err(Rejection::ForbiddenHumanOnly),
        Actor::Session { .. } if authenticated_at.is_some_and(|at| is_recent(recent, at, now)) => Ok(()),
        Actor::Session { .. } => {
            let max_age = u32::try_from(recent.as_secs()).unwrap_or(u32::MAX);
            Err(Rejection::ReauthenticationRequired { max_age })
        }
    }
}

/// Checks whether a time of authentication is at most `recent` ago.
#[must_use]
pub fn is_recent(recent: Duration, authenticated_at: Timestamp, now: Timestamp) -> bool {
    (SKEW.saturating_neg()..=whole_seconds(recent)).contains(&now.seconds_since(authenticated_at))
}

/// Checks whether a request for the login page is there to authenticate again. A signed-in user then sees that page.
#[must_use]
pub fn is_asked(request: &Request<'_>) -> bool {
    request.parameter("reason").as_deref() == Some(REASON)
}

/// The value of `reason` in the query of the login page.
pub const REASON: &str = "reauthenticate";

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::principal::{ActorSource, Who};

    const T0: i64 = 1_700_000_000;

    fn by(actor: Actor) -> Principal {
        Principal { who: Who::User { id: "usr_a".to_owned() }, role: None, actor }
    }

    fn session() -> Principal {
        by(Actor::Session { id: "ses_1".to_owned() })
    }

    #[test]
    fn asks_who_authenticated_too_long_ago() {
        let stale = Err(Rejection::ReauthenticationRequired { max_age: 600 });
        for (authenticated_at, want) in [
            (Some(T0), Ok(())),
            (Some(T0 - 600), Ok(())),
            (Some(T0 - 601), stale),
            (Some(T0 + SKEW), Ok(())),
            (Some(T0 + SKEW + 1), stale),
            (Some(i64::MIN), stale),
            (Some(i64::MAX), stale),
            (None, stale),
        ] {
            let authenticated_at = authenticated_at.map(Timestamp);
            let found = check(Some(Duration::from_mins(10)), &session(), authenticated_at, Timestamp(T0));
            assert_eq!(found, want, "{authenticated_at:?}");
        }
        assert_eq!(check(None, &session(), None, Timestamp(T0)), Ok(()));
    }

    #[test]
    fn no_token_counts_as_recent() {
        for source in [ActorSource::Human, ActorSource::AgentToken, ActorSource::TaskToken] {
            let (id, name) = ("tok_1".to_owned(), "a token".to_owned());
            let token = by(Actor::Token { id, name, source, agent: None, task: None });
            let (at, recent) = (Some(Timestamp(T0)), Some(Duration::from_mins(10)));
            assert_eq!(check(recent, &token, at, Timestamp(T0)), Err(Rejection::ForbiddenHumanOnly));
            assert_eq!(check(None, &token, None, Timestamp(T0)), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn is_decided_for_any_clock(recent in 0_u64..=86_400 * 30, at in any::<i64>(), now in any::<i64>()) {
            let found = is_recent(Duration::from_secs(recent), Timestamp(at), Timestamp(now));
            let age = i128::from(now) - i128::from(at);
            prop_assert_eq!(found, (-i128::from(SKEW)..=i128::from(recent)).contains(&age));
        }
    }
}
