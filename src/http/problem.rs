//! Refusals: their stable codes, their status, and their one format on the wire.
//!
//! A [`Rejection`] is caused by the client, a [`Fault`] by the gateway, a store or upstream. Both are sent as
//! `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `error`, `reason` and `detail` if they help,
//! and `requestId`. A problem document never contains data from the client's request.

use serde::{Deserialize, Serialize};

/// The reason why the gateway rejects a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The path can be read in more than one way.
    AmbiguousPath,
    /// The request has no valid credential, for this reason.
    Unauthorized(Reason),
    /// A state-changing request from a foreign site. In development, the detail names the setting to change.
    ForbiddenOrigin {
        /// Whether the gateway runs in development.
        development: bool,
    },
    /// The principal is of a kind that this rule does not serve.
    ForbiddenKind,
    /// The principal lacks the role that this rule requires.
    ForbiddenRole,
    /// The entity belongs to another principal.
    ForbiddenOwner,
    /// The actor is a machine, and the rule is for humans only.
    ForbiddenHumanOnly,
    /// The credentials are wrong.
    InvalidCredentials,
    /// The text is not an invite token in form.
    InvalidToken,
    /// The invite is for another e-mail address, or the address already has an account.
    EmailMismatch,
    /// The invite cannot be used, or can no longer be used.
    InviteUnusable,
    /// There is already an account with this e-mail address.
    EmailTaken,
    /// There is already a first account.
    AlreadySetUp,
    /// Too many requests within a period.
    RateLimited {
        /// The limit that was reached.
        limit: RateLimit,
        /// Seconds until the next request is allowed.
        reset: u32,
    },
    /// The rule requires an idempotency key, and it is missing.
    IdempotencyKeyMissing,
    /// The idempotency key is invalid.
    IdempotencyKeyInvalid,
    /// A different request was sent under this key.
    IdempotencyKeyReused,
    /// The request is in flight; seconds until the client should send it again.
    IdempotencyInFlight(u32),
    /// The request has run or may have run, and its response is not available; what is known about it.
    IdempotencyOutcomeUnknown(Known),
    /// Upstream began a checkout with a ref that another owner's checkout has.
    CheckoutConflict,
    /// The signature of the webhook is invalid, for this reason.
    InvalidSignature(&'static str),
    /// The webhook's event is in flight.
    WebhookInFlight,
    /// The bot check has failed, for this reason.
    BotCheckFailed(BotCheck),
    /// The feature is not enabled for the caller.
    FeatureDisabled,
    /// The external policy, a hook, or a limit on accounts or tokens forbids the request.
    ForbiddenPolicy(ForbiddenBy),
    /// A person must approve this request of a machine.
    ConfirmationRequired,
    /// The approval is not valid for this request, for this reason.
    ConfirmationInvalid(Unconfirmed),
    /// The object does not exist, or the principal may not know about it.
    NotFound,
    /// The body is invalid: the wrong member, and the value that is expected for it.
    InvalidBody(&'static str, &'static str),
    /// The body is longer than this endpoint accepts.
    BodyTooLarge,
    /// The body is of a type that this endpoint does not accept.
    UnsupportedMediaType,
    /// The endpoint does not have this method; the methods that it has.
    MethodNotAllowed(&'static str),
    /// The gateway never forwards this method.
    MethodNotSupported,
    /// The bodies that are being read use all of the memory for bodies.
    Overloaded,
}

/// A rate limit, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The limit's name.
    pub name: &'static str,
    /// The maximum number of requests.
    pub limit: u32,
    /// The period, in seconds.
    pub period: u32,
}

/// The reason why a bot check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotCheck {
    /// The token is missing.
    Missing,
    /// The token is invalid.
    Rejected,
    /// The token was used before.
    Spent,
    /// The check was solved on another site.
    Hostname,
    /// The check was solved for another action.
    Action,
    /// The service could not be reached.
    Unavailable,
}

/// The cause of a [`Rejection::ForbiddenPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenBy {
    /// The external policy.
    Policy,
    /// A hook of the Worker.
    Hooks,
    /// The external policy gave no valid answer.
    Unavailable,
    /// A hook returned a status that no response can have, or a body with a status that cannot have one.
    InvalidHook,
    /// The last active admin cannot be demoted, disabled or deleted.
    LastAdmin,
    /// The user has the maximum number of tokens.
    TokenLimit,
}

