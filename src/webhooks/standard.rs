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
mod tests {
    use ed25519_compact::{KeyPair, Seed};

    use crate::webhooks::{
        Delivery, EventType, InvalidSignature, KeyError, Scheme, Verifier,
        signature::sign,
        tests::{NOW, base64, verify_now},
    };

    const BODY: &str = r#"{"type":"user.created"}"#;

    #[test]
    fn accepts_only_current_signatures() {
        let valid = format!("v1,{}", base64(&sign("key", format!("msg_1.{NOW}.{BODY}").as_bytes())));
        let valid_among_others = format!("v1,AAAA v2,x {valid}");
        let too_old = (NOW - 301).to_string();
        for (names, id, timestamp, signature, want) in [
            ("webhook", "msg_1", &*NOW.to_string(), &*valid, Ok(())),
            ("svix", "msg_1", &NOW.to_string(), &valid, Ok(())),
            ("svix", "msg_1", &NOW.to_string(), &valid_among_others, Ok(())),
            ("x", "msg_1", &NOW.to_string(), &valid, Err(InvalidSignature::MissingHeader)),
            ("webhook", "", &NOW.to_string(), &valid, Err(InvalidSignature::MissingHeader)),
            ("webhook", "msg_2", &NOW.to_string(), &valid, Err(InvalidSignature::Mismatch)),
            ("webhook", "msg_1", &too_old, &valid, Err(InvalidSignature::TooOld)),
            ("webhook", "msg_1", "now", &valid, Err(InvalidSignature::Malformed)),
            ("webhook", "msg_1", &NOW.to_string(), &valid[3..], Err(InvalidSignature::Malformed)),
        ] {
            let found = deliver(&["whsec_a2V5"], names, id, timestamp, signature, BODY);
            assert_eq!(found.map(|_| ()), want, "{names} {id} {timestamp} {signature}");
        }
    }

    #[test]
    fn public_keys_verify_only_v1a() {
        let pair = KeyPair::from_seed(Seed::new([7; 32]));
        let public = format!("whpk_{}", base64(&pair.pk[..]));
        let valid = base64(&pair.sk.sign(format!("msg_1.{NOW}.{BODY}"), None)[..]);
        for (version, body, want) in [
            ("v1a", BODY, Ok(())),
            ("v1", BODY, Err(InvalidSignature::Mismatch)),
            ("v2", BODY, Err(InvalidSignature::Mismatch)),
            ("v1a", "{}", Err(InvalidSignature::Mismatch)),
        ] {
            let signature = format!("v1a,AAAA {version},{valid}");
            let found = deliver(&[&public], "webhook", "msg_1", &NOW.to_string(), &signature, body);
            assert_eq!(found.map(|_| ()), want, "{version} {body}");
            let both = ["whsec_a2V5", &public];
            let found = deliver(&both, "webhook", "msg_1", &NOW.to_string(), &signature, body);
            assert_eq!(found.is_ok(), want.is_ok(), "{version} {body}");
        }
    }

    #[test]
    fn reads_id_from_the_header_and_type_from_the_body() {
        let signature = format!("v1,{}", base64(&sign("key", format!("msg_1.{NOW}.{BODY}").as_bytes())));
        let found = deliver(&["a2V5"], "svix", "msg_1", &NOW.to_string(), &signature, BODY)
            .expect("a valid signature");
        assert_eq!(found.event_id.as_deref(), Some("msg_1"));
        assert_eq!(found.event_type.as_ref().map(EventType::as_str), Some("user.created"));
    }

    #[test]
    fn rejects_ids_that_end_with_a_current_timestamp() {
        let (id, body) = (format!("msg.{NOW}"), "{}");
        let signature = format!("v1,{}", base64(&sign("key", format!("{id}.{NOW}.{body}").as_bytes())));
        let shifted = format!("{NOW}.{body}");
        let event_id = |id: &str, body: &str| {
            deliver(&["a2V5"], "svix", id, &NOW.to_string(), &signature, body).map(|found| found.event_id)
        };
        assert_eq!(event_id(&id, body), Err(InvalidSignature::Malformed));
        assert_eq!(event_id("msg", &shifted), Ok(Some("msg".to_owned())), "the same signature");
    }

    #[test]
    fn rejects_invalid_keys() {
        let weak = format!("whpk_{}", base64(&[0; 32]));
        for (secrets, want) in [
            (&["whsec_"][..], KeyError::Empty(1)),
            (&["a2V5", "whsec_?"], KeyError::NotBase64(2)),
            (&["whpk_a2V5"], KeyError::PublicKey(1)),
            (&[&weak], KeyError::PublicKey(1)),
            (&["whsk_a2V5"], KeyError::PrivateKey(1)),
        ] {
            let found = Verifier::new(Scheme::Standard, secrets, std::time::Duration::ZERO);
            assert_eq!(found.map(|_| ()), Err(want), "{secrets:?}");
        }
    }

    fn deliver(
        secrets: &[&str],
        names: &str,
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &str,
    ) -> Result<Delivery, InvalidSignature> {
        let names = ["id", "timestamp", "signature"].map(|name| format!("{names}-{name}"));
        let fields = [(&*names[0], id), (&names[1], timestamp), (&names[2], signature)];
        verify_now(Scheme::Standard, secrets, &fields, body)
    }
}
