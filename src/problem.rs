//! The words in which we refuse: stable codes, their status, their one shape on the wire.
//!
//! A [`Rejection`] is the client's doing, a [`Fault`] is ours. Both leave as `application/problem+json`
//! (RFC 9457) with `type`, `title`, `status`, `error`, `reason` and `detail` where they help, and
//! `requestId`. What a client sent is never part of it.

use serde::{Deserialize, Serialize};

/// What a client did that keeps its request out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The path can be read in more than one way.
    AmbiguousPath,
    /// Nobody we know; why not.
    Unauthorized(Reason),
    /// A state-changing request from a foreign site. In development the setting to change is named.
    ForbiddenOrigin {
        /// Whether this is a developer's machine.
        development: bool,
    },
    /// Somebody, but of a kind that this rule does not serve.
    ForbiddenKind,
    /// Somebody, without the role that this rule asks for.
    ForbiddenRole,
    /// Somebody, at what is somebody else's.
    ForbiddenOwner,
    /// A machine, at what only people may do.
    ForbiddenHumanOnly,
    /// What was offered proves nobody.
    InvalidCredentials,
    /// An invite's token that is none in form.
    InvalidToken,
    /// The invite is for somebody else, or the address has an account.
    EmailMismatch,
    /// The invite cannot be used, or not any more.
    InviteUnusable,
    /// There is an account with that address.
    EmailTaken,
    /// There is an account already.
    AlreadySetUp,
    /// Too many within a span of time; seconds until there is room.
    RateLimited {
        /// Which limit.
        limit: RateLimit,
        /// Seconds until there is room for one more.
        reset: u32,
    },
    /// The rule asks for an idempotency key, and there is none.
    IdempotencyKeyMissing,
    /// There is something in place of an idempotency key that is none.
    IdempotencyKeyInvalid,
    /// Another request was sent under this key.
    IdempotencyKeyReused,
    /// The request is being run; seconds until it is worth asking again.
    IdempotencyInFlight(u32),
    /// The request may have run, or has, and there is no answer to give; what is known.
    IdempotencyOutcomeUnknown(Known),
    /// Upstream began a checkout under a ref of another owner's checkout.
    CheckoutConflict,
    /// A webhook whose signature does not hold; why not.
    InvalidSignature(&'static str),
    /// An event that is being run.
    WebhookInFlight,
    /// Nobody can tell that there is a person in front of the browser; why not.
    BotCheckFailed(BotCheck),
    /// What the rule serves is not open to whoever asks.
    FeatureDisabled,
    /// Somebody else decides, and has not let it in.
    ForbiddenPolicy(ForbiddenBy),
    /// What a machine does here, a person has to consent to.
    ConfirmationRequired,
    /// What was offered as consent is none; why not.
    ConfirmationInvalid(Unconfirmed),
    /// Nothing is there, or nothing that this principal may know of.
    NotFound,
    /// The body is not what this endpoint takes; the member that is wrong, and what is expected of it.
    InvalidBody(&'static str, &'static str),
    /// The body is longer than this endpoint takes.
    BodyTooLarge,
    /// The body is of a type that this endpoint does not take.
    UnsupportedMediaType,
    /// One of our own endpoints, under a method it does not have; those it has.
    MethodNotAllowed(&'static str),
    /// A method that is never forwarded.
    MethodNotSupported,
    /// The bodies that are being read use all the memory for bodies.
    Overloaded,
}

/// A limit, as it is told to those who meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What it is called.
    pub name: &'static str,
    /// How many.
    pub limit: u32,
    /// Within how many seconds.
    pub period: u32,
}

/// Why a bot check did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotCheck {
    /// There is no token.
    Missing,
    /// It is not good.
    Rejected,
    /// It was good once.
    Spent,
    /// It was solved on another site.
    Hostname,
    /// It was solved for something else.
    Action,
    /// Nobody could be asked.
    Unavailable,
}

/// Who keeps an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenBy {
    /// The external policy.
    Policy,
    /// The Worker's own hooks.
    Hooks,
    /// The external policy gave no valid answer.
    Unavailable,
    /// A hook answered with a status that no response can have, or that cannot have a body.
    InvalidHook,
    /// The last active admin cannot be demoted, disabled or deleted.
    LastAdmin,
    /// The user has as many tokens as one may have.
    TokenLimit,
}

