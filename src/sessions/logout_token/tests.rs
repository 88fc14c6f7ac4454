//! Tests of logout tokens.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use serde_json::json;

use super::*;
use crate::crypto::{jwt::Keys, secret::Secret};

const NOW: Timestamp = Timestamp(1_700_000_000);

fn secret(seed: u8) -> Secret {
    Secret::from_bytes((seed..).take(32).collect()).expect("a secret")
}

fn key() -> TypedKey {
    TypedKey::new(TYPE, &secret(1))
}

fn claims() -> Value {
    json!({
        "iss": "https://origin.example", "aud": AUDIENCE, "sub": "usr_a", "jti": "j1",
        "iat": NOW.0, "exp": NOW.0 + 120, "events": { EVENT: {} },
    })
}

fn with(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims.to_string()
}

#[test]
fn accepts_only_the_claims_of_a_logout_token() {
    use LogoutTokenError::{Claims, Expired};
    for (changes, want) in [
        (json!({}), Ok(None)),
        (json!({"iss": null}), Ok(None)),
        (json!({"sid": "ses_1"}), Ok(Some("ses_1"))),
        (json!({"aud": ["x", AUDIENCE]}), Ok(None)),
        (json!({"exp": NOW.0 + 600}), Ok(None)),
        (json!({"iat": NOW.0 + 60}), Ok(None)),
        (json!({"events": {EVENT: {"a": 1}, "other": 1}}), Ok(None)),
        (json!({"sub": null}), Err(Claims)),
        (json!({"sub": "a b"}), Err(Claims)),
        (json!({"sub": 7}), Err(Claims)),
        (json!({"sid": ""}), Err(Claims)),
        (json!({"sid": 7}), Err(Claims)),
        (json!({"jti": null}), Err(Claims)),
        (json!({"jti": "x".repeat(129)}), Err(Claims)),
        (json!({"aud": null}), Err(Claims)),
        (json!({"aud": "vestibule-upstream"}), Err(Claims)),
        (json!({"aud": "vestibule-session"}), Err(Claims)),
        (json!({"aud": ["x"]}), Err(Claims)),
        (json!({"events": null}), Err(Claims)),
        (json!({"events": {}}), Err(Claims)),
        (json!({"events": {EVENT: true}}), Err(Claims)),
        (json!({"events": [EVENT]}), Err(Claims)),
        (json!({"nonce": "n"}), Err(Claims)),
        (json!({"iat": null}), Err(Claims)),
        (json!({"exp": null}), Err(Claims)),
        (json!({"exp": 1.8e9}), Err(Claims)),
        (json!({"exp": NOW.0 + 601}), Err(Claims)),
        (json!({"exp": NOW.0 - 1}), Err(Claims)),
        (json!({"iat": NOW.0 - 120, "exp": NOW.0}), Err(Expired)),
        (json!({"iat": NOW.0 + 61, "exp": NOW.0 + 120}), Err(Expired)),
        (json!({"iat": i64::MIN, "exp": i64::MAX}), Err(Claims)),
    ] {
        let found = verify(&key(), &key().sign(with(&changes).as_bytes()), NOW);
        let session = found.as_ref().map(|token| token.session.as_deref()).map_err(|error| *error);
        assert_eq!(session, want, "{changes}");
        if let Ok(token) = found {
            assert_eq!((token.user.as_str(), token.id.as_str()), ("usr_a", "j1"));
        }
    }
}

#[test]
fn rejects_tokens_of_other_types_and_keys() {
    use LogoutTokenError::{Malformed, Mismatch};
    let payload = claims().to_string();
    let sessions = Keys::new(&secret(1), None).expect("a key");
    let assertion = TypedKey::new("vestibule-assertion+jwt", &secret(1));
    let twice = payload.replacen('{', "{\"sub\":\"usr_b\",", 1);
    for (token, want) in [
        (key().sign(payload.as_bytes()), Ok(())),
        (TypedKey::new(TYPE, &secret(2)).sign(payload.as_bytes()), Err(Mismatch)),
        (sessions.sign(payload.as_bytes()), Err(Malformed)),
        (assertion.sign(payload.as_bytes()), Err(Malformed)),
        (key().sign(twice.as_bytes()), Err(Malformed)),
        (key().sign(b"[]"), Err(Malformed)),
        (key().sign("x".repeat(4_096).as_bytes()), Err(Malformed)),
        (String::new(), Err(Malformed)),
        ("a.b.c".to_owned(), Err(Malformed)),
    ] {
        assert_eq!(verify(&key(), &token, NOW).map(drop), want, "{token}");
    }
    let token = key().sign(payload.as_bytes());
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(verify(&key(), &format!("{signed}."), NOW), Err(Mismatch));
    let none = crate::base::encoding::base64url(br#"{"alg":"none","typ":"logout+jwt"}"#);
    let body = signed.split('.').nth(1).expect("a payload");
    assert_eq!(verify(&key(), &format!("{none}.{body}."), NOW), Err(Malformed));
}
