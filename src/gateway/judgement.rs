//! Steps 7 and 8: identity and access, as they are now, each time.
//!
//! A client whose body is read is judged twice: before, so that no body is read for a client that may not come in, and
//! after, because the client decides how long reading takes.

use super::{RequestContext, request_context::Matched};
use crate::{
    access::{self, Admission},
    effects::Effects,
    identity::{self, Asking},
    intake::{self, Body, Standing},
    limits, ownership,
    principal::{Actor, Principal},
    problem::{Reason, Rejection},
    refusal::EarlyResponse,
    rule::{Access, Audit},
    sent_to_login, session,
    step::Step,
};

/// A request that was let in: its admission, and the parts of its body that later steps need.
pub(super) struct LetIn {
    pub(super) admission: Admission,
    pub(super) body: Body,
}

impl<'a> RequestContext<'a> {
    /// Judges the client, applies the limit, and judges it again after its body was read. The request goes on as the principal
    /// of that moment, who must be the same one as before.
    pub(super) async fn let_in<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<LetIn, EarlyResponse> {
        let Self { config, request, .. } = *self;
        let mut read = None;
        loop {
            let admission = self.judge(effects, matched).await?;
            if let Some((body, before)) = read {
                self.same(before, &admission)?;
                return Ok(LetIn { admission, body });
            }
            // 9. too many of them?
            self.way.at(Step::PrincipalLimit);
            let whom = (request, admission.principal());
            let counted = limits::by_principal(config, effects, matched.rule, whom).await?;
            self.counted = self.counted.or(counted);
            let intake = intake::read(config, effects, matched.rule, request, &self.way, admission).await?;
            read = match intake.standing {
                Standing::Holds(admission) => return Ok(LetIn { admission, body: intake.body }),
                Standing::WasRead(before) => Some((intake.body, before)),
            };
        }
    }

    /// Judges the client as if the request had arrived now.
    async fn judge<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<Admission, EarlyResponse> {
        let Matched { rule, path, same_site } = matched;
        let Self { config, request, .. } = *self;
        let mut meta = self.meta.after(effects.elapsed());
        // A test's fixed clock stays fixed.
        meta.now = config.fixed_now.unwrap_or(meta.now);
        if meta.now > self.meta.now {
            // Its session may have expired in the meantime.
            let cookies = request.headers.value("cookie").unwrap_or_default();
            self.presented = session::present(&config.session, &config.keys, cookies, meta.now);
        }
        self.event.principal = None;
        // 7. identify: cookie, then bearer, then nobody
        self.way.at(Step::Identity);
        let at_login = path.as_str() == config.return_path.login && request.is_navigation();
        let asked = (Asking::of(rule, at_login), request, meta);
        let identity = identity::establish(config, effects, &mut self.presented, asked).await?;
        let is_away = || !sent_to_login::asks_to_sign_in(config, request, self.meta.now);
        if at_login && identity.principal.is_ok() && is_away() {
            return Err(EarlyResponse::SignedIn(config.return_path.asked_for(request)));
        }
        // Under a public rule the session was not checked: a cookie alone is not enough to name a user.
        if rule.access != Access::Public && (rule.audit != Audit::Off || effects.as_dry_run().is_some()) {
            // Record the principal from before the body was read, even if it is no longer signed in.
            self.who.principal = identity.principal.as_ref().ok().cloned().or(self.who.principal.take());
        }
        // 8. access
        self.way.at(Step::Access);
        let ownership =
            ownership::establish(config, effects, rule, (request, path), &identity, self.stamps()).await?;
        let admission = access::admit(rule.access, same_site, identity, ownership)?;
        self.event.principal = admission.principal().map(Principal::kind);
        Ok(admission)
    }

    /// Checks that the principal is the one from before the body was read.
    fn same(&mut self, before: Option<Principal>, admission: &Admission) -> Result<(), Rejection> {
        let Some(before) = before else { return Ok(()) };
        if admission.principal().is_some_and(|now| now.who == before.who) {
            return Ok(());
        }
        self.way.at(Step::Identity);
        self.event.principal = None;
        Err(Rejection::Unauthorized(match before.actor {
            Actor::Session { .. } => Reason::SessionRevoked,
            Actor::Token { .. } => Reason::TokenRevoked,
        }))
    }
}
