//! A visit's beginning, and what the parts of the flow are shown of it.

use super::RequestContext;
use crate::{
    access::Admission,
    config::Config,
    context::Request,
    csrf::SameSite,
    endpoint::Call,
    event::{Event, RequestMeta},
    forward::IdentityHeaders,
    hygiene::ForwardedRequest,
    path::CanonicalPath,
    principal::Principal,
    registry::Profile,
    rule::Rule,
    session::{self, CookieContext},
    step::StepTracker,
    trail::AuditRecord,
};

/// A request whose rule is found and that passed the cross-site check.
#[derive(Clone, Copy)]
pub(super) struct Matched<'a, 'b> {
    pub(super) rule: &'a Rule,
    pub(super) path: &'b CanonicalPath<'b>,
    pub(super) same_site: SameSite,
}

/// Who did it, for the trail.
#[derive(Default)]
pub(super) struct Who {
    pub(super) principal: Option<Principal>,
    /// A user who proves who they are by this request.
    pub(super) proved: Option<String>,
    /// Who has consented, and to which act.
    pub(super) confirmed: Option<(String, String)>,
    /// What was changed of ours.
    pub(super) detail: Option<String>,
    /// What upstream gets about a user besides their id.
    pub(super) profile: Option<Profile>,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(config: &'a Config, request: &'a Request<'a>, meta: RequestMeta<'a>) -> Self {
        let event = Event::new(meta.request_id, request.method);
        let cookies = request.headers.value("cookie").unwrap_or_default();
        // Read at once: whatever turns a request away, its cookie is healed.
        let presented = session::present(&config.session, &config.keys, cookies, meta.now);
        Self {
            config,
            request,
            forwarded: ForwardedRequest::of(request),
            meta,
            rule: None,
            target: String::new(),
            presented,
            body: None,
            counted: None,
            way: StepTracker::default(),
            who: Who::default(),
            event,
        }
    }

    pub(super) fn deed<'b>(&'b self, rule: &'b Rule) -> AuditRecord<'b> {
        let Who { principal, proved, confirmed, detail, .. } = &self.who;
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

    pub(super) fn call<'b>(&'b self, admission: &'b Admission) -> Call<'b> {
        let Self { config, request, meta, presented, target, .. } = self;
        let (body, ending) = (self.body.as_ref(), self.ending(true));
        Call { config, request, target, meta: *meta, presented, body, admission, ending }
    }

    pub(super) fn stamps(&self) -> IdentityHeaders<'_> {
        let RequestMeta { request_id, now, .. } = self.meta;
        IdentityHeaders { target: &self.target, request_id, now, profile: self.who.profile.as_ref() }
    }

    pub(super) fn ending(&self, succeeded: bool) -> CookieContext<'a> {
        let Self { config, request, .. } = *self;
        let secure = config.secure_cookies(request.scheme, request.authority);
        CookieContext { succeeded, authority: request.authority, path: request.path, secure }
    }
}
