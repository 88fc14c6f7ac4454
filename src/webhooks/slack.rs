//! Slack. <https://docs.slack.dev/authentication/verifying-requests-from-slack>
//!
//! 1. `X-Slack-Signature: v0=<hex>` and `X-Slack-Request-Timestamp` (seconds).
//! 2. The signed text is `v0:{timestamp}:{body}`. The HMAC-SHA256 key is the app's signing secret.
//! 3. The event id is the body's `event_id`. The event type is `event.type`, or `type` if the request is not an
//!    event (`url_verification`). Slash commands and interactions are forms and have neither.

use super::{
    InvalidSignature, Signed,
    signature::{self, Encoding, EventInfo, Keys, Sha256Mac, Window, required_header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    window: Window,
) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-slack-signature")?.strip_prefix("v0=");
    let timestamp = required_header(request, "x-slack-request-timestamp")?;
    window.check(signature::parse_seconds(timestamp)?)?;
    let signed = [b"v0:", timestamp.as_bytes(), b":", request.body];
    keys.verify(&signed, Encoding::Hex, tag)?;
    Ok(EventInfo::from_body(request.body, Some("/event_id"), &["/event/type", "/type"]))
}

#[cfg(test)]
mod tests {
    use crate::{
        base::encoding::hex,
        webhooks::{
            Delivery, EventType, InvalidSignature, Scheme,
            signature::sign,
            tests::{NOW, verify_now},
        },
    };

    #[test]
    fn accepts_only_current_v0_signatures() {
        let (current, future) = (NOW.to_string(), (NOW + 301).to_string());
        for (prefix, timestamp, want) in [
            ("v0=", &*current, Ok(())),
            ("v1=", &current, Err(InvalidSignature::Malformed)),
            ("", &current, Err(InvalidSignature::Malformed)),
            ("v0=", &future, Err(InvalidSignature::FromTheFuture)),
            ("v0=", "", Err(InvalidSignature::MissingHeader)),
        ] {
            assert_eq!(deliver(prefix, timestamp, "{}").map(|_| ()), want, "{prefix} {timestamp}");
        }
    }

    #[test]
    fn reads_id_and_type_from_json_bodies() {
        for (body, id, event_type) in [
            (
                r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}"#,
                Some("Ev1"),
                Some("app_mention"),
            ),
            (r#"{"type":"url_verification","challenge":"c"}"#, None, Some("url_verification")),
            ("command=%2Fgo&event_id=Ev1", None, None),
        ] {
            let found = deliver("v0=", &NOW.to_string(), body).expect("a valid signature");
            assert_eq!(found.event_id.as_deref(), id, "{body}");
            assert_eq!(found.event_type, event_type.map(|name| EventType::Signed(name.to_owned())), "{body}");
        }
    }

    fn deliver(prefix: &str, timestamp: &str, body: &str) -> Result<Delivery, InvalidSignature> {
        let tag = format!("{prefix}{}", hex(&sign("s", format!("v0:{timestamp}:{body}").as_bytes())));
        let fields = [("x-slack-signature", &*tag), ("x-slack-request-timestamp", timestamp)];
        verify_now(Scheme::Slack, &["s"], &fields, body)
    }
}
