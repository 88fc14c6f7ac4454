//! Refusals: their stable codes, their status, and their one format on the wire.
//!
//! A [`Rejection`] is caused by the client, a [`Fault`] by the gateway, a store or upstream. Both are sent as
//! `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `error`, `reason` and `detail` if they help,
//! and `requestId`. A problem document never contains data from the client's request.

mod fault;
mod reason;
mod rejection;

pub use fault::Fault;
pub use reason::{ApprovalError, BotCheck, ForbiddenBy, OutOfScope, OutcomeInfo, RateLimit, Reason};
pub use rejection::Rejection;

use serde::Serialize;

/// A problem document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem<'a> {
    /// The address at which the code is explained: see [`Problem::with_base`].
    r#type: String,
    /// The title: one line that says what is wrong.
    pub title: &'static str,
    /// The HTTP status code.
    pub status: u16,
    /// The stable code.
    pub error: &'static str,
    /// The stable reason, more precise than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The member of the body that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// Whether the client can send the request again without harm.
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_to_retry: Option<bool>,
    /// The status of the response when the request ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<u16>,
    /// The approval that is required.
    #[serde(flatten)]
    pub approval: Option<ApprovalMembers<'a>>,
    /// The second step of a sign-in.
    #[serde(flatten)]
    pub second_step: Option<SecondStep<'a>>,
    /// The path of the login page, with the return path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// The request's id.
    pub request_id: &'a str,
}

/// The members about a pending approval.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalMembers<'a> {
    /// The id, which the client sends with the repeated request.
    pub confirmation_id: &'a str,
    /// The URL at which a person decides.
    pub approve_url: String,
    /// The time at which the approval expires.
    pub expires_at: String,
}

/// The second step of a sign-in whose first step, the password, is done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecondStep<'a> {
    /// The ticket, which the client sends with the second step.
    pub ticket: &'a str,
    /// What the user can sign in with; `None` if the user has to enroll a factor first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<&'a [&'static str]>,
    /// The time at which the ticket ends.
    pub expires_at: String,
}

impl Problem<'_> {
    /// Returns the anchor in `docs/errors.md` that explains this problem: its code, and its reason if there is one.
    #[must_use]
    pub fn anchor(&self) -> String {
        let Self { error, reason, .. } = self;
        reason.map_or_else(|| (*error).to_owned(), |reason| format!("{error}-{reason}"))
    }

    /// Sets `type` to the address that explains this problem: `base` with the anchor as its fragment (RFC 9457 §3.1.1).
    /// [`ABOUT_BLANK`] gets no fragment.
    #[must_use]
    pub fn with_base(self, base: &str) -> Self {
        let r#type = if base == ABOUT_BLANK { base.to_owned() } else { format!("{base}#{}", self.anchor()) };
        Self { r#type, ..self }
    }

    /// Serialises as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The `type` of a problem without an explanation (RFC 9457 §4.2.1).
pub const ABOUT_BLANK: &str = "about:blank";

/// The base of every `type`, unless `PROBLEM_BASE` is set to the address of the published `docs/errors.md`.
pub const DEFAULT_BASE: &str = "urn:vestibule:errors";
