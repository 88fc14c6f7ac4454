//! Paddle Billing. <https://developer.paddle.com/webhooks/signature-verification>
//!
//! 1. `Paddle-Signature: ts=<seconds>;h1=<hex>;…`, with one `h1` for each secret in use.
//! 2. Signed is `{ts}:{body}`, with HMAC-SHA256 under the whole text of the secret.
//! 3. The event's id is the body's `event_id`, its type the body's `event_type`.
//!
//! Paddle's own libraries tolerate five seconds; an attempt's timestamp is made when it is sent.

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
    Ok(Event::in_body(request.body, Some("/event_id"), &["/event_type"]))
}

const SIGNED: Stamped =
    Stamped { header: "paddle-signature", separator: ';', timestamp: "ts=", signature: "h1=", between: b":" };

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

    const BODY: &str = r#"{"event_id":"evt_1","event_type":"customer.created"}"#;

    #[test]
    fn what_is_signed() {
        let tag = hex(&sign("s", format!("{NOW}:{BODY}").as_bytes()));
        for (list, want) in [
            (format!("ts={NOW};h1={tag}"), Ok(())),
            (format!("ts={NOW};h1=00;h2=x;h1={tag}"), Ok(())),
            (format!("ts={NOW},h1={tag}"), Err(InvalidSignature::Malformed)),
            (format!("ts={NOW};h2={tag}"), Err(InvalidSignature::Malformed)),
            (format!("ts=0;h1={tag}"), Err(InvalidSignature::TooOld)),
        ] {
            let found = judge(Scheme::Paddle, &["s"], &[("paddle-signature", &list)], BODY);
            assert_eq!(found.map(|_| ()), want, "{list}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let list = format!("ts={NOW};h1={}", hex(&sign("s", format!("{NOW}:{BODY}").as_bytes())));
        let found = judge(Scheme::Paddle, &["s"], &[("paddle-signature", &list)], BODY).expect("Paddle's");
        assert_eq!(found.event_id.as_deref(), Some("evt_1"));
        assert_eq!(found.event_type, Some(EventType::Signed("customer.created".to_owned())));
    }
}
