//! The limits that rules name: by address before anything is compared, by principal once they are admitted.
//!
//! What is counted is kept in one place, so that however many isolates there are, no more pass than the limit
//! says. Where that place does not answer, the limit says whether requests pass all the same.

use crate::{
    config::{Config, Limit, LimitBy},
    context::Request,
    effects::{Effects, Gate},
    idempotency,
    limiter::{self, Limiter, Verdict},
    outline::outlined,
    principal::Principal,
    problem::{Fault, RateLimit, Rejection},
    refusal::EarlyResponse,
    rule::Rule,
};

/// How a request stands under a limit, for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The limit.
    pub limit: RateLimit,
    /// How many more there are.
    pub remaining: u32,
    /// Seconds until there is room for more than that.
    pub reset: u32,
}

/// Counts a request by its address, where its rule has such a limit.
///
/// # Errors
/// [`Rejection::RateLimited`]; [`Fault::StoreUnavailable`] where the limit is closed then.
pub async fn by_address<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
) -> Result<Option<Counted>, EarlyResponse> {
    match named(config, rule) {
        Some(limit) if limit.by == LimitBy::Address => {
            let whom = request.client_group();
            outlined(count(effects, limit, &whom)).await
        }
        _ => Ok(None),
    }
}

/// Counts it by whom it was admitted as; nobody is an address.
///
/// # Errors
/// As [`by_address`].
pub async fn by_principal<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    (request, principal): (&Request<'_>, Option<&Principal>),
) -> Result<Option<Counted>, EarlyResponse> {
    match named(config, rule) {
        Some(limit) if limit.by == LimitBy::Principal => {
            let whom = idempotency::scope(principal, request);
            outlined(count(effects, limit, &whom)).await
        }
        _ => Ok(None),
    }
}

fn named<'a>(config: &'a Config, rule: &Rule) -> Option<&'a Limit> {
    rule.limit.and_then(|at| config.limits.get(at))
}

async fn count<E: Effects>(effects: &E, limit: &Limit, whom: &str) -> Result<Option<Counted>, EarlyResponse> {
    if effects.as_dry_run().is_some() {
        return peek(effects, limit, whom).await;
    }
    if let Some(binding) = limit.gate {
        // Cheap, and only roughly right: what it refuses is refused, and where it fails, the exact count decides.
        let key = limiter::counted_as(limit.rate, whom);
        if effects.platform_rate_limit(binding, &key).await == Ok(Gate::Shut) {
            let reset = limit.rate.period.min(LONGEST_GATE);
            return Err(Rejection::RateLimited { limit: limit.rate, reset }.into());
        }
    }
    let (group, hit) = limiter::hit(limit.rate, whom);
    said(limit, effects.call_object::<Limiter>(&group, &hit).await)
}

/// Tells how it would be, without counting.
async fn peek<E: Effects>(effects: &E, limit: &Limit, whom: &str) -> Result<Option<Counted>, EarlyResponse> {
    let (group, peek) = limiter::peek(limit.rate, whom);
    said(limit, effects.call_object::<Limiter>(&group, &peek).await)
}

fn said(limit: &Limit, told: Result<Verdict, Fault>) -> Result<Option<Counted>, EarlyResponse> {
    match told {
        Ok(Verdict { remaining: Some(remaining), reset }) => {
            Ok(Some(Counted { limit: limit.rate, remaining, reset }))
        }
        Ok(Verdict { remaining: None, reset }) => {
            Err(Rejection::RateLimited { limit: limit.rate, reset }.into())
        }
        Err(Fault::StoreUnavailable) if limit.is_open => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// Seconds of the longest span that the platform's own counter knows.
const LONGEST_GATE: u32 = 60;
