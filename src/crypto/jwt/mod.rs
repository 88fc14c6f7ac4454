//! JSON Web Tokens for sessions: JWS compact serialization with HS256 only.
//!
//! [`Keys::verify`] checks the signature layer (RFC 7515):
//!
//! 1. at most [`LONGEST`] bytes, in exactly three strict unpadded base64url parts;
//! 2. header and payload are UTF-8 (RFC 7515 §5.2, RFC 7519 §7.2), without duplicate members at any depth, and nested
//!    at most [`json::MAX_DEPTH`] levels deep. The header is a JSON object: `alg` is `HS256`, `typ` is absent or `JWT`
//!    (in any case), `crit` and `b64` are absent. This rejects tokens of other types, such as Vestibule's assertions;
//! 3. if `kid` is present, it must name one of the keys, and only that key is tried; otherwise every key is tried;
//! 4. the MAC over the first two parts is correct, compared in constant time.
//!
//! [`claims`] checks the payload.

pub mod claims;
mod members;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, json},
    crypto::secret::Secret,
};

/// Maximum length of a token, in bytes.
pub const LONGEST: usize = 4_096;

/// The keys that verify tokens. The first one also signs new tokens.
#[derive(Clone)]
pub struct Keys {
    signing: Key,
    verify_only: Vec<Key>,
}

/// A payload with a valid signature.
#[derive(Debug)]
pub struct Verified {
    payload: Vec<u8>,
    stale_key: bool,
}

/// The reason why a token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not the form of a session token.
    Malformed,
    /// The form is valid, but the MAC is wrong or the key is unknown.
    BadSignature,
}

/// Two keys have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateKey;

impl Keys {
    /// Makes keys that sign with `current`, and verify with `previous` too. The id of a key is the first eight
    /// hex digits of its SHA-256.
    ///
    /// # Errors
    /// [`DuplicateKey`] if both have the same id.
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Result<Self, DuplicateKey> {
        let named = |secret: &Secret| (key_id(secret), secret.clone());
        Self::named(named(current), previous.map(named).into_iter().collect())
    }

    /// Makes keys like [`Keys::new`], with ids that the caller chooses.
    ///
    /// # Errors
    /// [`DuplicateKey`] if two have the same id.
    pub fn named(current: (String, Secret), previous: Vec<(String, Secret)>) -> Result<Self, DuplicateKey> {
        let (id, secret) = current;
        let signing = Key::new(id, &secret);
        let mut verify_only: Vec<Key> = Vec::with_capacity(previous.len());
        for key in previous.into_iter().map(|(id, secret)| Key::new(id, &secret)) {
            if key.id == signing.id || verify_only.iter().any(|other| other.id == key.id) {
                return Err(DuplicateKey);
            }
            verify_only.push(key);
        }
        Ok(Self { signing, verify_only })
    }

    /// Verifies the form and the signature of a compact JWS.
    ///
    /// # Errors
    /// [`Invalid`]. It reveals nothing about the key.
    pub fn verify(&self, token: &str) -> Result<Verified, Invalid> {
        if token.len() > LONGEST {
            return Err(Invalid::Malformed);
        }
        let (signed, tag) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Invalid::Malformed)?;
        // Fast path: the gateway signed most session tokens itself, so their header is known and names the key.
        if header == self.signing.header {
            return self.verify_own(signed, payload, tag);
        }
        // A dot is not base64url, so decoding also rejects more than three parts.
        let header = encoding::from_base64url(header).ok_or(Invalid::Malformed)?;
        let payload = encoding::from_base64url(payload).ok_or(Invalid::Malformed)?;
        let tag = encoding::from_base64url(tag).ok_or(Invalid::Malformed)?;
        if !is_unambiguous(&header) || !is_unambiguous(&payload) {
            return Err(Invalid::Malformed);
        }
        let header = members::read_header(&header, None).ok_or(Invalid::Malformed)?;
        for key in std::iter::once(&self.signing).chain(&self.verify_only) {
            if header.key_id.as_ref().is_some_and(|wanted| *wanted != key.id) {
                continue;
            }
            if key.verify(signed.as_bytes(), &tag) {
                let stale_key = key.id != self.signing.id;
                return Ok(Verified { payload, stale_key });
            }
        }
        Err(Invalid::BadSignature)
    }

    /// Verifies the rest of a token whose header is that of the signing key.
    fn verify_own(&self, signed: &str, payload: &str, tag: &str) -> Result<Verified, Invalid> {
        let payload = encoding::from_base64url(payload).ok_or(Invalid::Malformed)?;
        let tag = encoding::from_base64url(tag).ok_or(Invalid::Malformed)?;
        if !is_unambiguous(&payload) {
            return Err(Invalid::Malformed);
        }
        if self.signing.verify(signed.as_bytes(), &tag) {
            Ok(Verified { payload, stale_key: false })
        } else {
            Err(Invalid::BadSignature)
        }
    }

    /// Signs a JSON payload under the current key.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        self.signing.sign(payload)
    }
}

