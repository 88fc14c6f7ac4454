//! What else may keep somebody out who was admitted: step 9, in this order.
//!
//! 1. The return field, in the query and in the body.
//! 2. The bot check, by which a token is spent whatever the rest decides.
//! 3. The feature gate.
//! 4. The Worker's own hooks.
//! 5. The external policy.
//!
//! A guard that cannot find out refuses. What passed them all is [`Passed`], without which nothing is dispatched.

use sha2::{Digest, Sha256};

use crate::{
    access::Admission,
    body_field, bot_check,
    config::{Config, PolicyEndpoint},
    context::Request,
    effects::{self, Effects, ExternalRequest, ExternalResponse, Reply},
    encoding,
    event::RequestMeta,
    feature::{self, Flag},
    hygiene::ForwardedRequest,
    idempotency,
    intake::Body,
    outline::outlined,
    policy::{Act, Asking, Decision},
    problem::{BotCheck, ForbiddenBy, Rejection},
    refusal::EarlyResponse,
    rule::Rule,
    step::{Step, StepTracker},
};

/// Proof that every guard of a rule let a request pass.
#[derive(Debug)]
pub struct Passed {
    _solved: Option<bot_check::Solved>,
    _open: Option<feature::Open>,
}

/// A request before its guards.
#[derive(Clone, Copy, Debug)]
pub struct GuardContext<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The request as upstream would get it.
    pub forwarded: &'a ForwardedRequest<'a>,
    /// Its canonical path with the query.
    pub target: &'a str,
    /// Its moment.
    pub meta: RequestMeta<'a>,
    /// What was read of its body.
    pub body: &'a Body,
    /// Whom it was admitted as.
    pub admission: &'a Admission,
}

/// Asks each guard that a rule has.
///
/// # Errors
/// [`EarlyResponse`] by the first that refuses.
pub async fn pass<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: GuardContext<'_>,
    way: &StepTracker,
) -> Result<Passed, EarlyResponse> {
    // Boxed, as all that few rules have: most requests do not carry it.
    if let Some(name) = rule.return_field {
        way.at(Step::ReturnField);
        hold_to_site(config, effects, name, before)?;
    }
    let solved = match &rule.bot_check {
        Some(action) => {
            way.at(Step::BotCheck);
            Some(outlined(check_for_bots(config, effects, action, before)).await?)
        }
        None => None,
    };
    let open = match &rule.feature {
        Some(name) => {
            way.at(Step::Feature);
            let id = before.admission.principal().map(crate::principal::Principal::id);
            let scope = idempotency::scope(before.admission.principal(), before.request);
            Some(outlined(flag(effects, name, before.meta)).await?.judge(name, id, &scope)?)
        }
        None => None,
    };
    way.at(Step::Hooks);
    decided(effects.hooks().judge(&act(rule, before)), ForbiddenBy::Hooks)?;
    if rule.policy.is_some() {
        way.at(Step::Policy);
        decided(outlined(ask_policy(config, effects, rule, before)).await?, ForbiddenBy::Policy)?;
    }
    Ok(Passed { _solved: solved, _open: open })
}

/// Names the rule's return field, if the body has to be read for it.
#[must_use]
pub fn return_field_to_read(rule: &Rule, request: &Request<'_>) -> Option<&'static str> {
    rule.return_field.filter(|_| !request.is_safe())
}

/// Names the field of the body that a bot check has to read because its header is missing.
#[must_use]
pub fn field_to_read<'a>(config: &'a Config, rule: &Rule, request: &Request<'_>) -> Option<&'a str> {
    let policy = config.bot_check.as_ref().filter(|_| rule.bot_check.is_some() && !request.is_safe())?;
    token_in_header(policy, request).is_none().then_some(policy.field.as_str())
}

fn token_in_header<'a>(policy: &bot_check::Policy, request: &Request<'a>) -> Option<&'a str> {
    request.headers.value(&policy.header).filter(|token| !token.is_empty())
}

/// Reads a flag, or what this isolate remembers of it.
///
/// # Errors
/// [`Fault::StoreUnavailable`](crate::problem::Fault::StoreUnavailable).
pub async fn flag<E: Effects>(effects: &E, name: &str, meta: RequestMeta<'_>) -> Result<Flag, EarlyResponse> {
    let known = &effects.memory().features;
    if let Some(flag) = known.find(name, meta.milliseconds, feature::REMEMBERED) {
        return Ok(flag);
    }
    let flag = Flag::read(effects.kv_get(&feature::stored_as(name)).await?.as_deref());
    known.put(name.to_owned(), flag.clone(), meta.milliseconds);
    Ok(flag)
}

