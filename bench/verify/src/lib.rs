//! Token verification as every request does it, many times over.

use std::{hint::black_box, time::Duration};

use vestibule::{crypto::{jwt::{
        Keys,
        claims::{self, Expected},
    }, secret::Secret}, base::time::Timestamp};
use wasm_bindgen::prelude::wasm_bindgen;

/// Verifies `token` `n` times, signature and claims; tells how often it held.
#[wasm_bindgen]
#[must_use]
pub fn verify_many(token: &str, secret: &str, n: u32, now: f64) -> u32 {
    let Some(keys) = Secret::parse(secret).ok().and_then(|secret| Keys::new(&secret, None).ok()) else {
        return 0;
    };
    let expected = Expected {
        user_claim: "userId".to_owned(),
        session_claim: "sessionId".to_owned(),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
    };
    let now = Timestamp(now as i64);
    let holds = |token: &str| {
        keys.verify(token).is_ok_and(|verified| claims::validate(&verified, &expected, now).is_ok())
    };
    let mut held = 0;
    for _ in 0..n {
        held += u32::from(holds(black_box(token)));
    }
    held
}
