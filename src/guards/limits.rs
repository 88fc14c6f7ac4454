//! The rate limits that rules name: by address before any credential is checked, by principal after the admission.
//!
//! The count of a subject is kept in one object, so that the limit holds for all isolates together. If the object does
//! not answer, the limit's `on_failure` decides whether requests pass.

use crate::{
    base::outline::outlined,
    guards::limiter::{self, Limiter, Verdict},
    http::{
        problem::{Fault, RateLimit, Rejection},
        reply::EarlyResponse,
        request::Request,
    },
    identity::{principal::Principal, scope},
    platform::effects::{Effects, PlatformLimit},
    routing::{report::Mode, rule::Rule},
};

/// A rate limit that rules may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name, the number of requests, and the period in seconds.
    pub rate: RateLimit,
    /// The subject that is counted.
    pub by: LimitBy,
    /// Whether requests pass while the exact count is unavailable.
    pub is_open: bool,
    /// The platform's rate-limit binding, which is asked before the exact count.
    pub gate: Option<&'static str>,
    /// Whether requests beyond the limit are refused.
    pub mode: Mode,
}

/// The subject that a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// The client's address. An IPv6 address counts as its /64.
    Address,
    /// The principal. A request without a principal counts by address.
    Principal,
}

/// The state of a limit after a request was counted, for the response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitState {
    /// The limit.
    pub limit: RateLimit,
    /// Number of requests left.
    pub remaining: u32,
    /// Seconds until more requests are allowed again.
    pub reset: u32,
}

/// Counts a request by its client's address, if its rule has such a limit.
///
/// # Errors
/// [`Rejection::RateLimited`]; [`Fault::StoreUnavailable`] if the limit has `on_failure = "closed"`.
pub async fn by_address<E: Effects>(
    limits: &[Limit],
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
) -> Result<Option<RateLimitState>, EarlyResponse> {
    match limit_of(limits, rule) {
        Some(limit) if limit.by == LimitBy::Address => {
            let subject = request.client_group();
            outlined(count(effects, limit, &subject)).await
        }
        _ => Ok(None),
    }
}

/// Counts a request by its principal, if its rule has such a limit. Without a principal, the client's address counts.
///
/// # Errors
/// As [`by_address`].
pub async fn by_principal<E: Effects>(
    limits: &[Limit],
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    principal: Option<&Principal>,
) -> Result<Option<RateLimitState>, EarlyResponse> {
    match limit_of(limits, rule) {
        Some(limit) if limit.by == LimitBy::Principal => {
            let subject = scope::of(principal, request);
            outlined(count(effects, limit, &subject)).await
        }
        _ => Ok(None),
    }
}

/// Returns the limit that a rule names.
fn limit_of<'a>(limits: &'a [Limit], rule: &Rule) -> Option<&'a Limit> {
    rule.limit.and_then(|at| limits.get(at))
}

async fn count<E: Effects>(
    effects: &E,
    limit: &Limit,
    subject: &str,
) -> Result<Option<RateLimitState>, EarlyResponse> {
    if effects.as_dry_run().is_some() {
        return peek(effects, limit, subject).await;
    }
    if let Some(binding) = limit.gate {
        // The platform's counter is cheap but inexact. Its rejection counts; if it fails, the exact count decides.
        let key = limiter::hashed_key(limit.rate, subject);
        if effects.platform_rate_limit(binding, &key).await == Ok(PlatformLimit::Limited) {
            let reset = limit.rate.period.min(LONGEST_GATE);
            return Err(Rejection::RateLimited { limit: limit.rate, reset }.into());
        }
    }
    let (group, hit) = limiter::hit(limit.rate, subject);
    counted(limit, effects.call_object::<Limiter>(&group, &hit).await)
}

/// Returns the state of a limit without counting the request.
async fn peek<E: Effects>(
    effects: &E,
    limit: &Limit,
    subject: &str,
) -> Result<Option<RateLimitState>, EarlyResponse> {
    let (group, peek) = limiter::peek(limit.rate, subject);
    counted(limit, effects.call_object::<Limiter>(&group, &peek).await)
}

/// Turns the limiter's reply into the state of the limit, a rejection or a fault.
fn counted(limit: &Limit, verdict: Result<Verdict, Fault>) -> Result<Option<RateLimitState>, EarlyResponse> {
    match verdict {
        Ok(Verdict { remaining: Some(remaining), reset }) => {
            Ok(Some(RateLimitState { limit: limit.rate, remaining, reset }))
        }
        Ok(Verdict { remaining: None, reset }) => {
            Err(Rejection::RateLimited { limit: limit.rate, reset }.into())
        }
        Err(Fault::StoreUnavailable) if limit.is_open => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// The longest period of the platform's counter, in seconds.
const LONGEST_GATE: u32 = 60;
