//! The request log: one JSON object per request, with the decision and its reason. It contains no secret, token,
//! cookie, path or query. The rule's pattern stands for the path.

use std::time::Duration;

use serde::Serialize;

use crate::{base::time::Timestamp, platform::step::Step};

/// The time and the id of a request. The clock is read once per request.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta<'a> {
    /// The time of the request.
    pub now: Timestamp,
    /// Milliseconds since 1970 by the machine's own clock, for the age of cache entries.
    pub milliseconds: u64,
    /// The unique id of the request, in visible ASCII.
    pub request_id: &'a str,
}

impl RequestMeta<'_> {
    /// Returns this with the time moved forward by the milliseconds that the request has taken so far.
    #[must_use]
    pub fn after(self, elapsed: u64) -> Self {
        let now = self.now.plus(Duration::from_millis(elapsed));
        Self { now, milliseconds: self.milliseconds.saturating_add(elapsed), ..self }
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// The ledger has the outcome.
    Settled,
    /// The ledger does not have the outcome: it becomes unknown when the lease ends.
    Unsettled,
    /// The request may run again.
    Released,
    /// A stored answer was replayed.
    Replayed,
    /// The answer starts a checkout that could not be registered.
    Unregistered,
}

/// The decision about a request that was let through although a step refused it.
pub const WOULD_REFUSE: &str = "would_refuse";

/// A refusal that was only reported: the answer that the client would have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WouldRefuse {
    /// The decision: the code of the refusal, `redirect_to_login` or another redirect.
    pub code: &'static str,
    /// The reason of a 401, or of another refusal that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The status of the response.
    pub status: u16,
    /// The step that refused the request.
    pub step: Step,
}

/// The log line of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "one for each member of the log line")]
pub struct Event<'a> {
    /// The kind of the log line: always `request`.
    #[serde(rename = "event")]
    line: &'static str,
    /// The id of the request.
    pub request_id: &'a str,
    /// The method, as the client sent it.
    pub method: &'a str,
    /// The pattern of the rule; missing if the request was rejected before a rule matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// The rule's operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
    /// `allow`, `would_refuse`, `redirect_to_login`, `redirect_from_login`, `redirect_loop` or the code of a refusal.
    pub decision: &'static str,
    /// In report mode: the refusal of a request that was let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_refuse: Option<WouldRefuse>,
    /// In report mode: an invalid session cookie was not expired.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub would_expire_cookie: bool,
    /// The step that refused the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// The reason of a 401, or of another refusal that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The result for the idempotency key: `settled`, `released`, `replayed`, or `unsettled` if the ledger did not
    /// store the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<ClaimState>,
    /// In development: the setting of the application that the developer should check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The name in `AGENT_TOKENS`, if its token was rejected because another token already has this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_token: Option<&'a str>,
    /// The host of the request, if it is in none of `PUBLIC_ORIGINS`. Each isolate logs a host once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted_host: Option<&'a str>,
    /// The kind of the principal, if one was admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'static str>,
    /// The status of the response.
    pub status: u16,
    /// Number of session cookies that were set or expired.
    pub cookies_changed: usize,
    /// Whether the answer expired an invalid session cookie.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub healed: bool,
    /// Whether a webhook's event was accepted before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Milliseconds until upstream's response headers arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ms: Option<u64>,
    /// Milliseconds until the response was decided.
    pub duration_ms: u64,
    /// Number of plain passes that this line stands for: all of this isolate since the last such line, and this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// Whether this is a plain pass that is counted but not logged, see [`Event::line`].
    #[serde(skip)]
    pub is_counted_only: bool,
}

impl<'a> Event<'a> {
    /// Returns the log line of a request that was allowed so far.
    #[must_use]
    pub fn new(request_id: &'a str, method: &'a str) -> Self {
        Self {
            line: "request",
            request_id,
            method,
            rule: None,
            operation: None,
            decision: "allow",
            would_refuse: None,
            would_expire_cookie: false,
            step: None,
            reason: None,
            idempotency: None,
            hint: None,
            agent_token: None,
            unlisted_host: None,
            principal: None,
            status: 0,
            cookies_changed: 0,
            healed: false,
            duplicate: false,
            upstream_ms: None,
            duration_ms: 0,
            passes: None,
            is_counted_only: false,
        }
    }

    /// Checks for a plain pass: upstream answered, and there is nothing else to log. That means no refusal (also no 401
    /// or 403 from upstream), error, changed cookie, idempotency key or hint.
    #[must_use]
    pub fn is_plain_pass(&self) -> bool {
        self.upstream_ms.is_some()
            && self.decision == "allow"
            && matches!(self.status, 101 | 200..500)
            && !matches!(self.status, 401 | 403)
            && self.would_refuse.is_none()
            && !self.would_expire_cookie
            && self.cookies_changed == 0
            && self.reason.is_none()
            && self.idempotency.is_none()
            && self.hint.is_none()
            && self.agent_token.is_none()
            && self.unlisted_host.is_none()
    }

    /// Returns the log line as a JSON object, or `None` for a plain pass that is only counted.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        if self.is_counted_only { None } else { Some(self.to_json()) }
    }

    /// Returns the log line of any request.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notable_request_is_no_plain_pass() {
        let plain = Event { upstream_ms: Some(3), status: 200, ..Event::new("req_1", "GET") };
        assert!(plain.is_plain_pass());
        let would_refuse =
            WouldRefuse { code: "forbidden_role", reason: None, status: 403, step: Step::Access };
        for other in [
            Event { upstream_ms: None, ..plain.clone() },
            Event { decision: "forbidden_role", ..plain.clone() },
            Event { status: 500, ..plain.clone() },
            Event { status: 401, ..plain.clone() },
            Event { status: 403, ..plain.clone() },
            Event { status: 150, ..plain.clone() },
            Event { cookies_changed: 1, ..plain.clone() },
            Event { would_refuse: Some(would_refuse), ..plain.clone() },
            Event { would_expire_cookie: true, ..plain.clone() },
            Event { reason: Some("token_expired"), ..plain.clone() },
            Event { idempotency: Some(ClaimState::Settled), ..plain.clone() },
            Event { hint: Some("ORIGIN"), ..plain.clone() },
            Event { agent_token: Some("ci"), ..plain.clone() },
            Event { unlisted_host: Some("x.example"), ..plain.clone() },
        ] {
            assert!(!other.is_plain_pass(), "{other:?}");
        }
    }
}
