//! The claims of a session token, and the checks for them.
//!
//! A valid payload is a JSON object without duplicate members:
//!
//! 1. the user claim and the session claim are strings of 1–128 visible ASCII characters;
//! 2. `exp` and `iat` are integers, and `nbf` and `startedAt` too if present;
//! 3. `exp + leeway > now`: without leeway, a token is expired from the second `exp` on;
//! 4. `iat` and `nbf` are not later than `now + leeway`;
//! 5. if an issuer is configured, `iss` is this issuer; if an audience is configured, `aud` (a string or a list)
//!    contains it;
//! 6. it is not an assertion of any deployment: its `aud` is not the audience of assertions, and it does not have the
//!    members of an assertion by version 0.1.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Verified, members};
use crate::base::time::{Timestamp, whole_seconds};

/// Requirements for the claims of a session token.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Name of the claim with the user's id.
    pub user_claim: String,
    /// Name of the claim with the session's id.
    pub session_claim: String,
    /// Required `iss`, if configured.
    pub issuer: Option<String>,
    /// Required member of `aud`, if configured.
    pub audience: Option<String>,
    /// Tolerance for clock differences.
    pub leeway: Duration,
}

/// Valid claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user's id.
    pub user_id: String,
    /// The session's id.
    pub session_id: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// The sign-in: the claim `startedAt`, or `iat` without it. Never later than `iat`.
    pub started_at: Timestamp,
}

/// The ids that identify a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionIds<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The session's id.
    pub session: &'a str,
}

impl Claims {
    /// Returns the ids of the user and the session.
    #[must_use]
    pub fn ids(&self) -> SessionIds<'_> {
        SessionIds { user: &self.user_id, session: &self.session_id }
    }
}

/// The reason why claims are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not the claims of a session, or not valid yet.
    Malformed,
    /// Expired: valid before.
    Expired,
}

/// Checks the claims of a verified token.
///
/// # Errors
/// [`Refused`] by the first check that fails.
pub fn validate(token: &Verified, expected: &Expected, now: Timestamp) -> Result<Claims, Refused> {
    let found = read_claims(token.payload(), expected).ok_or(Refused::Malformed)?;
    if found.is_assertion() {
        return Err(Refused::Malformed);
    }
    let (user_id, session_id) = match (found.user_id, found.session_id) {
        (Some(user), Some(session)) if is_id(&user) && is_id(&session) => (user, session),
        _ => return Err(Refused::Malformed),
    };
    let (Some(expires_at), Some(issued_at)) = (found.exp, found.iat) else {
        return Err(Refused::Malformed);
    };
    let leeway = whole_seconds(expected.leeway);
    if expires_at.saturating_add(leeway) <= now.0 {
        return Err(Refused::Expired);
    }
    let latest_start = now.0.saturating_add(leeway);
    if issued_at > latest_start || found.nbf.is_some_and(|nbf| nbf > latest_start) {
        return Err(Refused::Malformed);
    }
    if expected.issuer.is_some() && found.iss != expected.issuer {
        return Err(Refused::Malformed);
    }
    if expected.audience.as_ref().is_some_and(|wanted| !found.aud.contains(wanted)) {
        return Err(Refused::Malformed);
    }
    let started_at = Timestamp(found.started_at.map_or(issued_at, |started_at| started_at.min(issued_at)));
    let (issued_at, expires_at) = (Timestamp(issued_at), Timestamp(expires_at));
    Ok(Claims { user_id, session_id, issued_at, expires_at, started_at })
}

/// Returns the payload of a new session's token: the user and session ids, `iat`, `exp`, `startedAt` if it is given,
/// `iss` if configured, and `aud`, which is [`SESSION_AUDIENCE`] if no audience is configured.
#[must_use]
pub fn fresh(
    expected: &Expected,
    ids: SessionIds<'_>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    started_at: Option<Timestamp>,
) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = Map::new();
    members.insert(expected.session_claim.clone(), ids.session.into());
    members.insert(expected.user_claim.clone(), ids.user.into());
    members.insert("iat".to_owned(), issued_at.0.into());
    members.insert("exp".to_owned(), expires_at.0.into());
    members.extend(started_at.map(|at| (STARTED_AT.to_owned(), at.0.into())));
    if let Some(issuer) = &expected.issuer {
        members.insert("iss".to_owned(), issuer.as_str().into());
    }
    let audience = expected.audience.as_deref().unwrap_or(SESSION_AUDIENCE);
    members.insert("aud".to_owned(), audience.into());
    serde_json::to_vec(&members).ok()
}

/// Returns a verified payload with new times, and with `startedAt` if it is given. Keeps every other member: a token
/// that upstream created may contain claims that only upstream understands.
#[must_use]
pub fn renewed(
    token: &Verified,
    issued_at: Timestamp,
    expires_at: Timestamp,
    started_at: Option<Timestamp>,
) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::from_slice(token.payload()).ok()?;
    members.insert("iat".to_owned(), issued_at.0.into());
    members.insert("exp".to_owned(), expires_at.0.into());
    members.extend(started_at.map(|at| (STARTED_AT.to_owned(), at.0.into())));
    serde_json::to_vec(&members).ok()
}

/// Checks that a text can be an id: 1–128 visible ASCII characters.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The claim with the time of the sign-in.
pub const STARTED_AT: &str = "startedAt";

/// `iss` of assertions.
pub const ASSERTION_ISSUER: &str = "vestibule";

/// `aud` of assertions.
pub const ASSERTION_AUDIENCE: &str = "vestibule-upstream";

/// `aud` of the gateway's own session tokens, if no audience is configured.
pub const SESSION_AUDIENCE: &str = "vestibule-session";

impl RawClaims {
    fn is_assertion(&self) -> bool {
        self.aud.iter().any(|audience| audience == ASSERTION_AUDIENCE)
            || (self.iss.as_deref() == Some(ASSERTION_ISSUER) && self.has_request_id)
    }
}

#[derive(Default)]
struct RawClaims {
    user_id: Option<String>,
    session_id: Option<String>,
    iss: Option<String>,
    aud: Vec<String>,
    exp: Option<i64>,
    iat: Option<i64>,
    nbf: Option<i64>,
    started_at: Option<i64>,
    /// Whether it has `requestId`, as assertions do.
    has_request_id: bool,
}

fn read_claims(payload: &[u8], expected: &Expected) -> Option<RawClaims> {
    let mut found = RawClaims::default();
    members::read_object(payload, MAX_CLAIMS, |name, value| {
        match name {
            "exp" => found.exp = Some(value.integer()?),
            "iat" => found.iat = Some(value.integer()?),
            "nbf" => found.nbf = Some(value.integer()?),
            STARTED_AT => found.started_at = Some(value.integer()?),
            "iss" => found.iss = Some(value.text()?.into_owned()),
            "aud" => found.aud = value.texts()?,
            name if name == expected.user_claim => found.user_id = Some(value.text()?.into_owned()),
            name if name == expected.session_claim => {
                found.session_id = Some(value.text()?.into_owned());
            }
            "requestId" => {
                found.has_request_id = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Some(())
    })?;
    Some(found)
}

/// Maximum number of members of a payload.
const MAX_CLAIMS: usize = 128;

#[cfg(test)]
mod tests;
