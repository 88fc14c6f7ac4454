//! What refusals say besides their code: the stable reasons, and the texts for people.

use serde::{Deserialize, Serialize};

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

/// The cause of a [`Rejection::ForbiddenPolicy`](super::Rejection::ForbiddenPolicy).
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
    /// The user's last second factor cannot be removed, because the deployment requires one.
    LastFactor,
    /// A user without a second factor cannot become an admin, because the deployment requires one of admins.
    SecondFactorMissing,
    /// The user has the maximum number of tokens.
    TokenLimit,
    /// A disabled user cannot use a reset link.
    UserDisabled,
    /// The user has the maximum number of passkeys.
    PasskeyLimit,
}

/// The part of a token's scope that does not cover a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfScope {
    /// The operation of the rule.
    Operation,
    /// The method.
    Method,
    /// The client's address.
    Address,
}

/// The reason why an approval is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalError {
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
pub enum OutcomeInfo {
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
    SessionEnded,
    /// The request has session cookies of two different users.
    SessionAmbiguous,
    /// The bearer token is unknown.
    TokenUnknown,
    /// The bearer token was revoked, or its owner may no longer sign in.
    TokenRevoked,
    /// The bearer token has expired.
    TokenExpired,
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

impl OutOfScope {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Method => "method",
            Self::Address => "address",
        }
    }

    /// Returns the explanation for people.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Operation => "the token's operations do not include the operation of this request",
            Self::Method => "the token's methods do not include the method of this request",
            Self::Address => "the token's addresses do not include the address of the client",
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
            Self::LastFactor => "last_factor",
            Self::SecondFactorMissing => "second_factor_missing",
            Self::TokenLimit => "token_limit",
            Self::UserDisabled => "user_disabled",
            Self::PasskeyLimit => "passkey_limit",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Policy | Self::Hooks | Self::InvalidHook => "a policy does not allow this request",
            Self::Unavailable => "the policy gave no valid answer: send the request again later",
            Self::LastAdmin => {
                "the last active admin cannot be demoted, disabled or deleted: make another admin first"
            }
            Self::LastFactor => {
                "a second factor is required here: enroll another one before you remove the last one"
            }
            Self::SecondFactorMissing => {
                "admins need a second factor here: the user has to enroll one before becoming an admin"
            }
            Self::TokenLimit => "token limit reached (100 live): revoke one first",
            Self::UserDisabled => "this user is disabled and cannot sign in: enable the user first",
            Self::PasskeyLimit => "passkey limit reached (20): remove one first",
        }
    }
}

impl ApprovalError {
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

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Unknown => "this credential has no confirmation with this id",
            Self::Pending => "no person has decided yet",
            Self::Approved => "it was already approved, and stays approved",
            Self::Rejected => "a person rejected it",
            Self::Used => "it was already used: an approval is valid for one request",
            Self::Expired => "it has expired: an approval is valid for ten minutes",
            Self::Changed => {
                "host, method, path, query, headers and body must be the same as in the request that needed approval"
            }
            Self::Withdrawn => "the person who approved it may no longer decide",
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
            // The code is older than the word.
            Self::SessionEnded => "session_revoked",
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
            Self::NoCredential => "the request has neither a session cookie nor a bearer token",
            Self::SessionMalformed => "the session cookie was not a session token; it was cleared",
            Self::SessionBadSignature => "the session cookie was signed with an unknown key; it was cleared",
            Self::SessionExpired => "the session has expired; its cookie was cleared",
            Self::SessionEnded => "the session was ended; its cookie was cleared",
            Self::SessionAmbiguous => {
                "the request had sessions of two different users; all cookies were cleared"
            }
            Self::TokenUnknown => "the bearer token is unknown",
            Self::TokenRevoked => "the bearer token was revoked",
            Self::TokenExpired => "the bearer token has expired",
        }
    }
}
