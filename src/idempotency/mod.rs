//! Idempotency keys: when two requests are the same, and which parts of a response are stored.
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

pub mod claim;
pub mod endpoints;
pub mod key_claim;
pub mod ledger;
pub mod settings;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::{
    base::encoding,
    crypto::secret::Secret,
    http::{
        hygiene::ForwardedRequest,
        problem::Rejection,
        request::{Headers, Request},
    },
    routing::rule::{Idempotency, Save},
};

/// An idempotency key of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

/// Derives the keys that encrypt stored responses.
#[derive(Clone)]
pub struct Seals(Vec<Hmac<Sha256>>);

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
        update_with(part, |bytes| hash.update(bytes));
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

impl Seals {
    /// Builds this from the current and the previous secret.
    #[must_use]
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        let keyed = |secret: &Secret| {
            // HMAC accepts a key of any length, so the fallback is never used.
            Hmac::new_from_slice(secret.expose())
                .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()))
        };
        Self(std::iter::once(current).chain(previous).map(keyed).collect())
    }

    /// Returns the keys for a response, in hex: first the key that encrypts it, then keys of the previous secret.
    #[must_use]
    pub fn keys(&self, scope: &str, Key(key): &Key) -> Vec<String> {
        let key = |mac: &Hmac<Sha256>| {
            let mut mac = mac.clone();
            for part in ["vestibule/idempotency/1", scope, key] {
                update_with(part, |bytes| mac.update(bytes));
            }
            encoding::hex(&mac.finalize().into_bytes())
        };
        self.0.iter().map(key).collect()
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seals({})", self.0.len())
    }
}

