//! Standard Webhooks 1.0.0, and Svix, which the standard is based on.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! 1. The headers are `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`, or the same with the
//!    prefix `svix-`.
//! 2. The signed text is `{id}.{timestamp}.{body}`.
//! 3. Signatures are separated by spaces: `v1,<base64>` is HMAC-SHA256, `v1a,<base64>` is Ed25519. Other
//!    versions are ignored.
//! 4. A secret `whsec_<base64>`, or its base64 alone, verifies `v1`. A public key `whpk_<base64>` verifies
//!    `v1a`. One of the two kinds may be missing.
//! 5. The event id is in the id header. The event type is the body's `type`.
//!
//! The specification tells senders to keep the full stop out of ids that others can choose. An id is rejected if its
//! last part is a timestamp within the tolerance: the same signature would match another id and another body.

use ed25519_compact::{PublicKey, Signature};

use super::{
    InvalidSignature, KeyError, Signed,
    signature::{self, Encoding, EventInfo, Sha256Mac, Window, elements, identifier, required_header},
};
use crate::base::encoding;

/// Shared secrets and public keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    shared: signature::Keys<Sha256Mac>,
    public: Vec<PublicKey>,
}

impl Keys {
    /// Parses secrets and public keys in the form in which the provider shows them.
    pub(super) fn new(secrets: &[impl AsRef<str>]) -> Result<Self, KeyError> {
        if secrets.is_empty() {
            return Err(KeyError::None);
        }
        let (mut shared, mut public) = (Vec::new(), Vec::new());
        for (at, text) in (1..).zip(secrets.iter().map(AsRef::as_ref)) {
            let key = text.strip_prefix("whpk_");
            let base64 = key.or_else(|| text.strip_prefix("whsec_")).unwrap_or(text);
            if text.starts_with("whsk_") {
                return Err(KeyError::PrivateKey(at));
            }
            let bytes = encoding::from_base64(base64).ok_or(KeyError::NotBase64(at))?;
            if key.is_some() {
                public.push(public_key(&bytes).ok_or(KeyError::PublicKey(at))?);
            } else {
                shared.push((at, bytes));
            }
        }
        Ok(Self { shared: signature::Keys::from_bytes(shared.into_iter())?, public })
    }

    fn verify_public<'a>(&self, signed: &[&[u8]], signatures: impl Iterator<Item = &'a str>) -> bool {
        let signatures = signatures.take(MAX_ED25519_SIGNATURES).filter_map(encoding::from_base64);
        signatures.filter_map(|bytes| Signature::from_slice(&bytes).ok()).any(|signature| {
            self.public.iter().any(|key| {
                let Ok(mut state) = key.verify_incremental(&signature) else { return false };
                for part in signed {
                    state.absorb(part);
                }
                state.verify().is_ok()
            })
        })
    }
}

pub(super) fn verify(
    keys: &Keys,
    request: &Signed<'_>,
    window: Window,
) -> Result<EventInfo, InvalidSignature> {
    let is_standard = request.headers.value("webhook-signature").is_some();
    let [id, timestamp, signatures] = if is_standard { STANDARD } else { SVIX };
    let signatures = required_header(request, signatures)?;
    let (id, timestamp) = (required_header(request, id)?, required_header(request, timestamp)?);
    window.check(signature::parse_seconds(timestamp)?)?;
    let last = id.rsplit('.').next().filter(|last| last.len() < id.len());
    if last.is_some_and(|last| signature::parse_seconds(last).is_ok_and(|at| window.overlaps(at))) {
        return Err(InvalidSignature::Malformed);
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
    let mut public = elements(signatures, ' ', "v1a,");
    if !keys.verify_public(&signed, public.clone()) {
        let is_other = !keys.public.is_empty() && public.next().is_some();
        let shared = keys.shared.verify(&signed, Encoding::Base64, elements(signatures, ' ', "v1,"));
        shared.map_err(|error| if is_other { InvalidSignature::Mismatch } else { error })?;
    }
    Ok(EventInfo { id: identifier(id), ..EventInfo::from_body(request.body, None, &["/type"]) })
}

/// Parses a public key. Accepts only the canonical encoding of a point that is not of small order.
fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::from_slice(bytes).ok().filter(|key| key.validate().is_ok())
}

const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// Maximum number of Ed25519 signatures that are checked. Each is checked over the whole body, with each key.
const MAX_ED25519_SIGNATURES: usize = 4;

#[cfg(test)]
mod tests;
