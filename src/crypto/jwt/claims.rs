//! The claims of a session token, and the checks for them.
//!
//! A valid payload is a JSON object without duplicate members:
//!
//! 1. the user claim and the session claim are strings of 1–128 visible ASCII characters;
//! 2. `exp` and `iat` are integers, and `nbf` too if present;
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
pub fn judge(token: &Verified, expected: &Expected, now: Timestamp) -> Result<Claims, Refused> {
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
    Ok(Claims { user_id, session_id, issued_at: Timestamp(issued_at), expires_at: Timestamp(expires_at) })
}

/// Returns the payload of a new session's token: the user and session ids, `iat`, `exp`, `iss` if configured, and
/// `aud`, which is [`SESSION_AUDIENCE`] if no audience is configured.
#[must_use]
pub fn fresh(
    expected: &Expected,
    (user, session): (&str, &str),
    (issued_at, expires_at): (Timestamp, Timestamp),
) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = Map::new();
    members.insert(expected.session_claim.clone(), session.into());
    members.insert(expected.user_claim.clone(), user.into());
    members.insert("iat".to_owned(), issued_at.0.into());
    members.insert("exp".to_owned(), expires_at.0.into());
    if let Some(issuer) = &expected.issuer {
        members.insert("iss".to_owned(), issuer.as_str().into());
    }
    let audience = expected.audience.as_deref().unwrap_or(SESSION_AUDIENCE);
    members.insert("aud".to_owned(), audience.into());
    serde_json::to_vec(&members).ok()
}

/// Returns a verified payload with new times. Keeps every other member: a token that upstream
/// created may contain claims that only upstream understands.
#[must_use]
pub fn renewed(token: &Verified, issued_at: Timestamp, expires_at: Timestamp) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::from_slice(token.payload()).ok()?;
    members.insert("iat".to_owned(), issued_at.0.into());
    members.insert("exp".to_owned(), expires_at.0.into());
    serde_json::to_vec(&members).ok()
}