/// Hashes the length of a part and then the part, so that different lists of parts give different input.
fn update_with(part: &str, mut update: impl FnMut(&[u8])) {
    update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    update(part.as_bytes());
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
mod tests {
    use super::*;
    use crate::routing::rule::Hold;

    #[test]
    fn parses_bare_and_quoted_keys() {
        let long = "k".repeat(255);
        for (value, want) in [
            ("k1", Some("k1")),
            ("\"k1\"", Some("k1")),
            (" k1\t", Some("k1")),
            ("\"a \\\"b\\\\\"", Some("a \"b\\")),
            ("\" \"", Some(" ")),
            (&*long, Some(&*long)),
            ("", None),
            ("  ", None),
            ("\"\"", None),
            ("\"", None),
            ("\"a", None),
            ("a\"", None),
            ("\"a, b\"", None),
            ("\"a,b\"", Some("a,b")),
            ("\" , \"", Some(" , ")),
            ("a, b", None),
            ("a,b", None),
            ("\"a\", \"b\"", None),
            ("\"a\";x=1", None),
            ("a b", None),
            ("\"a\\n\"", None),
            ("k\u{e9}", None),
            (&*"k".repeat(256), None),
        ] {
            assert_eq!(Key::parse(value).map(|Key(key)| key).as_deref(), want, "{value:?}");
        }
    }

    #[test]
    fn reads_a_key_from_the_headers() {
        let mut policy = OPTIONAL_KEY;
        let read = |fields, policy: &Idempotency| {
            Key::read(&Headers::read(fields), policy).map(|key| key.map(|Key(key)| key))
        };
        assert_eq!(read("", &policy), Ok(None));
        assert_eq!(read("invocation-id\ni", &policy), Ok(None));
        policy.invocation_id = true;
        assert_eq!(read("invocation-id\ni", &policy), Ok(Some("i".into())));
        assert_eq!(read("invocation-id\ni\nidempotency-key\nk", &policy), Ok(Some("k".into())));
        assert_eq!(
            read("invocation-id\ni\nidempotency-key\na, b", &policy),
            Err(Rejection::IdempotencyKeyInvalid)
        );
        policy.required = true;
        assert_eq!(read("", &policy), Err(Rejection::IdempotencyKeyMissing));
        policy.invocation_pointer = Some("/run/invocationId");
        assert_eq!(read("", &policy), Ok(None), "the key may be in the body");
    }

    #[test]
    fn reads_a_key_from_the_body() {
        let (missing, invalid) = (Rejection::IdempotencyKeyMissing, Rejection::IdempotencyKeyInvalid);
        let long = format!(r#"{{"run":{{"id":"{}"}}}}"#, "k".repeat(256));
        for (body, want) in [
            (r#"{"run":{"id":"inv-7"}}"#, Ok("inv-7")),
            (r#"{"run":{"id":"a,b;c"}}"#, Ok("a,b;c")),
            (r#"{"run":{"id":null}}"#, Err(missing)),
            (r#"{"id":"inv-7"}"#, Err(missing)),
            (r#"{"run":"id"}"#, Err(missing)),
            ("", Err(missing)),
            ("run=id", Err(missing)),
            (r#"{"run":{"id":7}}"#, Err(invalid)),
            (r#"{"run":{"id":["inv-7"]}}"#, Err(invalid)),
            (r#"{"run":{"id":""}}"#, Err(invalid)),
            (r#"{"run":{"id":"a b"}}"#, Err(invalid)),
            (r#"{"run":{"id":"é"}}"#, Err(invalid)),
            (&long, Err(invalid)),
        ] {
            let read = |required| {
                let policy = Idempotency { required, invocation_pointer: Some("/run/id"), ..OPTIONAL_KEY };
                Key::in_body(body.as_bytes(), "/run/id", &policy).map(|key| key.map(|Key(key)| key))
            };
            assert_eq!(read(true), want.map(|key| Some(key.to_owned())), "{body}");
            let optional = want.map(|key| Some(key.to_owned()));
            assert_eq!(read(false), if want == Err(missing) { Ok(None) } else { optional }, "{body}");
        }
    }

    const OPTIONAL_KEY: Idempotency = Idempotency {
        required: false,
        invocation_id: false,
        invocation_pointer: None,
        save: Save::Safe,
        hold: Hold::Conflict,
        retention: std::time::Duration::from_mins(1),
    };

    #[test]
    fn different_requests_have_different_fingerprints() {
        let fingerprint_of = |serialized: &str, target, body| {
            let request = Request::read(serialized).expect("a request");
            fingerprint(&ForwardedRequest::of(&request), target, body)
        };
        let post = "POST\nhttps://a.example/\ncontent-type\nt";
        let all = [
            fingerprint_of(post, "/a?b", "c"),
            fingerprint_of(post, "/a", "?bc"),
            fingerprint_of(post, "/a?bc", ""),
            fingerprint_of(post, "/a?b", "C"),
            fingerprint_of("PUT\nhttps://a.example/\ncontent-type\nt", "/a?b", "c"),
            fingerprint_of("POST\nhttps://a.example/\ncontent-type\nt2", "/a?b", "c"),
            fingerprint_of("POST\nhttps://a.example/", "/a?b", "c"),
            fingerprint_of("POST\nhttps://b.example/\ncontent-type\nt", "/a?b", "c"),
            fingerprint_of("POST\nhttps://a.example:8443/\ncontent-type\nt", "/a?b", "c"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        assert_eq!(all[0], fingerprint_of(post, "/a?b", "c"));
        // A header that is not forwarded does not change the fingerprint.
        let nominated = "POST\nhttps://a.example/\ncontent-type\nt\nconnection\ncontent-type";
        assert_eq!(all[6], fingerprint_of(nominated, "/a?b", "c"));
    }

    #[test]
    fn different_owners_have_different_encryption_keys() {
        let secret = |text: &str| Secret::parse(text).expect("a secret");
        let (new, old) =
            (secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"), secret("Zp9Lh6Gf3Ed7Cb1Xs5Rv8qZ2wJm4n0Tk"));
        let key = |text: &str| Key(text.to_owned());
        let seals = Seals::new(&new, Some(&old));
        let keys = seals.keys("user:a:b", &key("c"));
        assert_eq!(keys.len(), 2);
        assert_ne!(keys, seals.keys("user:a", &key("b:c")));
        assert_eq!(Seals::new(&old, None).keys("user:a:b", &key("c")), keys[1..]);
    }

    #[test]
    fn stores_final_responses_without_transient_headers() {
        for (status, safe, success) in [
            (200, true, true),
            (204, true, true),
            (303, true, true),
            (400, true, false),
            (401, false, false),
            (409, false, false),
            (422, true, false),
            (429, false, false),
            (500, false, false),
            (503, false, false),
        ] {
            assert_eq!(
                (is_kept(Save::Safe, status), is_kept(Save::Success, status)),
                (safe, success),
                "{status}"
            );
            assert!(is_kept(Save::Stripe, status));
        }
        let headers =
            Headers::read("content-type\ntext/plain\nset-cookie\na=b\ndate\nnow\ncf-ray\nx\netag\n\"e\"");
        assert_eq!(head(201, headers.iter()), "201\ncontent-type\ntext/plain\netag\n\"e\"");
    }
}