/// The reason why an approval is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unconfirmed {
    /// There is no such approval, or it belongs to another credential.
    Unknown,
    /// It is pending.
    Pending,
    /// It was approved, and can no longer be decided.
    Approved,
    /// It was rejected.
    Rejected,
    /// It was used.
    Used,
    /// It has expired.
    Expired,
    /// The request is not the one that the approval is for.
    Changed,
    /// The user who approved it may no longer decide.
    Withdrawn,
}

/// The known facts about a request with an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// None: the request was sent, and no response arrived.
    Nothing,
    /// It ran, and the response had this status. The rest of the response was not stored.
    Status(u16),
    /// It ran, according to an operator.
    Ran,
    /// It ran and opened a session, which the gateway gives out only once.
    SignedIn,
}

/// The reason why a request has no valid credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request has neither a session cookie nor a token.
    NoCredential,
    /// The session cookie is not a session token in form.
    SessionMalformed,
    /// The session token is signed by an unknown key.
    SessionBadSignature,
    /// The session has expired.
    SessionExpired,
    /// The session was ended, or its user may no longer sign in.
    SessionRevoked,
    /// The request has session cookies of two different users.
    SessionAmbiguous,
    /// The bearer token is unknown.
    TokenUnknown,
    /// The bearer token was revoked, or its owner may no longer sign in.
    TokenRevoked,
    /// The bearer token has expired.
    TokenExpired,
}

/// A failure of the gateway, of a store or of upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Upstream refused the connection, reset it or sent an invalid response.
    UpstreamFailed,
    /// Upstream sent no response headers in time.
    UpstreamTimeout,
    /// It is unknown whether an invite was redeemed.
    InviteRedeemFailed,
    /// A store refused, failed or took too long. The gateway cannot decide without it.
    StoreUnavailable,
    /// The configuration is invalid, so no request is admitted.
    Misconfigured,
    /// A bug: a case that should be impossible.
    Internal,
}

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
    pub consent: Option<Consent<'a>>,
    /// The path of the login page, with the return path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// The request's id.
    pub request_id: &'a str,
}

/// A pending approval.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent<'a> {
    /// The id, which the client sends with the repeated request.
    pub confirmation_id: &'a str,
    /// The URL at which a person decides.
    pub approve_url: String,
    /// The time at which the approval expires.
    pub expires_at: String,
}

