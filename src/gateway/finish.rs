//! Step 13, for every answer: cookies, caches, hygiene, one event.

use std::borrow::Cow;

use super::{Answered, RequestContext};
use crate::{
    claim,
    context::Headers,
    effects::{Answer, Effects, Reply},
    endpoint,
    event::Event,
    identity, login,
    outline::outlined,
    problem::{Reason, Rejection},
    refusal::{self, DenialContext, EarlyResponse},
    response,
    rule::{Audit, Destination, Rule},
    sent_to_login, shadowed, trail,
};

impl<'a> RequestContext<'a> {
    /// Dresses what is to be answered, and tells what happened.
    pub(super) async fn finish<E: Effects>(
        mut self,
        outcome: Result<Answered<'a, E::Response>, EarlyResponse>,
        effects: &E,
    ) -> (Answer<E::Response>, Event<'a>) {
        let timing = |upstream_ms| response::timing(self.config, effects.elapsed(), upstream_ms);
        self.event.duration_ms = effects.elapsed();
        let host = self.request.authority;
        if self.config.is_unlisted_host(host) && effects.memory().is_new_unlisted_host(host) {
            self.event.unlisted_host = Some(host);
        }
        let asked = (self.request, self.event.principal.is_some());
        let answer = match outcome {
            Ok(Answered::Upstream(rule, inbound, begun)) => {
                self.event.status = inbound.status;
                self.event.upstream_ms = Some(inbound.elapsed_ms);
                let timing = timing(self.event.upstream_ms);
                let headers = inbound.headers();
                let cookies = match begun {
                    Some(cookies) => (cookies, true),
                    None if response::sets_session(self.config, &headers) => (Vec::new(), false),
                    None => {
                        let mut cookies = self.session_cookies(effects, inbound.is_success()).await;
                        cookies.extend(self.sent_to_login(rule, inbound.status, &headers));
                        (cookies, false)
                    }
                };
                self.event.cookies_changed = cookies.0.len();
                let came = (inbound.status, &headers);
                let mut edits = response::relay(self.config, rule, asked, came, cookies);
                if self.event.idempotency == Some(claim::UNREGISTERED) {
                    edits.set.push(("x-vestibule-checkout", Cow::Borrowed(claim::UNREGISTERED)));
                }
                edits.append.extend(timing);
                edits.append.extend(response::rate_limits(self.counted));
                Answer::Relayed(inbound.response, edits)
            }
            Ok(Answered::Replayed(rule, inbound)) => {
                (self.event.status, self.event.idempotency) = (inbound.status, Some("replayed"));
                let headers = inbound.headers();
                let cookies = (self.session_cookies(effects, inbound.is_success()).await, false);
                self.event.cookies_changed = cookies.0.len();
                let came = (inbound.status, &headers);
                let mut edits = response::relay(self.config, rule, asked, came, cookies);
                response::mark_replayed(&mut edits, &headers, rule.destination != Destination::Upstream);
                edits.append.extend(timing(None));
                edits.append.extend(response::rate_limits(self.counted));
                Answer::Relayed(inbound.response, edits)
            }
            Ok(Answered::Endpoint(endpoint::Answered { reply, cookies, .. })) => {
                let cookies = match cookies {
                    Some(cookies) => cookies,
                    None => self.session_cookies(effects, true).await,
                };
                self.own(reply, cookies, timing(None))
            }
            Err(turned) => {
                // An object has found that the session which was admitted is no more: its cookie goes, too.
                if matches!(turned, EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionRevoked)))
                {
                    self.presented.reject(Reason::SessionRevoked);
                }
                let timing = timing(None);
                let denial = DenialContext {
                    config: self.config,
                    request: self.request,
                    meta: self.meta,
                    rule: self.rule,
                };
                self.event.step = turned.is_refusal().then(|| self.way.step());
                let (reply, hops) = refusal::turn_away(denial, turned, &self.target, &mut self.event);
                let mut cookies = self.session_cookies(effects, false).await;
                cookies.extend(hops);
                self.own(reply, cookies, timing)
            }
        };
        self.event.rule = self.rule.map(|rule| rule.path.as_str());
        self.event.operation = self.rule.and_then(|rule| rule.operation.as_deref());
        if let Some(rule) = self.rule {
            trail::end(self.config, effects, self.deed(rule), &self.event, self.meta);
        }
        let is_audited = self.rule.is_some_and(|rule| rule.audit != Audit::Off);
        if self.event.is_plain_pass() && !is_audited {
            self.event.passes = effects.memory().plain_passes.count(self.config.log_sample);
            self.event.is_counted_only = self.event.passes.is_none();
        }
        identity::seed_once(self.config, effects, self.meta.now);
        if let Some(rule) = self.rule.filter(|_| self.config.development) {
            outlined(shadowed::warn(self.config, effects, rule, self.meta)).await;
        }
        (answer, self.event)
    }

    fn own<R>(
        &mut self,
        mut reply: Reply,
        cookies: Vec<String>,
        timing: Option<(&'static str, String)>,
    ) -> Answer<R> {
        self.event.cookies_changed = cookies.len();
        self.event.status = reply.status;
        response::dress(&mut reply, self.request, cookies);
        reply.headers.extend(timing);
        reply.headers.extend(response::rate_limits(self.counted));
        Answer::Own(reply)
    }

    /// Counts an answer by which upstream sends a signed-in user to the login page.
    fn sent_to_login(&self, rule: &Rule, status: u16, headers: &Headers<'_>) -> Option<String> {
        let Self { config, request, meta, .. } = *self;
        if !sent_to_login::may_count(config, request, status) || self.presented.all().next().is_none() {
            return None;
        }
        let location = headers.value("location")?;
        let rewritten = response::location(config, rule, request, location);
        sent_to_login::counted(config, request, rewritten.as_deref().unwrap_or(location), meta.now)
    }

    async fn session_cookies<E: Effects>(&mut self, effects: &E, answered_well: bool) -> Vec<String> {
        let Self { config, meta, .. } = *self;
        let succeeded = answered_well
            && self.event.principal.is_some()
            && login::extend(config, effects, &self.presented, meta).await;
        self.presented.changes(&config.session, &config.keys, self.ending(succeeded), meta.now)
    }
}
