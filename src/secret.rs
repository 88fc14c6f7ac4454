//! Key material as an operator writes it.
//!
//! A secret is the text as it stands, or bytes written `hex:…` or `base64:…`. It must have at least
//! [`MINIMUM`] bytes (RFC 7518 §3.2 asks as much of an HS256 key) and must not be a known placeholder.
//! It never shows itself: `Debug` prints its length alone.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::encoding;

/// The least number of bytes that a secret may have.
pub const MINIMUM: usize = 32;

/// Bytes that nobody else knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A secret that somebody else has made and that is passed on as it is: visible ASCII, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opaque(String);

/// What was offered is the secret.
#[derive(Debug)]
pub struct Match(());

/// What was offered is not the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

/// Why a text cannot be a secret. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// `hex:` or `base64:` is followed by something else.
    Encoding,
    /// Fewer bytes than [`MINIMUM`]; how many there are.
    TooShort(usize),
    /// A text from documentation, or one that repeats a few bytes.
    Placeholder,
}

impl Secret {
    /// Reads a secret as configured.
    ///
    /// # Errors
    /// [`SecretError`] where it is badly encoded, too short or a placeholder.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = if let Some(digits) = text.strip_prefix("hex:") {
            encoding::from_hex(digits).ok_or(SecretError::Encoding)?
        } else if let Some(digits) = text.strip_prefix("base64:") {
            encoding::from_base64(digits).ok_or(SecretError::Encoding)?
        } else {
            text.as_bytes().to_vec()
        };
        if bytes.len() >= MINIMUM && is_placeholder(&bytes) {
            return Err(SecretError::Placeholder);
        }
        Self::from_bytes(bytes)
    }

    /// Takes bytes that nobody has typed as a secret.
    ///
    /// # Errors
    /// [`SecretError::TooShort`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if bytes.len() < MINIMUM {
            return Err(SecretError::TooShort(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// Compares what somebody offers, in constant time.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn compare(&self, offered: &str) -> Result<Match, Mismatch> {
        compare(&self.0, offered.as_bytes())
    }

    /// Shows the bytes, to those who key a MAC with them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Opaque {
    /// Takes 1 to 256 visible ASCII characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// Shows it, to whoever has made it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({} bytes)", self.0.len())
    }
}

/// Compares bytes in constant time, whatever their lengths.
///
/// # Errors
/// [`Mismatch`].
pub fn compare(known: &[u8], offered: &[u8]) -> Result<Match, Mismatch> {
    // A MAC's comparison is constant-time; what it is keyed with plays no part.
    let keyed = |bytes| Hmac::<Sha256>::new_from_slice(b"compare").map(|mac| mac.chain_update(bytes));
    let (Ok(known), Ok(offered)) = (keyed(known), keyed(offered)) else { return Err(Mismatch) };
    known.verify(&offered.finalize().into_bytes()).map(|()| Match(())).map_err(|_| Mismatch)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => f.write_str("expected the text itself, hex:<digits> or base64:<padded>"),
            Self::TooShort(found) => {
                write!(f, "expected at least {MINIMUM} bytes, found {found}")
            }
            Self::Placeholder => f.write_str("expected random bytes, found a known placeholder"),
        }
    }
}

/// Recognises what people paste from documentation, and bytes too uniform to be random: 32 random
/// bytes have fewer than [`LEAST_VARIETY`] different ones once in more than 2^60 draws.
fn is_placeholder(bytes: &[u8]) -> bool {
    let folded: String = bytes
        .iter()
        .filter(|b| b.is_ascii_alphanumeric())
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect();
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    let variety = seen.iter().filter(|seen| **seen).count();
    variety < LEAST_VARIETY || PLACEHOLDERS.iter().any(|known| folded.contains(known))
}

const LEAST_VARIETY: usize = 8;

/// Compared after dropping everything but letters and digits.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "placeholder",
    "yoursecret",
    "yoursupersecret",
    "supersecret",
    "mysecret",
    "secretkey",
    "stringsecretatleast256bits",
    "your256bitsecret",
    "betterauthsecret",
    "insecuresecret",
    "developmentsecret",
    "notasecret",
    "0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_for_a_secret() {
        let good = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
        for (text, want) in [
            (good, Ok(32)),
            ("hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", Ok(32)),
            ("hex:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20", Ok(33)),
            ("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", Ok(32)),
            ("", Err(SecretError::TooShort(0))),
            ("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9p", Err(SecretError::TooShort(31))),
            ("hex:0", Err(SecretError::Encoding)),
            ("hex:zz", Err(SecretError::Encoding)),
            ("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", Err(SecretError::Encoding)),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Err(SecretError::Placeholder)),
            ("a-string-secret-at-least-256-bits-long", Err(SecretError::Placeholder)),
            ("please-change_me-please-change_me-please", Err(SecretError::Placeholder)),
            (
                "hex:0000000000000000000000000000000000000000000000000000000000000000",
                Err(SecretError::Placeholder),
            ),
        ] {
            assert_eq!(Secret::parse(text).map(|s| s.expose().len()), want, "{text}");
        }
    }

    #[test]
    fn shows_nothing_of_itself() {
        let secret = Secret::parse("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA");
        assert_eq!(format!("{secret:?}"), "Ok(Secret(32 bytes))");
        assert_eq!(format!("{:?}", Opaque::parse("0x4AAA")), "Some(Opaque(6 bytes))");
        assert!(Opaque::parse("").is_none() && Opaque::parse("a b").is_none());
    }
}