impl Rejection {
    /// Returns the problem document of this rejection, for the request with this id.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one table")]
    pub fn problem(self, request_id: &str) -> Problem<'_> {
        let (status, error, title, detail) = match self {
            Self::AmbiguousPath => (
                400,
                "ambiguous_path",
                "the path can be read in more than one way",
                Some(
                    "encoded slashes, backslashes, control characters, dot segments and double encoding are refused, and so is a spelling that servers may read as the path of another rule",
                ),
            ),
            Self::Unauthorized(reason) => (401, "unauthorized", "no valid credential", Some(reason.detail())),
            Self::ForbiddenOrigin { development } => (
                403,
                "forbidden_origin",
                "this request comes from a site that may not send it",
                Some(if development {
                    "Origin is in neither PUBLIC_ORIGINS nor ALLOWED_ORIGINS: add it there, exactly as the browser sends it"
                } else {
                    "Sec-Fetch-Site and Origin must name an origin of this site or an allowed one"
                }),
            ),
            Self::ForbiddenKind => {
                (403, "forbidden_kind", "this endpoint does not serve this kind of principal", None)
            }
            Self::ForbiddenRole => (403, "forbidden_role", "this endpoint asks for another role", None),
            Self::ForbiddenOwner => (403, "forbidden_owner", "this is somebody else's", None),
            Self::ForbiddenHumanOnly => {
                (403, "forbidden_human_only", "this endpoint is only available to human actors", None)
            }
            Self::InvalidCredentials => (401, "invalid_credentials", "these credentials are not right", None),
            Self::InvalidToken => (400, "invalid_token", "this is not an invite", None),
            Self::EmailMismatch => {
                (401, "email_mismatch", "this invite cannot be used with this e-mail address", None)
            }
            Self::InviteUnusable => {
                (410, "invite_unusable", "this invite cannot be used, or not any more", None)
            }
            Self::EmailTaken => (409, "email_taken", "there is an account with this e-mail address", None),
            Self::AlreadySetUp => (409, "already_set_up", "there is an account already", None),
            Self::RateLimited { .. } => (429, "rate_limited", "too many attempts", None),
            Self::IdempotencyKeyMissing => (
                400,
                "idempotency_key_missing",
                "this endpoint asks for an idempotency key",
                Some("expected Idempotency-Key: a value of its own for each thing to be done"),
            ),
            Self::IdempotencyKeyInvalid => (
                400,
                "idempotency_key_invalid",
                "this is no idempotency key",
                Some("expected one key of 1 to 255 visible ASCII characters, bare or in double quotes"),
            ),
            Self::IdempotencyKeyReused => (
                422,
                "idempotency_key_reused",
                "another request was sent under this key",
                Some("host, method, path, query, content type and body must be the same, byte for byte"),
            ),
            Self::IdempotencyInFlight(_) => {
                (409, "idempotency_in_flight", "the request under this key is being run", None)
            }
            Self::IdempotencyOutcomeUnknown(known) => (
                409,
                "idempotency_outcome_unknown",
                "the request under this key may have run",
                Some(match known {
                    Known::Nothing => "it was sent on, and nobody knows what came of it",
                    Known::Status(_) => "it ran, and its answer was not kept",
                    Known::Ran => "it ran, says an operator; its answer is not known",
                    Known::SignedIn => {
                        "it signed somebody in, and its session is not given again: sign in under another key"
                    }
                }),
            ),
            Self::CheckoutConflict => (
                409,
                "checkout_conflict",
                "this checkout's ref belongs to another checkout",
                Some(
                    "the application ran and named a ref that another user's checkout has: nothing was registered",
                ),
            ),
            Self::InvalidSignature(_) => (401, "invalid_signature", "this signature does not hold", None),
            Self::WebhookInFlight => (409, "webhook_in_flight", "this event is being run", None),
            Self::BotCheckFailed(_) => (403, "bot_check_failed", "the bot check was not passed", None),
            Self::FeatureDisabled => (403, "feature_disabled", "this is not open to you, or not yet", None),
            Self::ForbiddenPolicy(by) => (403, "forbidden_policy", by.title(), None),
            Self::ConfirmationRequired => (
                403,
                "confirmation_required",
                "a person has to consent to this first",
                Some("send the same request again with Confirmation-ID once they have"),
            ),
            Self::ConfirmationInvalid(reason) => {
                (403, "confirmation_invalid", "this is no consent to this request", Some(reason.detail()))
            }
            Self::NotFound => (404, "not_found", "there is nothing here by that name", None),
            Self::InvalidBody(..) => (400, "invalid_body", "the body is not what this endpoint takes", None),
            Self::BodyTooLarge => {
                (413, "body_too_large", "the body is longer than this endpoint takes", None)
            }
            Self::UnsupportedMediaType => (
                415,
                "unsupported_media_type",
                "the body is of a type that this endpoint does not take",
                Some("expected Content-Type: application/json"),
            ),
            Self::MethodNotAllowed(_) => {
                (405, "method_not_allowed", "this endpoint does not have this method", None)
            }
            Self::MethodNotSupported => {
                (501, "method_not_supported", "CONNECT, TRACE and TRACK are not supported here", None)
            }
            Self::Overloaded => (
                503,
                "overloaded",
                "too many bodies are being read at once",
                Some("send the request again after Retry-After seconds: nothing was run"),
            ),
        };
        let reason = match self {
            Self::Unauthorized(reason) => Some(reason.code()),
            Self::InvalidSignature(reason) => Some(reason),
            Self::BotCheckFailed(reason) => Some(reason.code()),
            Self::ForbiddenPolicy(by) => Some(by.code()),
            Self::ConfirmationInvalid(reason) => Some(reason.code()),
            Self::IdempotencyOutcomeUnknown(Known::SignedIn) => Some("session_not_repeated"),
            _ => None,
        };
        let (safe_to_retry, answered) = match self {
            Self::IdempotencyInFlight(_) | Self::Overloaded => (Some(true), None),
            Self::CheckoutConflict => (Some(false), None),
            Self::IdempotencyOutcomeUnknown(Known::Status(status)) => (Some(false), Some(status)),
            Self::IdempotencyOutcomeUnknown(Known::Nothing | Known::Ran | Known::SignedIn) => {
                (Some(false), None)
            }
            _ => (None, None),
        };
        let (field, detail) = match self {
            Self::InvalidBody(field, expected) => (Some(field), Some(expected)),
            _ => (None, detail),
        };
        Problem {
            r#type: String::new(),
            title,
            status,
            error,
            reason,
            field,
            safe_to_retry,
            answered,
            consent: None,
            login_url: None,
            detail,
            request_id,
        }
    }
}

