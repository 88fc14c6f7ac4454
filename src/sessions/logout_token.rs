//! Logout tokens, by which upstream ends a user's sessions (`OpenID` Connect Back-Channel Logout 1.0 §2.4).
//!
//! A logout token is an HS256 JWT under `UPSTREAM_SECRET`:
//!
//! 1. its header's `typ` is `logout+jwt`. So an assertion is not a logout token, and neither is a session;
//! 2. `aud` is or contains [`AUDIENCE`];
//! 3. `sub` is the user's id. `sid`, if present, is the id of the only session to end;
//! 4. `events` is an object with the member [`EVENT`], whose value is an object. There is no `nonce`;
//! 5. `exp` is in the future, `iat` is not, and they are at most [`LONGEST_LIFE`] seconds apart;
//! 6. `jti` was not used before. The user's registry accepts it once, in the transaction that ends the sessions.

use serde_json::{Map, Value};

use crate::{
    base::{json, time::Timestamp},
    crypto::jwt::{Invalid, TypedKey, claims::is_id},
};

/// The `typ` of a logout token's header.
pub const TYPE: &str = "logout+jwt";

/// The `aud` of a logout token.
pub const AUDIENCE: &str = "vestibule-logout";

/// The member of `events` that makes a token a logout token.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Maximum number of seconds between `iat` and `exp`.
pub const LONGEST_LIFE: i64 = 600;

/// Seconds by which the clocks of upstream and Vestibule may differ.
pub const SKEW: i64 = 60;

/// A valid logout token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// `jti`.
    pub id: String,
    /// The user's id.
    pub user: String,
    /// The session to end; `None` for all sessions of the user.
    pub session: Option<String>,
    /// The time until which its id must be remembered.
    pub until: Timestamp,
}

/// The reason why a logout token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutTokenError {
    /// It is not a logout token in form.
    Malformed,
    /// It is signed with another key.
    Mismatch,
    /// A claim is missing, or has another value than a logout token.
    Claims,
    /// It has expired, or starts in the future.
    Expired,
    /// It was used before.
    Used,
}

impl LogoutTokenError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Claims => "claims",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }
}

/// Verifies a logout token, except for its use.
///
/// # Errors
/// [`LogoutTokenError`] by the first check that fails.
pub fn verify(key: &TypedKey, token: &str, now: Timestamp) -> Result<LogoutToken, LogoutTokenError> {
    let payload = key.verify(token).map_err(|invalid| match invalid {
        Invalid::Malformed => LogoutTokenError::Malformed,
        Invalid::BadSignature => LogoutTokenError::Mismatch,
    })?;
    if json::is_ambiguous(&payload) {
        return Err(LogoutTokenError::Malformed);
    }
    let claims: Map<String, Value> =
        serde_json::from_slice(&payload).map_err(|_| LogoutTokenError::Malformed)?;
    let (found, issued_at, expires_at) = read(&claims).ok_or(LogoutTokenError::Claims)?;
    if expires_at <= now.0 || issued_at > now.0.saturating_add(SKEW) {
        return Err(LogoutTokenError::Expired);
    }
    Ok(found)
}

/// Reads the claims. Returns `None` if one is missing or wrong. Also returns `iat` and `exp`.
fn read(claims: &Map<String, Value>) -> Option<(LogoutToken, i64, i64)> {
    let id = |name: &str| claims.get(name)?.as_str().filter(|text| is_id(text)).map(str::to_owned);
    let is_for_us = match claims.get("aud")? {
        Value::String(audience) => audience == AUDIENCE,
        Value::Array(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
        _ => false,
    };
    let is_logout = claims.get("events")?.get(EVENT)?.is_object() && !claims.contains_key("nonce");
    let (issued_at, expires_at) = (claims.get("iat")?.as_i64()?, claims.get("exp")?.as_i64()?);
    let is_short = (0..=LONGEST_LIFE).contains(&expires_at.saturating_sub(issued_at));
    if !(is_for_us && is_logout && is_short) {
        return None;
    }
    let session = match claims.get("sid") {
        Some(_) => Some(id("sid")?),
        None => None,
    };
    let until = Timestamp(expires_at.saturating_add(SKEW));
    Some((LogoutToken { id: id("jti")?, user: id("sub")?, session, until }, issued_at, expires_at))
}

#[cfg(test)]
mod tests;
