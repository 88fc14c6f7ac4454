//! What would become of a request: it goes the way of any other, as far as the claim, and nothing is done.
//!
//! Nothing is counted, no token is noted as used, and nobody outside is asked: upstream whose something is, who
//! checks for bots, the external policy. Where one of them would decide, it is taken to let the request pass, and that
//! is said.

use serde::Serialize;

use super::RequestContext;
use crate::{
    claim,
    config::{Config, LimitBy},
    context::Request,
    effects::{DryRun, Effects},
    endpoint::{self, Answered, Call},
    event::{Event, RequestMeta},
    path::CanonicalPath,
    principal::{Actor, Principal, Role},
    problem::Rejection,
    refusal::{self, DenialContext, EarlyResponse},
    rule::{Access, Audit, Confirm, Destination, Rule},
    step::Step,
};

/// The decisions on a request, and why.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// `allow`, or as the log has it.
    pub decision: &'static str,
    /// The reason of a refusal, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The status that would be answered; absent where the application or an endpoint would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The rule; absent where the path was refused.
    pub rule: Option<Found>,
    /// Who asks, where they are known.
    pub principal: Option<Whose>,
    /// Each decision, in their order.
    pub steps: Vec<Decided>,
    /// Invalid entries of the configuration that are refused while everything else works.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
    /// Possible mistakes of the configuration that concern this request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A rule that was found.
#[derive(Debug, Serialize)]
pub struct Found {
    path: String,
    methods: Vec<String>,
    operation: Option<String>,
    access: String,
}

/// Who asks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_source: Option<String>,
}

/// A decision.
#[derive(Debug, Serialize)]
pub struct Decided {
    /// Which.
    pub step: Step,
    /// What came of it.
    pub outcome: Outcome,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It let the request pass.
    Passed,
    /// It kept it out, or led it elsewhere.
    Refused,
    /// The rule does not ask for it.
    Skipped,
    /// It depends on what was not asked here, and was taken to pass.
    Assumed,
    /// The request did not get there.
    NotReached,
}

/// Answers what would become of the request that a call describes.
pub(super) async fn explain<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let account = endpoint::explain::described(call)?;
    let wrong = Rejection::InvalidBody("url", "expected an http or https URL without credentials");
    let request = Request::read(&account).ok_or(wrong)?;
    let trace = run(call.config, effects, &request, call.meta).await;
    Ok(endpoint::json(200, &trace).into())
}

