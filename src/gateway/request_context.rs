//! Creates the context of a request, and the views of it that other modules need.

use super::intake::Body;
use crate::{
    accounts::pages::PageFile,
    approvals::approval::{ApprovalIds, ApprovalPassed},
    audit::trail::{AuditRecord, AuditRecorded},
    config::Config,
    gateway::endpoints::{Call, CallContext},
    guards::{GuardsPassed, limits::RateLimitState},
    http::{
        header_filter::ForwardedRequest,
        path::{CanonicalPath, settle_query},
        request::Request,
    },
    identity::{access::Admission, call, csrf::CsrfPassed, principal::Principal, token_scope::TokenScope},
    platform::{
        effects::{BodyError, UpstreamResponse},
        event::{Event, RequestMeta, WouldRefuse},
        step::StepTracker,
    },
    responses::refusal::{self, DenialContext},
    routing::{
        report::{Mode, Reports},
        rule::{Destination, Rule},
    },
    sessions::{
        cookies::{self, Browser, CookieContext, SessionCookies},
        registry::Profile,
    },
    upstream::forward::IdentityHeaders,
};

/// A request, and what the steps so far have found out about it.
pub(super) struct RequestContext<'a> {
    pub(super) config: &'a Config,
    pub(super) request: &'a Request<'a>,
    pub(super) forwarded: ForwardedRequest<'a>,
    pub(super) meta: RequestMeta<'a>,
    pub(super) rule: Option<&'a Rule>,
    pub(super) target: String,
    pub(super) session_cookies: SessionCookies<'a>,
    pub(super) body: Option<Result<String, BodyError>>,
    /// The state of the rate limit that counted this request.
    pub(super) rate_limit: Option<RateLimitState>,
    pub(super) tracker: StepTracker,
    pub(super) reports: Reports,
    pub(super) facts: Facts,
    pub(super) event: Event<'a>,
}

/// A request that passed every check and may run under its rule.
pub(super) struct Admitted<'a> {
    pub(super) rule: &'a Rule,
    pub(super) admission: Admission,
    pub(super) body: Body,
    pub(super) approved: ApprovalPassed,
    pub(super) _proofs: (GuardsPassed, AuditRecorded),
}

/// The outcome of `dispatch`: an answer, by its source.
pub(super) enum DispatchOutcome<'a, R> {
    /// Upstream, with the `Set-Cookie` lines of a session that its answer started.
    Upstream(&'a Rule, UpstreamResponse<R>, Option<Vec<String>>),
    /// The ledger, with the stored answer of upstream or of an endpoint.
    Replayed(&'a Rule, UpstreamResponse<R>),
    /// A file of the pages of Vestibule.
    Page(PageFile, UpstreamResponse<R>),
    /// A reply of Vestibule's own.
    Endpoint(call::EndpointResponse),
}

/// A request that has a rule and has passed the CSRF check.
#[derive(Clone, Copy)]
pub(super) struct Matched<'a, 'b> {
    pub(super) rule: &'a Rule,
    pub(super) path: &'b CanonicalPath<'b>,
    pub(super) csrf_passed: CsrfPassed,
}

/// Facts for the audit record, and the profile for upstream.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) principal: Option<Principal>,
    /// The scope of the request's token, in a dry run.
    pub(super) scope: Option<TokenScope>,
    /// What the endpoint reported.
    pub(super) audit: call::AuditFacts,
    /// The approval that a person gave to this request.
    pub(super) approval: Option<ApprovalIds>,
    /// Name and e-mail address of the user, for upstream.
    pub(super) profile: Option<Profile>,
}

impl<'a> RequestContext<'a> {
    /// Starts the context of a request, before any check.
    pub(super) fn new(config: &'a Config, request: &'a Request<'a>, meta: RequestMeta<'a>) -> Self {
        let event = Event::new(meta.request_id, request.method);
        let cookies = request.headers.value("cookie").unwrap_or_default();
        // Read the cookies first, so that an invalid one is expired whatever the answer is.
        let session_cookies =
            cookies::read(&config.sessions.policy, &config.sessions.keys, cookies, meta.now);
        Self {
            config,
            request,
            forwarded: ForwardedRequest::of(request),
            meta,
            rule: None,
            target: String::new(),
            session_cookies,
            body: None,
            rate_limit: None,
            tracker: StepTracker::default(),
            reports: Reports::default(),
            facts: Facts::default(),
            event,
        }
    }

