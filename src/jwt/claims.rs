//! The claims of a session token, and when they hold.
//!
//! A payload is a JSON object without duplicate members, in which
//!
//! 1. the user and the session claim are strings of 1–128 visible ASCII characters;
//! 2. `exp` and `iat` are integers, `nbf` too where present;
//! 3. `exp + leeway > now`: a token is dead in the second it names;
//! 4. `iat` and `nbf` are not later than `now + leeway`;
//! 5. `iss` is the configured issuer and `aud`, a string or a list, holds the configured audience,
//!    where they are configured;
//! 6. it is not an assertion of any deployment's: its `aud` is not that of assertions, and it has not the members of
//!    one that an earlier version made.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Verified, members};
use crate::time::{Timestamp, whole_seconds};

/// What is asked of a session token's claims.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Name of the claim that holds the user's id.
    pub user_claim: String,
    /// Name of the claim that holds the session's id.
    pub session_claim: String,
    /// Demanded `iss`.
    pub issuer: Option<String>,
    /// Demanded member of `aud`.
    pub audience: Option<String>,
    /// Tolerance for clocks that disagree.
    pub leeway: Duration,
}

/// Claims that hold now.
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

/// Why claims do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not the claims of a session, or not yet.
    Malformed,
    /// They held once.
    Expired,
}

/// Judges the claims of a verified token.
///
/// # Errors
/// [`Refused`], by the first of the rules above that fails.
pub fn judge(token: &Verified, expected: &Expected, now: Timestamp) -> Result<Claims, Refused> {
    let found = read(token.payload(), expected).ok_or(Refused::Malformed)?;
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

/// Writes the payload of a new session: `(user, session)`, `(iat, exp)`, `iss` where it is asked for, and `aud`, which
/// is [`SESSION_AUDIENCE`] where no other is.
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

/// Rewrites a verified payload with new times, keeping every other member: a token that upstream
/// made may say things that only upstream understands.
#[must_use]
pub fn renewed(token: &Verified, issued_at: Timestamp, expires_at: Timestamp) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::from_slice(token.payload()).ok()?;
    members.insert("iat".to_owned(), issued_at.0.into());
    members.insert("exp".to_owned(), expires_at.0.into());
    serde_json::to_vec(&members).ok()
}

/// Tells whether a text may be an id: 1–128 visible ASCII characters.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// `iss` of assertions.
pub const ASSERTION_ISSUER: &str = "vestibule";

/// `aud` of assertions.
pub const ASSERTION_AUDIENCE: &str = "vestibule-upstream";

/// `aud` of sessions of our own, where no other is configured.
pub const SESSION_AUDIENCE: &str = "vestibule-session";

impl Found {
    fn is_assertion(&self) -> bool {
        self.aud.iter().any(|audience| audience == ASSERTION_AUDIENCE)
            || (self.iss.as_deref() == Some(ASSERTION_ISSUER) && self.is_bound)
    }
}

#[derive(Default)]
struct Found {
    user_id: Option<String>,
    session_id: Option<String>,
    iss: Option<String>,
    aud: Vec<String>,
    exp: Option<i64>,
    iat: Option<i64>,
    nbf: Option<i64>,
    /// Whether it is bound to one request, as assertions are.
    is_bound: bool,
}

fn read(payload: &[u8], expected: &Expected) -> Option<Found> {
    let mut found = Found::default();
    members::read_object(payload, CLAIM_MEMBERS, |name, value| {
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
                found.is_bound = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Some(())
    })?;
    Some(found)
}

const CLAIM_MEMBERS: usize = 128;

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
    fn claims_that_hold_and_that_do_not() {
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
    fn ids() {
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
    fn leeway_moves_both_ends() {
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
    fn issuer_and_audience_where_configured() {
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
    fn an_assertion_is_no_session() {
        let bound = r#""method":"GET","path":"/","requestId":"req_1""#;
        for (rest, want) in [
            (format!(r#""iss":"vestibule","aud":"vestibule-upstream",{bound}"#), Err(Refused::Malformed)),
            // As 0.1 made it.
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
        let asked = Expected { audience: Some("vestibule-upstream".into()), ..expected() };
        check(
            &asked,
            r#"{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,"aud":"vestibule-upstream"}"#,
            Err(Refused::Malformed),
        );
        let minted = fresh(&expected(), ("u", "s"), (Timestamp(1), Timestamp(1_800_000_000))).expect("JSON");
        let minted = String::from_utf8(minted).expect("UTF-8");
        assert!(minted.contains(r#""aud":"vestibule-session""#), "{minted}");
        check(&expected(), &minted, Ok(()));
    }

    #[test]
    fn renewal_keeps_what_it_does_not_understand() {
        let old = token(r#"{"z":{"k":[1,2.5]},"iat":1,"userId":"u","exp":2,"é":"\u0001"}"#);
        let new = renewed(&old, Timestamp(5), Timestamp(9)).expect("an object");
        assert_eq!(
            String::from_utf8(new).expect("utf-8"),
            r#"{"z":{"k":[1,2.5]},"iat":5,"userId":"u","exp":9,"é":"\u0001"}"#
        );
    }
}
