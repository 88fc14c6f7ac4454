//! Guards: further checks of an admitted request, in step 9. Rate limits are here, too.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | runs the guards, in their order |
//! | `bot_check.rs` | asks Turnstile whether a person uses the browser |
//! | `feature.rs` | feature gates: flags that an operator changes at run time |
//! | `policy.rs` | hooks, and the external policy |
//! | `limits.rs` | rate limits by address (step 5) and by principal (step 9) |
//! | `limiter.rs` | the `Limiter` objects, which count |
//! | `endpoints.rs` | `/api/features` |
//! | `settings.rs` | the settings |
//!
//! The rate limit by principal comes first. Then the parts of the body that later steps need are read. Then come, in
//! this order:
//!
//! 1. The return field, in the query and in the body.
//! 2. The bot check. It uses up its token even if a later guard rejects the request.
//! 3. The feature gate.
//! 4. The hooks of the Worker's own code.
//! 5. The external policy.
//!
//! A guard that cannot decide rejects the request. [`GuardsPassed`] proves that every guard let a request pass, or that its
//! refusal was only reported. Without it, nothing is dispatched.

pub mod bot_check;
pub mod endpoints;
pub mod feature;
pub mod limiter;
pub mod limits;
pub mod policy;
pub mod settings;

use sha2::{Digest, Sha256};

use self::{
    feature::Flag,
    policy::{Act, Asking, Decision, WithHooks},
};
use crate::{
    base::{encoding, outline::outlined},
    guards::{
        feature::FlagCache,
        policy::DecisionCache,
        settings::{PolicyEndpoint, Settings},
    },
    http::{
        body_field,
        header_filter::ForwardedRequest,
        problem::{BotCheck, ForbiddenBy, Rejection},
        reply::{EarlyResponse, Reply},
        request::Request,
    },
    identity::{access::Admission, scope},
    platform::{
        effects::{self, Effects, ExternalRequest, ExternalResponse, ExternalUnavailable},
        event::RequestMeta,
        step::{Step, StepTracker},
    },
    redirects::return_path,
    routing::{
        report::{Checked, Reports},
        rule::Rule,
    },
};

/// Proof that every guard of a rule let a request pass, or that its refusal was only reported. `None` is a guard that the
/// rule does not have.
#[derive(Debug)]
pub struct GuardsPassed {
    _return_field: Option<Checked<()>>,
    _bot_check: Option<Checked<bot_check::Solved>>,
    _feature: Option<Checked<feature::Open>>,
    _hooks: Checked<()>,
    _policy: Option<Checked<()>>,
}

/// A request and what the guards need to check it.
#[derive(Clone, Copy, Debug)]
pub struct GuardContext<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The request as upstream would get it.
    pub forwarded: &'a ForwardedRequest<'a>,
    /// The canonical path with the query.
    pub target: &'a str,
    /// The time and the id of the request.
    pub meta: RequestMeta<'a>,
    /// The parts of the body that guards need.
    pub body: GuardBody<'a>,
    /// The admission of the request.
    pub admission: &'a Admission,
}

/// What was read of a request's body for its guards.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardBody<'a> {
    /// The field with the token of the bot check.
    pub bot_token: Option<&'a str>,
    /// The values of the return field. `None` if the body can be read in more than one way.
    pub return_fields: Option<&'a [String]>,
}

/// What guards decide by.
#[derive(Clone, Copy, Debug)]
pub struct GuardPolicy<'a> {
    /// The settings of guards.
    pub settings: &'a Settings,
    /// The targets that a return field may name.
    pub return_path: &'a return_path::Policy,
}

