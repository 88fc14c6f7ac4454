//! Creates the context of a request, and the views of it that other modules need.

use super::RequestContext;
use crate::{
    audit::trail::AuditRecord,
    config::Config,
    gateway::endpoint::Call,
    http::{hygiene::ForwardedRequest, path::CanonicalPath, request::Request},
    identity::{access::Admission, csrf::SameSite, principal::Principal},
    platform::{
        event::{Event, RequestMeta},
        step::StepTracker,
    },
    routing::rule::Rule,
    sessions::{
        cookies::{self, CookieContext},
        registry::Profile,
    },
    upstream::forward::IdentityHeaders,
};

/// A request that has a rule and has passed the cross-site check.
#[derive(Clone, Copy)]
pub(super) struct Matched<'a, 'b> {
    pub(super) rule: &'a Rule,
    pub(super) path: &'b CanonicalPath<'b>,
    pub(super) same_site: SameSite,
}

/// Facts for the audit record, and the profile for upstream.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) principal: Option<Principal>,
    /// Id of a user who authenticates with this request.
    pub(super) proved: Option<String>,
    /// User who approved the request, and the approval's id.
    pub(super) confirmed: Option<(String, String)>,
    /// Details of what an endpoint changed.
    pub(super) detail: Option<String>,
    /// Name and e-mail address of the user, for upstream.
    pub(super) profile: Option<Profile>,
}

impl<'a> RequestContext<'a> {
    /// Starts the context of a request, before any check.
    pub(super) fn new(config: &'a Config, request: &'a Request<'a>, meta: RequestMeta<'a>) -> Self {
        let event = Event::new(meta.request_id, request.method);
        let cookies = request.headers.value("cookie").unwrap_or_default();
        // Read the cookies first, so that an invalid one is expired whatever the answer is.
        let session_cookies = cookies::present(&config.session, &config.keys, cookies, meta.now);
        Self {
            config,
            request,
            forwarded: ForwardedRequest::of(request),
            meta,
            rule: None,
            target: String::new(),
            session_cookies,
            body: None,
            counted: None,
            tracker: StepTracker::default(),
            facts: Facts::default(),
            event,
        }
    }

    /// Returns what the audit trail records of this request, except for the decision.
    pub(super) fn audit_record<'b>(&'b self, rule: &'b Rule) -> AuditRecord<'b> {
        let Facts { principal, proved, confirmed, detail, .. } = &self.facts;
        AuditRecord {
            rule,
            method: self.request.method,
            target: &self.target,
            principal: principal.as_ref(),
            proved: proved.as_deref(),
            address: self.request.headers.value("cf-connecting-ip"),
            confirmed: confirmed.as_ref().map(|(by, id)| (by.as_str(), id.as_str())),
            detail: detail.as_deref(),
        }
    }

    /// Returns the view of this request that endpoints get.
    pub(super) fn call<'b>(&'b self, admission: &'b Admission) -> Call<'b> {
        let Self { config, request, meta, session_cookies: presented, target, .. } = self;
        let (body, ending) = (self.body.as_ref(), self.cookie_context(true));
        Call { config, request, target, meta: *meta, presented, body, admission, ending }
    }

    /// Returns the parts of the identity headers that do not depend on the admission.
    pub(super) fn identity_headers(&self) -> IdentityHeaders<'_> {
        let RequestMeta { request_id, now, .. } = self.meta;
        IdentityHeaders { target: &self.target, request_id, now, profile: self.facts.profile.as_ref() }
    }

    /// Returns what decides how session cookies are written.
    pub(super) fn cookie_context(&self, succeeded: bool) -> CookieContext<'a> {
        let Self { config, request, .. } = *self;
        let secure = config.secure_cookies(request.scheme, request.authority);
        CookieContext { succeeded, authority: request.authority, path: request.path, secure }
    }
}