/// Why there is no consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unconfirmed {
    /// There is no such act, or it is another's.
    Unknown,
    /// Nobody has decided yet.
    Pending,
    /// It was approved, and stays so.
    Approved,
    /// It was rejected.
    Rejected,
    /// It was done.
    Used,
    /// Its time is over.
    Expired,
    /// The request is not the one that was asked about.
    Changed,
    /// Who has consented may no longer decide.
    Withdrawn,
}

/// What is known of a request whose answer is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it was sent, and nobody came back.
    Nothing,
    /// It ran and was answered with this status; the rest was not kept.
    Status(u16),
    /// It ran, an operator says.
    Ran,
    /// It ran and began a session, which is given only once.
    SignedIn,
}

/// Why nobody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither a session cookie nor a token.
    NoCredential,
    /// Not a token of ours in form.
    SessionMalformed,
    /// Signed by no key we know.
    SessionBadSignature,
    /// Past its expiry.
    SessionExpired,
    /// Ended, here or elsewhere, or its user may no longer come in.
    SessionRevoked,
    /// Cookies of two different users.
    SessionAmbiguous,
    /// A bearer token that is not known.
    TokenUnknown,
    /// A bearer token that was taken back, or whose owner may no longer come in.
    TokenRevoked,
    /// A bearer token past its expiry.
    TokenExpired,
}

/// What went wrong on our side of the door, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Upstream refused the connection, reset it or answered nonsense.
    UpstreamFailed,
    /// Upstream sent no response headers in time.
    UpstreamTimeout,
    /// Whether an invite was redeemed is not known.
    InviteRedeemFailed,
    /// A store refused, failed or took too long: nothing is known, so nothing is decided.
    StoreUnavailable,
    /// The configuration is not valid, so nothing is let through.
    Misconfigured,
    /// A bug: something that cannot happen, did.
    Internal,
}

/// A problem document, about to be written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem<'a> {
    /// Where its code is explained: see [`Problem::with_base`].
    r#type: String,
    /// The title: what is wrong, in one line.
    pub title: &'static str,
    /// HTTP status code.
    pub status: u16,
    /// Stable code.
    pub error: &'static str,
    /// Stable finer reason of a 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The member of the body that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// Whether it does no harm to send the request again.
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_to_retry: Option<bool>,
    /// The status that the request was answered with when it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<u16>,
    /// The consent that is asked for.
    #[serde(flatten)]
    pub consent: Option<Consent<'a>>,
    /// The login page, which leads back here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// The request's id.
    pub request_id: &'a str,
}

/// A consent that is asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent<'a> {
    /// Its id, for the request that is sent again.
    pub confirmation_id: &'a str,
    /// Where a person decides.
    pub approve_url: String,
    /// Until when.
    pub expires_at: String,
}

impl Rejection {
    /// Writes this rejection for the request of that id.
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
            Self::ConfirmationInvalid(why) => {
                (403, "confirmation_invalid", "this is no consent to this request", Some(why.detail()))
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
            Self::BotCheckFailed(why) => Some(why.code()),
            Self::ForbiddenPolicy(by) => Some(by.code()),
            Self::ConfirmationInvalid(why) => Some(why.code()),
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
            Self::InvalidBody(field, wanted) => (Some(field), Some(wanted)),
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
    /// Gives the stable code.
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
    /// Gives the stable code.
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
    /// Gives the stable code.
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
    /// Gives the stable code.
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

    /// Says it to a person.
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
    /// Writes this fault for the request of that id.
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
    /// Gives the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.problem("").error
    }
}

impl Problem<'_> {
    /// Names the paragraph of `docs/errors.md` that explains this problem: its code, and its reason where it has one.
    #[must_use]
    pub fn anchor(&self) -> String {
        let Self { error, reason, .. } = self;
        reason.map_or_else(|| (*error).to_owned(), |reason| format!("{error}-{reason}"))
    }

    /// Sets `type` to the paragraph that explains this problem, below `base` (RFC 9457 §3.1.1). The base
    /// [`ABOUT_BLANK`] takes no fragment.
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

/// The `type` of a problem that is explained nowhere (RFC 9457 §4.2.1).
pub const ABOUT_BLANK: &str = "about:blank";

/// The base of every `type` unless `PROBLEM_BASE` says where `docs/errors.md` is published.
pub const DEFAULT_BASE: &str = "urn:vestibule:errors";
