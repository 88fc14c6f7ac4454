//! Dry run: decides a request like any other, up to the claim, without side effects.
//!
//! Nothing is counted, no token's last use is written, and no external service is called: not upstream for owners, not
//! the bot check, not the external policy. Where one of them would decide, the dry run assumes that the request passes,
//! and the trace says so.

use serde::Serialize;

use super::RequestContext;
use crate::{
    config::Config,
    gateway::{
        endpoints::{self, Call},
        explain, request_claim,
    },
    guards::{limits::LimitBy, policy::WithHooks},
    http::{path::CanonicalPath, problem::Rejection, reply::EarlyResponse, request::Request},
    identity::{
        call::{EndpointResponse, json},
        principal::{Actor, Principal, Role},
        token_scope::TokenScope,
    },
    platform::{
        effects::{DryRun, Effects},
        event::{Event, RequestMeta, WOULD_REFUSE, WouldRefuse},
        step::Step,
    },
    responses::refusal,
    routing::rule::{Access, Audit, Confirm, Destination, Names, Rule},
};

/// The decisions about a request, with their reasons.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// `allow`, `would_refuse`, or another decision as in the log.
    pub decision: &'static str,
    /// Reason of the rejection, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Status of the answer. Absent if upstream or an endpoint would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// In report mode: the refusal of a request that would be let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_refuse: Option<WouldRefuse>,
    /// The rule. Absent if the path was rejected.
    pub rule: Option<Found>,
    /// The principal, if known.
    pub principal: Option<TracedPrincipal>,
    /// Each step, in order.
    pub steps: Vec<Decided>,
    /// Invalid entries of the configuration that are rejected while everything else works.
    #[serde(rename = "complaints", skip_serializing_if = "Vec::is_empty")]
    pub entry_errors: Vec<String>,
    /// Possible mistakes of the configuration that concern this request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The rule of a request.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The pattern of its path.
    pub path: String,
    methods: Vec<String>,
    operation: Option<String>,
    access: String,
}

/// The principal of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedPrincipal {
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<TokenScope>,
}

/// The outcome of one step.
#[derive(Debug, Serialize)]
pub struct Decided {
    /// The step.
    pub step: Step,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its reason or result, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The step let the request pass.
    Passed,
    /// The step rejected or redirected the request.
    Refused,
    /// In report mode: the step would reject or redirect the request, and lets it pass.
    WouldRefuse,
    /// The step does not apply to this request.
    Skipped,
    /// The step depends on something that a dry run does not check. It was assumed to pass.
    Assumed,
    /// The request ended before this step.
    NotReached,
}

/// Answers the endpoint `explain`: traces the request that the call describes.
pub(super) async fn explain<E: Effects + WithHooks>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let serialized = explain::serialize_described(call)?;
    let invalid = Rejection::InvalidBody("url", "expected an http or https URL without credentials");
    let request = Request::read(&serialized).ok_or(invalid)?;
    let trace = run(call.cx.config, effects, &request, call.meta).await;
    Ok(json(200, &trace).into())
}

