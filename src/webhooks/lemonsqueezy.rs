//! Lemon Squeezy. <https://docs.lemonsqueezy.com/help/webhooks/signing-requests>
//!
//! 1. `X-Signature: <hex>`.
//! 2. The signed text is the body, with HMAC-SHA256. There is no timestamp.
//! 3. Events have no id. The event type is the body's `meta.event_name`. `X-Event-Name` has the same value, but is
//!    not signed, so it is ignored.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, EventInfo, Keys, Sha256Mac, Window, required_header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-signature")?;
    keys.verify(&[request.body], Encoding::Hex, [tag])?;
    Ok(EventInfo::from_body(request.body, None, &["/meta/event_name"]))
}

#[cfg(test)]
mod tests {
    use crate::{
        base::encoding::hex,
        webhooks::{EventType, InvalidSignature, Scheme, signature::sign, tests::verify_now},
    };

    const BODY: &str = r#"{"meta":{"event_name":"order_created"},"data":{"id":"1"}}"#;

    #[test]
    fn accepts_only_hex_signatures() {
        let tag = hex(&sign("s", BODY.as_bytes()));
        for (value, want) in [
            (tag.clone(), Ok(())),
            (tag.to_uppercase(), Ok(())),
            (format!("sha256={tag}"), Err(InvalidSignature::Malformed)),
            (hex(&sign("t", BODY.as_bytes())), Err(InvalidSignature::Mismatch)),
        ] {
            let found = verify_now(Scheme::LemonSqueezy, &["s"], &[("x-signature", &value)], BODY);
            assert_eq!(found.map(|_| ()), want, "{value}");
        }
    }

    #[test]
    fn reads_only_the_type_from_the_body() {
        let fields =
            [("x-signature", &*hex(&sign("s", BODY.as_bytes()))), ("x-event-name", "order_refunded")];
        let found = verify_now(Scheme::LemonSqueezy, &["s"], &fields, BODY).expect("a valid signature");
        assert_eq!(found.event_id, None, "the id in the body is the order's");
        assert_eq!(found.event_type, Some(EventType::Signed("order_created".to_owned())));
    }
}
