//! Stripe. <https://docs.stripe.com/webhooks/signature>
//!
//! 1. `Stripe-Signature: t=<seconds>,v1=<hex>,…`, with one `v1` for each secret in use; other schemes, such
//!    as `v0` of test events, are passed over.
//! 2. Signed is `{t}.{body}`, with HMAC-SHA256 under the whole text of the secret, its `whsec_` included.
//! 3. The event's id is the body's `id`, its type the body's `type`.

use super::{
    InvalidSignature, Signed,
    signature::{Event, Keys, Sha256Mac, Stamped, Window},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    window: Window,
) -> Result<Event, InvalidSignature> {
    SIGNED.verify(keys, request, window)?;
    Ok(Event::in_body(request.body, Some("/id"), &["/type"]))
}

const SIGNED: Stamped =
    Stamped { header: "stripe-signature", separator: ',', timestamp: "t=", signature: "v1=", between: b"." };

#[cfg(test)]
mod tests {
    use crate::{
        encoding::hex,
        webhook::{
            EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{NOW, judge},
        },
    };

    const BODY: &str = r#"{"id":"evt_1","type":"invoice.paid"}"#;

    #[test]
    fn what_is_signed() {
        let tag = hex(&sign("whsec_new", format!("{NOW}.{BODY}").as_bytes()));
        for (list, want) in [
            (format!("t={NOW},v1={tag}"), Ok(())),
            (format!("v1=00, v1={tag}, v0=x, t={NOW}"), Ok(())),
            (format!("t={NOW},v0={tag}"), Err(InvalidSignature::Malformed)),
            (format!("v1={tag}"), Err(InvalidSignature::Malformed)),
            (format!("t={NOW},v1={tag},t={NOW}"), Err(InvalidSignature::Malformed)),
            (format!("t=1,v1={tag}"), Err(InvalidSignature::TooOld)),
            (format!("t=99{NOW},v1={tag}"), Err(InvalidSignature::FromTheFuture)),
            (format!("t={},v1={tag}", NOW + 1), Err(InvalidSignature::Mismatch)),
            (String::new(), Err(InvalidSignature::MissingHeader)),
        ] {
            let found =
                judge(Scheme::Stripe, &["whsec_old", "whsec_new"], &[("stripe-signature", &list)], BODY);
            assert_eq!(found.map(|_| ()), want, "{list}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let list = format!("t={NOW},v1={}", hex(&sign("s", format!("{NOW}.{BODY}").as_bytes())));
        let found = judge(Scheme::Stripe, &["s"], &[("stripe-signature", &list)], BODY).expect("Stripe's");
        assert_eq!(found.event_id.as_deref(), Some("evt_1"));
        assert_eq!(found.event_type, Some(EventType::Signed("invoice.paid".to_owned())));
        assert_eq!(found.content_hash, found.payload_hash);
    }
}
