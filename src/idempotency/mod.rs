//! Idempotency keys: when two requests are the same, and which parts of a response are stored.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | keys, fingerprints, and which parts of a response are stored |
//! | `claim.rs` | claims: the right to run a request once |
//! | `key_claim.rs` | the claim of a client's request with a key |
//! | `ledger/mod.rs` | the ledger: one pure function on one record |
//! | `ledger/object.rs` | the `Ledger` objects, and the index of unknown outcomes |
//! | `endpoints.rs` | `/api/idempotency` |
//! | `settings.rs` | the settings |
//! | `ledger/tests.rs`, `ledger/object/tests.rs` | tests, with a comparison with a simple model |
//!
//! 1. The key is in `Idempotency-Key`: 1 to 255 characters, bare or as a structured-field string (RFC 9651 §3.3.3,
//!    draft-ietf-httpapi-idempotency-key-header). Both forms mean the same key. Two header lines, a list or anything
//!    else is rejected.
//! 2. Keys belong to a principal, with any of its credentials. Without a principal, they belong to an address.
//! 3. Two requests are the same if host, method, path, query, content type and body are equal byte for byte, as
//!    upstream gets them.
//! 4. Of a response, the status, the body byte for byte and the headers are stored, except for headers that belong to
//!    one connection, one moment or one browser.
//! 5. A stored response is encrypted. The encryption key is derived from `AUTH_SECRET`, the owner of the idempotency
//!    key and the idempotency key itself, so that the store alone reveals nothing.
//! 6. If upstream does not answer, the key stays claimed until its lease ends. Then the outcome is unknown, and the
//!    rule's `hold` decides whether the request may run again (`ledger/mod.rs`).

pub mod claim;
pub mod endpoints;
pub mod key_claim;
pub mod ledger;
pub mod settings;

use sha2::{Digest, Sha256};

use crate::{
    base::encoding,
    crypto::derive::KeyDerivation,
    http::{
        header_filter::ForwardedRequest,
        problem::Rejection,
        request::{Headers, Request},
    },
    routing::rule::{Idempotency, Save},
};

/// An idempotency key of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

/// Derives the keys that encrypt stored responses.
#[derive(Clone, Debug)]
pub struct SealingKeys(KeyDerivation);

impl Key {
    /// Returns the key from the headers of a request, if there is one.
    ///
    /// # Errors
    /// [`Rejection::IdempotencyKeyMissing`] if the rule requires a key and does not allow it in the body,
    /// [`Rejection::IdempotencyKeyInvalid`].
    pub fn read(headers: &Headers<'_>, policy: &Idempotency) -> Result<Option<Self>, Rejection> {
        let fallback = || headers.value("invocation-id").filter(|_| policy.invocation_id);
        match headers.value("idempotency-key").or_else(fallback) {
            Some(value) => Self::parse(value).map(Some).ok_or(Rejection::IdempotencyKeyInvalid),
            // The key may still be in the body.
            None if policy.required && policy.invocation_pointer.is_none() => {
                Err(Rejection::IdempotencyKeyMissing)
            }
            None => Ok(None),
        }
    }

    /// Returns the key at a JSON pointer (RFC 6901) of a JSON body, for a request without a key in its headers.
    ///
    /// # Errors
    /// [`Rejection::IdempotencyKeyMissing`] if the rule requires a key, [`Rejection::IdempotencyKeyInvalid`].
    pub fn in_body(body: &[u8], pointer: &str, policy: &Idempotency) -> Result<Option<Self>, Rejection> {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        match body.as_ref().and_then(|body| body.pointer(pointer)) {
            Some(serde_json::Value::String(text)) => {
                let is_valid = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                is_valid.then(|| Some(Self(text.clone()))).ok_or(Rejection::IdempotencyKeyInvalid)
            }
            None | Some(serde_json::Value::Null) if policy.required => Err(Rejection::IdempotencyKeyMissing),
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(_) => Err(Rejection::IdempotencyKeyInvalid),
        }
    }

