//! Square. <https://developer.squareup.com/docs/webhooks/step3validate>
//!
//! 1. `X-Square-Hmacsha256-Signature: <base64>`. The older `X-Square-Signature`, with SHA-1, is not looked at.
//! 2. Signed is the notification URL as Square was told it and then the body, with nothing between; there is
//!    no timestamp.
//! 3. The event's id is the body's `event_id`, its type the body's `type`.
//!
//! With nothing between, what the URL's query ends with could as well be what the body begins with: the hash
//! of the content is over both, and where there is a query, the event has no other id than that.

use sha2::{Digest, Sha256};

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, Event, Keys, Sha256Mac, Window, header},
};
use crate::encoding;

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<Event, InvalidSignature> {
    let tag = header(request, "x-square-hmacsha256-signature")?;
    keys.verify(&[request.url.as_bytes(), request.body], Encoding::Base64, [tag])?;
    let content = Sha256::new().chain_update(request.url).chain_update(request.body).finalize();
    let event = Event::in_body(request.body, Some("/event_id"), &["/type"]);
    let id = event.id.filter(|_| !request.url.contains('?'));
    Ok(Event { id, content_hash: Some(encoding::hex(&content)), ..event })
}

#[cfg(test)]
mod tests {
    use crate::webhook::{
        EventType, InvalidSignature, Scheme,
        signature::sign,
        tests::{URL, base64, judge},
    };

    const BODY: &str = r#"{"event_id":"e-1","type":"payment.updated"}"#;

    #[test]
    fn what_is_signed() {
        for (signed, want) in [
            (format!("{URL}{BODY}"), Ok(())),
            (format!("{URL}&b=2{BODY}"), Err(InvalidSignature::Mismatch)),
            (BODY.to_owned(), Err(InvalidSignature::Mismatch)),
        ] {
            let tag = base64(&sign("s", signed.as_bytes()));
            let found = judge(Scheme::Square, &["s"], &[("x-square-hmacsha256-signature", &tag)], BODY);
            assert_eq!(found.map(|_| ()), want, "{signed}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let deliver = |signed: &str, body: &str| {
            let tag = base64(&sign("s", signed.as_bytes()));
            judge(Scheme::Square, &["s"], &[("x-square-hmacsha256-signature", &tag)], body).expect("Square's")
        };
        let whole = deliver(&format!("{URL}{BODY}"), BODY);
        assert_eq!(whole.event_id, None, "the URL has a query");
        assert_eq!(whole.event_type, Some(EventType::Signed("payment.updated".to_owned())));
        assert_ne!(whole.content_hash, whole.payload_hash);
        assert_ne!(whole.content_hash, deliver(&format!("{URL}{BODY} "), &format!("{BODY} ")).content_hash);
    }
}
