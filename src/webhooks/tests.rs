use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

pub(super) const NOW: i64 = 1_700_000_000;
pub(super) const URL: &str = "https://app.example/hooks/in?a=1";

/// Verifies a request to [`URL`] at [`NOW`].
pub(super) fn verify_now(
    scheme: Scheme,
    secrets: &[&str],
    fields: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Result<Delivery, InvalidSignature> {
    let verifier = Verifier::new(scheme, secrets, TOLERANCE).expect("a verifier");
    let headers: Headers<'_> = fields.iter().copied().collect();
    let request = Signed { headers: &headers, body: body.as_ref(), url: URL };
    verifier.verify(request, Arrival::at_once(Timestamp(NOW)))
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns every scheme.
fn all() -> Vec<Scheme> {
    let settings = hmac::Settings {
        header: "x-signature",
        signed: "{id}.{timestamp}.{body}",
        timestamp_header: Some("x-timestamp"),
        id_header: Some("x-id"),
        ..hmac::Settings::default()
    };
    let custom = Scheme::Hmac(hmac::Policy::new(&settings).expect("a policy"));
    Scheme::PLAIN.iter().cloned().chain([custom]).collect()
}

#[test]
fn rejects_missing_and_empty_secrets() {
    let no_secrets: [&str; 0] = [];
    for scheme in all() {
        let name = scheme.name();
        let new = |secrets: &[&str]| Verifier::new(scheme.clone(), secrets, Duration::ZERO).map(|_| ());
        assert_eq!(new(&no_secrets), Err(KeyError::None), "{name}");
        assert_eq!(new(&[""]), Err(KeyError::Empty(1)), "{name}");
        assert_eq!(new(&["c2VjcmV0", ""]), Err(KeyError::Empty(2)), "{name}");
        assert_eq!(new(&["c2VjcmV0", "c2VjcmV1"]), Ok(()), "{name}");
    }
}

/// [`Verifier::glance`] rejects a header that cannot contain a signature.
#[test]
fn rejects_malformed_headers_before_the_body_is_read() {
    let (hex, base64, short) = ("00".repeat(32), base64(&[0; 32]), base64(&[0; 20]));
    let long = hex.repeat(2);
    let now = NOW.to_string();
    let ids = [("webhook-id", "msg_1"), ("webhook-timestamp", &*now)];
    let slack = [("x-slack-request-timestamp", &*now)];
    let custom = [("x-timestamp", &*now), ("x-id", "e-1")];
    for (scheme, header, more, good, bad) in [
        ("standard", "webhook-signature", &ids[..], format!("v1,{base64}"), format!("v1,{short}")),
        ("stripe", "stripe-signature", &[], format!("t={now},v1={hex}"), format!("t={now},v1={long}")),
        ("github", "x-hub-signature-256", &[], format!("sha256={hex}"), hex.clone()),
        ("shopify", "x-shopify-hmac-sha256", &[], base64.clone(), hex.clone()),
        ("slack", "x-slack-signature", &slack, format!("v0={hex}"), format!("v0={}", &hex[..62])),
        ("paddle", "paddle-signature", &[], format!("ts={now};h1={hex}"), format!("ts={now};h1=x")),
        ("lemonsqueezy", "x-signature", &[], hex.clone(), base64.clone()),
        ("twilio", "x-twilio-signature", &[], short.clone(), base64.clone()),
        ("square", "x-square-hmacsha256-signature", &[], base64.clone(), short.clone()),
        ("hmac", "x-signature", &custom, hex.clone(), long.clone()),
    ] {
        let scheme = all().into_iter().find(|known| known.name() == scheme).expect(scheme);
        let name = scheme.name();
        let verifier = Verifier::new(scheme, &["c2VjcmV0"], TOLERANCE).expect("a verifier");
        let glance = |value: &str| {
            let fields = more.iter().copied().chain([(header, value)]);
            verifier.glance(&fields.collect(), Timestamp(NOW))
        };
        assert_eq!(glance(&good), Ok(()), "{name}");
        assert_eq!(glance(""), Err(InvalidSignature::MissingHeader), "{name}");
        for value in [&*bad, "hello", "v1=", "sha256=", "=", ",,,"] {
            assert_eq!(glance(value), Err(InvalidSignature::Malformed), "{name}: {value}");
        }
    }
}

#[test]
fn debug_output_hides_secrets() {
    for scheme in all() {
        let verifier = Verifier::new(scheme, &["c2VjcmV0"], Duration::ZERO).expect("a verifier");
        let shown = format!("{verifier:?}");
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("115, 101"), "{shown}");
    }
}

proptest! {
    #[test]
    fn rejects_arbitrary_requests(
        value in ".*",
        pairs in "(ts?=[0-9]{0,20}[,;])?(v1|h1|v0|sha256)[=,][0-9a-f]{0,70}",
        body in any::<Vec<u8>>(),
        url in "(https?://)?.*",
        now in any::<i64>(),
    ) {
        for scheme in all() {
            let verifier = Verifier::new(scheme, &["c2VjcmV0"], Duration::MAX).expect("a verifier");
            for value in [&value, &pairs] {
                let headers: Headers = NAMES.iter().map(|name| (*name, value.as_str())).collect();
                let request = Signed { headers: &headers, body: &body, url: &url };
                prop_assert!(verifier.verify(request, Arrival::at_once(Timestamp(now))).is_err());
            }
        }
    }
}

const NAMES: &[&str] = &[
    "content-type",
    "paddle-signature",
    "stripe-signature",
    "svix-id",
    "svix-signature",
    "svix-timestamp",
    "x-hub-signature-256",
    "x-id",
    "x-shopify-hmac-sha256",
    "x-signature",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-square-hmacsha256-signature",
    "x-timestamp",
    "x-twilio-signature",
];
