//! Paddle Billing. <https://developer.paddle.com/webhooks/signature-verification>
//!
//! 1. `Paddle-Signature: ts=<seconds>;h1=<hex>;…`, with one `h1` for each secret in use.
//! 2. The signed text is `{ts}:{body}`. The HMAC-SHA256 key is the whole text of the secret.
//! 3. The event id is the body's `event_id`. The event type is the body's `event_type`.
//!
//! Paddle's own libraries tolerate five seconds. Each attempt is signed with the time at which it is sent.

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
    Ok(EventInfo::from_body(request.body, Some("/event_id"), &["/event_type"]))
}

const HEADER: TimestampedHeader = TimestampedHeader {
    header: "paddle-signature",
    separator: ';',
    timestamp_prefix: "ts=",
    signature_prefix: "h1=",
    joiner: b":",
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

    const BODY: &str = r#"{"event_id":"evt_1","event_type":"customer.created"}"#;

    #[test]
    fn accepts_only_current_h1_signatures() {
        let tag = hex(&sign("s", format!("{NOW}:{BODY}").as_bytes()));
        for (list, want) in [
            (format!("ts={NOW};h1={tag}"), Ok(())),
            (format!("ts={NOW};h1=00;h2=x;h1={tag}"), Ok(())),
            (format!("ts={NOW},h1={tag}"), Err(InvalidSignature::Malformed)),
            (format!("ts={NOW};h2={tag}"), Err(InvalidSignature::Malformed)),
            (format!("ts=0;h1={tag}"), Err(InvalidSignature::TooOld)),
        ] {
            let found = verify_now(Scheme::Paddle, &["s"], &[("paddle-signature", &list)], BODY);
            assert_eq!(found.map(|_| ()), want, "{list}");
        }
    }

    #[test]
    fn reads_id_and_type_from_the_body() {
        let list = format!("ts={NOW};h1={}", hex(&sign("s", format!("{NOW}:{BODY}").as_bytes())));
        let found = verify_now(Scheme::Paddle, &["s"], &[("paddle-signature", &list)], BODY)
            .expect("a valid signature");
        assert_eq!(found.event_id.as_deref(), Some("evt_1"));
        assert_eq!(found.event_type, Some(EventType::Signed("customer.created".to_owned())));
    }
}
