//! Square. <https://developer.squareup.com/docs/webhooks/step3validate>
//!
//! 1. `X-Square-Hmacsha256-Signature: <base64>`. The older `X-Square-Signature`, with SHA-1, is ignored.
//! 2. The signed text is the notification URL as registered with Square, and then the body, without a separator.
//!    There is no timestamp.
//! 3. The event id is the body's `event_id`. The event type is the body's `type`.
//!
//! Without a separator, the end of the URL's query could also be the start of the body. So the content hash covers
//! both, and an event whose URL has a query has no id.

use sha2::{Digest, Sha256};

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, EventInfo, Keys, Sha256Mac, Window, required_header},
};
use crate::base::encoding;

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-square-hmacsha256-signature")?;
    keys.verify(&[request.url.as_bytes(), request.body], Encoding::Base64, [tag])?;
    let content = Sha256::new().chain_update(request.url).chain_update(request.body).finalize();
    let event = EventInfo::from_body(request.body, Some("/event_id"), &["/type"]);
    let id = event.id.filter(|_| !request.url.contains('?'));
    Ok(EventInfo { id, content_hash: Some(encoding::hex(&content)), ..event })
}

#[cfg(test)]
mod tests {
    use crate::webhooks::{
        EventType, InvalidSignature, Scheme,
        signature::sign,
        tests::{URL, base64, verify_now},
    };

    const BODY: &str = r#"{"event_id":"e-1","type":"payment.updated"}"#;

    #[test]
    fn accepts_only_signed_urls_and_bodies() {
        for (signed, want) in [
            (format!("{URL}{BODY}"), Ok(())),
            (format!("{URL}&b=2{BODY}"), Err(InvalidSignature::Mismatch)),
            (BODY.to_owned(), Err(InvalidSignature::Mismatch)),
        ] {
            let tag = base64(&sign("s", signed.as_bytes()));
            let found = verify_now(Scheme::Square, &["s"], &[("x-square-hmacsha256-signature", &tag)], BODY);
            assert_eq!(found.map(|_| ()), want, "{signed}");
        }
    }

    #[test]
    fn reads_no_event_id_if_the_url_has_a_query() {
        let deliver = |signed: &str, body: &str| {
            let tag = base64(&sign("s", signed.as_bytes()));
            verify_now(Scheme::Square, &["s"], &[("x-square-hmacsha256-signature", &tag)], body)
                .expect("a valid signature")
        };
        let whole = deliver(&format!("{URL}{BODY}"), BODY);
        assert_eq!(whole.event_id, None, "the URL has a query");
        assert_eq!(whole.event_type, Some(EventType::Signed("payment.updated".to_owned())));
        assert_ne!(whole.content_hash, whole.payload_hash);
        assert_ne!(whole.content_hash, deliver(&format!("{URL}{BODY} "), &format!("{BODY} ")).content_hash);
    }
}
