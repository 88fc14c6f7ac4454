//! Shopify. <https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify>
//!
//! 1. `X-Shopify-Hmac-Sha256: <base64>`.
//! 2. Signed is the body alone, with HMAC-SHA256 under the app's client secret; there is no timestamp.
//! 3. `X-Shopify-Event-Id` and `X-Shopify-Webhook-Id` are not signed, so the event has no id. Neither is its
//!    type, `X-Shopify-Topic`: all of an app's webhooks share one secret, so a body can be sent on under
//!    another topic.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, Event, Keys, Sha256Mac, Window, header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<Event, InvalidSignature> {
    let tag = header(request, "x-shopify-hmac-sha256")?;
    keys.verify(&[request.body], Encoding::Base64, [tag])?;
    Ok(Event::unsigned(request, "x-shopify-topic"))
}

#[cfg(test)]
mod tests {
    use crate::{
        encoding::hex,
        webhook::{
            EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{base64, judge},
        },
    };

    #[test]
    fn what_is_signed() {
        let tag = sign("s", b"{}");
        for (value, body, want) in [
            (base64(&tag), "{}", Ok(())),
            (base64(&tag), "{} ", Err(InvalidSignature::Mismatch)),
            (hex(&tag), "{}", Err(InvalidSignature::Malformed)),
            (base64(&tag).replace('=', ""), "{}", Err(InvalidSignature::Malformed)),
            (String::new(), "{}", Err(InvalidSignature::MissingHeader)),
        ] {
            let found = judge(Scheme::Shopify, &["s"], &[("x-shopify-hmac-sha256", &value)], body);
            assert_eq!(found.map(|_| ()), want, "{value} {body}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let tag = base64(&sign("s", br#"{"id":7}"#));
        let fields = [
            ("x-shopify-hmac-sha256", &*tag),
            ("x-shopify-event-id", "e-1"),
            ("x-shopify-webhook-id", "w-1"),
            ("x-shopify-topic", "orders/create"),
        ];
        let found = judge(Scheme::Shopify, &["s"], &fields, r#"{"id":7}"#).expect("Shopify's");
        assert_eq!(found.event_id, None, "not signed; the body's id is the order's");
        assert_eq!(found.event_type, Some(EventType::Unsigned("orders/create".to_owned())));
    }
}
