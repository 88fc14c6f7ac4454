//! Shopify.
//! <https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify>
//!
//! 1. `X-Shopify-Hmac-Sha256: <base64>`.
//! 2. The signed text is the body. The HMAC-SHA256 key is the app's client secret. There is no timestamp.
//! 3. `X-Shopify-Event-Id` and `X-Shopify-Webhook-Id` are not signed, so the event has no id.
//! 4. The event type, `X-Shopify-Topic`, is not signed, either. All webhooks of an app share one secret, so an attacker
//!    can send a body again with another topic.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, EventInfo, Keys, Sha256Mac, Window, required_header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-shopify-hmac-sha256")?;
    keys.verify(&[request.body], Encoding::Base64, [tag])?;
    Ok(EventInfo::from_unsigned_header(request, "x-shopify-topic"))
}

#[cfg(test)]
mod tests {
    use crate::{
        base::encoding::hex,
        webhooks::{
            EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{base64, verify_now},
        },
    };

    #[test]
    fn accepts_only_padded_base64_signatures() {
        let tag = sign("s", b"{}");
        for (value, body, want) in [
            (base64(&tag), "{}", Ok(())),
            (base64(&tag), "{} ", Err(InvalidSignature::Mismatch)),
            (hex(&tag), "{}", Err(InvalidSignature::Malformed)),
            (base64(&tag).replace('=', ""), "{}", Err(InvalidSignature::Malformed)),
            (String::new(), "{}", Err(InvalidSignature::MissingHeader)),
        ] {
            let found = verify_now(Scheme::Shopify, &["s"], &[("x-shopify-hmac-sha256", &value)], body);
            assert_eq!(found.map(|_| ()), want, "{value} {body}");
        }
    }

    #[test]
    fn reads_no_unsigned_event_id() {
        let tag = base64(&sign("s", br#"{"id":7}"#));
        let fields = [
            ("x-shopify-hmac-sha256", &*tag),
            ("x-shopify-event-id", "e-1"),
            ("x-shopify-webhook-id", "w-1"),
            ("x-shopify-topic", "orders/create"),
        ];
        let found = verify_now(Scheme::Shopify, &["s"], &fields, r#"{"id":7}"#).expect("a valid signature");
        assert_eq!(found.event_id, None, "the headers are not signed, and the id in the body is the order's");
        assert_eq!(found.event_type, Some(EventType::Unsigned("orders/create".to_owned())));
    }
}
