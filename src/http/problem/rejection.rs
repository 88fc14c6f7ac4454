//! Rejections: refusals that the client can act on.

use super::{ApprovalError, BotCheck, ForbiddenBy, OutOfScope, OutcomeInfo, Problem, RateLimit, Reason};

/// The reason why the gateway rejects a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The path can be read in more than one way.
    AmbiguousPath,
    /// The request has no valid credential, for this reason.
    Unauthorized(Reason),
    /// The user authenticated longer ago than the rule allows: this many seconds.
    ReauthenticationRequired {
        /// The maximum age, in seconds.
        max_age: u32,
    },
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
    /// The scope of the request's token does not cover the request.
    ForbiddenScope(OutOfScope),
    /// The credentials are wrong.
    InvalidCredentials,
    /// The password was right, and a second factor is needed.
    SecondFactorRequired,
    /// The password was right, and the user has to enroll a second factor first.
    SecondFactorEnrollmentRequired,
    /// The ticket was used, has expired, is unknown, or its user has changed.
    TicketUnusable,
    /// The reset link was used, has expired, is unknown, or its user has changed.
    ResetUnusable,
    /// The new password is one of the most common ones; the member that has it.
    PasswordTooCommon(&'static str),
    /// The ceremony of a passkey was used, has expired, or is not for this.
    CeremonyUnusable,
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
    IdempotencyOutcomeUnknown(OutcomeInfo),
    /// Upstream began a checkout with a ref that another owner's checkout has.
    CheckoutConflict,
    /// The signature of the webhook is invalid, for this reason.
    InvalidSignature(&'static str),
    /// The logout token of upstream is invalid, for this reason.
    LogoutTokenInvalid(&'static str),
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
    ConfirmationInvalid(ApprovalError),
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
    /// The bodies that are being read use all of the memory for bodies, there is not enough memory for a hash, or too many
    /// people watch the live tail.
    Overloaded,
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
                    "send the canonical path: without encoded slashes, backslashes, control characters, dot segments and double encoding, and not in a spelling that servers may read as the path of another rule",
                ),
            ),
            Self::Unauthorized(reason) => (401, "unauthorized", "no valid credential", Some(reason.detail())),
            Self::ReauthenticationRequired { .. } => (
                401,
                "reauthentication_required",
                "you signed in too long ago for this: confirm that it is you",
                Some(
                    "POST the password to /auth/reauthenticate, or sign in again, and then send the request again",
                ),
            ),
            Self::ForbiddenOrigin { development } => (
                403,
                "forbidden_origin",
                "requests from this origin are not allowed",
                Some(if development {
                    "Origin is in neither PUBLIC_ORIGINS nor ALLOWED_ORIGINS: add it to one of them, exactly as the browser sends it"
                } else {
                    "the request must come from this site or from an allowed origin, and Sec-Fetch-Site and Origin must show it"
                }),
            ),
            Self::ForbiddenKind => {
                (403, "forbidden_kind", "this endpoint does not allow this kind of principal", None)
            }
            Self::ForbiddenRole => (403, "forbidden_role", "this endpoint requires another role", None),
            Self::ForbiddenOwner => (403, "forbidden_owner", "this belongs to another user", None),
            Self::ForbiddenHumanOnly => {
                (403, "forbidden_human_only", "only a person may do this: send no machine's credential", None)
            }
            Self::ForbiddenScope(part) => (
                403,
                "forbidden_scope",
                "the scope of this token does not cover the request",
                Some(part.detail()),
            ),
            Self::InvalidCredentials => (401, "invalid_credentials", "invalid credentials", None),
            Self::SecondFactorRequired => (
                401,
                "second_factor_required",
                "a second factor is needed to sign in",
                Some("finish the sign-in with ticket and a code, within five minutes"),
            ),
            Self::SecondFactorEnrollmentRequired => (
                403,
                "second_factor_enrollment_required",
                "a second factor is required here: enroll one to sign in",
                Some("enroll a factor with ticket, within five minutes; then sign in again"),
            ),
            Self::TicketUnusable => (
                410,
                "ticket_unusable",
                "this sign-in has expired, was finished or is no longer valid: sign in again",
                None,
            ),
            Self::ResetUnusable => (
                410,
                "reset_unusable",
                "this link was used, has expired or is unknown: ask for a new one",
                None,
            ),
            Self::PasswordTooCommon(_) => (
                400,
                "password_too_common",
                "many people use this password, so it is easy to guess: choose another one",
                None,
            ),
            Self::CeremonyUnusable => (
                410,
                "ceremony_unusable",
                "this request for a passkey has expired or was used: start again",
                None,
            ),
            Self::InvalidToken => (400, "invalid_token", "invalid invite token: open the whole link", None),
            Self::EmailMismatch => {
                (401, "email_mismatch", "this invite is not valid for this e-mail address", None)
            }
            Self::InviteUnusable => (
                410,
                "invite_unusable",
                "this invite is used, revoked, disabled, expired or unknown: ask for a new one",
                None,
            ),
            Self::EmailTaken => {
                (409, "email_taken", "an account with this e-mail address already exists", None)
            }
            Self::AlreadySetUp => (409, "already_set_up", "the first account already exists: sign in", None),
            Self::RateLimited { .. } => (429, "rate_limited", "too many requests", None),
            Self::IdempotencyKeyMissing => (
                400,
                "idempotency_key_missing",
                "this endpoint requires an idempotency key",
                Some("send Idempotency-Key: a new key for each operation, the same key when you retry"),
            ),
            Self::IdempotencyKeyInvalid => (
                400,
                "idempotency_key_invalid",
                "invalid idempotency key",
                Some("expected one key of 1 to 255 visible ASCII characters, with or without double quotes"),
            ),
            Self::IdempotencyKeyReused => (
                422,
                "idempotency_key_reused",
                "a different request was sent with this idempotency key",
                Some(
                    "use a new key for a new request: with the same key, host, method, path, query, content type and body must be the same, byte for byte",
                ),
            ),
            Self::IdempotencyInFlight(_) => (
                409,
                "idempotency_in_flight",
                "the request with this idempotency key is still running: send it again later",
                None,
            ),
            Self::IdempotencyOutcomeUnknown(known) => (
                409,
                "idempotency_outcome_unknown",
                "the request with this idempotency key may have run: check before you repeat it",
                Some(match known {
                    OutcomeInfo::Nothing => "it was sent to the application, and no response arrived",
                    OutcomeInfo::Status(_) => "it ran, and its response was not stored",
                    OutcomeInfo::Ran => "an operator recorded that it ran; its response is unknown",
                    OutcomeInfo::SignedIn => {
                        "it signed a user in, and a session is sent only once: sign in again with a new key"
                    }
                }),
            ),
            Self::CheckoutConflict => (
                409,
                "checkout_conflict",
                "another user's checkout already has this ref",
                Some(
                    "the application processed the request, but the checkout was not registered: do not send the request again",
                ),
            ),
            Self::InvalidSignature(_) => (401, "invalid_signature", "invalid signature", None),
            Self::LogoutTokenInvalid(_) => {
                (400, "logout_token_invalid", "the logout token is not valid", None)
            }
            Self::WebhookInFlight => {
                (409, "webhook_in_flight", "another delivery of this event is still being processed", None)
            }
            Self::BotCheckFailed(_) => (403, "bot_check_failed", "the bot check failed", None),
            Self::FeatureDisabled => (403, "feature_disabled", "this feature is not enabled for you", None),
            Self::ForbiddenPolicy(by) => (403, "forbidden_policy", by.title(), None),
            Self::ConfirmationRequired => (
                403,
                "confirmation_required",
                "a person must approve this request first",
                Some(
                    "show approveUrl to a person; after the approval, send the same request again with Confirmation-ID",
                ),
            ),
            Self::ConfirmationInvalid(reason) => (
                403,
                "confirmation_invalid",
                "the approval is not valid for this request",
                Some(reason.detail()),
            ),
            Self::NotFound => (404, "not_found", "not found", None),
            Self::InvalidBody(..) => (400, "invalid_body", "invalid body or parameter", None),
            Self::BodyTooLarge => (413, "body_too_large", "the body is too large", None),
            Self::UnsupportedMediaType => (
                415,
                "unsupported_media_type",
                "unsupported content type",
                Some("expected Content-Type: application/json"),
            ),
            Self::MethodNotAllowed(_) => {
                (405, "method_not_allowed", "this endpoint does not support this method", None)
            }
            Self::MethodNotSupported => {
                (501, "method_not_supported", "CONNECT, TRACE and TRACK are not supported", None)
            }
            Self::Overloaded => (
                503,
                "overloaded",
                "too many such requests at once",
                Some("the request did not run: send it again after Retry-After seconds"),
            ),
        };
        let reason = match self {
            Self::Unauthorized(reason) => Some(reason.code()),
            Self::InvalidSignature(reason) | Self::LogoutTokenInvalid(reason) => Some(reason),
            Self::BotCheckFailed(reason) => Some(reason.code()),
            Self::ForbiddenPolicy(by) => Some(by.code()),
            Self::ForbiddenScope(part) => Some(part.code()),
            Self::ConfirmationInvalid(reason) => Some(reason.code()),
            Self::IdempotencyOutcomeUnknown(OutcomeInfo::SignedIn) => Some("session_not_repeated"),
            _ => None,
        };
        let (safe_to_retry, answered) = match self {
            Self::IdempotencyInFlight(_) | Self::Overloaded => (Some(true), None),
            Self::IdempotencyOutcomeUnknown(OutcomeInfo::Status(status)) => (Some(false), Some(status)),
            Self::CheckoutConflict
            | Self::IdempotencyOutcomeUnknown(
                OutcomeInfo::Nothing | OutcomeInfo::Ran | OutcomeInfo::SignedIn,
            ) => (Some(false), None),
            _ => (None, None),
        };
        let (field, detail) = match self {
            Self::InvalidBody(field, expected) => (Some(field), Some(expected)),
            Self::PasswordTooCommon(field) => (Some(field), detail),
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
            approval: None,
            second_step: None,
            login_url: None,
            detail,
            request_id,
        }
    }
}
