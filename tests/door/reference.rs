//! The reference: what the documentation says about a request, step by step, without any cache.
//!
//! The steps have the numbers of `ARCHITECTURE.md`. `guards.rs` has those after the access check.

use super::{
    decision::{CookieCheck, Count, Decision, Door, Effect, Forwarded, Healing, Refusal, ToUpstream, View},
    identity::{Identity, Principal, identify, outside_scope},
    paths::Found,
    request::{HOST, Request},
    rules::{Access, LIMIT, LIMITS, Limit, Place, Rule, Setup},
};

/// A request, and what it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) door: &'a Door,
    pub(crate) request: &'a Request,
    pub(crate) found: &'a Found,
    pub(crate) rule: &'a Rule,
    /// What the stores say when the request arrives, and when its body has arrived.
    pub(crate) views: [&'a View; 2],
    pub(crate) now: i64,
    /// Whether limits count requests a fifth of the period longer. They may.
    pub(crate) counts_longer: bool,
}

/// A request under way.
pub(crate) struct Flow<'a> {
    pub(crate) case: Case<'a>,
    pub(crate) first: Option<Refusal>,
    is_csrf_reported: bool,
    pub(crate) is_unproven: bool,
    /// Whether the session cookie is withheld from upstream.
    is_withheld: bool,
    cookie_check: CookieCheck,
    pub(crate) decision: Decision,
}

/// The client, after the access check.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) principal: Option<Principal>,
    pub(crate) has_machine: bool,
    pub(crate) session: Option<usize>,
}

/// Decides about a request.
pub(crate) fn decide(case: Case<'_>) -> Decision {
    let decision = Decision {
        answer: Refusal::of(case.request.upstream, "allow", None),
        would_refuse: None,
        upstream: None,
        is_replayed: false,
        healing: Healing::Any,
        owner_lookups: 0,
        external: 0,
        reads_body: false,
        effects: Vec::new(),
    };
    let cookie_check = CookieCheck { view: 0, asks_registry: false, now: case.now };
    let mut flow = Flow {
        case,
        first: None,
        is_csrf_reported: false,
        is_unproven: false,
        is_withheld: false,
        cookie_check,
        decision,
    };
    let ran = flow.run();
    let admission = ran.as_ref().ok().cloned();
    if let Err(refusal) = ran {
        flow.decision.upstream = None;
        flow.decision.answer = refusal;
    } else if flow.first.is_some() {
        flow.decision.answer.code = "would_refuse";
    }
    flow.decision.would_refuse.clone_from(&flow.first);
    if !(case.rule.place == Place::BuiltIn && case.rule.path == "/api/auth/logout") {
        flow.decision.healing = flow.healing(admission.as_ref());
    }
    flow.decision
}

