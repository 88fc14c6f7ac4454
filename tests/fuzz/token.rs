//! Session tokens: `Keys::verify` and the claims.
//!
//! The first line of the input says what follows: `raw` and a token, or a header and a payload in one line each, which
//! are signed with the right key. So the fuzzer reaches what lies behind the signature.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use vestibule::{
    base::time::Timestamp,
    crypto::{
        jwt::{
            Keys,
            claims::{Expected, validate},
        },
        secret::Secret,
    },
};

const SECRET: &str = "0kY3vP9sLq2wZ8xN5bT7mD4cF6gH1jRa";
const NOW: Timestamp = Timestamp(1_700_000_000);

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let keys = Keys::new(&Secret::parse(SECRET).unwrap(), None).unwrap();
    let (first, rest) = text.split_once('\n').unwrap_or(("raw", &text));
    let token = if first == "raw" { rest.to_owned() } else { signed(first, rest) };
    let Ok(verified) = keys.verify(&token) else {
        // What it signs itself, it accepts.
        let own = keys.sign(rest.as_bytes());
        if own.len() <= 4_096 && is_flat_object(rest) {
            assert_eq!(keys.verify(&own).unwrap().payload(), rest.as_bytes());
        }
        return;
    };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, tag] = parts[..] else { panic!("accepted {} parts", parts.len()) };
    for part in [header, payload, tag] {
        // Exactly one spelling of each part is accepted.
        assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(part).unwrap()), part);
    }
    assert_eq!(tag, mac(&format!("{header}.{payload}")), "the signature is right");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["alg"], "HS256");
    assert!(header["typ"].is_null() || header["typ"].as_str().unwrap().eq_ignore_ascii_case("JWT"));
    assert!(header.get("crit").is_none() && header.get("b64").is_none());
    assert_eq!(verified.payload(), URL_SAFE_NO_PAD.decode(payload).unwrap());
    let Ok(claims) = validate(&verified, &expected(), NOW) else { return };
    // What is accepted means the same to another parser.
    let payload: Value = serde_json::from_slice(verified.payload()).unwrap();
    assert_eq!(payload["sub"], *claims.user_id);
    assert_eq!(payload["sid"], *claims.session_id);
    assert_eq!(payload["exp"], claims.expires_at.0);
    assert_eq!(payload["iat"], claims.issued_at.0);
    assert!(claims.expires_at > NOW && claims.issued_at <= NOW && claims.started_at <= claims.issued_at);
}

fn signed(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = mac(&signed);
    format!("{signed}.{tag}")
}

fn mac(signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn is_flat_object(text: &str) -> bool {
    let found: Result<Value, _> = serde_json::from_str(text);
    found.is_ok_and(|value| value.is_object()) && !text.trim_start().get(1..).unwrap_or("").contains(['{', '['])
}

fn expected() -> Expected {
    Expected {
        user_claim: "sub".to_owned(),
        session_claim: "sid".to_owned(),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
    }
}