    /// Returns what the audit trail records of this request, except for the decision.
    pub(super) fn audit_record<'b>(&'b self, rule: &'b Rule) -> AuditRecord<'b> {
        let Facts { principal, audit, approval, .. } = &self.facts;
        AuditRecord {
            rule,
            method: self.request.method,
            target: &self.target,
            principal: principal.as_ref(),
            user: audit.user.as_deref(),
            address: self.request.headers.value("cf-connecting-ip"),
            confirmed_by: approval.as_ref().map(|ids| ids.by.as_str()),
            confirmation_id: approval.as_ref().map(|ids| ids.act.as_str()),
            detail: audit.detail.as_deref(),
            would_refuse: self.event.would_refuse.as_ref(),
        }
    }

    /// Sets the target: the canonical path with the query.
    pub(super) fn set_target(&mut self, path: &CanonicalPath<'_>) {
        let Self { config, request, .. } = *self;
        let is_unchanged = config.upstream.application.keeps_public_name() && path.as_str() == request.path;
        let query = if is_unchanged { request.query.into() } else { settle_query(request.query) };
        self.target.reserve_exact(path.as_str().len().saturating_add(query.len()));
        self.target.push_str(path.as_str());
        self.target.push_str(&query);
    }

    /// Returns what refusals depend on.
    pub(super) fn denial(&self) -> DenialContext<'a> {
        let Self { config, request, meta, rule, .. } = *self;
        DenialContext { config, request, meta, rule }
    }

    /// Writes the first refusal that was only reported into the log event, as the client would have got it.
    pub(super) fn log_reported(&mut self) {
        let Some(refused) = self.reports.take_first() else { return };
        let mut event = Event::new(self.meta.request_id, self.request.method);
        let (reply, _) = refusal::respond_early(self.denial(), refused.early, &self.target, &mut event);
        let Event { decision: code, reason, agent_token, .. } = event;
        self.event.agent_token = self.event.agent_token.or(agent_token);
        self.event.would_refuse =
            Some(WouldRefuse { code, reason, status: reply.status, step: refused.step });
    }

    /// Returns whether invalid session cookies are left as they are: in report mode, a wrong setting signs nobody out.
    pub(super) fn leaves_cookies(&self) -> bool {
        match self.rule {
            Some(rule) if rule.destination == Destination::Upstream => self.reports.is_of_whole_rule(),
            _ => self.config.mode == Mode::Report,
        }
    }

    /// Returns the view of this request that endpoints get.
    pub(super) fn call<'b>(&'b self, admission: &'b Admission) -> Call<'b> {
        let Self { config, request, meta, target, .. } = self;
        let cx = CallContext { config, browser: self.browser() };
        Call { cx, request, target, meta: *meta, body: self.body.as_ref(), admission }
    }

    /// Returns the parts of the identity headers that do not depend on the admission.
    pub(super) fn identity_headers(&self) -> IdentityHeaders<'_> {
        let RequestMeta { request_id, now, .. } = self.meta;
        IdentityHeaders { target: &self.target, request_id, now, profile: self.facts.profile.as_ref() }
    }

    /// Returns the browser's session cookies, and how they are written if the request succeeds.
    pub(super) fn browser(&self) -> Browser<'_> {
        Browser { cookies: &self.session_cookies, context: self.cookie_context(true) }
    }

    /// Returns what decides how session cookies are written.
    pub(super) fn cookie_context(&self, succeeded: bool) -> CookieContext<'a> {
        let Self { config, request, .. } = *self;
        let secure = config.site.secure_cookies(request.scheme, request.authority);
        CookieContext { succeeded, authority: request.authority, path: request.path, secure }
    }
}
