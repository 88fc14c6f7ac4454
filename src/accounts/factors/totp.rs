//! Time-based one-time passwords (RFC 6238): SHA-1, steps of 30 seconds, six digits, as authenticator apps expect them.
//!
//! The code of the previous, the current and the next step is right, because clocks differ. `Accounts` accepts each
//! step of a user once: see `sign_in.rs`.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;

use crate::{
    base::{encoding, time::Timestamp},
    crypto::secret,
};

/// Names the key that seals a user's secret.
pub const SEALING: &str = "vestibule/totp/1";

/// Length of a secret in bytes, as RFC 4226 §4 recommends.
pub const SECRET_BYTES: usize = 20;

/// A secret that a user shares with the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

/// A step of time: the number of periods of 30 seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub i64);

impl TotpSecret {
    /// Makes a secret from random bytes. Returns `None` for fewer than [`SECRET_BYTES`].
    #[must_use]
    pub fn from_random(bytes: &[u8]) -> Option<Self> {
        bytes.get(..SECRET_BYTES)?.try_into().ok().map(Self)
    }

    /// Parses a secret in base32.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        encoding::from_base32(text)?.try_into().ok().map(Self)
    }

    /// Returns the secret in base32, as people type it into an app.
    #[must_use]
    pub fn to_base32(&self) -> String {
        encoding::base32(&self.0)
    }

    /// Returns the address that authenticator apps read from a QR code.
    #[must_use]
    pub fn uri(&self, issuer: &str, email: &str) -> String {
        let (issuer, email) = (escape(issuer), escape(email));
        let secret = self.to_base32();
        format!(
            "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD}"
        )
    }

    /// Returns the code of a step.
    #[must_use]
    pub fn code(&self, step: Step) -> String {
        let tag = Hmac::<Sha1>::new_from_slice(&self.0)
            .map(|mac| mac.chain_update(step.0.to_be_bytes()).finalize().into_bytes())
            .unwrap_or_default();
        // RFC 4226 §5.3: four bytes of the tag, at the offset that its last four bits give.
        let offset = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
        let four = tag.get(offset..offset.saturating_add(4)).and_then(|four| four.try_into().ok());
        let number = u32::from_be_bytes(four.unwrap_or_default()) & 0x7fff_ffff;
        format!("{:06}", number.checked_rem(1_000_000).unwrap_or_default())
    }

    /// Returns the step whose code this is: the current one, the previous one or the next one. All three are compared,
    /// in constant time.
    #[must_use]
    pub fn matching_step(&self, code: &str, now: Timestamp) -> Option<Step> {
        let current = now.0.div_euclid(PERIOD);
        let mut matching = None;
        for drift in [0, -1, 1] {
            let step = Step(current.saturating_add(drift));
            let is_equal = secret::compare(self.code(step).as_bytes(), code.as_bytes()).is_ok();
            if is_equal && matching.is_none() {
                matching = Some(step);
            }
        }
        matching
    }
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret")
    }
}

/// Checks that a text can be a code: six digits.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// All but the unreserved characters of RFC 3986 §2.3, and `@`, which apps show as it is.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

const DIGITS: u32 = 6;
const PERIOD: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_random(b"12345678901234567890").expect("a secret")
    }

    /// RFC 6238 appendix B, mode SHA1. It has eight digits, of which the last six are ours.
    #[test]
    fn gives_the_codes_of_rfc_6238() {
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(rfc_secret().code(Step(time / 30)), code[2..], "{time}");
        }
    }

    /// RFC 4226 appendix D.
    #[test]
    fn gives_the_codes_of_rfc_4226() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, code) in (0..).zip(expected) {
            assert_eq!(rfc_secret().code(Step(step)), code, "{step}");
        }
    }

    #[test]
    fn accepts_a_drift_of_one_step() {
        let secret = rfc_secret();
        let now = Timestamp(1_700_000_010);
        let current = now.0 / 30;
        for drift in -3..=3 {
            let step = Step(current + drift);
            let want = (-1..=1).contains(&drift).then_some(step);
            assert_eq!(secret.matching_step(&secret.code(step), now), want, "{drift}");
        }
        for code in ["", "0", "1234567", "abcdef", "٠١٢٣٤٥"] {
            assert_eq!(secret.matching_step(code, now), None, "{code}");
            assert!(!is_code(code), "{code}");
        }
    }

    #[test]
    fn the_address_escapes_names() {
        let uri = rfc_secret().uri("Ada & Söhne", "ada+x@example.com");
        assert_eq!(
            uri,
            "otpauth://totp/Ada%20%26%20S%C3%B6hne:ada%2Bx@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ada%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(TotpSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Some(rfc_secret()));
        assert_eq!(TotpSecret::from_base32("GEZDGNBVGY3TQOJQ"), None);
    }
}
