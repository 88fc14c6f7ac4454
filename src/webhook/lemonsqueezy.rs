//! Lemon Squeezy. <https://docs.lemonsqueezy.com/help/webhooks/signing-requests>
//!
//! 1. `X-Signature: <hex>`.
//! 2. Signed is the body alone, with HMAC-SHA256; there is no timestamp.
//! 3. Events have no id of their own. The type is the body's `meta.event_name`; `X-Event-Name`, which says
//!    the same, is not signed and not looked at.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, Event, Keys, Sha256Mac, Window, header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<Event, InvalidSignature> {
    let tag = header(request, "x-signature")?;
    keys.verify(&[request.body], Encoding::Hex, [tag])?;
    Ok(Event::in_body(request.body, None, &["/meta/event_name"]))
}

#[cfg(test)]
mod tests {
    use crate::{
        encoding::hex,
        webhook::{EventType, InvalidSignature, Scheme, signature::sign, tests::judge},
    };

    const BODY: &str = r#"{"meta":{"event_name":"order_created"},"data":{"id":"1"}}"#;

    #[test]
    fn what_is_signed() {
        let tag = hex(&sign("s", BODY.as_bytes()));
        for (value, want) in [
            (tag.clone(), Ok(())),
            (tag.to_uppercase(), Ok(())),
            (format!("sha256={tag}"), Err(InvalidSignature::Malformed)),
            (hex(&sign("t", BODY.as_bytes())), Err(InvalidSignature::Mismatch)),
        ] {
            let found = judge(Scheme::LemonSqueezy, &["s"], &[("x-signature", &value)], BODY);
            assert_eq!(found.map(|_| ()), want, "{value}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let fields =
            [("x-signature", &*hex(&sign("s", BODY.as_bytes()))), ("x-event-name", "order_refunded")];
        let found = judge(Scheme::LemonSqueezy, &["s"], &fields, BODY).expect("Lemon Squeezy's");
        assert_eq!(found.event_id, None, "the body's id is the order's");
        assert_eq!(found.event_type, Some(EventType::Signed("order_created".to_owned())));
    }
}
