//! Web Authentication messages: an accepted one names our challenge and our origin.
//!
//! The input is the JSON that a browser sends, of a registration or of an assertion.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use vestibule::{
    accounts::factors::passkeys::{
        RelyingParty,
        messages::{AssertionMessage, RegistrationMessage},
        verify::{Expected, UserHandle, assert, register},
    },
    config::{Bindings, Config, Variables},
};

const CHALLENGE: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const SITE: &str = "https://app.example.com";

thread_local! {
    static CONFIG: Config = config();
}

pub(crate) fn run(data: &[u8]) {
    CONFIG.with(|config| check(&String::from_utf8_lossy(data), RelyingParty::of(&config.site).unwrap()));
}

fn check(text: &str, site: RelyingParty<'_>) {
    for user_verification in [false, true] {
        let expected = Expected { site, challenge: CHALLENGE, user_verification };
        if let Ok(message) = serde_json::from_str::<RegistrationMessage<'_>>(text)
            && register(&expected, &message).is_ok()
        {
            let message: Value = serde_json::from_str(text).unwrap();
            let data = message["response"]["clientDataJSON"].as_str().unwrap();
            let data: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(data).unwrap()).unwrap();
            assert_eq!(data["type"], "webauthn.create");
            assert_eq!(data["origin"], SITE);
            assert_eq!(data["challenge"], URL_SAFE_NO_PAD.encode(CHALLENGE));
        }
        if let Ok(message) = serde_json::from_str::<AssertionMessage<'_>>(text) {
            let found = assert(&expected, &message, None, UserHandle::Optional);
            assert!(found.is_err(), "an unknown passkey signs nobody in");
        }
    }
}

fn config() -> Config {
    let secret = "4fH7kQ2mZ9xW1vB6nT8rC3jL5pD0sYgE";
    let variables = json!({
        "ENVIRONMENT": "production",
        "PUBLIC_ORIGINS": [SITE],
        "UPSTREAM": "https://origin.example.net",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": secret,
        "UPSTREAM_SECRET": "9sL2wZ8xN5bT7mD4cF6gH1jRa0kY3vPq",
    });
    let Value::Object(variables) = variables else { unreachable!() };
    let variables: Variables = variables;
    Config::parse(&variables, &Bindings::default()).unwrap()
}
