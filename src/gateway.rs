//! The life of a request. This page is the product: every request passes through [`handle`], and what
//! happens to it happens in this order.
//!
//! The numbers are the steps of the contract. Nothing before step 12 touches upstream, unless it is asked
//! whose something is, and a refusal leaves through the same door as a success.

pub mod dry_run;
mod finish;
mod judgement;
mod request_context;

use crate::{
    access::Admission,
    claim::{self, Claimed, Taken},
    config::Config,
    consent::{self, Consented},
    context::Request,
    csrf,
    effects::{Answer, BodyError, Effects, UpstreamResponse},
    endpoint,
    event::{Event, RequestMeta},
    forward,
    guards::{self, GuardContext, Passed},
    hygiene::ForwardedRequest,
    intake,
    limits::{self, Counted},
    login, origin_check,
    outline::outlined,
    path::{CanonicalPath, settle_query},
    problem::{Known, Rejection, Unconfirmed},
    profile,
    refusal::EarlyResponse,
    rule::{Destination, Endpoint, Names, Rule},
    session::SessionCookies,
    step::{Step, StepTracker},
    trail::{self, AuditRecorded},
};

/// Decides a request, has it answered, and tells what happened.
pub async fn handle<'a, E: Effects>(
    config: &'a Config,
    effects: &E,
    request: &'a Request<'a>, // 1. read, as it came
    meta: RequestMeta<'a>,
) -> (Answer<E::Response>, Event<'a>) {
    let mut cx = RequestContext::new(config, request, meta);
    let outcome = match cx.admit(effects).await {
        Ok(admitted) => cx.dispatch(admitted, effects).await,
        Err(turned) => Err(turned),
    };
    cx.finish(outcome, effects).await
}

/// A request on its way through, and what is known of it so far.
struct RequestContext<'a> {
    config: &'a Config,
    request: &'a Request<'a>,
    forwarded: ForwardedRequest<'a>,
    meta: RequestMeta<'a>,
    rule: Option<&'a Rule>,
    target: String,
    presented: SessionCookies<'a>,
    body: Option<Result<String, BodyError>>,
    counted: Option<Counted>,
    way: StepTracker,
    who: request_context::Who,
    event: Event<'a>,
}

/// Leave to be answered, under a rule: nothing kept it out.
struct Admitted<'a> {
    rule: &'a Rule,
    admission: Admission,
    body: intake::Body,
    consented: Consented,
    _proofs: (Passed, AuditRecorded),
}

