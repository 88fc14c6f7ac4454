//! Steps 7 and 8: who asks, and whether they may. As of now, each time.

use super::{Visit, visit::Matched};
use crate::{
    access::{self, Admission},
    effects::Effects,
    identity::{self, Asking},
    intake::Admitted,
    ownership,
    principal::{Actor, Principal},
    problem::{Reason, Rejection},
    refusal::Turned,
    rule::{Access, Audit},
    session,
    step::Step,
};

impl<'a> Visit<'a> {
    /// Judges whoever asks, as though the request had come in now.
    pub(super) async fn judge<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<Admission, Turned> {
        let Matched { rule, path, same_site } = matched;
        let Self { config, request, .. } = *self;
        let mut moment = self.moment.after(effects.elapsed());
        // A clock that a test has stopped stands still.
        moment.now = config.fixed_now.unwrap_or(moment.now);
        if moment.now > self.moment.now {
            // What it presents may have expired meanwhile.
            let cookies = request.headers.value("cookie").unwrap_or_default();
            self.presented = session::present(&config.session, &config.keys, cookies, moment.now);
        }
        self.event.principal = None;
        // 7. identify: cookie, then bearer, then nobody
        self.way.at(Step::Identity);
        let at_login = path.as_str() == config.return_path.login && request.is_navigation();
        let asked = (Asking::of(rule, at_login), request, moment);
        let identity = identity::establish(config, effects, &mut self.presented, asked).await?;
        if at_login && identity.principal.is_ok() {
            return Err(Turned::SignedIn(config.return_path.asked_for(request)));
        }
        // Under a public rule nobody was asked for: a cookie's word is not enough to name somebody.
        if rule.access != Access::Public && (rule.audit != Audit::Off || effects.rehearsal().is_some()) {
            // Who was known when a body was awaited is told of although they are nobody any more.
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

    /// Judges whoever asks again, where a body was read since they were admitted. They go on as what they are now;
    /// somebody else does not go on in their place.
    pub(super) async fn judge_again<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
        admitted: Admitted,
    ) -> Result<Admission, Turned> {
        let before = match admitted {
            Admitted::Still(admission) => return Ok(admission),
            Admitted::Before(principal) => principal,
        };
        let admission = Box::pin(self.judge(effects, matched)).await?;
        match (before, admission.principal()) {
            (None, _) => Ok(admission),
            (Some(before), Some(now)) if before.who == now.who => Ok(admission),
            (Some(before), _) => {
                self.way.at(Step::Identity);
                self.event.principal = None;
                let reason = match before.actor {
                    Actor::Session { .. } => Reason::SessionRevoked,
                    Actor::Token { .. } => Reason::TokenRevoked,
                };
                Err(Rejection::Unauthorized(reason).into())
            }
        }
    }
}