impl Flow<'_> {
    /// Returns whether all rules that servers may find only report their refusals.
    pub(crate) fn reports_all(&self) -> bool {
        self.case.found.all.iter().all(|rule| reports(&self.case.door.setup, rule))
    }

    /// Refuses the request, or only notes that.
    pub(crate) fn refuse(&mut self, step: &str, refusal: Refusal) -> Result<(), Refusal> {
        let setup = &self.case.door.setup;
        // Each rule reports it, or would not make this refusal.
        let reports_it = |rule: &Rule| {
            reports(setup, rule)
                || rule.place == Place::Upstream && (rule.report.contains(&step) || rule.lacks(step))
        };
        let limit = self.limit().is_some_and(|limit| limit.mode == "report") && step == "limit";
        if !limit && !self.case.found.all.iter().all(reports_it) {
            return Err(refusal);
        }
        // The client was refused, and not only the request.
        self.is_unproven |=
            ["csrf", "scope", "access"].contains(&step) || step == "identity" && refusal.status != 302;
        self.first.get_or_insert(refusal);
        Ok(())
    }

    /// Under a rule in report mode, no guard runs after the first refusal.
    pub(crate) fn skips(&self) -> bool {
        self.first.is_some() && self.reports_all()
    }

    pub(crate) fn limit(&self) -> Option<Limit> {
        LIMITS.into_iter().find(|limit| self.case.rule.limit == Some(limit.name))
    }

    pub(crate) fn needs_claim(&self) -> bool {
        self.case.rule.idempotency.is_some() && !self.case.request.is_safe()
    }

    fn run(&mut self) -> Result<Admission, Refusal> {
        let Case { request, rule, .. } = self.case;
        // 5. rate limit by address
        if self.limit().is_some_and(|limit| limit.by == "address") {
            self.count(0, request.address.to_owned())?;
        }
        // 6. CSRF check
        if !self.passes_csrf() {
            self.refuse("csrf", Refusal::of(403, "forbidden_origin", None))?;
            self.is_csrf_reported = true;
        }
        // 7 and 8. identity and access
        let mut admission = self.check(0)?;
        // 9. rate limit by principal
        if self.limit().is_some_and(|limit| limit.by == "principal") && !self.skips() {
            self.count(0, owner(admission.principal.as_ref(), request))?;
        }
        // the body, and then 7 and 8 again
        if self.reads_body(&admission) {
            self.decision.reads_body = true;
            let before = admission.principal;
            admission = self.check(1)?;
            let who = |principal: &Option<Principal>| principal.as_ref().map(|it| (it.user, it.agent));
            if before.is_some() && who(&before) != who(&admission.principal) {
                let reason = if before.is_some_and(|before| before.token.is_some()) {
                    "token_revoked"
                } else {
                    "session_revoked"
                };
                self.refuse("identity", Refusal::of(401, "unauthorized", Some(reason)))?;
                admission.principal = None;
            }
        }
        self.guard(&admission)?;
        if rule.place == Place::Upstream {
            let cookie = self.forwarded_cookie(admission.session);
            let to = ToUpstream {
                principal: admission.principal.clone(),
                operation: rule.operation,
                confirmed_by: None,
                cookie,
            };
            self.decision.upstream = Some(to);
            self.confirm_and_claim(&admission)?;
        } else {
            self.decision.answer.status = 200;
            self.built_in(&admission)?;
        }
        Ok(admission)
    }

    fn count(&mut self, view: usize, subject: String) -> Result<(), Refusal> {
        let Case { door, views, now, counts_longer, .. } = self.case;
        let limit = self.limit().expect("a limit");
        if views[view].state.failing.contains("Limiter") {
            let is_open = limit.on_failure == "open";
            return if is_open { Ok(()) } else { self.refuse("limit", Refusal::STORE) };
        }
        let since = now - if counts_longer { 72 } else { 60 };
        let is_counted =
            |count: &&Count| count.limit == limit.name && count.subject == subject && count.at > since;
        if door.counts.iter().filter(is_counted).count() >= LIMIT {
            return self.refuse("limit", Refusal::of(429, "rate_limited", None));
        }
        self.decision.effects.push(Effect::Counts { limit: limit.name, subject });
        Ok(())
    }

    fn passes_csrf(&self) -> bool {
        let Case { door, request, rule, .. } = self.case;
        let has_cookie = !request.cookies.is_empty();
        if request.is_safe() && !request.is_upgrade || rule.skips_csrf || request.has_bearer() && !has_cookie
        {
            return true;
        }
        let is_strict = rule.is_csrf_strict || door.setup.is_csrf_strict;
        match (request.site, request.origin) {
            (Some("same-origin" | "none"), _)
            | (_, Some("https://app.example" | "https://friend.example")) => true,
            (None, None) => !(has_cookie && is_strict),
            _ => false,
        }
    }

    /// Identifies the client and checks its access, with what the stores say now.
    fn check(&mut self, at: usize) -> Result<Admission, Refusal> {
        let Case { request, rule, found, views, .. } = self.case;
        let (view, now) = (views[at], self.case.now + if at == 1 { request.meanwhile.seconds } else { 0 });
        let is_login_page = found.path == "/login" && request.is_navigation();
        let asks = rule.access != Access::Public || is_login_page;
        self.cookie_check = CookieCheck { view: at, asks_registry: asks, now };
        let nobody = Identity { principal: Err("no_credential"), session: None, has_machine: false };
        let mut identity = match identify(view, request, asks, now) {
            Ok(identity) => identity,
            Err(_) if is_login_page => nobody.clone(),
            Err(refusal) if self.needs_claim() => return Err(refusal),
            Err(refusal) => {
                self.refuse("identity", refusal)?;
                self.is_withheld = true;
                nobody.clone()
            }
        };
        if self.is_csrf_reported {
            self.is_withheld = true;
            identity = nobody;
        }
        if is_login_page && identity.principal.is_ok() {
            let next = Some(if request.query == "?next=/a" { "/a" } else { "/" }.to_owned());
            let away = Refusal { location: next, ..Refusal::of(302, "redirect_from_login", None) };
            self.refuse("identity", away)?;
        }
        if rule.access != Access::Public
            && let Ok(principal) = &identity.principal
            && let Some(part) = outside_scope(principal, request, rule)
        {
            self.refuse("scope", Refusal::of(403, "forbidden_scope", Some(part)))?;
        }
        let ownership = self.ask_for_owner(&identity);
        if let Err(refusal) = ownership.and_then(|is_owner| self.access(&identity, is_owner, now)) {
            self.refuse("access", refusal)?;
        }
        let Identity { principal, has_machine, session } = identity;
        let principal = principal.ok().filter(|_| rule.access != Access::Public);
        Ok(Admission { principal, has_machine, session })
    }

    /// Asks upstream whether the user owns the entity, if that makes a difference.
    fn ask_for_owner(&mut self, identity: &Identity) -> Result<bool, Refusal> {
        let Case { request, rule, .. } = self.case;
        let Ok(Principal { user: Some(user), is_admin, .. }) = &identity.principal else { return Ok(false) };
        if rule.access != Access::Owner || *is_admin == Some(true) || self.skips() {
            return Ok(false);
        }
        self.decision.owner_lookups += 1;
        match request.owner {
            Ok(owner) => Ok(owner == *user),
            Err(404 | 410) => Err(Refusal::of(404, "not_found", None)),
            Err(_) => Err(Refusal::of(502, "upstream_failed", None)),
        }
    }

    /// Checks whether the client may use the rule.
    fn access(&self, identity: &Identity, is_owner: bool, now: i64) -> Result<(), Refusal> {
        let Case { rule, request, .. } = self.case;
        let principal = match (&identity.principal, rule.access) {
            (_, Access::Public) | (Err(_), Access::Optional) => return Ok(()),
            (Err(reason), _) => return Err(unauthorized(rule, request, "unauthorized", Some(reason))),
            (Ok(principal), _) => principal,
        };
        let is_user = principal.user.is_some();
        let is_admin = principal.is_admin == Some(true);
        let kind = Refusal::of(403, "forbidden_kind", None);
        match rule.access {
            Access::User | Access::Admin | Access::Owner if !is_user => return Err(kind),
            Access::Agent if is_user => return Err(kind),
            Access::Human if !is_user || principal.machine().is_some() || identity.has_machine => {
                return Err(Refusal::of(403, "forbidden_human_only", None));
            }
            Access::Admin if !is_admin => return Err(Refusal::of(403, "forbidden_role", None)),
            Access::Owner if !is_admin && !is_owner => return Err(Refusal::of(403, "forbidden_owner", None)),
            _ => {}
        }
        match (rule.recent, &principal.session) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Refusal::of(403, "forbidden_human_only", None)),
            (Some(recent), Some(session)) if now - session.authenticated <= recent => Ok(()),
            (Some(_), Some(_)) => Err(unauthorized(rule, request, "reauthentication_required", None)),
        }
    }

    fn forwarded_cookie(&self, session: Option<usize>) -> Forwarded {
        let Case { door, request, .. } = self.case;
        match &request.cookies[..] {
            [] => Forwarded::Unchanged,
            _ if !door.setup.forwards_credentials || self.is_withheld => Forwarded::None,
            [_, _, ..] if self.is_unasked_login_page() => Forwarded::Any,
            [_] if session.is_some() => Forwarded::Unchanged,
            [_] if self.revoked() => Forwarded::None,
            [_] => Forwarded::Any,
            _ => session.map_or(Forwarded::None, Forwarded::Only),
        }
    }

    fn is_unasked_login_page(&self) -> bool {
        let Case { request, found, views, .. } = self.case;
        found.path == "/login"
            && request.is_navigation()
            && views[self.cookie_check.view].state.failing.contains("Sessions")
    }

    /// Returns whether the registry has refused the only session.
    fn revoked(&self) -> bool {
        let Case { request, views, .. } = self.case;
        let CookieCheck { view: at, asks_registry: asks, now } = self.cookie_check;
        let identity = identify(views[at], &Request { authorization: None, ..request.clone() }, asks, now);
        identity.is_ok_and(|identity| identity.principal == Err("session_revoked"))
    }

    /// Returns what happens to the session cookie: the table in `docs/sessions.md`.
    fn healing(&self, admission: Option<&Admission>) -> Healing {
        let Case { door, request, rule, views, .. } = self.case;
        let CookieCheck { view: at, asks_registry: asks, now } = self.cookie_check;
        let count = request.cookies.len();
        let others = count > 1;
        let Ok(identity) =
            identify(views[at], &Request { authorization: None, ..request.clone() }, asks, now)
        else {
            return if others { Healing::Any } else { Healing::Nothing };
        };
        let is_reporting =
            if rule.place == Place::Upstream { self.reports_all() } else { door.setup.reports };
        match (count, identity.session) {
            (0, _) => Healing::Nothing,
            (_, Some(_)) if others => Healing::Sets { others },
            (_, Some(session)) => {
                let issued = views[at].state.sessions[session].issued;
                let status = self.decision.answer.status;
                let is_used = admission.is_some_and(|admission| {
                    admission.principal.as_ref().is_some_and(|principal| principal.session.is_some())
                });
                let is_due =
                    is_used && (200..400).contains(&status) && now - issued >= door.setup.refresh_after;
                // A remembered session may have ended: then its renewal sets no cookie.
                if is_due && door.setup.ttl > 0 {
                    return Healing::Any;
                }
                if is_due { Healing::Sets { others } } else { Healing::Nothing }
            }
            (_, None) if is_reporting => Healing::Nothing,
            (_, None) => Healing::Expires { others },
        }
    }
}

