//! GitHub.
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
//!
//! 1. `X-Hub-Signature-256: sha256=<hex>`. The older `X-Hub-Signature`, with SHA-1, is not looked at.
//! 2. Signed is the body alone, with HMAC-SHA256; there is no timestamp.
//! 3. `X-GitHub-Delivery` is not signed, so the event has no id. Neither is its type, `X-GitHub-Event`.

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, Event, Keys, Sha256Mac, Window, header},
};

pub(super) fn verify(
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    _: Window,
) -> Result<Event, InvalidSignature> {
    let tag = header(request, "x-hub-signature-256")?.strip_prefix("sha256=");
    keys.verify(&[request.body], Encoding::Hex, tag)?;
    Ok(Event::unsigned(request, "x-github-event"))
}

#[cfg(test)]
mod tests {
    use crate::{
        encoding::hex,
        webhook::{EventType, InvalidSignature, Scheme, signature::sign, tests::judge},
    };

    #[test]
    fn what_is_signed() {
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
            let found = judge(Scheme::Github, &["other", "s"], &[(name, &value)], body);
            assert_eq!(found.map(|_| ()), want, "{name}: {value}");
        }
    }

    #[test]
    fn what_the_event_is() {
        let value = format!("sha256={}", hex(&sign("s", b"{}")));
        let fields =
            [("x-hub-signature-256", &*value), ("x-github-delivery", "d-1"), ("x-github-event", "push")];
        let found = judge(Scheme::Github, &["s"], &fields, "{}").expect("GitHub's");
        assert_eq!(found.event_id, None, "not signed");
        assert_eq!(found.event_type, Some(EventType::Unsigned("push".to_owned())));
    }
}
