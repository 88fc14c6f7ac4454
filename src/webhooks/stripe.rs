//! Stripe. <https://docs.stripe.com/webhooks/signature>
//!
//! 1. `Stripe-Signature: t=<seconds>,v1=<hex>,…`, with one `v1` for each secret in use. Other schemes, such
//!    as `v0` of test events, are ignored.
//! 2. The signed text is `{t}.{body}`. The HMAC-SHA256 key is the whole text of the secret, including `whsec_`.
//! 3. The event id is the body's `id`. The event type is the body's `type`.

use super::{
    InvalidSignature, Signed,
    signature::{EventInfo, Keys, Sha256Mac, TimestampedHeader, Window},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    window: Window,
) -> Result<EventInfo, InvalidSignature> {
    HEADER.verify(keys, request, window)?;
    Ok(EventInfo::from_body(request.body, Some("/id"), &["/type"]))
}

const HEADER: TimestampedHeader = TimestampedHeader {
    header: "stripe-signature",
    separator: ',',
    timestamp_prefix: "t=",
    signature_prefix: "v1=",
    joiner: b".",
};

#[cfg(test)]
mod tests {
    use crate::{
        base::encoding::hex,
        webhooks::{
            EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{NOW, verify_now},
        },
    };

    const BODY: &str = r#"{"id":"evt_1","type":"invoice.paid"}"#;

    #[test]
    fn accepts_only_current_v1_signatures() {
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
                verify_now(Scheme::Stripe, &["whsec_old", "whsec_new"], &[("stripe-signature", &list)], BODY);
            assert_eq!(found.map(|_| ()), want, "{list}");
        }
    }

    #[test]
    fn reads_id_and_type_from_the_body() {
        let list = format!("t={NOW},v1={}", hex(&sign("s", format!("{NOW}.{BODY}").as_bytes())));
        let found = verify_now(Scheme::Stripe, &["s"], &[("stripe-signature", &list)], BODY)
            .expect("a valid signature");
        assert_eq!(found.event_id.as_deref(), Some("evt_1"));
        assert_eq!(found.event_type, Some(EventType::Signed("invoice.paid".to_owned())));
        assert_eq!(found.content_hash, found.payload_hash);
    }
}