/// Has a request decided, and nothing done.
pub async fn run<E: Effects>(
    config: &Config,
    effects: &E,
    request: &Request<'_>,
    meta: RequestMeta<'_>,
) -> Trace {
    let dry = effects.dry_run();
    let mut cx = RequestContext::new(config, request, meta);
    let outcome = cx.admit(&dry).await;
    let nothing = DryRun::default();
    let dry_run = dry.as_dry_run().unwrap_or(&nothing);
    let mut event = Event::new(meta.request_id, request.method);
    let denial = DenialContext { config, request, meta, rule: cx.rule };
    let rule = cx.rule;
    let (principal, mut stopped, mut status) = (cx.who.principal.clone(), None, None);
    match outcome {
        Ok(admitted) => {
            let foreseen = claim::foresee(admitted.rule, request)
                .map_err(|rejection| (Step::Claim, rejection))
                .and_then(|()| {
                    endpoint::foresee(admitted.rule).map_err(|rejection| (Step::Dispatch, rejection))
                });
            if let Err((step, rejection)) = foreseen {
                stopped = Some(step);
                let turned = EarlyResponse::Rejected(rejection);
                status = Some(refusal::turn_away(denial, turned, &cx.target, &mut event).0.status);
            }
        }
        Err(turned) => {
            stopped = Some(cx.way.step());
            status = Some(refusal::turn_away(denial, turned, &cx.target, &mut event).0.status);
        }
    }
    let why = |step| match step {
        Step::Path if rule.is_some() => Some(cx.target.clone()),
        Step::Rule => rule.map(|rule| found_by(config, request, rule)),
        Step::Identity => Some(principal.as_ref().map_or_else(|| "nobody".to_owned(), who)),
        Step::Access => rule.map(|rule| name_of(rule.access)),
        Step::Audit => rule
            .filter(|rule| rule.audit == Audit::BestEffort)
            .map(|_| "best_effort: its row is written afterwards, and refuses nothing".to_owned()),
        Step::Dispatch => rule.map(|rule| match rule.destination {
            Destination::Upstream => "the application".to_owned(),
            Destination::Endpoint(_) => rule.called().to_owned(),
        }),
        _ => None,
    };
    let decided = |step: Step| {
        let outcome = match stopped {
            Some(at) if step > at => Outcome::NotReached,
            Some(at) if step == at => Outcome::Refused,
            _ => passed(config, step, (rule, request), dry_run),
        };
        let refusal = || event.reason.map_or(event.decision, |reason| reason).to_owned();
        let detail = if outcome == Outcome::Refused { Some(refusal()) } else { why(step) };
        Decided { step, outcome, detail: detail.filter(|_| outcome != Outcome::NotReached) }
    };
    Trace {
        decision: event.decision,
        reason: event.reason,
        status,
        rule: rule.map(|rule| Found {
            path: rule.path.clone(),
            methods: rule.methods.clone(),
            operation: rule.operation.clone(),
            access: name_of(rule.access),
        }),
        principal: principal.as_ref().map(|principal| Whose {
            kind: principal.kind(),
            id: principal.id().to_owned(),
            role: principal.role.map(Role::name),
            actor_source: match &principal.actor {
                Actor::Session { .. } => None,
                Actor::Token { source, .. } => source.name().map(str::to_owned),
            },
        }),
        steps: Step::ALL.map(decided).into(),
        complaints: config.complaints.iter().map(ToString::to_string).collect(),
        warnings: warnings(config, request),
    }
}

/// Lists possible mistakes of the configuration that concern this request.
fn warnings(config: &Config, request: &Request<'_>) -> Vec<String> {
    let host = request.authority;
    let unlisted = config
        .is_unlisted_host(host)
        .then(|| format!("no origin in PUBLIC_ORIGINS has the host {host:?}: add it, or turn the host off"));
    unlisted.into_iter().collect()
}

/// What came of a step that did not keep a request out.
fn passed(
    config: &Config,
    step: Step,
    (rule, request): (Option<&Rule>, &Request<'_>),
    dry_run: &DryRun,
) -> Outcome {
    let Some(rule) = rule else { return Outcome::Passed };
    let limited_by = rule.limit.and_then(|at| config.limits.get(at)).map(|limit| limit.by);
    let is_there = match step {
        Step::Path | Step::Rule | Step::Access | Step::Hooks | Step::Dispatch => true,
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
        Step::Claim => claim::is_asked_for(rule, request),
    };
    let assumed = match step {
        Step::Claim => true,
        // They judge what the body asks for, too.
        Step::Dispatch => rule.destination != Destination::Upstream,
        step => dry_run.has_assumed(step),
    };
    match (is_there, assumed) {
        (false, _) => Outcome::Skipped,
        (true, true) => Outcome::Assumed,
        (true, false) => Outcome::Passed,
    }
}

/// Names the rule that decides, and the reason if another rule is written for this path.
fn found_by(config: &Config, request: &Request<'_>, rule: &Rule) -> String {
    let path = CanonicalPath::judge_with_slashes(request.path);
    let strict = path.map(|path| config.rules.find(request.method, &path));
    match strict {
        Ok(strict) if !std::ptr::eq(strict, rule) => format!(
            "{}: the path is another spelling for it, and it is stricter than {}, the rule for the path as written",
            rule.path, strict.path
        ),
        _ => rule.path.clone(),
    }
}

fn who(principal: &Principal) -> String {
    let by = match &principal.actor {
        Actor::Session { .. } => "a session",
        Actor::Token { .. } => "a token",
    };
    format!("{} {} by {by}", principal.kind(), principal.id())
}

fn name_of(access: Access) -> String {
    crate::catalogue::name_of(access).to_owned()
}