/// Whether a rule is in report mode as a whole.
fn reports(setup: &Setup, rule: &Rule) -> bool {
    rule.place == Place::Upstream && rule.mode.map_or(setup.reports, |mode| mode == "report")
}

/// Returns the owner of keys and of counts.
pub(crate) fn owner(principal: Option<&Principal>, request: &Request) -> String {
    match principal {
        Some(principal) => format!("{}:{}", principal.kind(), principal.id()),
        None => format!("address:{}", request.address),
    }
}

/// Returns the answer to a client that has to sign in: `docs/sessions.md`, requests without a session.
fn unauthorized(rule: &Rule, request: &Request, code: &'static str, reason: Option<&'static str>) -> Refusal {
    let is_framed = request.dest.is_some_and(|dest| ["iframe", "frame", "object", "embed"].contains(&dest));
    let stays = rule.place != Place::Upstream
        || rule.unauthenticated == Some("401")
        || is_framed && rule.unauthenticated != Some("redirect");
    let origin = format!("https://{HOST}");
    let is_own_form = request.method == "POST"
        && request.wants_page()
        && (request.mode.is_some() || !request.has_bearer())
        && match (request.site, request.origin, request.referer) {
            (Some(site), _, _) => site == "same-origin",
            (None, Some(from), _) => from == origin,
            (None, None, Some(referer)) => referer.starts_with(&format!("{origin}/")),
            (None, None, None) => false,
        };
    let (to, start) = match code {
        "unauthorized" => ("redirect_to_login", "/login?next="),
        _ => ("redirect_to_reauthenticate", "/login?reason=reauthenticate&next="),
    };
    let refusal = Refusal::of(401, code, reason);
    match () {
        () if stays => refusal,
        () if request.is_navigation() => {
            Refusal { status: 302, code: to, location: Some(start.to_owned()), ..refusal }
        }
        () if is_own_form => Refusal { status: 303, code: to, location: Some(start.to_owned()), ..refusal },
        () => refusal,
    }
}
