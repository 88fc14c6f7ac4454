use super::*;
use crate::crypto::secret::Secret;
use crate::routing::rule::Hold;

#[test]
fn parses_bare_and_quoted_keys() {
    let long = "k".repeat(255);
    for (value, want) in [
        ("k1", Some("k1")),
        ("\"k1\"", Some("k1")),
        (" k1\t", Some("k1")),
        ("\"a \\\"b\\\\\"", Some("a \"b\\")),
        ("\" \"", Some(" ")),
        (&*long, Some(&*long)),
        ("", None),
        ("  ", None),
        ("\"\"", None),
        ("\"", None),
        ("\"a", None),
        ("a\"", None),
        ("\"a, b\"", None),
        ("\"a,b\"", Some("a,b")),
        ("\" , \"", Some(" , ")),
        ("a, b", None),
        ("a,b", None),
        ("\"a\", \"b\"", None),
        ("\"a\";x=1", None),
        ("a b", None),
        ("\"a\\n\"", None),
        ("k\u{e9}", None),
        (&*"k".repeat(256), None),
    ] {
        assert_eq!(Key::parse(value).map(|Key(key)| key).as_deref(), want, "{value:?}");
    }
}

#[test]
fn reads_a_key_from_the_headers() {
    let mut policy = OPTIONAL_KEY;
    let read = |fields, policy: &Idempotency| {
        Key::read(&Headers::read(fields), policy).map(|key| key.map(|Key(key)| key))
    };
    assert_eq!(read("", &policy), Ok(None));
    assert_eq!(read("invocation-id\ni", &policy), Ok(None));
    policy.invocation_id = true;
    assert_eq!(read("invocation-id\ni", &policy), Ok(Some("i".into())));
    assert_eq!(read("invocation-id\ni\nidempotency-key\nk", &policy), Ok(Some("k".into())));
    assert_eq!(
        read("invocation-id\ni\nidempotency-key\na, b", &policy),
        Err(Rejection::IdempotencyKeyInvalid)
    );
    policy.required = true;
    assert_eq!(read("", &policy), Err(Rejection::IdempotencyKeyMissing));
    policy.invocation_pointer = Some("/run/invocationId");
    assert_eq!(read("", &policy), Ok(None), "the key may be in the body");
}

#[test]
fn reads_a_key_from_the_body() {
    let (missing, invalid) = (Rejection::IdempotencyKeyMissing, Rejection::IdempotencyKeyInvalid);
    let long = format!(r#"{{"run":{{"id":"{}"}}}}"#, "k".repeat(256));
    for (body, want) in [
        (r#"{"run":{"id":"inv-7"}}"#, Ok("inv-7")),
        (r#"{"run":{"id":"a,b;c"}}"#, Ok("a,b;c")),
        (r#"{"run":{"id":null}}"#, Err(missing)),
        (r#"{"id":"inv-7"}"#, Err(missing)),
        (r#"{"run":"id"}"#, Err(missing)),
        ("", Err(missing)),
        ("run=id", Err(missing)),
        (r#"{"run":{"id":7}}"#, Err(invalid)),
        (r#"{"run":{"id":["inv-7"]}}"#, Err(invalid)),
        (r#"{"run":{"id":""}}"#, Err(invalid)),
        (r#"{"run":{"id":"a b"}}"#, Err(invalid)),
        (r#"{"run":{"id":"é"}}"#, Err(invalid)),
        (&long, Err(invalid)),
    ] {
        let read = |required| {
            let policy = Idempotency { required, invocation_pointer: Some("/run/id"), ..OPTIONAL_KEY };
            Key::in_body(body.as_bytes(), "/run/id", &policy).map(|key| key.map(|Key(key)| key))
        };
        assert_eq!(read(true), want.map(|key| Some(key.to_owned())), "{body}");
        let optional = want.map(|key| Some(key.to_owned()));
        assert_eq!(read(false), if want == Err(missing) { Ok(None) } else { optional }, "{body}");
    }
}

const OPTIONAL_KEY: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    invocation_pointer: None,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: std::time::Duration::from_mins(1),
};

#[test]
fn different_requests_have_different_fingerprints() {
    let fingerprint_of = |serialized: &str, target, body| {
        let request = Request::read(serialized).expect("a request");
        fingerprint(&ForwardedRequest::of(&request), target, body)
    };
    let post = "POST\nhttps://a.example/\ncontent-type\nt";
    let all = [
        fingerprint_of(post, "/a?b", "c"),
        fingerprint_of(post, "/a", "?bc"),
        fingerprint_of(post, "/a?bc", ""),
        fingerprint_of(post, "/a?b", "C"),
        fingerprint_of("PUT\nhttps://a.example/\ncontent-type\nt", "/a?b", "c"),
        fingerprint_of("POST\nhttps://a.example/\ncontent-type\nt2", "/a?b", "c"),
        fingerprint_of("POST\nhttps://a.example/", "/a?b", "c"),
        fingerprint_of("POST\nhttps://b.example/\ncontent-type\nt", "/a?b", "c"),
        fingerprint_of("POST\nhttps://a.example:8443/\ncontent-type\nt", "/a?b", "c"),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "{at}");
    }
    assert_eq!(all[0], fingerprint_of(post, "/a?b", "c"));
    // A header that is not forwarded does not change the fingerprint.
    let nominated = "POST\nhttps://a.example/\ncontent-type\nt\nconnection\ncontent-type";
    assert_eq!(all[6], fingerprint_of(nominated, "/a?b", "c"));
}

#[test]
fn different_owners_have_different_encryption_keys() {
    let secret = |text: &str| Secret::parse(text).expect("a secret");
    let (new, old) = (secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"), secret("Zp9Lh6Gf3Ed7Cb1Xs5Rv8qZ2wJm4n0Tk"));
    let key = |text: &str| Key(text.to_owned());
    let seals = SealingKeys::new(KeyDerivation::new(&new, Some(&old)));
    let keys = seals.keys("user:a:b", &key("c"));
    assert_eq!(keys.len(), 2);
    assert_ne!(keys, seals.keys("user:a", &key("b:c")));
    assert_eq!(SealingKeys::new(KeyDerivation::new(&old, None)).keys("user:a:b", &key("c")), keys[1..]);
}

#[test]
fn stores_final_responses_without_transient_headers() {
    for (status, safe, success) in [
        (200, true, true),
        (204, true, true),
        (303, true, true),
        (400, true, false),
        (401, false, false),
        (409, false, false),
        (422, true, false),
        (429, false, false),
        (500, false, false),
        (503, false, false),
    ] {
        assert_eq!(
            (is_kept(Save::Safe, status), is_kept(Save::Success, status)),
            (safe, success),
            "{status}"
        );
        assert!(is_kept(Save::Stripe, status));
    }
    let headers =
        Headers::read("content-type\ntext/plain\nset-cookie\na=b\ndate\nnow\ncf-ray\nx\netag\n\"e\"");
    assert_eq!(head(201, headers.iter()), "201\ncontent-type\ntext/plain\netag\n\"e\"");
}
