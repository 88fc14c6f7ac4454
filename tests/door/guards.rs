//! The steps after the access check: guards, approval, audit row and claim.

use super::{
    decision::{ApprovalState, Effect, Refusal},
    identity::Principal,
    reference::{Admission, Case, Flow, owner},
    request::{Confirmation, HOST, Request},
    rules::Place,
};

const OPEN: i64 = 600;

impl Flow<'_> {
    /// Returns whether a later step needs the body.
    pub(crate) fn reads_body(&self, admission: &Admission) -> bool {
        let Case { request, rule, .. } = self.case;
        if rule.place != Place::Upstream {
            return false;
        }
        let is_unsafe = !request.is_safe();
        let is_field = rule.return_field.is_some() && is_unsafe;
        let is_bot = rule.bot_check.is_some() && is_unsafe && request.bot_header.is_none();
        let is_key = self.needs_claim() && request.key.is_some();
        let is_preview = rule.confirm && is_machine(admission) && self.ineligible(admission).is_none();
        (is_field || is_bot || is_preview) && !self.skips() || is_key
    }

    /// 9. the other guards
    pub(crate) fn guard(&mut self, admission: &Admission) -> Result<(), Refusal> {
        let Case { request, rule, views, .. } = self.case;
        let state = &views[usize::from(self.decision.reads_body)].state;
        let is_down = |what| state.failing.contains(what);
        if let Some(name) = rule.return_field.filter(|_| !self.skips()) {
            let in_query = request.query.strip_prefix(&format!("?{name}="));
            let in_body = request.field.filter(|_| !request.is_safe());
            if in_query.into_iter().chain(in_body).any(|value| value.starts_with("https://evil")) {
                self.refuse("return_field", Refusal::of(400, "invalid_body", None))?;
            }
        }
        if let Some(action) = rule.bot_check.filter(|_| !self.skips()) {
            let token = request.bot_header.or(request.bot_field.filter(|_| !request.is_safe()));
            self.decision.external += usize::from(token.is_some());
            let reason = match token {
                None => Some("missing"),
                Some(_) if is_down("external") => Some("unavailable"),
                Some("spent") => Some("spent"),
                Some(token) if !token.starts_with("good-") => Some("rejected"),
                Some(token) => (token != format!("good-{action}")).then_some("action"),
            };
            if reason.is_some() {
                self.refuse("bot_check", Refusal::of(403, "bot_check_failed", reason))?;
            }
        }
        if let Some(feature) = rule.feature.filter(|_| !self.skips()) {
            let id = admission.principal.as_ref().map(Principal::id);
            if is_down("KV") {
                self.refuse("feature", Refusal::STORE)?;
            } else if !(feature == "on" || feature == "listed" && id.is_some_and(|id| LISTED.contains(&id))) {
                self.refuse("feature", Refusal::of(403, "feature_disabled", None))?;
            }
        }
        if let Some(policy) = rule.policy.filter(|_| !self.skips()) {
            self.decision.external += 1;
            let is_admin = admission.principal.as_ref().is_some_and(|it| it.is_admin == Some(true));
            let refusal = match policy {
                _ if is_down("external") => Some(Refusal::of(403, "forbidden_policy", Some("unavailable"))),
                "fail" => Some(Refusal::of(402, "policy_answered", None)),
                "no" => Some(Refusal::of(403, "forbidden_policy", Some("policy"))),
                "admins" if !is_admin => Some(Refusal::of(403, "forbidden_policy", Some("policy"))),
                _ => None,
            };
            if let Some(refusal) = refusal {
                self.refuse("policy", refusal)?;
            }
        }
        Ok(())
    }

    /// Returns why no person can be asked about a request.
    fn ineligible(&self, admission: &Admission) -> Option<Refusal> {
        let Case { request, rule, .. } = self.case;
        let has_session = admission.principal.as_ref().is_some_and(|it| it.session.is_some());
        let has_several = admission.principal.as_ref().is_some_and(|it| it.machine().is_none());
        match () {
            () if has_session || has_several || request.is_upgrade => {
                Some(Refusal::of(403, "forbidden_human_only", None))
            }
            () if rule.idempotency == Some("required") && self.needs_claim() && request.key.is_none() => {
                Some(Refusal::of(400, "idempotency_key_missing", None))
            }
            // It is no id at all, so the body is not read for it.
            () if request.confirmation == Some(Confirmation::Unknown) => {
                Some(Refusal::of(403, "confirmation_invalid", Some("unknown")))
            }
            () => None,
        }
    }

    /// 10. a person's approval, the audit row, and 11. the claim
    pub(crate) fn confirm_and_claim(&mut self, admission: &Admission) -> Result<(), Refusal> {
        let Case { rule, views, .. } = self.case;
        let state = &views[usize::from(self.decision.reads_body)].state;
        let mut is_expired = false;
        if rule.confirm && is_machine(admission) && !self.skips() {
            match self.ineligible(admission) {
                Some(refusal) => self.refuse("confirm", refusal)?,
                None => is_expired = self.confirm(admission)?,
            }
        }
        if rule.audit == Some("required") && state.failing.contains("Audit") {
            return Err(Refusal::STORE);
        }
        if self.needs_claim() {
            self.claim(admission, is_expired)?;
        }
        Ok(())
    }

    /// Returns whether the approval was used, and is too old for another run.
    fn confirm(&mut self, admission: &Admission) -> Result<bool, Refusal> {
        let Case { door, request, now, views, .. } = self.case;
        let now = now + if self.decision.reads_body { request.meanwhile.seconds } else { 0 };
        let state = &views[usize::from(self.decision.reads_body)].state;
        let token =
            admission.principal.as_ref().and_then(|it| it.token.as_ref()).expect("a machine has a token");
        let fingerprint = self.bound();
        let invalid = |reason| Refusal::of(403, "confirmation_invalid", Some(reason));
        let required = Refusal::of(403, "confirmation_required", None);
        let is_reported = self.reports_step("confirm");
        if state.failing.contains("Confirmations") && !(is_reported && request.confirmation.is_none()) {
            self.refuse("confirm", Refusal::STORE)?;
            return Ok(false);
        }
        let Some(Confirmation::Of(id)) = &request.confirmation else {
            if request.confirmation.is_some() {
                self.refuse("confirm", invalid("unknown"))?;
            } else {
                if !is_reported {
                    self.decision.effects.push(Effect::AsksForApproval { token: token.id, fingerprint });
                }
                self.refuse("confirm", required)?;
            }
            return Ok(false);
        };
        let found =
            door.approvals.iter().position(|approval| approval.id == *id && approval.token == token.id);
        let Some(at) = found else { return self.refuse("confirm", invalid("unknown")).map(|()| false) };
        let approval = &door.approvals[at];
        let is_over = now >= approval.created + OPEN;
        let refusal = match approval.state {
            ApprovalState::Pending | ApprovalState::Approved if is_over => invalid("expired"),
            _ if approval.fingerprint != fingerprint => invalid("changed"),
            ApprovalState::Pending => required,
            ApprovalState::Rejected => invalid("rejected"),
            ApprovalState::Used(key) if key.is_none() || key != request.key || !self.needs_claim() => {
                invalid("used")
            }
            ApprovalState::Approved | ApprovalState::Used(_) if !self.may_still_decide() => {
                self.decision.effects.push(Effect::Withdraws { approval: at });
                invalid("withdrawn")
            }
            ApprovalState::Approved | ApprovalState::Used(_) => {
                let key = request.key.filter(|_| self.needs_claim());
                self.decision.effects.push(Effect::Uses { approval: at, key });
                self.decision.upstream.as_mut().expect("forwarded").confirmed_by = Some("root");
                return Ok(is_over);
            }
        };
        self.refuse("confirm", refusal).map(|()| false)
    }

    /// The user who approved is the admin `root`.
    fn may_still_decide(&self) -> bool {
        let state = &self.case.views[1].state;
        state.user("root").is_some_and(|user| user.is_active && user.is_admin)
    }

    pub(crate) fn reports_step(&self, step: &str) -> bool {
        let all = &self.case.found.all;
        self.reports_all() || all.iter().all(|rule| rule.report.contains(&step) || rule.lacks(step))
    }

    /// Returns what distinguishes a request for the ledger.
    fn fingerprint(&self) -> String {
        let Request { method, query, .. } = self.case.request;
        format!("{HOST} {method} {}{query} {}", self.case.found.path, self.case.request.body())
    }

    /// Returns what an approval is bound to.
    fn bound(&self) -> String {
        format!("{} {}", self.fingerprint(), self.case.request.cookies.is_empty())
    }

    fn claim(&mut self, admission: &Admission, is_expired: bool) -> Result<(), Refusal> {
        let Case { door, request, rule, views, .. } = self.case;
        let Some(key) = request.key else {
            let is_required = rule.idempotency == Some("required");
            return if is_required { Err(Refusal::of(400, "idempotency_key_missing", None)) } else { Ok(()) };
        };
        if views[1].state.failing.contains("Ledger") {
            return Err(Refusal::STORE);
        }
        let mut owner = owner(admission.principal.as_ref(), request);
        if self.is_unproven && admission.principal.is_none() {
            // In report mode: its address and its credentials as sent.
            owner = format!("{owner} {:?} {:?}", request.cookies, request.authorization);
        }
        let fingerprint = self.fingerprint();
        let earlier = door.runs.iter().find(|run| run.owner == owner && run.key == key);
        match earlier {
            Some(run) if run.fingerprint != fingerprint => {
                return Err(Refusal::of(422, "idempotency_key_reused", None));
            }
            Some(run) => {
                self.decision.is_replayed = true;
                self.decision.answer.status = run.status;
                self.decision.upstream = None;
            }
            None if is_expired => return Err(Refusal::of(403, "confirmation_invalid", Some("expired"))),
            None if matches!(request.upstream, 200 | 404) => {
                self.decision.effects.push(Effect::Runs {
                    owner,
                    key,
                    fingerprint,
                    status: request.upstream,
                });
            }
            None => {}
        }
        Ok(())
    }

    /// 12. the endpoints
    pub(crate) fn built_in(&mut self, admission: &Admission) -> Result<(), Refusal> {
        let Case { request, rule, views, .. } = self.case;
        if rule.place == Place::WrongMethod {
            return Err(Refusal::of(405, "method_not_allowed", None));
        }
        let is_down = views[0].state.failing.contains("Sessions") && views[0].has_registry;
        match rule.path.as_str() {
            "/api/auth/logout" => {
                self.decision.answer.status = if request.wants_page() { 303 } else { 204 };
                if let Some(session) = admission.session {
                    if is_down {
                        return Err(Refusal::STORE);
                    }
                    self.decision.effects.push(Effect::SignsOut(session));
                }
            }
            "/api/sessions" if is_down => return Err(Refusal::STORE),
            _ => {}
        }
        Ok(())
    }
}

/// Returns whether the request has a machine's credential.
fn is_machine(admission: &Admission) -> bool {
    admission.principal.as_ref().is_some_and(|it| admission.has_machine || it.machine().is_some())
}

/// The principals for whom the feature `listed` is open.
pub(crate) const LISTED: [&str; 2] = ["ada", "agt_own"];