/// Runs each guard of a rule, unless it is to be skipped after a reported refusal.
///
/// # Errors
/// [`EarlyResponse`] of the first guard that rejects the request, unless that is only reported.
pub async fn pass<E: Effects + WithHooks>(
    policy: GuardPolicy<'_>,
    effects: &E,
    rule: &Rule,
    context: GuardContext<'_>,
    steps: &StepTracker,
    reports: &Reports,
) -> Result<GuardsPassed, EarlyResponse> {
    // Guards that few rules have are `outlined`, because most requests do not need their code.
    let return_field = match (rule.return_field, reports.skip(Step::ReturnField)) {
        (None, _) => None,
        (_, Some(mode)) => Some(Checked::Reported(mode)),
        (Some(name), None) => {
            steps.at(Step::ReturnField);
            let checked = check_return_field(policy.return_path, effects, name, context);
            Some(reports.check(Step::ReturnField, checked)?)
        }
    };
    let bot_check = match (&rule.bot_check, reports.skip(Step::BotCheck)) {
        (None, _) => None,
        (_, Some(mode)) => Some(Checked::Reported(mode)),
        (Some(action), None) => {
            steps.at(Step::BotCheck);
            let checked = outlined(check_for_bots(policy.settings, effects, action, context)).await;
            Some(reports.check(Step::BotCheck, checked)?)
        }
    };
    let feature = match (&rule.feature, reports.skip(Step::Feature)) {
        (None, _) => None,
        (_, Some(mode)) => Some(Checked::Reported(mode)),
        (Some(name), None) => {
            steps.at(Step::Feature);
            Some(reports.check(Step::Feature, check_feature(effects, name, context).await)?)
        }
    };
    let hooks = if let Some(mode) = reports.skip(Step::Hooks) {
        Checked::Reported(mode)
    } else {
        steps.at(Step::Hooks);
        let judged = enforce(effects.hooks().judge(&act(rule, context)), ForbiddenBy::Hooks);
        reports.check(Step::Hooks, judged)?
    };
    let policy = match (&rule.policy, reports.skip(Step::Policy)) {
        (None, _) => None,
        (_, Some(mode)) => Some(Checked::Reported(mode)),
        (Some(_), None) => {
            steps.at(Step::Policy);
            let decision = outlined(ask_policy(policy.settings, effects, rule, context)).await;
            let enforced = decision.and_then(|decision| enforce(decision, ForbiddenBy::Policy));
            Some(reports.check(Step::Policy, enforced)?)
        }
    };
    Ok(GuardsPassed {
        _return_field: return_field,
        _bot_check: bot_check,
        _feature: feature,
        _hooks: hooks,
        _policy: policy,
    })
}

/// Checks that a feature is on for the principal.
async fn check_feature<E: Effects>(
    effects: &E,
    name: &str,
    context: GuardContext<'_>,
) -> Result<feature::Open, EarlyResponse> {
    let id = context.admission.principal().map(crate::identity::principal::Principal::id);
    let scope = scope::of(context.admission.principal(), context.request);
    Ok(outlined(flag(effects, name, context.meta)).await?.check(name, id, &scope)?)
}

/// Returns the rule's return field, if the body must be read for it.
#[must_use]
pub fn return_field_to_read(rule: &Rule, request: &Request<'_>) -> Option<&'static str> {
    rule.return_field.filter(|_| !request.is_safe())
}

/// Returns the field of the body with the bot check's token, if it must be read because the header is missing.
#[must_use]
pub fn field_to_read<'a>(settings: &'a Settings, rule: &Rule, request: &Request<'_>) -> Option<&'a str> {
    let policy = settings.bot_check.as_ref().filter(|_| rule.bot_check.is_some() && !request.is_safe())?;
    token_in_header(policy, request).is_none().then_some(policy.field.as_str())
}

/// Returns the bot check's token from its header.
fn token_in_header<'a>(policy: &bot_check::Policy, request: &Request<'a>) -> Option<&'a str> {
    request.headers.value(&policy.header).filter(|token| !token.is_empty())
}

/// Returns a flag from this isolate's cache, or else from KV.
///
/// # Errors
/// [`Fault::StoreUnavailable`](crate::http::problem::Fault::StoreUnavailable).
pub async fn flag<E: Effects>(effects: &E, name: &str, meta: RequestMeta<'_>) -> Result<Flag, EarlyResponse> {
    let cache = effects.memory().of::<FlagCache>();
    let cache = &cache.0;
    if let Some(flag) = cache.find(name, meta.milliseconds, feature::CACHED_FOR) {
        return Ok(flag);
    }
    let flag = Flag::read(effects.kv_get(&feature::kv_key(name)).await?.as_deref());
    cache.put(name.to_owned(), flag.clone(), meta.milliseconds);
    Ok(flag)
}

/// Rejects a request if any value of its return field, in the query or the body, leads to another site. A body is
/// forwarded unchanged, so no value in it is replaced.
fn check_return_field<E: Effects>(
    return_path: &return_path::Policy,
    effects: &E,
    name: &'static str,
    context: GuardContext<'_>,
) -> Result<(), EarlyResponse> {
    let invalid = Rejection::InvalidBody(name, "expected a path of this site, or a URL of an allowed origin");
    let is_on_site = |value: &str| value.is_empty() || return_path.may_be_named(value);
    let query = context.request.query.strip_prefix('?').unwrap_or_default();
    if !body_field::in_form(query.as_bytes(), name).iter().all(|value| is_on_site(value)) {
        return Err(invalid.into());
    }
    if context.request.is_safe() {
        return Ok(());
    }
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::ReturnField);
        return Ok(());
    }
    let unreadable = Rejection::InvalidBody(
        "(body)",
        "expected a form or a JSON object that every parser reads in the same way",
    );
    let values = context.body.return_fields.ok_or(unreadable)?;
    if values.iter().all(|value| is_on_site(value)) { Ok(()) } else { Err(invalid.into()) }
}