/// A key for tokens of one explicit `typ` (RFC 8725 §3.11), which are not session tokens.
#[derive(Clone)]
pub struct TypedKey {
    key: Key,
    typ: &'static str,
}

impl TypedKey {
    /// Makes a key that signs and verifies tokens of this `typ`. It must be visible ASCII.
    #[must_use]
    pub fn new(typ: &'static str, secret: &Secret) -> Self {
        Self { key: Key::of_type(typ, key_id(secret), secret), typ }
    }

    /// Signs a JSON payload.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        self.key.sign(payload)
    }

    /// Verifies the form, the `typ` and the signature of a compact JWS, as [`Keys::verify`] does for sessions. Returns
    /// the payload.
    ///
    /// # Errors
    /// [`Invalid`]. It reveals nothing about the key.
    pub fn verify(&self, token: &str) -> Result<Vec<u8>, Invalid> {
        let Self { key, typ } = self;
        if token.len() > LONGEST {
            return Err(Invalid::Malformed);
        }
        let (signed, tag) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Invalid::Malformed)?;
        let header = encoding::from_base64url(header).ok_or(Invalid::Malformed)?;
        let payload = encoding::from_base64url(payload).ok_or(Invalid::Malformed)?;
        let tag = encoding::from_base64url(tag).ok_or(Invalid::Malformed)?;
        if !is_unambiguous(&header) || !is_unambiguous(&payload) {
            return Err(Invalid::Malformed);
        }
        let header = members::read_header(&header, Some(typ)).ok_or(Invalid::Malformed)?;
        let is_ours = header.key_id.is_none_or(|wanted| wanted == key.id);
        if is_ours && key.verify(signed.as_bytes(), &tag) { Ok(payload) } else { Err(Invalid::BadSignature) }
    }
}

impl fmt::Debug for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedKey").field(&self.key.id).finish()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = std::iter::once(&self.signing).chain(&self.verify_only).map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

impl Verified {
    /// Returns the payload: UTF-8, not necessarily valid JSON.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks whether the token was verified with a key that no longer signs.
    #[must_use]
    pub fn stale_key(&self) -> bool {
        self.stale_key
    }
}

/// One HS256 key. The keyed MAC is stored, so that its inner and outer state are computed once.
#[derive(Clone)]
struct Key {
    id: String,
    mac: Hmac<Sha256>,
    /// Header of the tokens that it signs, in base64url.
    header: String,
}

impl Key {
    fn new(id: String, secret: &Secret) -> Self {
        Self::of_type("JWT", id, secret)
    }

    fn of_type(typ: &str, id: String, secret: &Secret) -> Self {
        // HMAC accepts keys of any length, so the fallback is never used. It would verify nothing.
        let mac = Hmac::new_from_slice(secret.expose())
            .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
        let header = serde_json::json!({ "alg": "HS256", "typ": typ, "kid": id }).to_string();
        Self { id, mac, header: encoding::base64url(header.as_bytes()) }
    }

    fn verify(&self, signed: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(signed);
        mac.verify_slice(tag).is_ok()
    }

    fn sign(&self, payload: &[u8]) -> String {
        // Base64url has four characters for three bytes. The rest is two dots and the tag's 43 characters.
        let length =
            self.header.len().saturating_add(payload.len().div_ceil(3).saturating_mul(4)).saturating_add(45);
        let mut token = String::with_capacity(length);
        token.push_str(&self.header);
        token.push('.');
        encoding::push_base64url(&mut token, payload);
        let mut mac = self.mac.clone();
        mac.update(token.as_bytes());
        token.push('.');
        encoding::push_base64url(&mut token, &mac.finalize().into_bytes());
        token
    }
}

/// Checks a header or a payload for errors that a parser may not find in members that it skips: invalid UTF-8, and
/// duplicate members of nested objects.
fn is_unambiguous(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok() && !(is_nested(json) && json::is_ambiguous(json))
}

/// Checks whether an object may contain objects or lists. Most tokens do not; their members are read one by one.
fn is_nested(json: &[u8]) -> bool {
    json.iter().skip(1).any(|byte| matches!(byte, b'{' | b'['))
}

/// Returns the id of a key. It does not reveal the key.
fn key_id(secret: &Secret) -> String {
    let digest = Sha256::digest(secret.expose());
    encoding::hex(digest.get(..4).unwrap_or_default())
}

#[cfg(test)]
mod tests;
