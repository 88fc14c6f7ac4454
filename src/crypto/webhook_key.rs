//! Signs messages of the gateway's own as Standard Webhooks 1.0.0 says: HMAC-SHA256 of `{id}.{timestamp}.{body}`.
//! [`crate::webhooks`] verifies the same scheme for messages of others.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::{encoding, time::Timestamp};

/// A key that signs messages. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct WebhookKey(Hmac<Sha256>);

impl WebhookKey {
    /// Parses a secret as the standard writes it: `whsec_` and the base64 of 24 to 64 bytes. Returns `None` for any
    /// other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = encoding::from_base64(text.strip_prefix("whsec_")?)?;
        if !(24..=64).contains(&bytes.len()) {
            return None;
        }
        Hmac::new_from_slice(&bytes).ok().map(Self)
    }

    /// Returns the value of `webhook-signature`. The id contains no full stop.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &str) -> String {
        let mac = self.0.clone().chain_update(format!("{id}.{}.", at.0)).chain_update(body);
        format!("v1,{}", encoding::base64(&mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn signs_as_the_standard_does() {
        let key = WebhookKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let signature =
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp(1_614_265_330), r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn accepts_only_secrets_of_the_standard() {
        let secret = |length| format!("whsec_{}", encoding::base64(&vec![7; length]));
        for (text, want) in [
            (secret(24), true),
            (secret(64), true),
            (secret(23), false),
            (secret(65), false),
            (secret(24).replace("whsec_", ""), false),
            ("whsec_".to_owned(), false),
            ("whsec_not base64!".to_owned(), false),
        ] {
            assert_eq!(WebhookKey::parse(&text).is_some(), want, "{text}");
        }
    }
}
