//! One line of JSON for each request: what was decided and why, without any secret, token, cookie,
//! path or query. The rule's pattern stands for the path.

use std::time::Duration;

use serde::Serialize;

use crate::{step::Step, time::Timestamp};

/// What a request is told about itself: the one clock reading and the one id it has.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta<'a> {
    /// The time of the request.
    pub now: Timestamp,
    /// Milliseconds since 1970, of the machine's own clock: for what is remembered for a while.
    pub milliseconds: u64,
    /// Visible ASCII, unique.
    pub request_id: &'a str,
}

impl RequestMeta<'_> {
    /// Moves it by the milliseconds that the request has taken so far.
    #[must_use]
    pub fn after(self, elapsed: u64) -> Self {
        let now = self.now.plus(Duration::from_millis(elapsed));
        Self { now, milliseconds: self.milliseconds.saturating_add(elapsed), ..self }
    }
}

/// What a log tells of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// Always `request`: what kind of line this is.
    #[serde(rename = "event")]
    line: &'static str,
    /// The request's id.
    pub request_id: &'a str,
    /// The method, raw.
    pub method: &'a str,
    /// The pattern of the rule; absent where the path was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// The rule's operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
    /// `allow`, `redirect_to_login`, `redirect_from_login`, `redirect_loop` or the code of a refusal.
    pub decision: &'static str,
    /// The step that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// The reason of a 401, and of other refusals that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What became of the request's idempotency key: `settled`, `released`, `replayed`, or `unsettled` where the
    /// ledger did not take the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<&'static str>,
    /// In development: the setting of the application to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The name in `AGENT_TOKENS` that has another token than it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_token: Option<&'a str>,
    /// The request's host, if none of `PUBLIC_ORIGINS` has it. Logged once by each isolate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted_host: Option<&'a str>,
    /// The kind of principal, where one was admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'static str>,
    /// The status that was answered.
    pub status: u16,
    /// How many session cookies were set or expired.
    pub cookies_changed: usize,
    /// Milliseconds until upstream's response headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ms: Option<u64>,
    /// Milliseconds until the answer was decided.
    pub duration_ms: u64,
    /// Plain passes that this line stands for, itself included: those of this isolate since the last such line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// A plain pass that is only counted, see [`Event::line`].
    #[serde(skip)]
    pub is_counted_only: bool,
}

impl<'a> Event<'a> {
    /// Starts the account of a request.
    #[must_use]
    pub fn new(request_id: &'a str, method: &'a str) -> Self {
        Self {
            line: "request",
            request_id,
            method,
            rule: None,
            operation: None,
            decision: "allow",
            step: None,
            reason: None,
            idempotency: None,
            hint: None,
            agent_token: None,
            unlisted_host: None,
            principal: None,
            status: 0,
            cookies_changed: 0,
            upstream_ms: None,
            duration_ms: 0,
            passes: None,
            is_counted_only: false,
        }
    }

    /// Tells whether upstream answered and the log has nothing else to say: no refusal (upstream's own 401 and 403
    /// neither), error, changed cookie, idempotency key or hint.
    #[must_use]
    pub fn is_plain_pass(&self) -> bool {
        self.upstream_ms.is_some()
            && self.decision == "allow"
            && matches!(self.status, 101 | 200..500)
            && !matches!(self.status, 401 | 403)
            && self.cookies_changed == 0
            && self.reason.is_none()
            && self.idempotency.is_none()
            && self.hint.is_none()
            && self.agent_token.is_none()
            && self.unlisted_host.is_none()
    }

    /// Returns the line for the log: one object of JSON. `None` for a plain pass that is only counted.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        if self.is_counted_only { None } else { Some(serde_json::to_string(self).unwrap_or_default()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_operator_would_look_for_is_no_plain_pass() {
        let plain = Event { upstream_ms: Some(3), status: 200, ..Event::new("req_1", "GET") };
        assert!(plain.is_plain_pass());
        for other in [
            Event { upstream_ms: None, ..plain.clone() },
            Event { decision: "forbidden_role", ..plain.clone() },
            Event { status: 500, ..plain.clone() },
            Event { status: 401, ..plain.clone() },
            Event { status: 403, ..plain.clone() },
            Event { status: 150, ..plain.clone() },
            Event { cookies_changed: 1, ..plain.clone() },
            Event { reason: Some("token_expired"), ..plain.clone() },
            Event { idempotency: Some("settled"), ..plain.clone() },
            Event { hint: Some("ORIGIN"), ..plain.clone() },
            Event { agent_token: Some("ci"), ..plain.clone() },
            Event { unlisted_host: Some("x.example"), ..plain.clone() },
        ] {
            assert!(!other.is_plain_pass(), "{other:?}");
        }
    }
}
