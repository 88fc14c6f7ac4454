use super::*;

#[test]
fn rejects_ambiguous_headers_and_payloads() {
    let secret = Secret::parse("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA").expect("a secret");
    let keys = Keys::new(&secret, None).expect("keys");
    let key = Key::new("k".into(), &secret);
    let nested = |depth: usize| format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    for (part, want) in [
        (&b"\"x\":1"[..], true),
        (b"\"x\":\"\xc3\xa9\"", true),
        (b"\"x\":\"\\ud83d\\ude00\"", true),
        (b"\"x\":\"\xff\"", false),
        (b"\"x\":\"\xc3\"", false),
        (b"\"x\":\"\xc0\xaf\"", false),
        (b"\"x\":\"\xed\xa0\x80\"", false),
        (b"\"x\xff\":1", false),
        (b"\"x\":[{\"y\":\"\xf5\"}]", false),
        // The gateway skips these members, but upstream may read them.
        (b"\"x\":{\"y\":1,\"z\":1}", true),
        (b"\"x\":{\"y\":1,\"y\":2}", false),
        (b"\"x\":[[{\"y\":1,\"\\u0079\":2}]]", false),
        (b"\"x\":\"{\\\"y\\\":1,\\\"y\\\":2}\"", true),
        (&nested(127), true),
        (&nested(128), false),
        (&nested(1_400), false),
    ] {
        let want = if want { Ok(()) } else { Err(Invalid::Malformed) };
        let payload = [b"{\"userId\":\"u\",", part, b"}"].concat();
        assert_eq!(keys.verify(&keys.sign(&payload)).map(drop), want, "payload {part:?}");
        let header = encoding::base64url(&[b"{\"alg\":\"HS256\",", part, b"}"].concat());
        let key = Key { header, ..key.clone() };
        assert_eq!(keys.verify(&key.sign(b"{}")).map(drop), want, "header {part:?}");
    }
}

fn secret(text: &str) -> Secret {
    Secret::parse(text).expect("a secret")
}

const PAYLOAD: &[u8] = br#"{"userId":"u"}"#;

/// OpenSSL signed this token, with the secret of these tests:
/// `echo -n HEADER.PAYLOAD | openssl dgst -sha256 -hmac SECRET -binary`.
#[test]
fn accepts_a_signature_of_another_implementation() {
    let keys = Keys::new(&secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"), None).expect("keys");
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1In0.UA6BGJb5zliBF0xxcRnmmUKgtaeLhAnkPj6ymQBhnnk";
    assert_eq!(keys.verify(token).expect("a signature").payload(), PAYLOAD);
}

#[test]
fn rejects_every_changed_bit_of_a_signature() {
    let keys = Keys::new(&secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"), None).expect("keys");
    // One token with the gateway's own header, one with the unknown header of another library.
    let foreign = Key { header: encoding::base64url(br#"{"alg":"HS256"}"#), ..keys.signing.clone() };
    for token in [keys.sign(PAYLOAD), foreign.sign(PAYLOAD)] {
        assert!(keys.verify(&token).is_ok());
        let (signed, tag) = token.rsplit_once('.').expect("a tag");
        let tag = encoding::from_base64url(tag).expect("base64url");
        for bit in 0..256 {
            let mut changed = tag.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{signed}.{}", encoding::base64url(&changed));
            assert_eq!(keys.verify(&changed).map(drop), Err(Invalid::BadSignature), "bit {bit}");
        }
        for length in [0, 16, 31] {
            let short = format!("{signed}.{}", encoding::base64url(&tag[..length]));
            assert_eq!(keys.verify(&short).map(drop), Err(Invalid::BadSignature), "{length} bytes");
        }
    }
}

#[test]
fn verifies_with_the_named_key_or_with_any() {
    let [one, two, other] =
        ["A", "B", "C"].map(|last| secret(&format!("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9p{last}")));
    let named = |id: &str, secret: &Secret| (id.to_owned(), secret.clone());
    let keys = Keys::named(named("one", &one), vec![named("two", &two)]).expect("keys");
    let unnamed = |secret: &Secret| {
        let header = encoding::base64url(br#"{"alg":"HS256"}"#);
        Key { header, ..Key::new(String::new(), secret) }.sign(PAYLOAD)
    };
    let stale = |token: &str| keys.verify(token).map(|verified| verified.stale_key());
    for (token, want) in [
        (Key::new("one".into(), &one).sign(PAYLOAD), Ok(false)),
        (Key::new("two".into(), &two).sign(PAYLOAD), Ok(true)),
        (Key::new("two".into(), &one).sign(PAYLOAD), Err(Invalid::BadSignature)),
        (Key::new("three".into(), &one).sign(PAYLOAD), Err(Invalid::BadSignature)),
        (unnamed(&one), Ok(false)),
        (unnamed(&two), Ok(true)),
        (unnamed(&other), Err(Invalid::BadSignature)),
    ] {
        assert_eq!(stale(&token), want, "{token}");
    }
    for previous in [vec![named("one", &two)], vec![named("two", &two), named("two", &other)]] {
        assert_eq!(Keys::named(named("one", &one), previous).map(drop), Err(DuplicateKey));
    }
}

#[test]
fn rejects_tokens_above_the_maximum_length() {
    let keys = Keys::new(&secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"), None).expect("keys");
    let of_length = |length: usize| {
        let filled = |filler: usize| keys.sign(format!("{{\"x\":\"{}\"}}", "x".repeat(filler)).as_bytes());
        (0..LONGEST).map(filled).find(|token| token.len() >= length).expect("a token")
    };
    let longest = of_length(LONGEST - 3);
    assert!(longest.len() <= LONGEST && keys.verify(&longest).is_ok());
    let longer = of_length(LONGEST + 1);
    assert_eq!(keys.verify(&longer).map(drop), Err(Invalid::Malformed));
}

#[test]
fn a_typed_token_is_read_in_one_way_only() {
    let secret = secret("kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA");
    let key = TypedKey::new("x+jwt", &secret);
    let signed = |header: &str, payload: &str| {
        let mut token = String::new();
        encoding::push_base64url(&mut token, header.as_bytes());
        token.push('.');
        encoding::push_base64url(&mut token, payload.as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("a key");
        mac.update(token.as_bytes());
        token.push('.');
        encoding::push_base64url(&mut token, &mac.finalize().into_bytes());
        token
    };
    let header = r#"{"alg":"HS256","typ":"x+jwt"}"#;
    assert_eq!(key.verify(&signed(header, "{}")).as_deref(), Ok(b"{}".as_slice()));
    let twice = r#"{"a":{"b":1,"b":2}}"#;
    assert_eq!(key.verify(&signed(header, twice)), Err(Invalid::Malformed));
    let odd_header = r#"{"alg":"HS256","typ":"x+jwt","x":{"b":1,"b":2}}"#;
    assert_eq!(key.verify(&signed(odd_header, "{}")), Err(Invalid::Malformed));
}