    /// Parses a key from the value of a header field.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim_matches([' ', '\t']);
        if is_joined(value) {
            return None;
        }
        let key = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted.strip_suffix('"')?)?,
            None => value.bytes().all(is_bare).then(|| value.to_owned())?,
        };
        (1..=255).contains(&key.len()).then_some(Self(key))
    }

    /// Returns the SHA-256 of the key in hex: the name of its record.
    #[must_use]
    pub fn hashed(&self) -> String {
        encoding::hex(&Sha256::digest(&self.0))
    }
}

/// Returns the fingerprint of a request. `target` is the canonical path with the query, `body` the hash of the body.
#[must_use]
pub fn fingerprint(forwarded: &ForwardedRequest<'_>, target: &str, body: &str) -> String {
    let request = forwarded.request;
    let content_type = forwarded.header("content-type").unwrap_or_default();
    format!("2:{}", hash_parts(&[request.authority, request.method, target, content_type, body]))
}

/// Returns the fingerprint as version 0.1 stored it, without the host. Such records exist until their retention ends.
#[must_use]
pub fn fingerprint_without_host(request: &Request<'_>, target: &str, body: &str) -> String {
    let content_type = request.headers.value("content-type").unwrap_or_default();
    hash_parts(&[request.method, target, content_type, body])
}

fn hash_parts(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With the length of each part, different lists of parts give different input.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    encoding::hex(&hash.finalize())
}

/// Checks whether a response with this status is stored.
#[must_use]
pub fn is_kept(save: Save, status: u16) -> bool {
    match save {
        Save::Stripe => true,
        Save::Success => (200..400).contains(&status),
        Save::Safe => (200..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 409 | 425 | 429),
    }
}

/// Returns the stored head of a response: the status, then each stored header's name and value, one per line.
#[must_use]
pub fn head<'a>(status: u16, headers: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut head = status.to_string();
    for (name, value) in headers.filter(|(name, _)| !is_transient(name)) {
        for part in [name, value] {
            head.push('\n');
            head.push_str(part);
        }
    }
    head
}

impl SealingKeys {
    /// Builds this from the keys that `AUTH_SECRET` gives.
    #[must_use]
    pub fn new(derivation: KeyDerivation) -> Self {
        Self(derivation)
    }

    /// Returns the keys for a response, in hex: first the key that encrypts it, then keys of the previous secret.
    #[must_use]
    pub fn keys(&self, scope: &str, Key(key): &Key) -> Vec<String> {
        let keys = self.0.keys(&["vestibule/idempotency/1", scope, key]);
        keys.iter().map(|key| encoding::hex(key)).collect()
    }
}

/// Checks whether a runtime joined two header lines to this value: both trimmed, with `, ` between them.
fn is_joined(value: &str) -> bool {
    value.match_indices(", ").any(|(at, comma)| {
        let (before, after) = (value.get(..at).unwrap_or_default(), value.get(at..).unwrap_or_default());
        let after = after.strip_prefix(comma).unwrap_or_default();
        !before.ends_with([' ', '\t']) && !after.starts_with([' ', '\t'])
    })
}

/// Unescapes the text between the quotes of a structured-field string. Returns `None` for an invalid string.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => key.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            ' '..='~' if character != '"' => key.push(character),
            _ => return None,
        }
    }
    Some(key)
}

/// Checks for a byte of a bare key. Characters that other structured fields use are not allowed.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b',' | b';')
}

/// Checks for a header that belongs to one connection (RFC 9110 §7.6.1), one moment or one browser.
fn is_transient(name: &str) -> bool {
    matches!(
        name,
        "set-cookie"
            | "set-cookie2"
            | "clear-site-data"
            | "date"
            | "age"
            | "expires"
            | "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "server-timing"
            | "alt-svc"
            | "nel"
            | "report-to"
            | "retry-after"
    ) || name.starts_with("cf-")
}

#[cfg(test)]
mod tests;
