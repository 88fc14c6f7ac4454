//! The life of a request. Every request passes through [`handle`], and its steps run in the order of this file.
//!
//! The numbers are the steps in `ARCHITECTURE.md`. No step before 12 contacts upstream, except step 8 to look up an
//! owner (`rejected_requests_never_reach_upstream` in `tests/gateway.rs`). Rejections and successes end in step 13.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the order of the steps |
//! | `request_context.rs` | a request, and what the steps have found out so far |
//! | `authorize.rs`, `identify.rs`, `stream_check.rs` | steps 7 and 8, and the rate limit by principal; 7 and 8 again after a body was read, and while a stream is open |
//! | `intake.rs` | reads what later steps need of a body that goes to upstream |
//! | `request_claim.rs` | step 11: claims a request, by its key, or of a provider's event |
//! | `endpoints.rs`, `endpoints/pages.rs` | step 12 for the built-in routes and for the pages of Vestibule |
//! | `finish.rs` | step 13: cookies, caching, headers, the log line |
//! | `dry_run.rs`, `explain.rs` | the same steps without side effects; `POST /api/explain` |
//! | `maintenance.rs` | the work at a tick of the cron trigger |

mod authorize;
pub mod dry_run;
mod endpoints;
pub mod explain;
mod finish;
pub mod identify;
pub mod intake;
pub mod maintenance;
pub mod request_claim;
mod request_context;
pub mod stream_check;

use self::request_context::{Admitted, DispatchOutcome, Matched, RequestContext};
use self::{endpoints::pages, request_claim::RequestClaim};
use crate::{
    accounts::{login, profile},
    approvals::approval,
    audit::trail,
    base::outline::outlined,
    config::Config,
    guards::{self, GuardContext, limits, policy::WithHooks},
    http::{
        path::CanonicalPath,
        problem::{ApprovalError, OutcomeInfo, Rejection},
        reply::{Answer, EarlyResponse},
        request::Request,
    },
    idempotency::claim::ClaimResult,
    identity::csrf::{self, CsrfPassed},
    platform::{
        effects::Effects,
        event::{Event, RequestMeta},
        step::Step,
    },
    responses::origin_check,
    routing::{
        built_in::Endpoint,
        report::Reports,
        routed::RoutedRequest,
        rule::{Destination, Names},
    },
    upstream::forward,
};

/// Decides and answers a request. Returns the answer and the event for the log.
pub async fn handle<'a, E: Effects + WithHooks>(
    config: &'a Config,
    effects: &E,
    request: &'a Request<'a>, // 1. read the request as received
    meta: RequestMeta<'a>,
) -> (Answer<E::Response>, Event<'a>) {
    let mut cx = RequestContext::new(config, request, meta);
    let outcome = match cx.admit(effects).await {
        Ok(admitted) => cx.dispatch(admitted, effects).await,
        Err(early) => Err(early),
    };
    cx.finish(outcome, effects).await // 13. finish the answer, whatever it is
}