async fn check_for_bots<E: Effects>(
    settings: &Settings,
    effects: &E,
    action: &str,
    context: GuardContext<'_>,
) -> Result<bot_check::Solved, EarlyResponse> {
    let unavailable = Rejection::BotCheckFailed(BotCheck::Unavailable);
    let policy = settings.bot_check.as_ref().ok_or(unavailable)?;
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::BotCheck);
        // Only the verification service can check a token, and that would use it up.
        return Ok(policy.assumed());
    }
    let found = token_in_header(policy, context.request).or(context.body.bot_token);
    let token = bot_check::token(found)?;
    let request = ExternalRequest {
        address: effects::ExternalAddress::Url(&policy.verify_url),
        content_type: "application/x-www-form-urlencoded",
        headers: &[],
        body: &policy.question(token, context.request.headers.value("cf-connecting-ip")),
        timeout: policy.timeout,
    };
    let ExternalResponse { status, body } =
        effects.call_external(request).await.map_err(|ExternalUnavailable| unavailable)?;
    Ok(policy.check_response(action, status, &body)?)
}

/// Asks the external policy for a decision, unless one is cached.
async fn ask_policy<E: Effects>(
    settings: &Settings,
    effects: &E,
    rule: &Rule,
    context: GuardContext<'_>,
) -> Result<Decision, EarlyResponse> {
    let unavailable = Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable);
    let address = match settings.policy.as_ref().ok_or(unavailable)? {
        PolicyEndpoint::Url(url) => effects::ExternalAddress::Url(url),
        PolicyEndpoint::Binding => effects::ExternalAddress::Binding("POLICY"),
    };
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::Policy);
        return Ok(Decision::Allow);
    }
    let body = act(rule, context).to_json();
    let cache = effects.memory().of::<DecisionCache>();
    let (cache, now) = (&cache.0, context.meta.milliseconds);
    // The cache key is a hash, because a body can be long and many decisions are cached.
    let key = encoding::hex(&Sha256::digest(&body));
    if let Some((decision, until)) = cache.find(&key, now, u64::MAX)
        && now < until
    {
        return Ok(decision);
    }
    let request = ExternalRequest {
        address,
        content_type: "application/json",
        headers: &[],
        body: &body,
        timeout: DEADLINE,
    };
    let response = effects.call_external(request).await.map_err(|ExternalUnavailable| unavailable)?;
    let (decision, ttl) = Decision::read(response.status, &response.body)?;
    if ttl > 0 {
        cache.put(key, (decision.clone(), now.saturating_add(ttl.saturating_mul(1_000))), now);
    }
    Ok(decision)
}

fn act<'a>(rule: &'a Rule, context: GuardContext<'a>) -> Act<'a> {
    let (path, query) = context.target.split_at(context.target.find('?').unwrap_or(context.target.len()));
    Act {
        policy: rule.policy.as_deref(),
        operation: rule.operation.as_deref(),
        method: context.request.method,
        path,
        query,
        principal: context.admission.principal().map(Asking::of),
    }
}

/// Turns a decision other than `Allow` into a rejection or a response.
fn enforce(decision: Decision, by: ForbiddenBy) -> Result<(), EarlyResponse> {
    match decision {
        Decision::Allow => Ok(()),
        Decision::Forbid => Err(Rejection::ForbiddenPolicy(by).into()),
        Decision::Fail { status, body } if !can_be_sent(status, &body) => {
            Err(Rejection::ForbiddenPolicy(ForbiddenBy::InvalidHook).into())
        }
        Decision::Fail { status, body } => {
            let headers = vec![("content-type", "application/json".to_owned())];
            let body = Some(body).filter(|body| !body.is_empty());
            Err(EarlyResponse::PolicyResponse(Reply { status, headers, body }))
        }
    }
}

/// Checks that a response can have this status (RFC 9110 §15) with this body. Responses of the external policy were
/// already checked when they were parsed.
fn can_be_sent(status: u16, body: &str) -> bool {
    (200..=599).contains(&status) && (body.is_empty() || !matches!(status, 204 | 205 | 304))
}

/// The timeout of the external policy.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_hook_response_that_cannot_be_sent() {
        for (status, body, is_sent) in [
            (200, "{}", true),
            (402, "{}", true),
            (599, "", true),
            (204, "", true),
            (304, "", true),
            (204, "{}", false),
            (205, "{}", false),
            (304, "{}", false),
            (0, "", false),
            (101, "", false),
            (199, "{}", false),
            (600, "{}", false),
            (u16::MAX, "{}", false),
        ] {
            let decision = Decision::Fail { status, body: body.to_owned() };
            match enforce(decision, ForbiddenBy::Hooks) {
                Err(EarlyResponse::PolicyResponse(reply)) => {
                    assert_eq!((reply.status, is_sent), (status, true));
                }
                Err(EarlyResponse::Rejected(Rejection::ForbiddenPolicy(ForbiddenBy::InvalidHook))) => {
                    assert!(!is_sent, "{status}");
                }
                _ => panic!("{status} {body}"),
            }
        }
    }
}
