use hmac::{KeyInit, Mac};

use super::*;
use crate::webhooks::{
    Delivery, Scheme,
    tests::{URL, base64, verify_now},
};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[test]
fn accepts_only_signed_urls_and_forms() {
    let sorted = format!("{URL}ABody bCZ\u{e9}");
    for (signed, content_type, body, want) in [
        (sorted.as_str(), FORM, "Body+b=&&C=Z%C3%A9&A=", Ok(())),
        (&sorted, FORM, "C=Z%C3%A9&A&Body%20b&C=Z%C3%A9", Ok(())),
        (&sorted, "application/json", "Body+b=&C=Z%C3%A9&A=", Err(InvalidSignature::Malformed)),
        (&sorted, FORM, "Body+b=&C=Z%C3&A=", Err(InvalidSignature::Mismatch)),
        (URL, FORM, "", Ok(())),
        (URL, "", "", Ok(())),
        (URL, FORM, "a", Err(InvalidSignature::Mismatch)),
        ("https://app.example:443/hooks/in?a=1", "", "", Ok(())),
        ("https://app.example:444/hooks/in?a=1", "", "", Err(InvalidSignature::Mismatch)),
    ] {
        assert_eq!(deliver(signed, content_type, body).map(|_| ()), want, "{signed} {content_type} {body}");
    }
}

#[test]
fn requests_with_one_signature_share_a_content_hash() {
    let whole = deliver(&format!("{URL}A1B2"), FORM, "A=1&B=2").expect("a valid signature");
    for body in ["B=2&A=1", "A=1&%42=2", "A=1&B=2&", "A=1B2", "A1=B2"] {
        let again = deliver(&format!("{URL}A1B2"), FORM, body).expect("a valid signature");
        assert_eq!(again.content_hash, whole.content_hash, "{body}");
        assert_ne!(again.payload_hash, whole.payload_hash, "{body}");
    }
    assert_eq!((whole.event_id, whole.event_type), (None, None));
}

#[test]
fn checks_the_body_hash_in_the_query() {
    let hash = encoding::hex(&Sha256::digest(b"[1]"));
    for (query, body, want) in [
        (format!("bodySHA256={hash}"), "[1]", Ok(0)),
        (format!("a=1&bodySHA256={hash}"), "[1]", Ok(0)),
        (format!("bodySHA256={hash}"), "", Err(InvalidSignature::Mismatch)),
        (format!("bodySHA256={hash}&bodySHA256="), "", Err(InvalidSignature::Mismatch)),
        ("bodySHA256=".to_owned(), "", Err(InvalidSignature::Mismatch)),
        ("bodysha256=".to_owned(), "", Ok(0)),
    ] {
        let fields = [("content-type", FORM)].into_iter().collect();
        let url = format!("https://app.example/in?{query}");
        let request = Signed { headers: &fields, body: body.as_bytes(), url: &url };
        assert_eq!(parameters(&request).map(|rest| rest.len()), want, "{query} {body}");
    }
}

#[test]
fn rejects_long_forms_before_sorting_them() {
    let whole = |form: &str| deliver(&format!("{URL}{}", form.replace(['&', '='], "")), FORM, form).map(drop);
    let many = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|at| format!("a{at:04}=b")).collect();
        pairs.join("&")
    };
    assert_eq!(whole(&many(MAX_PARAMETERS)), Ok(()));
    assert_eq!(whole(&many(MAX_PARAMETERS + 1)), Err(InvalidSignature::Malformed));
    assert_eq!(whole(&"&".repeat(MAX_PARAMETERS)), Err(InvalidSignature::Malformed));
    let long = |length: usize| format!("a={}", "b".repeat(length - 2));
    assert_eq!(whole(&long(MAX_FORM_BYTES)), Ok(()));
    assert_eq!(whole(&long(MAX_FORM_BYTES + 1)), Err(InvalidSignature::Malformed));
}

#[test]
fn tries_every_spelling_of_a_url() {
    for (url, want) in [
        ("https://h/p", &["https://h/p", "https://h:443/p"][..]),
        ("http://h:8080?a", &["http://h:8080?a", "http://h?a"]),
        ("http://[::1]/", &["http://[::1]/", "http://[::1]:80/"]),
        ("https://h/'?'", &["https://h/'?'", "https://h:443/'?'", "https://h/'?%27", "https://h:443/'?%27"]),
        ("nowhere", &["nowhere"]),
    ] {
        let found: Vec<String> = spellings(url);
        for spelling in want {
            assert!(found.iter().any(|found| found == spelling), "{spelling} is not in {found:?}");
        }
        assert!(found.len() <= 6, "{found:?}");
    }
}

fn deliver(signed: &str, content_type: &str, body: &str) -> Result<Delivery, InvalidSignature> {
    let mac = Sha1Mac::new_from_slice(b"token").expect("any length").chain_update(signed);
    let tag = base64(&mac.finalize().into_bytes());
    let fields = [("x-twilio-signature", &*tag), ("content-type", content_type)];
    verify_now(Scheme::Twilio, &["token"], &fields, body)
}