/// Who has answered.
enum Answered<'a, R> {
    /// With the cookies of a session that it began, if it did.
    Upstream(&'a Rule, UpstreamResponse<R>, Option<Vec<String>>),
    /// Whoever did, the last time.
    Replayed(&'a Rule, UpstreamResponse<R>),
    Endpoint(endpoint::Answered),
}

impl<'a> RequestContext<'a> {
    /// Steps 2 to 10.
    async fn admit<E: Effects>(&mut self, effects: &E) -> Result<Admitted<'a>, EarlyResponse> {
        let Self { config, request, meta, .. } = *self;
        // 2. judge the method and the path: one canonical form decides and is forwarded
        request.check_method()?;
        let path = CanonicalPath::judge_with_slashes(request.path)?;
        let is_as_it_came = config.upstream.keeps_public_name() && path.as_str() == request.path;
        let query = if is_as_it_came { request.query.into() } else { settle_query(request.query) };
        self.target.reserve_exact(path.as_str().len().saturating_add(query.len()));
        self.target.push_str(path.as_str());
        self.target.push_str(&query);
        // 4. match the rule: the strictest one of every reading of the path (3, stripping, was done: 10, 11 and 12
        // use its result)
        self.way.at(Step::Rule);
        let names = if effects.hooks().decide() { Names::Count } else { Names::Ignored };
        let judged = config.rules.judge(request.method, &path, names);
        self.rule = Some(judged.strict);
        let rule = judged.used?;
        self.rule = Some(rule);
        // 5. too many from this address? Before anything is compared
        self.way.at(Step::AddressLimit);
        self.counted = limits::by_address(config, effects, rule, request).await?;
        // 6. cross-site?
        self.way.at(Step::Csrf);
        let same_site = csrf::check(&config.csrf, rule.csrf, request)?;
        // Ours is read whole first: who is asking is then asked at the moment of the deed.
        self.body = endpoint::body(rule, effects).await;
        // 7 and 8. who asks, and may they? 9: are there too many of them? A body that is needed is read here, and then
        // 7 and 8 are judged again, because the client decides how long that takes
        let matched = request_context::Matched { rule, path: &path, same_site };
        let judgement::LetIn { admission, body } = self.let_in(effects, matched).await?;
        // 9. does anything else keep them out?
        let forwarded = &self.forwarded;
        let target = &self.target;
        let before = GuardContext { request, forwarded, target, meta, body: &body, admission: &admission };
        let passed = guards::pass(config, effects, rule, before, &self.way).await?;
        // 10. has a person consented to what a machine does?
        self.way.at(Step::Confirmation);
        let consented = consent::establish(config, effects, rule, before).await?;
        self.who.confirmed = consented.told();
        // What must be written down is, or it is not run.
        self.way.at(Step::Audit);
        let noted = trail::begin(config, effects, self.deed(rule), meta).await?;
        Ok(Admitted { rule, admission, body, consented, _proofs: (passed, noted) })
    }

    /// Steps 11 and 12. The only one that reaches upstream.
    async fn dispatch<E: Effects>(
        &mut self,
        admitted: Admitted<'a>,
        effects: &E,
    ) -> Result<Answered<'a, E::Response>, EarlyResponse> {
        let Admitted { rule, admission, body, consented, .. } = admitted;
        let Self { config, request, meta, .. } = *self;
        if let Destination::Endpoint(endpoint) = rule.destination {
            endpoint::judge(endpoint, self.call(&admission))?;
        }
        // 11. claim: has this happened before?
        self.way.at(Step::Claim);
        let mut claimed = None;
        if claim::is_asked_for(rule, request) {
            let asked = (&self.forwarded, self.target.as_str(), meta);
            // Boxed, as below: most requests have no claim to make.
            match outlined(claim::take(config, effects, rule, asked, &admission, &body)).await? {
                Taken::Free => {}
                // It may be answered again, and not done again.
                Taken::Ours(ours) if consented.is_over() => {
                    ours.give_back(effects).await;
                    return Err(Rejection::ConfirmationInvalid(Unconfirmed::Expired).into());
                }
                Taken::Ours(ours) => claimed = Some(ours),
                Taken::Ran(inbound) if login::has_begun(config, rule, &inbound) => {
                    return Err(Rejection::IdempotencyOutcomeUnknown(Known::SignedIn).into());
                }
                Taken::Ran(inbound) => return Ok(Answered::Replayed(rule, inbound)),
                Taken::Known(reply) => return Ok(Answered::Endpoint(reply.into())),
            }
        }
        self.way.at(Step::Dispatch);
        match rule.destination {
            Destination::Upstream => {
                let mut marks = claimed.as_ref().map(Claimed::marks).unwrap_or_default();
                marks.extend(consented.by().map(|by| ("x-confirmed-by", by.to_owned())));
                self.who.profile = profile::told(config, effects, admission.principal(), meta).await;
                let told = (&self.presented, &admission);
                let outbound = forward::outbound(config, rule, &self.forwarded, told, (self.stamps(), marks));
                let inbound = effects.upstream(outbound).await;
                if let Some(claimed) = claimed {
                    let came = inbound.as_ref().map_err(|fault| *fault);
                    self.event.idempotency = Some(outlined(claimed.settle(effects, came)).await?);
                }
                let inbound = inbound?;
                if config.development && self.event.idempotency.is_none() {
                    self.event.hint = origin_check::hint(effects, request, &inbound).await;
                }
                let browser = (&self.presented, self.ending(true));
                let begun =
                    login::by_upstream(config, effects, (rule, request), browser, (&inbound, meta)).await?;
                Ok(Answered::Upstream(rule, inbound, begun))
            }
            Destination::Endpoint(endpoint) => {
                let call = self.call(&admission);
                // Boxed, so that the requests which only pass do not carry what an endpoint may need.
                let answered = match endpoint {
                    Endpoint::Explain => outlined(dry_run::explain(call, effects)).await,
                    _ => outlined(endpoint::answer(endpoint, call, effects)).await,
                };
                if let Some(claimed) = claimed {
                    let reply = answered.as_ref().map(|answered| &answered.reply);
                    self.event.idempotency = Some(outlined(claimed.settle_own(effects, reply)).await);
                }
                let answered = answered?;
                (self.who.proved, self.who.detail) = (answered.proved.clone(), answered.detail.clone());
                Ok(Answered::Endpoint(answered))
            }
        }
    }
}