/// Decides a request without side effects.
pub async fn run<E: Effects + WithHooks>(
    config: &Config,
    effects: &E,
    request: &Request<'_>,
    meta: RequestMeta<'_>,
) -> Trace {
    let dry = effects.dry_run();
    let mut cx = RequestContext::new(config, request, meta);
    let outcome = cx.admit(&dry).await;
    let no_assumptions = DryRun::default();
    let dry_run = dry.as_dry_run().unwrap_or(&no_assumptions);
    let mut event = Event::new(meta.request_id, request.method);
    cx.log_reported();
    let would_refuse = cx.event.would_refuse;
    let (denial, rule) = (cx.denial(), cx.rule);
    let (principal, mut stopped, mut status) = (cx.facts.principal.clone(), None, None);
    match outcome {
        Ok(admitted) => {
            let checked = request_claim::check_in_dry_run(admitted.rule, request)
                .map_err(|rejection| (Step::Claim, rejection))
                .and_then(|()| {
                    endpoints::check_in_dry_run(admitted.rule)
                        .map_err(|rejection| (Step::Dispatch, rejection))
                });
            if let Err((step, rejection)) = checked {
                stopped = Some(step);
                let early = EarlyResponse::Rejected(rejection);
                status = Some(refusal::respond_early(denial, early, &cx.target, &mut event).0.status);
            }
        }
        Err(early) => {
            stopped = Some(cx.tracker.step());
            status = Some(refusal::respond_early(denial, early, &cx.target, &mut event).0.status);
        }
    }
    if would_refuse.is_some() && stopped.is_none() {
        event.decision = WOULD_REFUSE;
    }
    let detail_of = |step| match step {
        Step::Path if rule.is_some() => Some(cx.target.clone()),
        Step::Rule => rule.map(|rule| rule_label(config, request, rule)),
        Step::Identity => Some(principal.as_ref().map_or_else(|| "nobody".to_owned(), principal_label)),
        Step::Access => rule.map(|rule| name_of(rule.access)),
        Step::Audit => rule.filter(|rule| rule.audit == Audit::BestEffort).map(|_| {
            "best_effort: the row is written after the response, and a failure refuses no request".to_owned()
        }),
        Step::Dispatch => rule.map(|rule| match rule.destination {
            Destination::Upstream => "the application".to_owned(),
            Destination::Pages => "the pages of Vestibule".to_owned(),
            Destination::Endpoint(_) | Destination::WrongMethod(_) | Destination::InternalOnly => {
                rule.operation_or_path().to_owned()
            }
        }),
        _ => None,
    };
    let decided = |step: Step| {
        let outcome = match stopped {
            Some(at) if step > at => Outcome::NotReached,
            Some(at) if step == at => Outcome::Refused,
            _ if would_refuse.is_some_and(|refusal| refusal.step == step) => Outcome::WouldRefuse,
            // Under a rule in report mode, no guard runs after a refusal.
            _ if would_refuse.is_some_and(|refusal| refusal.step < step)
                && cx.reports.skip(step).is_some() =>
            {
                Outcome::Skipped
            }
            _ if step == Step::Scope && cx.facts.scope.is_none() => Outcome::Skipped,
            _ => outcome_of(config, step, rule, request, dry_run),
        };
        let detail = match (outcome, would_refuse) {
            (Outcome::Refused, _) => Some(event.reason.unwrap_or(event.decision).to_owned()),
            (Outcome::WouldRefuse, Some(refusal)) => {
                Some(format!("{} {}", refusal.status, refusal.reason.unwrap_or(refusal.code)))
            }
            _ => detail_of(step),
        };
        Decided { step, outcome, detail: detail.filter(|_| outcome != Outcome::NotReached) }
    };
    Trace {
        decision: event.decision,
        reason: event.reason,
        status,
        would_refuse,
        rule: rule.map(|rule| Found {
            path: rule.path.clone(),
            methods: rule.methods.clone(),
            operation: rule.operation.clone(),
            access: name_of(rule.access),
        }),
        principal: principal.as_ref().map(|principal| TracedPrincipal {
            kind: principal.kind(),
            id: principal.id().to_owned(),
            role: principal.role.map(Role::name),
            actor_source: match &principal.actor {
                Actor::Session { .. } => None,
                Actor::Token { source, .. } => source.name().map(str::to_owned),
            },
            scope: cx.facts.scope.clone(),
        }),
        steps: Step::ALL.map(decided).into(),
        entry_errors: config.entry_errors.iter().map(ToString::to_string).collect(),
        warnings: warnings(config, request),
    }
}

/// Lists possible mistakes of the configuration that concern this request.
fn warnings(config: &Config, request: &Request<'_>) -> Vec<String> {
    let host = request.authority;
    let unlisted = config
        .site
        .is_unlisted_host(host)
        .then(|| format!("no origin in PUBLIC_ORIGINS has the host {host:?}: add it, or disable the host"));
    unlisted.into_iter().collect()
}

/// Returns the outcome of a step that did not end the request.
fn outcome_of(
    config: &Config,
    step: Step,
    rule: Option<&Rule>,
    request: &Request<'_>,
    dry_run: &DryRun,
) -> Outcome {
    let Some(rule) = rule else { return Outcome::Passed };
    let limited_by = rule.limit.and_then(|at| config.limits.get(at)).map(|limit| limit.by);
    let applies = match step {
        Step::Path | Step::Rule | Step::Scope | Step::Access | Step::Hooks | Step::Dispatch => true,
        Step::Csrf => !request.is_safe() || request.is_upgrade(),
        Step::Identity => rule.access != Access::Public,
        Step::AddressLimit => limited_by == Some(LimitBy::Address),
        Step::PrincipalLimit => limited_by == Some(LimitBy::Principal),
        Step::ReturnField => rule.return_field.is_some(),
        Step::BotCheck => rule.bot_check.is_some(),
        Step::Feature => rule.feature.is_some(),
        Step::Policy => rule.policy.is_some(),
        Step::Confirmation => rule.confirm == Confirm::Human,
        Step::Audit => rule.audit != Audit::Off,
        Step::Claim => request_claim::is_needed(rule, request),
    };
    let assumed = match step {
        Step::Claim => true,
        // Endpoints also check the body, which a dry run does not have.
        Step::Dispatch => rule.destination != Destination::Upstream,
        step => dry_run.has_assumed(step),
    };
    match (applies, assumed) {
        (false, _) => Outcome::Skipped,
        (true, true) => Outcome::Assumed,
        (true, false) => Outcome::Passed,
    }
}

/// Returns the pattern of the deciding rule, and the reason if another rule matches the path as written.
fn rule_label(config: &Config, request: &Request<'_>, rule: &Rule) -> String {
    let path = CanonicalPath::parse_with_ambiguous_escapes(request.path);
    let strict = path.map(|path| config.match_rule(request, &path, Names::Ignored).as_written);
    match strict {
        Ok(strict) if !std::ptr::eq(strict, rule) => format!(
            "{}: servers may read the path as this rule's path, and this rule is stricter than {}, the rule for the path as written",
            rule.path, strict.path
        ),
        _ => rule.path.clone(),
    }
}

fn principal_label(principal: &Principal) -> String {
    let by = match &principal.actor {
        Actor::Session { .. } => "a session",
        Actor::Token { .. } => "a token",
    };
    format!("{} {} by {by}", principal.kind(), principal.id())
}

fn name_of(access: Access) -> String {
    crate::tokens::catalogue::name_of(access).to_owned()
}