impl<'a> RequestContext<'a> {
    /// Runs steps 2 to 10, and writes the audit row that the rule requires. Endpoints make more checks in `dispatch`.
    async fn admit<E: Effects + WithHooks>(&mut self, effects: &E) -> Result<Admitted<'a>, EarlyResponse> {
        let Self { config, request, meta, .. } = *self;
        // 2. check the method and the path: only the canonical path is matched and forwarded
        request.check_method()?;
        let path = CanonicalPath::parse_with_ambiguous_escapes(request.path)?;
        self.set_target(&path);
        // 3. the headers that are not forwarded were found in `RequestContext::new`
        // 4. find the rule: the strictest one of all readings of the path
        self.tracker.at(Step::Rule);
        let names = if effects.hooks().decide() { Names::Count } else { Names::Ignored };
        let found = config.match_rule(request, &path, names);
        self.rule = Some(found.as_written);
        let rule = found.deciding?;
        self.rule = Some(rule);
        self.reports = Reports::new(found.reports); // in report mode, steps 5 to 10 only report their refusals
        // 5. rate limit by address, before any secret is compared
        self.tracker.at(Step::AddressLimit);
        let counted = limits::by_address(&config.limits, effects, rule, request).await;
        self.rate_limit = self.reports.check(Step::AddressLimit, counted)?.passed().flatten();
        // 6. CSRF check
        self.tracker.at(Step::Csrf);
        let csrf_passed = csrf::check(&config.csrf, rule.csrf, request)
            .or_else(|refusal| self.reports.refuse(Step::Csrf, refusal).map(CsrfPassed::by_report))?;
        // Read an endpoint's body first, so that the client is identified right before the endpoint runs.
        self.body = endpoints::body(rule, effects).await;
        // 7 and 8. identity and access; 9. rate limit by principal. If a step needs the body, it is read here. Then 7
        // and 8 run again, because the client decides how long the body takes
        let matched = Matched { rule, path: &path, csrf_passed };
        let authorize::Authorized { admission, body } = self.authorize(effects, matched).await?;
        // 9. all other guards
        let Self { forwarded, target, tracker, reports, .. } = &*self;
        let guard_cx =
            GuardContext { request, forwarded, target, meta, body: body.for_guards(), admission: &admission };
        let passed = guards::pass(config.guard_policy(), effects, rule, guard_cx, tracker, reports).await?;
        // 10. a person's approval of a machine's request
        tracker.at(Step::Confirmation);
        let (policy, body_read) = (config.approval_policy(), body.for_approval());
        let approved = approval::check(policy, effects, rule, guard_cx, body_read, reports).await?;
        self.facts.approval = approved.audit_ids();
        self.log_reported();
        // Write the audit record, if the rule requires it. Without it, the request does not run.
        self.tracker.at(Step::Audit);
        let recorded = trail::begin(&config.audit, effects, self.audit_record(rule), meta).await?;
        Ok(Admitted { rule, admission, body, approved, _proofs: (passed, recorded) })
    }

    /// Runs steps 11 and 12. Only this function forwards the request to upstream.
    async fn dispatch<E: Effects + WithHooks>(
        &mut self,
        admitted: Admitted<'a>,
        effects: &E,
    ) -> Result<DispatchOutcome<'a, E::Response>, EarlyResponse> {
        let Admitted { rule, admission, body, approved, .. } = admitted;
        let Self { config, request, meta, .. } = *self;
        if let Destination::Endpoint(route) = rule.destination {
            endpoints::check_before_claim(route.endpoint, self.call(&admission))?;
        }
        // 11. claim: has this request run before?
        self.tracker.at(Step::Claim);
        let mut claimed = None;
        if request_claim::is_needed(rule, request) {
            let routed = RoutedRequest { rule, forwarded: &self.forwarded, target: &self.target, meta };
            // Boxed, as below: most requests need no claim.
            match outlined(request_claim::acquire(config, effects, routed, &admission, &body)).await? {
                ClaimResult::NotNeeded => {}
                // The approval has expired: it allows a replay, but no new run.
                ClaimResult::Granted(granted) if approved.is_expired() => {
                    granted.release(effects).await;
                    return Err(Rejection::ConfirmationInvalid(ApprovalError::Expired).into());
                }
                ClaimResult::Granted(granted) => claimed = Some(granted),
                ClaimResult::Replay(response)
                    if login::opened_session(config.login_context(), rule, &response) =>
                {
                    return Err(Rejection::IdempotencyOutcomeUnknown(OutcomeInfo::SignedIn).into());
                }
                ClaimResult::Replay(response) => return Ok(DispatchOutcome::Replayed(rule, response)),
                ClaimResult::Answer(reply) => return Ok(DispatchOutcome::Endpoint(reply.into())),
            }
        }
        self.tracker.at(Step::Dispatch);
        match rule.destination {
            Destination::Upstream => {
                let mut claim_headers =
                    claimed.as_ref().map(RequestClaim::upstream_headers).unwrap_or_default();
                claim_headers.extend(approved.by().map(|by| ("x-confirmed-by", by.to_owned())));
                self.facts.profile = profile::for_upstream(
                    &config.accounts.user_headers,
                    effects,
                    admission.principal(),
                    meta,
                )
                .await;
                let upstream_request = forward::for_admitted(
                    config.upstream_context(),
                    rule,
                    &self.forwarded,
                    &self.session_cookies,
                    &admission,
                    self.identity_headers(),
                    claim_headers,
                );
                let response = effects.upstream(upstream_request).await;
                if let Some(claimed) = claimed {
                    let result = response.as_ref().map_err(|fault| *fault);
                    self.event.idempotency = Some(outlined(claimed.settle(effects, result)).await?);
                }
                let response = response?;
                if config.site.development && self.event.idempotency.is_none() {
                    self.event.hint = origin_check::hint(effects, request, &response).await;
                }
                let (cx, browser) = (config.login_context(), self.browser());
                let login_cookies =
                    login::open_for_upstream(cx, effects, rule, request, browser, &response, meta).await?;
                Ok(DispatchOutcome::Upstream(rule, response, login_cookies))
            }
            Destination::Pages => outlined(pages::answer(config, effects, request, &self.target)).await,
            Destination::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed).into()),
            Destination::InternalOnly => Err(Rejection::NotFound.into()),
            Destination::Endpoint(route) => {
                let call = self.call(&admission);
                // Boxed, so that forwarded requests do not pay for the code of endpoints.
                let answered = match route.endpoint {
                    Endpoint::Explain => outlined(dry_run::explain(call, effects)).await,
                    endpoint => outlined(endpoints::answer(endpoint, call, effects)).await,
                };
                if let Some(claimed) = claimed {
                    let reply = answered.as_ref().map(|answered| &answered.reply);
                    self.event.idempotency = Some(outlined(claimed.settle_reply(effects, reply)).await);
                }
                let answered = answered?;
                self.facts.audit = answered.audit.clone();
                Ok(DispatchOutcome::Endpoint(answered))
            }
        }
    }
}