/// Refuses a request whose return field, anywhere, leads off the site. A body goes on as it came, so nothing in it is
/// replaced.
fn hold_to_site<E: Effects>(
    config: &Config,
    effects: &E,
    name: &'static str,
    before: GuardContext<'_>,
) -> Result<(), EarlyResponse> {
    let wrong = Rejection::InvalidBody(name, "expected a path of this site, or a URL of an allowed origin");
    let leads_here = |value: &str| value.is_empty() || config.return_path.may_be_named(value);
    let query = before.request.query.strip_prefix('?').unwrap_or_default();
    if !body_field::in_form(query.as_bytes(), name).iter().all(|value| leads_here(value)) {
        return Err(wrong.into());
    }
    if before.request.is_safe() {
        return Ok(());
    }
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::ReturnField);
        return Ok(());
    }
    let unreadable =
        Rejection::InvalidBody("(body)", "expected a form or a JSON object that can be read in only one way");
    let values = before.body.return_fields().ok_or(unreadable)?;
    if values.iter().all(|value| leads_here(value)) { Ok(()) } else { Err(wrong.into()) }
}

async fn check_for_bots<E: Effects>(
    config: &Config,
    effects: &E,
    action: &str,
    before: GuardContext<'_>,
) -> Result<bot_check::Solved, EarlyResponse> {
    let unavailable = Rejection::BotCheckFailed(BotCheck::Unavailable);
    let policy = config.bot_check.as_ref().ok_or(unavailable)?;
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::BotCheck);
        // Whether it is good only one can say who then takes it for spent.
        return Ok(policy.assumed());
    }
    let found = token_in_header(policy, before.request).or_else(|| before.body.field());
    let token = bot_check::token(found)?;
    let question = ExternalRequest {
        way: effects::ExternalTarget::Url(&policy.verify_url),
        content_type: "application/x-www-form-urlencoded",
        body: &policy.question(token, before.request.headers.value("cf-connecting-ip")),
        timeout: policy.timeout,
    };
    let ExternalResponse { status, body } = effects.call_external(question).await.map_err(|_| unavailable)?;
    Ok(policy.judge(action, status, &body)?)
}

/// Asks the external policy, unless it has said so already.
async fn ask_policy<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: GuardContext<'_>,
) -> Result<Decision, EarlyResponse> {
    let unavailable = Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable);
    let way = match config.policy.as_ref().ok_or(unavailable)? {
        PolicyEndpoint::Url(url) => effects::ExternalTarget::Url(url),
        PolicyEndpoint::Binding => effects::ExternalTarget::Binding("POLICY"),
    };
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::Policy);
        return Ok(Decision::Allow);
    }
    let body = act(rule, before).to_json();
    let (known, now) = (&effects.memory().decisions, before.meta.milliseconds);
    // By its hash: a question may be long, and many are remembered.
    let asked = encoding::hex(&Sha256::digest(&body));
    if let Some((decision, until)) = known.find(&asked, now, u64::MAX)
        && now < until
    {
        return Ok(decision);
    }
    let question = ExternalRequest { way, content_type: "application/json", body: &body, timeout: DEADLINE };
    let told = effects.call_external(question).await.map_err(|_| unavailable)?;
    let (decision, ttl) = Decision::read(told.status, &told.body)?;
    if ttl > 0 {
        known.put(asked, (decision.clone(), now.saturating_add(ttl.saturating_mul(1_000))), now);
    }
    Ok(decision)
}

fn act<'a>(rule: &'a Rule, before: GuardContext<'a>) -> Act<'a> {
    let (path, query) = before.target.split_at(before.target.find('?').unwrap_or(before.target.len()));
    Act {
        policy: rule.policy.as_deref(),
        operation: rule.operation.as_deref(),
        method: before.request.method,
        path,
        query,
        principal: before.admission.principal().map(Asking::of),
    }
}

fn decided(decision: Decision, by: ForbiddenBy) -> Result<(), EarlyResponse> {
    match decision {
        Decision::Allow => Ok(()),
        Decision::Forbid => Err(Rejection::ForbiddenPolicy(by).into()),
        Decision::Fail { status, body } if !can_be_sent(status, &body) => {
            Err(Rejection::ForbiddenPolicy(ForbiddenBy::InvalidHook).into())
        }
        Decision::Fail { status, body } => {
            let headers = vec![("content-type", "application/json".to_owned())];
            let body = Some(body).filter(|body| !body.is_empty());
            Err(EarlyResponse::Answered(Reply { status, headers, body }))
        }
    }
}

/// Checks that a response can have this status (RFC 9110 §15), with this body. The external policy's answers were checked
/// when they were read.
fn can_be_sent(status: u16, body: &str) -> bool {
    (200..=599).contains(&status) && (body.is_empty() || !matches!(status, 204 | 205 | 304))
}

/// How long the external policy may take.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_an_answer_that_cannot_be_sent() {
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
            match decided(decision, ForbiddenBy::Hooks) {
                Err(EarlyResponse::Answered(reply)) => assert_eq!((reply.status, is_sent), (status, true)),
                Err(EarlyResponse::Rejected(Rejection::ForbiddenPolicy(ForbiddenBy::InvalidHook))) => {
                    assert!(!is_sent, "{status}");
                }
                _ => panic!("{status} {body}"),
            }
        }
    }
}