/// Checks that a text can be an id: 1–128 visible ASCII characters.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

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
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn expected() -> Expected {
        Expected {
            user_claim: "userId".into(),
            session_claim: "sessionId".into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        }
    }

    fn token(json: &str) -> Verified {
        Verified { payload: json.as_bytes().to_vec(), stale_key: false }
    }

    #[track_caller]
    fn check(expected: &Expected, json: &str, want: Result<(), Refused>) {
        assert_eq!(judge(&token(json), expected, NOW).map(|_| ()), want, "{json}");
    }

    #[test]
    fn checks_times_types_and_duplicates() {
        let ids = r#""userId":"u","sessionId":"s""#;
        for (rest, want) in [
            (r#""iat":1700000000,"exp":1700000001"#, Ok(())),
            (r#""iat":1700000000,"exp":1700000000"#, Err(Refused::Expired)),
            (r#""iat":1,"exp":-5"#, Err(Refused::Expired)),
            (r#""iat":1700000001,"exp":1800000000"#, Err(Refused::Malformed)),
            (r#""iat":-1,"exp":9223372036854775807"#, Ok(())),
            (r#""iat":1,"exp":9223372036854775808"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1.8e9"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000.0"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":"1800000000""#, Err(Refused::Malformed)),
            (r#""iat":null,"exp":1800000000"#, Err(Refused::Malformed)),
            (r#""exp":1800000000"#, Err(Refused::Malformed)),
            (r#""iat":1"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000,"nbf":1700000000"#, Ok(())),
            (r#""iat":1,"exp":1800000000,"nbf":1700000001"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000,"nbf":"0""#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1,"exp":1800000000"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000,"userId":"v""#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000,"x":1,"x":2"#, Err(Refused::Malformed)),
            (r#""iat":1,"exp":1800000000,"aud":7"#, Err(Refused::Malformed)),
        ] {
            check(&expected(), &format!("{{{ids},{rest}}}"), want);
        }
    }

    #[test]
    fn accepts_ids_of_visible_ascii_only() {
        let long = "x".repeat(129);
        for (user, want) in [
            (r#""a b""#, Err(Refused::Malformed)),
            (r#""""#, Err(Refused::Malformed)),
            (r#""\u0000""#, Err(Refused::Malformed)),
            (r#""é""#, Err(Refused::Malformed)),
            ("42", Err(Refused::Malformed)),
            (r#"["u"]"#, Err(Refused::Malformed)),
            (r#""u\u0073r""#, Ok(())),
            (&format!("\"{long}\""), Err(Refused::Malformed)),
            (&format!("\"{}\"", &long[..128]), Ok(())),
        ] {
            let json = format!(r#"{{"userId":{user},"sessionId":"s","iat":1,"exp":1800000000}}"#);
            check(&expected(), &json, want);
        }
    }

    #[test]
    fn leeway_applies_to_both_ends() {
        let lenient = Expected { leeway: Duration::from_mins(1), ..expected() };
        for (iat, exp, want) in [
            (1, 1_699_999_941, Ok(())),
            (1, 1_699_999_940, Err(Refused::Expired)),
            (1_700_000_060, 1_800_000_000, Ok(())),
            (1_700_000_061, 1_800_000_000, Err(Refused::Malformed)),
        ] {
            let json = format!(r#"{{"userId":"u","sessionId":"s","iat":{iat},"exp":{exp}}}"#);
            check(&lenient, &json, want);
        }
    }

    #[test]
    fn checks_issuer_and_audience_if_configured() {
        let strict =
            Expected { issuer: Some("https://idp".into()), audience: Some("app".into()), ..expected() };
        for (rest, want) in [
            (r#""iss":"https://idp","aud":"app""#, Ok(())),
            (r#""iss":"https://idp","aud":["x","app"]"#, Ok(())),
            (r#""iss":"https://idp","aud":[]"#, Err(Refused::Malformed)),
            (r#""iss":"https://idp","aud":"App""#, Err(Refused::Malformed)),
            (r#""iss":"https://idp""#, Err(Refused::Malformed)),
            (r#""iss":"https://idp/","aud":"app""#, Err(Refused::Malformed)),
            (r#""aud":"app""#, Err(Refused::Malformed)),
        ] {
            let json = format!(r#"{{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,{rest}}}"#);
            check(&strict, &json, want);
        }
    }

    #[test]
    fn rejects_assertions() {
        let bound = r#""method":"GET","path":"/","requestId":"req_1""#;
        for (rest, want) in [
            (format!(r#""iss":"vestibule","aud":"vestibule-upstream",{bound}"#), Err(Refused::Malformed)),
            // An assertion of version 0.1.
            (format!(r#""iss":"vestibule",{bound}"#), Err(Refused::Malformed)),
            (r#""aud":"vestibule-upstream""#.to_owned(), Err(Refused::Malformed)),
            (r#""aud":["app","vestibule-upstream"]"#.to_owned(), Err(Refused::Malformed)),
            (r#""iss":"vestibule""#.to_owned(), Ok(())),
            (r#""aud":"vestibule-session""#.to_owned(), Ok(())),
            (bound.to_owned(), Ok(())),
        ] {
            let json = format!(r#"{{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,{rest}}}"#);
            check(&expected(), &json, want);
        }
        let same_audience = Expected { audience: Some("vestibule-upstream".into()), ..expected() };
        check(
            &same_audience,
            r#"{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,"aud":"vestibule-upstream"}"#,
            Err(Refused::Malformed),
        );
        let minted = fresh(&expected(), ("u", "s"), (Timestamp(1), Timestamp(1_800_000_000))).expect("JSON");
        let minted = String::from_utf8(minted).expect("UTF-8");
        assert!(minted.contains(r#""aud":"vestibule-session""#), "{minted}");
        check(&expected(), &minted, Ok(()));
    }

    #[test]
    fn renewal_keeps_unknown_claims() {
        let old = token(r#"{"z":{"k":[1,2.5]},"iat":1,"userId":"u","exp":2,"é":"\u0001"}"#);
        let new = renewed(&old, Timestamp(5), Timestamp(9)).expect("an object");
        assert_eq!(
            String::from_utf8(new).expect("utf-8"),
            r#"{"z":{"k":[1,2.5]},"iat":5,"userId":"u","exp":9,"é":"\u0001"}"#
        );
    }
}
