//! Webhook signatures: without the secret, no request is accepted; with it, only the signed bytes are.
//!
//! The first line names the scheme. Headers follow, names and values by turns, then an empty line and the body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vestibule::{
    base::time::Timestamp,
    http::request::HeaderLines,
    webhooks::{Arrival, Scheme, Signed, TOLERANCE, Verifier},
};

const NOW: Timestamp = Timestamp(1_700_000_000);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn run(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let body = body.get(2..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let (name, fields) = head.split_once('\n').unwrap_or((&head, ""));
    let arrival = Arrival::at_once(NOW);
    let lines = HeaderLines(fields.to_owned());
    let headers = lines.headers();
    for scheme in Scheme::PLAIN.iter().filter(|scheme| name.is_empty() || scheme.name() == name) {
        let verifier = Verifier::new(scheme.clone(), &[SECRET], TOLERANCE).unwrap();
        let _ = verifier.glance(&headers, NOW);
        let url = "https://app.example.com/hooks/a?b=1";
        let found = verifier.verify(Signed { headers: &headers, body, url }, arrival);
        assert!(found.is_err(), "{} accepts a request that nobody signed", scheme.name());
    }
    // GitHub signs the body alone. The signed body is accepted, and no other one.
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    let tag = base16ct::lower::encode_string(&mac.finalize().into_bytes());
    let signed = HeaderLines(format!("x-hub-signature-256\nsha256={tag}\nx-github-delivery\n1\nx-github-event\npush"));
    let headers = signed.headers();
    let verifier = Verifier::new(Scheme::Github, &[SECRET], TOLERANCE).unwrap();
    let verify = |body| verifier.verify(Signed { headers: &headers, body, url: "" }, arrival);
    assert!(verify(body).is_ok());
    assert!(verify(&[body, b"x"].concat()).is_err());
}
