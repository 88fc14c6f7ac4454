//! GitHub.
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
//!
//! 1. `X-Hub-Signature-256: sha256=<hex>`. The older `X-Hub-Signature`, with SHA-1, is ignored.
//! 2. The signed text is the body, with HMAC-SHA256. There is no timestamp.
//! 3. `X-GitHub-Delivery` is not signed, so the event has no id. Nor is the event type, `X-GitHub-Event`.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, EventInfo, Keys, Sha256Mac, Window, required_header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-hub-signature-256")?.strip_prefix("sha256=");
    keys.verify(&[request.body], Encoding::Hex, tag)?;
    Ok(EventInfo::from_unsigned_header(request, "x-github-event"))
}

#[cfg(test)]
mod tests {
    use crate::{
        base::encoding::hex,
        webhooks::{EventType, InvalidSignature, Scheme, signature::sign, tests::verify_now},
    };

    #[test]
    fn accepts_only_sha256_signatures() {
        let body = b"\xff\0{";
        let tag = hex(&sign("s", body));
        for (name, value, want) in [
            ("x-hub-signature-256", format!("sha256={tag}"), Ok(())),
            ("x-hub-signature", format!("sha256={tag}"), Err(InvalidSignature::MissingHeader)),
            ("x-hub-signature-256", tag.clone(), Err(InvalidSignature::Malformed)),
            ("x-hub-signature-256", format!("sha1={tag}"), Err(InvalidSignature::Malformed)),
            ("x-hub-signature-256", format!("sha256={}", &tag[..12]), Err(InvalidSignature::Malformed)),
            ("x-hub-signature-256", format!("sha256={tag}, sha256={tag}"), Err(InvalidSignature::Malformed)),
        ] {
            let found = verify_now(Scheme::Github, &["other", "s"], &[(name, &value)], body);
            assert_eq!(found.map(|_| ()), want, "{name}: {value}");
        }
    }

    #[test]
    fn reads_no_unsigned_event_id() {
        let value = format!("sha256={}", hex(&sign("s", b"{}")));
        let fields =
            [("x-hub-signature-256", &*value), ("x-github-delivery", "d-1"), ("x-github-event", "push")];
        let found = verify_now(Scheme::Github, &["s"], &fields, "{}").expect("a valid signature");
        assert_eq!(found.event_id, None, "the header is not signed");
        assert_eq!(found.event_type, Some(EventType::Unsigned("push".to_owned())));
    }
}
