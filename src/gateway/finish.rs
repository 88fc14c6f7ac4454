//! Step 13, for every answer: cookies, caching, header edits and one log event.

use std::borrow::Cow;

use super::{
    request_context::{DispatchOutcome, RequestContext},
    stream_check,
};
use crate::{
    accounts::{login, provision},
    audit::trail,
    base::outline::outlined,
    http::{
        problem::{Reason, Rejection},
        reply::{Answer, EarlyResponse, HeaderEdits, Reply},
        request::Headers,
    },
    identity::call,
    metrics,
    platform::{
        effects::Effects,
        event::{ClaimState, Event, WOULD_REFUSE},
        once::LoggedOnce,
        sampling::PlainPasses,
    },
    responses::{refusal, response, shadowed},
    routing::rule::{Audit, Destination, Rule},
    sessions::{cookies::CookieChanges, sent_to_login},
    webhooks::event_claim,
};

impl<'a> RequestContext<'a> {
    /// Finishes the answer, and returns it with the event for the log.
    pub(super) async fn finish<E: Effects>(
        mut self,
        outcome: Result<DispatchOutcome<'a, E::Response>, EarlyResponse>,
        effects: &E,
    ) -> (Answer<E::Response>, Event<'a>) {
        let timing = |upstream_ms| response::timing(self.config, effects.elapsed(), upstream_ms);
        self.event.duration_ms = effects.elapsed();
        self.event.unlisted_host = self.unlisted_host(effects);
        let answer = match outcome {
            Ok(DispatchOutcome::Upstream(rule, relayed, login_cookies)) => {
                self.event.status = relayed.status;
                self.event.upstream_ms = Some(relayed.elapsed_ms);
                let timing = timing(self.event.upstream_ms);
                let headers = relayed.headers();
                let cookies = match login_cookies {
                    Some(lines) => CookieChanges { lines, is_new_session: true },
                    None if response::sets_session(self.config, &headers) => CookieChanges::default(),
                    None => {
                        let mut lines = self.set_cookie_lines(effects, relayed.is_success()).await;
                        lines.extend(self.sent_to_login(rule, relayed.status, &headers));
                        CookieChanges { lines, is_new_session: false }
                    }
                };
                self.event.cookies_changed = cookies.lines.len();
                let mut edits = self.edits(rule, relayed.status, &headers, cookies);
                if self.event.idempotency == Some(ClaimState::Unregistered) {
                    edits.set.push(("x-vestibule-checkout", Cow::Borrowed("unregistered")));
                }
                edits.append.extend(timing);
                edits.append.extend(response::rate_limits(self.rate_limit));
                let principal = self.facts.principal.as_ref();
                // In report mode, no stream is ended.
                let watched = principal.filter(|_| !self.reports.is_of_whole_rule());
                let stream = stream_check::opened(rule, watched, relayed.status, &headers);
                Answer::relayed(relayed.response, edits, stream)
            }
            Ok(DispatchOutcome::Page(file, found)) => {
                self.event.status = found.status;
                self.event.upstream_ms = Some(found.elapsed_ms);
                let lines = self.set_cookie_lines(effects, true).await;
                self.event.cookies_changed = lines.len();
                let set = file.headers(&self.config.accounts.branding, !lines.is_empty());
                let mut edits = HeaderEdits::default();
                edits.set.extend(set.into_iter().map(|(name, value)| (name, Cow::Owned(value))));
                edits.append.extend(lines.into_iter().map(|line| ("set-cookie", line)));
                edits.append.extend(timing(self.event.upstream_ms));
                Answer::Relayed(found.response, edits)
            }
            Ok(DispatchOutcome::Replayed(rule, relayed)) => {
                (self.event.status, self.event.idempotency) = (relayed.status, Some(ClaimState::Replayed));
                let headers = relayed.headers();
                let lines = self.set_cookie_lines(effects, relayed.is_success()).await;
                let cookies = CookieChanges { lines, is_new_session: false };
                self.event.cookies_changed = cookies.lines.len();
                let mut edits = self.edits(rule, relayed.status, &headers, cookies);
                response::mark_replayed(&mut edits, &headers, rule.destination != Destination::Upstream);
                edits.append.extend(timing(None));
                edits.append.extend(response::rate_limits(self.rate_limit));
                Answer::Relayed(relayed.response, edits)
            }
            Ok(DispatchOutcome::Endpoint(call::EndpointResponse { reply, cookies, opens_feed, .. })) => {
                let cookies = match cookies {
                    Some(cookies) => cookies,
                    None => self.set_cookie_lines(effects, true).await,
                };
                self.event.duplicate = event_claim::is_duplicate(&reply);
                let feed = self.rule.filter(|_| opens_feed);
                let stream = feed.and_then(|rule| stream_check::of_feed(rule, self.facts.principal.as_ref()));
                match (self.finish_own(reply, cookies, timing(None)), stream) {
                    (Answer::Own(reply), Some(stream)) => Answer::Feed(reply, stream),
                    (answer, _) => answer,
                }
            }
            Err(early) => {
                // An object found that the admitted session has ended in the meantime: expire its cookie.
                if matches!(early, EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionEnded))) {
                    self.session_cookies.reject(Reason::SessionEnded);
                }
                let timing = timing(None);
                self.event.step = early.is_refusal().then(|| self.tracker.step());
                let (reply, hops) =
                    refusal::respond_early(self.denial(), early, &self.target, &mut self.event);
                let mut cookies = self.set_cookie_lines(effects, false).await;
                cookies.extend(hops);
                self.finish_own(reply, cookies, timing)
            }
        };
        self.log_reported();
        if self.event.would_refuse.is_some() && self.event.decision == "allow" {
            self.event.decision = WOULD_REFUSE;
        }
        self.event.rule = self.rule.map(|rule| rule.path.as_str());
        self.event.operation = self.rule.and_then(|rule| rule.operation.as_deref());
        if let Some(rule) = self.rule {
            trail::end(&self.config.audit, effects, self.audit_record(rule), &self.event, self.meta);
        }
        self.count(effects);
        provision::store_once(&self.config.tokens, effects, self.meta.now);
        if let Some(rule) = self.rule.filter(|_| self.config.site.development) {
            outlined(shadowed::warn(self.config, effects, rule, self.meta)).await;
        }
        (answer, self.event)
    }

    /// Returns the request's host if no public origin has it, and this isolate has not logged it yet.
    fn unlisted_host<E: Effects>(&self, effects: &E) -> Option<&'a str> {
        let host = self.request.authority;
        let is_new = || effects.memory().of::<LoggedOnce>().is_new_unlisted_host(host);
        (self.config.site.is_unlisted_host(host) && is_new()).then_some(host)
    }

    /// Counts the request, and decides whether it is logged.
    fn count<E: Effects>(&mut self, effects: &E) {
        let is_audited = self.rule.is_some_and(|rule| rule.audit != Audit::Off);
        if self.event.is_plain_pass() && !is_audited {
            self.event.passes = effects.memory().of::<PlainPasses>().count(self.config.log_sample);
            self.event.is_counted_only = self.event.passes.is_none();
        }
        let is_webhook = self.rule.is_some_and(|rule| rule.webhook.is_some());
        metrics::count(&self.config.metrics, effects, &self.event, is_webhook);
    }

    /// Returns the changes to a response of upstream, received now or stored.
    fn edits(
        &self,
        rule: &Rule,
        status: u16,
        headers: &Headers<'_>,
        cookies: CookieChanges,
    ) -> HeaderEdits<'static> {
        let Self { config, request, .. } = *self;
        let is_known = self.event.principal.is_some();
        response::edit_upstream_response(config, rule, request, is_known, status, headers, cookies)
    }

    fn finish_own<R>(
        &mut self,
        mut reply: Reply,
        cookies: Vec<String>,
        timing: Option<(&'static str, String)>,
    ) -> Answer<R> {
        self.event.cookies_changed = cookies.len();
        self.event.status = reply.status;
        response::finalize(&mut reply, self.request, cookies);
        reply.headers.extend(timing);
        reply.headers.extend(response::rate_limits(self.rate_limit));
        Answer::Own(reply)
    }

    /// Counts a redirect by which upstream sends a signed-in user to the login page. Returns the `Set-Cookie` line.
    fn sent_to_login(&self, rule: &Rule, status: u16, headers: &Headers<'_>) -> Option<String> {
        let Self { config, request, meta, .. } = *self;
        if !sent_to_login::may_count(config.sessions.login, request, status)
            || self.session_cookies.all().next().is_none()
        {
            return None;
        }
        let location = headers.value("location")?;
        let rewritten = response::location(config, rule, request, location);
        sent_to_login::counted(&config.site, request, rewritten.as_deref().unwrap_or(location), meta.now)
    }

    /// Returns the `Set-Cookie` lines that renew or expire the session cookies.
    async fn set_cookie_lines<E: Effects>(&mut self, effects: &E, is_success: bool) -> Vec<String> {
        let Self { config, meta, .. } = *self;
        if self.session_cookies.is_rejected() && self.leaves_cookies() {
            self.event.would_expire_cookie = true;
            return Vec::new();
        }
        let succeeded = is_success
            && self.event.principal.is_some()
            && login::extend(config.login_context(), effects, &self.session_cookies, meta).await;
        let lines = self.session_cookies.changes(
            &config.sessions.policy,
            &config.sessions.keys,
            self.cookie_context(succeeded),
            meta.now,
        );
        self.event.healed = self.session_cookies.is_rejected() && !lines.is_empty();
        lines
    }
}
