//! Slack. <https://docs.slack.dev/authentication/verifying-requests-from-slack>
//!
//! 1. `X-Slack-Signature: v0=<hex>` and `X-Slack-Request-Timestamp` (seconds).
//! 2. Signed is `v0:{timestamp}:{body}`, with HMAC-SHA256 under the app's signing secret.
//! 3. The event's id is the body's `event_id`; its type is `event.type`, or `type` of a request that is no
//!    event (`url_verification`). Slash commands and interactions are forms and have neither.

use super::{
    InvalidSignature, Signed,
    signature::{self, Encoding, Event, Keys, Sha256Mac, Window, header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    window: Window,
) -> Result<Event, InvalidSignature> {
    let tag = header(request, "x-slack-signature")?.strip_prefix("v0=");
    let timestamp = header(request, "x-slack-request-timestamp")?;
    window.admit(signature::seconds(timestamp)?)?;
    let signed = [b"v0:", timestamp.as_bytes(), b":", request.body];
    keys.verify(&signed, Encoding::Hex, tag)?;
    Ok(Event::in_body(request.body, Some("/event_id"), &["/event/type", "/type"]))
}

#[cfg(test)]
mod tests {
    use crate::{
        encoding::hex,
        webhook::{
            Delivery, EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{NOW, judge},
        },
    };

    #[test]
    fn what_is_signed() {
        let (own, late) = (NOW.to_string(), (NOW + 301).to_string());
        for (prefix, timestamp, want) in [
            ("v0=", &*own, Ok(())),
            ("v1=", &own, Err(InvalidSignature::Malformed)),
            ("", &own, Err(InvalidSignature::Malformed)),
            ("v0=", &late, Err(InvalidSignature::FromTheFuture)),
            ("v0=", "", Err(InvalidSignature::MissingHeader)),
        ] {
            assert_eq!(deliver(prefix, timestamp, "{}").map(|_| ()), want, "{prefix} {timestamp}");
        }
    }

    #[test]
    fn what_the_event_is() {
        for (body, id, kind) in [
            (
                r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}"#,
                Some("Ev1"),
                Some("app_mention"),
            ),
            (r#"{"type":"url_verification","challenge":"c"}"#, None, Some("url_verification")),
            ("command=%2Fgo&event_id=Ev1", None, None),
        ] {
            let found = deliver("v0=", &NOW.to_string(), body).expect("Slack's");
            assert_eq!(found.event_id.as_deref(), id, "{body}");
            assert_eq!(found.event_type, kind.map(|kind| EventType::Signed(kind.to_owned())), "{body}");
        }
    }

    fn deliver(prefix: &str, timestamp: &str, body: &str) -> Result<Delivery, InvalidSignature> {
        let tag = format!("{prefix}{}", hex(&sign("s", format!("v0:{timestamp}:{body}").as_bytes())));
        let fields = [("x-slack-signature", &*tag), ("x-slack-request-timestamp", timestamp)];
        judge(Scheme::Slack, &["s"], &fields, body)
    }
}
