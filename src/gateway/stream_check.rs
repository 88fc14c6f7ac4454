//! Checks the client of an open stream again. A stream is a WebSocket, or a response of events.
//!
//! 1. A rule with `stream_check` names the time between two checks. Under other rules, and for clients without a
//!    principal, streams are not watched.
//! 2. A check is steps 7 and 8 for the same request at the current time: a stream stays open while a new request with
//!    the same credential would be admitted. Cached answers count as they do for requests (`check_ttl`).
//! 3. The principal and its credential must be the same as when the stream was opened, and an admin must still be one:
//!    upstream was told so.
//! 4. A check is a dry run, so it writes nothing. A session is not *seen* because a stream of it is open, so `idle`
//!    ends it. Upstream is not asked for the owner again.
//! 5. If a store does not answer, the stream stays open until the next check. [`MOST_UNANSWERED`] such checks in a row
//!    end it.

use std::time::Duration;

use serde_json::json;

use super::request_context::{Matched, RequestContext};
use crate::{
    config::Config,
    guards::policy::WithHooks,
    http::{
        path::CanonicalPath,
        problem::{Fault, Reason, Rejection},
        reply::{EarlyResponse, OpenStream},
        request::{Headers, Request},
        streaming,
    },
    identity::{
        csrf,
        principal::{Actor, Principal, Role},
    },
    platform::{effects::Effects, event::RequestMeta},
    routing::rule::{Names, Rule},
};

/// Checks in a row that a store may leave unanswered. The last one ends the stream.
pub const MOST_UNANSWERED: u32 = 2;

/// An open stream, and the state of its checks.
#[derive(Debug)]
pub struct Watch {
    stream: OpenStream,
    unanswered: u32,
}

/// The end of a stream by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// The close code of a WebSocket (RFC 6455 §7.4).
    pub code: u16,
    /// The code of the refusal that a new request would get. It is also the reason in the close frame.
    pub reason: &'static str,
}

impl StreamEnd {
    /// The client would be refused. The close code is 1008 (policy violation).
    fn refused(reason: &'static str) -> Self {
        Self { code: 1008, reason }
    }

    /// Returns the log line.
    #[must_use]
    pub fn line(&self, config: &Config, request: &Request<'_>, request_id: &str, open_ms: u64) -> String {
        let Self { code, reason } = self;
        let rule = find_rule(config, Names::Ignored, request).ok().map(|(_, rule)| rule);
        let path = rule.map(|rule| &rule.path);
        let operation = rule.map(|rule| &rule.operation);
        json!({
            "event": "stream_ended", "requestId": request_id, "rule": path, "operation": operation,
            "code": code, "reason": reason, "openMs": open_ms,
        })
        .to_string()
    }
}

/// Returns the stream that a response of upstream opens, if its client is to be checked again.
pub(super) fn opened(
    rule: &Rule,
    principal: Option<&Principal>,
    status: u16,
    headers: &Headers<'_>,
) -> Option<OpenStream> {
    let is_stream = status == 101 || headers.value("content-type").is_some_and(streaming::is_stream);
    if is_stream { of_feed(rule, principal) } else { None }
}

/// Returns the stream of a feed of the gateway's own.
pub(super) fn of_feed(rule: &Rule, principal: Option<&Principal>) -> Option<OpenStream> {
    rule.stream_check.zip(principal).map(|(every, principal)| OpenStream {
        every,
        opened_by: credential_of(principal),
        is_admin: principal.role == Some(Role::Admin),
    })
}

impl Watch {
    /// Starts to watch a stream that was just opened.
    #[must_use]
    pub fn new(stream: OpenStream) -> Self {
        Self { stream, unanswered: 0 }
    }

    /// Returns the time until the next check.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.stream.every
    }

    /// Checks the client of the stream that `request` opened. `effects` is a dry run. `meta` is the time at which the
    /// watch began. Returns the end of the stream, or `None` if it stays open.
    pub async fn check<E: Effects + WithHooks>(
        &mut self,
        config: &Config,
        effects: &E,
        request: &Request<'_>,
        meta: RequestMeta<'_>,
    ) -> Option<StreamEnd> {
        match self.recheck(config, effects, request, meta).await {
            Ok(()) => {
                self.unanswered = 0;
                None
            }
            Err(EarlyResponse::Failed(fault)) => {
                self.unanswered = self.unanswered.saturating_add(1);
                // 1013: try again later.
                let end = StreamEnd { code: 1013, reason: fault.code() };
                (self.unanswered >= MOST_UNANSWERED).then_some(end)
            }
            Err(EarlyResponse::Rejected(rejection)) => {
                let problem = rejection.problem("");
                Some(StreamEnd::refused(problem.reason.unwrap_or(problem.error)))
            }
            // Steps 7 and 8 answer in no other way, except at the login page.
            Err(_) => Some(StreamEnd::refused("unauthorized")),
        }
    }

    async fn recheck<E: Effects + WithHooks>(
        &self,
        config: &Config,
        effects: &E,
        request: &Request<'_>,
        meta: RequestMeta<'_>,
    ) -> Result<(), EarlyResponse> {
        // A check that could write would count as a use of the session.
        effects.as_dry_run().ok_or(Fault::Internal)?;
        let names = if effects.hooks().decide() { Names::Count } else { Names::Ignored };
        let (path, rule) = find_rule(config, names, request)?;
        let csrf_passed = csrf::check(&config.csrf, rule.csrf, request)?;
        let mut cx = RequestContext::new(config, request, meta);
        let admission = cx.check_now(effects, Matched { rule, path: &path, csrf_passed }).await?;
        let ended = Rejection::Unauthorized(Reason::SessionEnded);
        let principal = admission.principal().ok_or(ended)?;
        if credential_of(principal) != self.stream.opened_by {
            return Err(ended.into());
        }
        if self.stream.is_admin && principal.role != Some(Role::Admin) {
            return Err(Rejection::ForbiddenRole.into());
        }
        Ok(())
    }
}

/// Finds the rule of the request, as steps 2 and 4 did when it was admitted.
fn find_rule<'a, 'b>(
    config: &'a Config,
    names: Names,
    request: &Request<'b>,
) -> Result<(CanonicalPath<'b>, &'a Rule), Rejection> {
    let path = CanonicalPath::parse_with_ambiguous_escapes(request.path)?;
    let rule = config.match_rule(request, &path, names).deciding?;
    Ok((path, rule))
}

/// Returns the principal and its credential as one text. Ids are visible ASCII, so a space separates them.
fn credential_of(principal: &Principal) -> String {
    let (kind, id) = match &principal.actor {
        Actor::Session { id } => ("session", id),
        Actor::Token { id, .. } => ("token", id),
    };
    format!("{} {} {kind} {id}", principal.kind(), principal.id())
}