impl BotCheck {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Rejected => "rejected",
            Self::Spent => "spent",
            Self::Hostname => "hostname",
            Self::Action => "action",
            Self::Unavailable => "unavailable",
        }
    }
}

impl ForbiddenBy {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Hooks => "hooks",
            Self::Unavailable => "unavailable",
            Self::InvalidHook => "invalid_hook",
            Self::LastAdmin => "last_admin",
            Self::TokenLimit => "token_limit",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Policy | Self::Hooks | Self::Unavailable | Self::InvalidHook => "this is not allowed",
            Self::LastAdmin => "the last active admin cannot be demoted, disabled or deleted",
            Self::TokenLimit => "token limit reached (100 live): revoke one first",
        }
    }
}

impl Unconfirmed {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Changed => "changed",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Unknown => "there is no such confirmation of this credential's",
            Self::Pending => "nobody has decided yet",
            Self::Approved => "it was approved, and stays so",
            Self::Rejected => "it was rejected",
            Self::Used => "it was used",
            Self::Expired => "its ten minutes are over",
            Self::Changed => {
                "host, method, path, query, headers and body must be those that were asked about"
            }
            Self::Withdrawn => "who has consented may no longer decide",
        }
    }
}

impl Reason {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::SessionMalformed => "session_malformed",
            Self::SessionBadSignature => "session_bad_signature",
            Self::SessionExpired => "session_expired",
            Self::SessionRevoked => "session_revoked",
            Self::SessionAmbiguous => "session_ambiguous",
            Self::TokenUnknown => "token_unknown",
            Self::TokenRevoked => "token_revoked",
            Self::TokenExpired => "token_expired",
        }
    }

    /// Returns an explanation for people.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::NoCredential => "the request carries neither a session cookie nor a bearer token",
            Self::SessionMalformed => "the session cookie was not a session token; it has been cleared",
            Self::SessionBadSignature => {
                "the session cookie was signed by an unknown key; it has been cleared"
            }
            Self::SessionExpired => "the session has expired; its cookie has been cleared",
            Self::SessionRevoked => "the session has been ended; its cookie has been cleared",
            Self::SessionAmbiguous => {
                "the request carried sessions of two different users; all have been cleared"
            }
            Self::TokenUnknown => "the bearer token is not known",
            Self::TokenRevoked => "the bearer token has been taken back",
            Self::TokenExpired => "the bearer token has expired",
        }
    }
}

impl Fault {
    /// Returns the problem document of this fault, for the request with this id.
    #[must_use]
    pub fn problem(self, request_id: &str) -> Problem<'_> {
        let (status, error, title) = match self {
            Self::UpstreamFailed => (502, "upstream_failed", "the application could not be reached"),
            Self::UpstreamTimeout => (504, "upstream_timeout", "the application did not answer in time"),
            Self::InviteRedeemFailed => {
                (500, "invite_redeem_failed", "whether the invite was used is not known: try to sign in")
            }
            Self::StoreUnavailable => {
                (503, "store_unavailable", "what this needs to know could not be looked up")
            }
            Self::Misconfigured => (503, "misconfigured", "this gateway is not configured correctly"),
            Self::Internal => (500, "internal", "something went wrong here"),
        };
        Problem {
            r#type: String::new(),
            title,
            status,
            error,
            reason: None,
            field: None,
            safe_to_retry: None,
            answered: None,
            consent: None,
            login_url: None,
            detail: None,
            request_id,
        }
    }
}

impl Fault {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.problem("").error
    }
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
